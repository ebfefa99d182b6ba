// The process that holds the block devices of this host: devices of the kernel's nbd or FUSE files under loop devices, fed
// by the client process. It outlives the client process and knows nothing of the cluster, so that the client can be killed,
// restarted and upgraded under mounted file systems. It ends when it is told to and holds nothing.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import type { JSONSchemaType } from 'ajv';
import type { Log } from '../core/ports.js';
import { VERSION } from '../core/version.js';
import { ABSOLUTE_PATH, describeFault } from '../runtime/config-file.js';
import { ControlRefusal, ControlServer } from '../runtime/control-socket.js';
import { UsageError, readFlags } from '../runtime/flags.js';
import { openLog } from '../runtime/log-sink.js';
import { Loop } from '../runtime/loop.js';
import { FlushList } from '../runtime/unix-server.js';
import { PAYLOAD_AT } from '../sdc/attach/volume-client.js';
import type { RequestOwner } from '../sdc/attach/volume-client.js';
import { Slots } from '../sdc/nbd/slots.js';
import { Attachment } from './holder-attachment.js';
import type { HolderTools } from './holder-attachment.js';
import type { AttachRequest } from './holder-carrier.js';
import { HolderState } from './holder-state.js';
import { runDaemon } from './process-exit.js';

const SLOTS_MAX = 8192;
const BUFFER_BYTES_MAX = 128 * 1048576;
const ATTACHMENTS_MAX = 1024;
/** A device is used if somebody has it open at so many looks, so far apart. */
const USED_LOOKS = 5;
const USED_STEP_MS = 300;
/** A holder that dies takes its devices with it: the kernel shall kill almost anything else first. */
const OOM_SCORE = '-900';

const ID = { type: 'string', pattern: '^[0-9a-f]{16}$' } as const;

type Request =
  | { readonly op: 'hello' | 'end' }
  | ({ readonly op: 'attach' } & AttachRequest)
  | {
      readonly op: 'detach';
      readonly volumeId: string;
      /** The mapping is gone: I/O fails. */
      readonly revoked: boolean;
      /** Also if somebody uses it. */
      readonly force: boolean;
    };

const SCHEMA = {
  type: 'object',
  required: ['op'],
  discriminator: { propertyName: 'op' },
  oneOf: [
    { properties: { op: { enum: ['hello', 'end'] } }, additionalProperties: false },
    {
      properties: {
        op: { const: 'attach' },
        volumeId: ID,
        systemId: ID,
        socket: ABSOLUTE_PATH,
        sizeBytes: { type: 'integer', minimum: 512, maximum: 2 ** 50, multipleOf: 512 },
        readOnly: { type: 'boolean' },
        deviceDir: ABSOLUTE_PATH,
        method: { type: 'string', enum: ['auto', 'nbd', 'fuse'], default: 'auto' },
      },
      required: ['volumeId', 'systemId', 'socket', 'sizeBytes', 'readOnly', 'deviceDir'],
      additionalProperties: false,
    },
    {
      properties: {
        op: { const: 'detach' },
        volumeId: ID,
        revoked: { type: 'boolean' },
        force: { type: 'boolean' },
      },
      required: ['volumeId', 'revoked', 'force'],
      additionalProperties: false,
    },
  ],
} as unknown as JSONSchemaType<Request>;

