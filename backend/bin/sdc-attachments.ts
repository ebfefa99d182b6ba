// Which mapped volumes of one system are block devices of this host, as the client process wants it: starts the system's
// holder where it is needed, and tells it again and again until it agrees. It owns the wish; the holder owns the devices. It must never
// make a consumer wait for the MDM.

import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from '../core/ports.js';
import { VERSION } from '../core/version.js';
import { ControlRefusal, askControl } from '../runtime/control-socket.js';
import type { ControlReply } from '../runtime/control-socket.js';
import type { DeviceFacts } from './holder-attachment.js';
import type { AttachRequest } from './holder-carrier.js';

const HOLDER = join(import.meta.dirname, 'sdc-holder.js');
const START_MS = 15_000;
const POLL_MS = 50;
/** The holder is looked at so often while it holds something: it may have been killed. */
const WATCH_MS = 2000;
const ASK_MS = 90_000;
const END_MS = 2000;

/** A mapped volume, as much as an attachment needs. */
export interface MappedFacts {
  readonly id: string;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly socket: string;
}

export interface AttachmentOptions {
  readonly stateDir: string;
  readonly deviceDir: string;
  /** `all`: every mapped volume; `none`: those that were asked for. */
  readonly mode: 'none' | 'all';
  /** How they become block devices. */
  readonly method: AttachRequest['method'];
  readonly log: Log;
  readonly systemId: () => string;
  readonly mapped: () => readonly MappedFacts[];
  /** All mappings are known: what is not mapped now has been taken away. */
  readonly isCurrent: () => boolean;
  /** It is the id of another system of this host: its devices are none of ours, wherever they are held. */
  readonly isOther: (systemId: string) => boolean;
  /** Called when the holder has been told everything that is known. */
  readonly settled: () => void;
}

/** What the holder says of itself. */
interface HolderFacts {
  readonly version: string;
  readonly attached: readonly DeviceFacts[];
}

export class Attachments {
  readonly #options: AttachmentOptions;
  readonly #socket: string;
  /** Asked for by name, in mode `none`; kept out by name, in mode `all`. */
  readonly #named = new Set<string>();
  #devices = new Map<string, DeviceFacts>();
  #running: Promise<void> | null = null;
  #again = false;
  /** The volume that the holder is making a device of right now. */
  #attaching: string | null = null;
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;
  #adopted = false;
  /** What failed last, by volume; said once. */
  readonly #failures = new Map<string, string>();

  constructor(options: AttachmentOptions) {
    this.#options = options;
    this.#socket = join(options.stateDir, 'holder.sock');
    if (options.mode === 'all' && !isRoot())
      options.log.event('warn', 'sdc.attach-needs-root', { nbd: 'volumes are served as NBD only' });
  }

  /** Devices are being made or taken away. */
  get isBusy(): boolean {
    return this.#running !== null;
  }

  deviceOf(volumeId: string): DeviceFacts | null {
    return this.#devices.get(volumeId) ?? null;
  }

  /** A mapping is gone: what was asked of it does not hold for the next one. */
  unmapped(volumeId: string): void {
    this.#named.delete(volumeId);
  }

