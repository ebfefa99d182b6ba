// Owns a steady load of small writes over many volumes: one connection to each, at most one write under way on it, so many
// a second in all, and when each of them was sent and answered. It must never know what happens to the cluster meanwhile.
import { randomBytes } from 'node:crypto';

import { NbdClient } from '../chaos/nbd-client.js';

const BLOCK_BYTES = 4096;
/** Blocks of a volume that are written. */
const BLOCKS = 256;
const TICK_MS = 2;
/** Volumes that are filled at the same time. */
const FILLED_AT_ONCE = 16;

/** A volume at one client of the cluster. */
export interface LoadedVolume {
  readonly socket: string;
  readonly client: number;
}

interface Write {
  readonly client: number;
  readonly sentMs: number;
  /** Infinity: not yet. */
  answeredMs: number;
}

interface Lane {
  readonly client: number;
  readonly nbd: NbdClient;
  isBusy: boolean;
}

export class PacedLoad {
  readonly #lanes: readonly Lane[];
  readonly #writes: Write[] = [];
  readonly #running = new Set<Promise<void>>();
  readonly #block = randomBytes(BLOCK_BYTES);
  readonly #perSecond: number;
  readonly #clients: number;
  #timer: NodeJS.Timeout | null = null;
  #failure: Error | null = null;
  #next = 0;
  #startedMs = 0;
  #due = 0;

  private constructor(lanes: readonly Lane[], perSecond: number) {
    this.#lanes = lanes;
    this.#perSecond = perSecond;
    this.#clients = 1 + Math.max(...lanes.map(({ client }) => client));
  }

  /** Connects to every volume and writes each place of it once. */
  static async open(
    volumes: readonly LoadedVolume[],
    perSecond: number,
    signal: AbortSignal,
  ): Promise<PacedLoad> {
    const lanes: Lane[] = [];
    try {
      for (const { socket, client } of volumes)
        lanes.push({ client, nbd: await NbdClient.open(socket), isBusy: false });
      const content = randomBytes(BLOCKS * BLOCK_BYTES);
      for (let first = 0; first < lanes.length; first += FILLED_AT_ONCE) {
        signal.throwIfAborted();
        const some = lanes.slice(first, first + FILLED_AT_ONCE);
        await Promise.all(some.map(({ nbd }) => nbd.write(0, content, false)));
      }
    } catch (error) {
      for (const { nbd } of lanes) nbd.close();
      throw error;
    }
    return new PacedLoad(lanes, perSecond);
  }

  start(): void {
    this.#startedMs = performance.now();
    this.#timer = setInterval(() => {
      this.#tick();
    }, TICK_MS);
  }

  #tick(): void {
    const dueNow = ((performance.now() - this.#startedMs) * this.#perSecond) / 1000;
    for (; this.#due < dueNow; this.#due++) {
      const lane = this.#lanes[this.#next];
      this.#next = (this.#next + 1) % this.#lanes.length;
      // Whoever waits for an answer misses its turn.
      if (lane?.isBusy === false) this.#send(lane);
    }
  }

  #send(lane: Lane): void {
    lane.isBusy = true;
    const place = Math.floor(Math.random() * BLOCKS) * BLOCK_BYTES;
    const write: Write = { client: lane.client, sentMs: performance.now(), answeredMs: Infinity };
    this.#writes.push(write);
    const running = lane.nbd.write(place, this.#block, false).then(
      () => {
        write.answeredMs = performance.now();
        lane.isBusy = false;
        this.#running.delete(running);
      },
      (error: unknown) => {
        this.#failure ??= error instanceof Error ? error : new Error(String(error));
      },
    );
    this.#running.add(running);
  }

  /** Resolved when every write was answered. @throws Error when one failed */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    if (this.#failure === null) await Promise.all(this.#running);
    for (const { nbd } of this.#lanes) nbd.close();
    if (this.#failure !== null) throw this.#failure;
  }

  /** Ends it whatever is under way. */
  abandon(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    for (const { nbd } of this.#lanes) nbd.close();
  }

  answered(fromMs: number, toMs: number): number {
    return this.#writes.filter(({ answeredMs: at }) => at >= fromMs && at < toMs).length;
  }

  /** How long the writes took that were under way at any moment of this time. */
  latenciesMs(fromMs: number, toMs: number): number[] {
    return this.#writes
      .filter(({ sentMs, answeredMs }) => sentMs < toMs && answeredMs > fromMs)
      .map(({ sentMs, answeredMs }) => answeredMs - sentMs);
  }

  /** For each client the longest time without an answer that touches this time. */
  gapsMs(fromMs: number, toMs: number): number[] {
    return Array.from({ length: this.#clients }, (_, client) => {
      const times = this.#writes
        .filter((write) => write.client === client && write.answeredMs < Infinity)
        .map(({ answeredMs }) => answeredMs)
        .sort((one, other) => one - other);
      let longest = 0;
      for (const [index, at] of times.entries()) {
        const before = times[index - 1] ?? at;
        if (at > fromMs && before < toMs) longest = Math.max(longest, at - before);
      }
      return longest;
    });
  }
}
