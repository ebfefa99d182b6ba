// Writes that depend on each other, on two volumes of two clients: what goes to the second volume is asked only once the first has
// answered. A snapshot of both that has the later and lacks the earlier is of no one moment; the checker of cuts sees that in
// the history. It owns the two volumes' load, which stops and goes on; it must never know of snapshots.

import { setTimeout as pause } from 'node:timers/promises';

import type { Prng } from '../../backend/core/prng.js';
import { SECTORS_PER_BLOCK } from './content.js';
import { openAgain } from './nbd-client.js';
import type { NbdClient } from './nbd-client.js';
import type { Place, Requests, Wish } from './requests.js';

const CHUNK_SECTORS = 2048;
/** Chunks of which a few blocks are used: each chunk is of another comb. */
const CHUNKS = 24;
const HOT_BLOCKS = 4;
/** Chains that go on side by side. */
const CHAINS = 12;

const NO_FLAGS = { isFua: false, isDiscard: false } as const;

/** A volume at a client, as the history knows it. */
export interface Side extends Place {
  readonly socket: string;
}

/** One connection, made anew when it ended. */
class Line {
  readonly side: Side;
  readonly #isEnough: () => boolean;
  #opening: Promise<NbdClient | null> | null = null;
  #nbd: NbdClient | null = null;

  constructor(side: Side, isEnough: () => boolean) {
    this.side = side;
    this.#isEnough = isEnough;
  }

  /** Null: it is enough. */
  async nbd(): Promise<NbdClient | null> {
    if (this.#nbd?.isOpen === true) return this.#nbd;
    this.#opening ??= openAgain(this.side.socket, this.#isEnough);
    this.#nbd = await this.#opening;
    this.#opening = null;
    return this.#nbd;
  }

  async ended(): Promise<void> {
    await this.#opening;
    this.#nbd?.close();
  }
}

export class Chains {
  readonly #requests: Requests;
  readonly #random: Prng;
  readonly #paceMs: number;
  #lines: readonly Line[] = [];
  #workers: Promise<void>[] = [];
  #ends = false;
  #last = false;

  /** @param linksPerSecond - pairs of writes of all chains together, at most */
  constructor(requests: Requests, random: Prng, linksPerSecond: number) {
    this.#requests = requests;
    this.#random = random;
    this.#paceMs = (1000 * CHAINS) / linksPerSecond;
  }

  /** Goes on, unless it was told to end for good. */
  start(first: Side, second: Side): void {
    if (this.#last) return;
    this.#ends = false;
    const lines = [first, second].map((side) => new Line(side, () => this.#ends));
    this.#lines = lines;
    const [ahead, behind] = lines;
    if (ahead === undefined || behind === undefined) return;
    this.#workers = Array.from({ length: CHAINS }, () =>
      this.#chain(ahead, behind, this.#random.fork()),
    );
  }

  /** Resolved when nothing is under way. */
  async pause(): Promise<void> {
    this.#ends = true;
    await Promise.all(this.#workers);
    for (const line of this.#lines) await line.ended();
    this.#workers = [];
    this.#lines = [];
  }

  async stop(): Promise<void> {
    this.#last = true;
    await this.pause();
  }

  async #chain(ahead: Line, behind: Line, random: Prng): Promise<void> {
    while (!this.#ends) {
      const chunk = random.below(CHUNKS) * CHUNK_SECTORS;
      const firstSector = chunk + random.below(HOT_BLOCKS) * SECTORS_PER_BLOCK;
      const wish = { ...NO_FLAGS, firstSector, sectors: SECTORS_PER_BLOCK };
      if (random.chance(1, 6)) {
        await this.#ask(random.chance(1, 2) ? ahead : behind, { ...wish, kind: 'read' });
      } else {
        const kind = random.chance(1, 12) ? 'zero' : 'write';
        // Only what was answered well is followed.
        if (await this.#ask(ahead, { ...wish, kind })) await this.#ask(behind, { ...wish, kind });
      }
      await pause(random.below(Math.max(1, Math.round(2 * this.#paceMs))));
    }
  }

  async #ask(line: Line, wish: Wish): Promise<boolean> {
    const nbd = await line.nbd();
    return nbd === null ? false : this.#requests.one(nbd, line.side, wish);
  }
}

/** Reads every place that chains use. @returns whether all of it was answered */
export async function readPlaces(
  requests: Requests,
  nbd: NbdClient,
  place: Place,
): Promise<boolean> {
  const sectors = HOT_BLOCKS * SECTORS_PER_BLOCK;
  for (let chunk = 0; chunk < CHUNKS; chunk++) {
    const firstSector = chunk * CHUNK_SECTORS;
    const wish = { ...NO_FLAGS, kind: 'read', firstSector, sectors } as const;
    if (!(await requests.one(nbd, place, wish))) return false;
  }
  return true;
}

/** Writes a block in one of those places. @returns whether it was answered well */
export async function writePlace(
  requests: Requests,
  nbd: NbdClient,
  place: Place,
  random: Prng,
): Promise<boolean> {
  const firstSector =
    random.below(CHUNKS) * CHUNK_SECTORS + random.below(HOT_BLOCKS) * SECTORS_PER_BLOCK;
  const wish = { ...NO_FLAGS, kind: 'write', firstSector, sectors: SECTORS_PER_BLOCK } as const;
  return requests.one(nbd, place, wish);
}