  /** Volumes came, changed or went. */
  changed(): void {
    if (this.#stopped) return;
    if (this.#running !== null) {
      this.#again = true;
      this.#giveUpAttaching();
      return;
    }
    this.#again = false;
    this.#running = this.#agree()
      .catch((error: unknown) => {
        this.#failed('', (error as Error).message);
      })
      .finally(() => {
        this.#running = null;
        if (this.#again) this.changed();
        else {
          this.#watch();
          if (!this.#stopped) this.#options.settled();
        }
      });
  }

  /** Resolves when the holder has been told everything that is known now. */
  async settled(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  /**
   * Makes a mapped volume a block device.
   * @throws ControlRefusal
   */
  async attach(volumeId: string): Promise<DeviceFacts> {
    if (!isRoot())
      throw new ControlRefusal(
        'attaching a block device needs root; without it volumes are served as NBD only',
      );
    const volume = this.#options.mapped().find(({ id }) => id === volumeId);
    if (volume === undefined)
      throw new ControlRefusal(`volume ${volumeId} is not mapped to this host`);
    if (this.#options.mode === 'all') this.#named.delete(volumeId);
    else this.#named.add(volumeId);
    await this.settled();
    this.changed();
    await this.settled();
    const device = this.#devices.get(volumeId);
    if (device === undefined)
      throw new ControlRefusal(
        this.#failures.get(volumeId) ?? this.#failures.get('') ?? `volume ${volumeId} is gone`,
      );
    return device;
  }

  /**
   * Takes the block device of a volume away; the mapping stays.
   * @param force - also if it is in use: its users may go on until they close it
   * @throws ControlRefusal
   */
  async detach(volumeId: string, force: boolean): Promise<void> {
    await this.settled();
    if (this.#devices.has(volumeId)) await this.#askToDetach(volumeId, force);
    this.#devices.delete(volumeId);
    if (this.#options.mode === 'all') this.#named.add(volumeId);
    else this.#named.delete(volumeId);
  }

  /**
   * Takes away all block devices that nobody uses, and ends the holder when none is left. Nothing is attached any more.
   * @param force - those in use too: their I/O fails from then on
   * @returns those that stay, with the reason
   */
  async release(force = false): Promise<{ readonly kept: readonly string[] }> {
    await this.settled();
    this.stop();
    const holder = await this.#hello();
    if (holder === null) return { kept: [] };
    const kept: string[] = [];
    for (const { volumeId, state } of holder.attached) {
      if (state === 'releasing' && !force) continue;
      try {
        if (force) await this.#revoke(volumeId);
        else await this.detach(volumeId, false);
      } catch (error) {
        if (!(error instanceof ControlRefusal)) throw error;
        kept.push(error.message);
      }
    }
    if (kept.length > 0) return { kept };
    try {
      await this.#endHolder();
    } catch (error) {
      if (!(error instanceof ControlRefusal)) throw error;
      return { kept: force ? [] : [error.message] };
    }
    return { kept };
  }

  /** Goes on after a `release` that could not take everything away. */
  resume(): void {
    this.#stopped = false;
    this.changed();
  }

  /** Nothing is attached or detached any more; the devices stay with the holder. */
  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** The process ends: so does a holder that holds nothing. */
  async endIdleHolder(): Promise<void> {
    try {
      const holder = await askControl(this.#socket, { op: 'hello' }, END_MS);
      if ((holder['attached'] as readonly unknown[]).length === 0)
        await askControl(this.#socket, { op: 'end' }, END_MS);
    } catch (error) {
      // None runs, or it is busy: the next client process finds it.
      const reason = (error as Error).message;
      this.#options.log.event('debug', 'sdc.no-idle-holder', { reason });
    }
  }

  #watch(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const atRest = this.#options.isCurrent() && this.#devices.size + this.#failures.size === 0;
    if (this.#stopped || atRest) return;
    this.#timer = setTimeout(() => {
      this.changed();
    }, WATCH_MS);
    this.#timer.unref();
  }

  #failed(volumeId: string, reason: string): void {
    if (this.#failures.get(volumeId) === reason) return;
    this.#failures.set(volumeId, reason);
    this.#options.log.event('error', 'sdc.attach-failed', { volumeId, reason });
  }

  /** Brings the holder to what is wanted. */
  async #agree(): Promise<void> {
    const { mapped, isCurrent, isOther, mode } = this.#options;
    let holder = await this.#hello();
    // Both at the same moment: a volume that is mapped a little later must not look as if it had been taken away.
    const volumes = mapped();
    const current = isCurrent();
    // What is attached at the start was asked for from an earlier process.
    if (!this.#adopted && mode === 'none' && holder !== null)
      for (const { volumeId } of holder.attached) this.#named.add(volumeId);
    this.#adopted = true;
    const wanted = volumes.filter(({ id }) => this.#named.has(id) === (mode === 'none'));
    if (isRoot() && wanted.length > 0) holder = await this.#ensureHolder(holder);
    if (holder === null) {
      this.#devices.clear();
      return;
    }
    const now = new Map<string, DeviceFacts>();
    for (const device of holder.attached) {
      const { volumeId, systemId, state } = device;
      if (systemId !== undefined && isOther(systemId)) {
        this.#failed(volumeId, `its device is held for system ${systemId}`);
        continue;
      }
      const isMapped = volumes.some(({ id }) => id === volumeId);
      if (!isMapped && current) await this.#revoke(volumeId);
      else if (state === 'attached') now.set(volumeId, device);
    }
    this.#devices = now;
    for (const volume of wanted) await this.#attachOne(volume);
    this.#failures.delete('');
  }

  /** A volume whose mapping goes while it is attached has nobody to answer the kernel, which would wait for ever. */
  #giveUpAttaching(): void {
    const volumeId = this.#attaching;
    const { mapped, isCurrent } = this.#options;
    if (volumeId === null || !isCurrent() || mapped().some(({ id }) => id === volumeId)) return;
    this.#attaching = null;
    this.#revoke(volumeId).catch((error: unknown) => {
      this.#failed(volumeId, (error as Error).message);
    });
  }

  async #attachOne(volume: MappedFacts): Promise<void> {
    const { id, sizeBytes, readOnly, socket } = volume;
    const { deviceDir, systemId, method } = this.#options;
    const present = this.#devices.get(id);
    if (present?.sizeBytes === sizeBytes && present.connected) return;
    this.#attaching = id;
    try {
      const reply = await this.#tell({
        op: 'attach',
        volumeId: id,
        systemId: systemId(),
        ...{ socket, sizeBytes, readOnly, deviceDir, method },
      });
      this.#devices.set(id, reply['device'] as DeviceFacts);
      this.#failures.delete(id);
    } catch (error) {
      if (!(error instanceof ControlRefusal)) throw error;
      this.#failed(id, error.message);
    } finally {
      this.#attaching = null;
    }
  }

  /** The mapping is gone: I/O of whoever still has it open ends with errors. */
  async #revoke(volumeId: string): Promise<void> {
    this.#named.delete(volumeId);
    this.#failures.delete(volumeId);
    await this.#tell({ op: 'detach', volumeId, revoked: true, force: true });
  }

  async #tell(request: Readonly<Record<string, unknown>>): Promise<ControlReply> {
    const reply = await askControl(this.#socket, request, ASK_MS);
    if (!reply.ok) throw new ControlRefusal(String(reply['error']));
    return reply;
  }

  /** @throws ControlRefusal, also when the holder is gone: whoever asks is told, and the next turn finds another one */
  async #askToDetach(volumeId: string, force: boolean): Promise<void> {
    try {
      await this.#tell({ op: 'detach', volumeId, revoked: false, force });
    } catch (error) {
      if (error instanceof ControlRefusal) throw error;
      throw new ControlRefusal(
        `volume ${volumeId} cannot be detached: ${(error as Error).message}`,
      );
    }
  }