class Holder {
  readonly #tools: HolderTools;
  readonly #onEnd: () => void;
  readonly #all = new Set<Attachment>();
  readonly #valid = new Ajv({
    verbose: true,
    discriminator: true,
    useDefaults: true,
    formats: { 'absolute-path': (text: string) => text.startsWith('/') },
  }).compile(SCHEMA);
  /** Changes happen one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(state: HolderState, log: Log, onEnd: () => void) {
    const loop = new Loop();
    const slots = new Slots<RequestOwner>(SLOTS_MAX, BUFFER_BYTES_MAX, PAYLOAD_AT);
    this.#onEnd = onEnd;
    const flushes = new FlushList();
    this.#tools = { loop, log, state, slots, flushes, gone: (one) => this.#all.delete(one) };
    loop.addFlush(() => {
      for (const attachment of this.#all) attachment.flush();
      flushes.flush();
    });
  }

  get isIdle(): boolean {
    return this.#all.size === 0;
  }

  /** Goes on with the devices that wait in the kernel for a holder. */
  async adopt(): Promise<void> {
    const { state, log } = this.#tools;
    for (const record of state.waiting()) {
      const { volumeId, nbd } = record;
      if (nbd === undefined) continue;
      const attachment = new Attachment(nbd.request, this.#tools, record);
      this.#all.add(attachment);
      try {
        if (await attachment.adopt()) log.event('warn', 'holder.adopted', { volumeId });
      } catch (error) {
        const reason = (error as Error).message;
        log.event('error', 'holder.adopt-failed', { volumeId, reason });
      }
    }
  }

  /** @throws ControlRefusal */
  async answer(request: unknown): Promise<Readonly<Record<string, unknown>>> {
    if (!this.#valid(request)) {
      const [first] = this.#valid.errors ?? [];
      throw new ControlRefusal(first === undefined ? 'a wrong request' : describeFault(first));
    }
    if (request.op === 'hello') return this.#hello();
    // At once, not in its turn: a volume that is being attached may be what the turn before waits for.
    if (request.op === 'detach' && request.revoked) this.#revoke(request.volumeId);
    const turn = this.#last.then(() => this.#change(request));
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  #hello(): Readonly<Record<string, unknown>> {
    const attached = [...this.#all].map((attachment) => attachment.describe());
    return { version: VERSION, pid: process.pid, attached };
  }

  async #change(request: Request): Promise<Readonly<Record<string, unknown>>> {
    if (request.op === 'attach') return this.#attach(request);
    if (request.op === 'detach') return this.#detach(request);
    if (!this.isIdle) throw new ControlRefusal(`${this.#all.size} volumes are attached`);
    // The answer leaves first.
    setImmediate(this.#onEnd);
    return {};
  }

  #find(volumeId: string): Attachment | null {
    for (const attachment of this.#all)
      if (attachment.request.volumeId === volumeId && !attachment.isReleasing) return attachment;
    return null;
  }

  /** Makes a device, or brings the one that is there up to date. */
  async #attach(request: AttachRequest): Promise<Readonly<Record<string, unknown>>> {
    const present = this.#find(request.volumeId);
    try {
      if (present !== null) {
        present.hurry();
        await present.resize(request.sizeBytes);
        return { device: present.describe() };
      }
      if (this.#all.size >= ATTACHMENTS_MAX)
        throw new Error(`${ATTACHMENTS_MAX} volumes are attached`);
      const attachment = new Attachment(request, this.#tools, null);
      this.#all.add(attachment);
      await attachment.attach();
      const facts = attachment.describe();
      const { volumeId, device, blockDevice, method } = facts;
      this.#tools.log.event('info', 'holder.attached', { volumeId, device, blockDevice, method });
      return { device: facts };
    } catch (error) {
      const reason = (error as Error).message;
      this.#tools.log.event('error', 'holder.attach-failed', {
        volumeId: request.volumeId,
        reason,
      });
      throw new ControlRefusal(`volume ${request.volumeId} cannot be attached: ${reason}`);
    }
  }

  /** Every I/O of a volume fails from now on. */
  #revoke(volumeId: string): void {
    for (const attachment of this.#all)
      if (attachment.request.volumeId === volumeId) attachment.revoke();
  }

  async #detach(request: {
    readonly volumeId: string;
    readonly revoked: boolean;
    readonly force: boolean;
  }): Promise<Readonly<Record<string, unknown>>> {
    const { volumeId, revoked, force } = request;
    if (revoked) this.#revoke(volumeId);
    const attachment = this.#find(volumeId);
    if (attachment === null) return {};
    try {
      if (!revoked && !force && (await isUsedForLong(attachment)))
        throw new ControlRefusal(
          `volume ${volumeId} is in use: ${attachment.describe().device}; unmount and close it first`,
        );
      await attachment.detach();
    } catch (error) {
      // What cannot be looked at may be in use: it stays, and so does everything else that is held here.
      if (error instanceof ControlRefusal) throw error;
      throw new ControlRefusal(
        `volume ${volumeId} cannot be detached: ${(error as Error).message}`,
      );
    }
    return {};
  }
}

/** udevd and others look into a device for a moment whenever something happened to it: they are no users. */
async function isUsedForLong(attachment: Attachment): Promise<boolean> {
  for (let look = 1; await attachment.isUsed(); look++) {
    if (look === USED_LOOKS) return true;
    await new Promise((done) => setTimeout(done, USED_STEP_MS));
  }
  return false;
}

function protectFromOom(log: Log): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', OOM_SCORE);
  } catch (error) {
    // A container may not allow it; the devices work all the same.
    log.event('warn', 'holder.oom-score', { reason: (error as Error).message });
  }
}

async function main(): Promise<void> {
  const { 'state-dir': stateDir } = readFlags(process.argv.slice(2), {
    'state-dir': { type: 'string' },
  });
  if (stateDir?.startsWith('/') !== true)
    throw new UsageError('Use: sdc-holder --state-dir DIR (an absolute path)');
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  process.chdir('/');
  const log = openLog({ component: 'sdc-holder', file: join(stateDir, 'holder.log') });
  let holder: Holder | null = null;
  const server = await ControlServer.listen(join(stateDir, 'holder.sock'), async (request) => {
    if (holder === null) throw new ControlRefusal('the holder is starting');
    return holder.answer(request);
  });
  // Only one holder gets here: whatever is recorded belongs to one that is gone.
  protectFromOom(log);
  const state = new HolderState(stateDir);
  await state.cleanLeftovers(log);
  const end = (): void => {
    server.close();
    log.event('info', 'holder.ended', {});
    void log.close().then(() => process.exit(0));
  };
  const running = new Holder(state, log, end);
  await running.adopt();
  holder = running;
  log.event('info', 'holder.started', { pid: process.pid, version: VERSION });
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
    process.on(signal, () => {
      if (running.isIdle) end();
      else log.event('warn', 'holder.signal-ignored', { signal });
    });
}

runDaemon('sdc-holder', main);
