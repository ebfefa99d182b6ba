// The probes of a sentinel on the event loop: each has a volume of its own behind an NBD socket of this host's client. It
// owns their connections; a request that was sent is sent again when a connection is lost, so that only time counts.

import type { Micros } from '../core/ports.js';
import { Loop } from '../runtime/loop.js';
import { UnixLink } from '../runtime/unix-link.js';
import { IO } from '../sdc/block-front.js';
import { PAYLOAD_AT, VolumeClient } from '../sdc/attach/volume-client.js';
import type { Request, RequestOwner } from '../sdc/attach/volume-client.js';
import { Slots } from '../sdc/nbd/slots.js';
import { Probe } from '../sentinel/probe.js';
import type { ProbeRules, ProbeVolume, Verdict } from '../sentinel/probe.js';

/** One request of each kind is all that a probe ever has. */
const SLOTS_MAX = 2048;
const BUFFER_BYTES_MAX = 16 * 1048576;
const MICROS_PER_MS = 1000;
/** Of a volume: more than a round of blocks takes. */
export const SENTINEL_BYTES = 1024 * 1048576;

/** One probe, its volume and the connection to it. */
class ProbedVolume implements RequestOwner, ProbeVolume {
  writeSlots = 0;
  otherSlots = 0;
  readonly probe: Probe;
  readonly link: UnixLink;
  readonly #client = new VolumeClient();
  readonly #loop: Loop;
  readonly #slots: Slots<RequestOwner>;
  readonly #onJudged: (verdict: Verdict, why: string) => void;

  constructor(
    socket: string,
    tools: { readonly loop: Loop; readonly slots: Slots<RequestOwner>; readonly rules: ProbeRules },
    before: Verdict,
    onJudged: (verdict: Verdict, why: string) => void,
  ) {
    const { loop, slots, rules } = tools;
    this.#loop = loop;
    this.#slots = slots;
    this.#onJudged = onJudged;
    // Later lives count on from later moments.
    const sequence = Date.now() * MICROS_PER_MS;
    this.probe = new Probe(loop.nowUs, rules, this, before, sequence);
    this.link = new UnixLink(socket, loop, {
      connected: () => this.#client.connected(),
      disconnected: () => {
        this.#client.disconnected();
      },
    });
  }

  read(offsetBytes: number, lengthBytes: number): void {
    this.#submit(IO.read, offsetBytes, lengthBytes, null);
  }

  write(offsetBytes: number, bytes: Uint8Array): void {
    this.#submit(IO.write, offsetBytes, bytes.length, bytes);
  }

  judged(verdict: Verdict, why: string): void {
    this.#onJudged(verdict, why);
  }

  done(slot: Request, errno: number): void {
    this.probe.answered(this.#loop.nowUs, errno === 0, slot.bytes, PAYLOAD_AT);
    this.#slots.give(slot);
  }

  #submit(
    command: number,
    offsetBytes: number,
    lengthBytes: number,
    bytes: Uint8Array | null,
  ): void {
    const slot = this.#slots.take(this, PAYLOAD_AT + lengthBytes, bytes !== null);
    // Every owner gets one of each kind, whatever others have.
    if (slot === null) throw new Error('a probe has more than one request');
    slot.command = command;
    slot.offsetBytes = offsetBytes;
    slot.lengthBytes = lengthBytes;
    if (bytes !== null) slot.bytes.set(bytes, PAYLOAD_AT);
    this.#client.submit(slot);
  }
}

export class ProbedVolumes {
  readonly #loop = new Loop();
  readonly #slots = new Slots<RequestOwner>(SLOTS_MAX, BUFFER_BYTES_MAX, PAYLOAD_AT);
  readonly #rules: ProbeRules;
  readonly #byKey = new Map<number, ProbedVolume>();

  constructor(rules: {
    readonly intervalMs: number;
    readonly boundMs: number;
    readonly clearMs: number;
  }) {
    this.#rules = {
      intervalUs: rules.intervalMs * MICROS_PER_MS,
      boundUs: rules.boundMs * MICROS_PER_MS,
      clearUs: rules.clearMs * MICROS_PER_MS,
    };
    this.#loop.addFlush(() => {
      for (const { link } of this.#byKey.values()) link.flush();
    });
    this.#loop.attach({
      tick: (nowUs: Micros) => {
        for (const { probe } of this.#byKey.values()) probe.tick(nowUs);
      },
      nextDeadlineUs: () => {
        let next = Infinity;
        for (const { probe } of this.#byKey.values()) next = Math.min(next, probe.nextDeadlineUs());
        return next;
      },
    });
  }

  has(volumeKey: number): boolean {
    return this.#byKey.has(volumeKey);
  }

  get keys(): readonly number[] {
    return [...this.#byKey.keys()];
  }

  verdictOf(volumeKey: number): Verdict | null {
    return this.#byKey.get(volumeKey)?.probe.verdict ?? null;
  }

  /** Begins to probe a volume. @param before - the verdict of an earlier life */
  add(
    volumeKey: number,
    socket: string,
    before: Verdict,
    onJudged: (verdict: Verdict, why: string) => void,
  ): void {
    this.#loop.begin();
    const tools = { loop: this.#loop, slots: this.#slots, rules: this.#rules };
    this.#byKey.set(volumeKey, new ProbedVolume(socket, tools, before, onJudged));
    this.#loop.end();
  }

  /** Ends a probe, whatever it waits for. */
  remove(volumeKey: number): void {
    this.#byKey.get(volumeKey)?.link.close();
    this.#byKey.delete(volumeKey);
  }

  close(): void {
    for (const key of this.keys) this.remove(key);
    this.#loop.stop();
  }
}