  /** What the holder holds; null: none runs. */
  async #hello(): Promise<HolderFacts | null> {
    try {
      const reply = await this.#tell({ op: 'hello' });
      return reply as unknown as HolderFacts;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'ECONNREFUSED') return null;
      throw error;
    }
  }

  /** A holder of this release, unless an older one holds volumes: then that one serves on. */
  async #ensureHolder(present: HolderFacts | null): Promise<HolderFacts> {
    if (present !== null && (present.version === VERSION || present.attached.length > 0))
      return present;
    if (present !== null) await this.#endHolder();
    this.#spawn();
    const deadline = Date.now() + START_MS;
    for (;;) {
      const holder = await this.#hello().catch(() => null);
      if (holder !== null) return holder;
      if (Date.now() > deadline)
        throw new Error(
          `the holder of block devices did not start; see ${this.#options.stateDir}/holder.err`,
        );
      await new Promise((done) => setTimeout(done, POLL_MS));
    }
  }

  async #endHolder(): Promise<void> {
    await this.#tell({ op: 'end' });
    const deadline = Date.now() + START_MS;
    while (existsSync(this.#socket) && Date.now() < deadline)
      await new Promise((done) => setTimeout(done, POLL_MS));
  }

  /** A session of its own: whatever ends this process does not end the holder. */
  #spawn(): void {
    const { stateDir, deviceDir } = this.#options;
    mkdirSync(deviceDir, { recursive: true });
    const errors = openSync(join(stateDir, 'holder.err'), 'w', 0o600);
    const child = spawn(process.execPath, [HOLDER, '--state-dir', stateDir], {
      cwd: '/',
      detached: true,
      stdio: ['ignore', errors, errors],
    });
    closeSync(errors);
    child.once('error', (error) => {
      this.#failed('', error.message);
    });
    child.unref();
  }
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}
