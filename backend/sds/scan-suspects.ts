// What the background scanner looks at again: blocks that did not verify, until they do, and chunks of which a copy differed.
// It owns when; it must never grow beyond its bounds.

import type { Micros } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import type { BlockRange } from '../protocol/generated/types.js';

/** Beyond, what does not verify is left to the next pass. */
const BLOCKS_MAX = 16_384;
const COMPARES_MAX = 256;
const AGAIN_US_MIN = 200 * MICROS_PER_MS;
const AGAIN_US_MAX = 60_000 * MICROS_PER_MS;

export interface Suspect {
  readonly range: BlockRange;
  /** Blocks of it that did not verify when they were last read, 1 each. */
  readonly bad: Uint8Array;
  dueUs: Micros;
  pauseUs: Micros;
}

/** A chunk that is to be compared again. */
export interface Doubt {
  readonly range: BlockRange;
  readonly dueUs: Micros;
}

export class Suspects {
  private readonly suspects = new Set<Suspect>();
  private readonly blocks = new Set<string>();
  /** None is due before. */
  private earliestUs: Micros = Infinity;
  private readonly doubts: Doubt[] = [];

  /** Whether a block is looked at again anyway, or too many are. */
  covers(range: BlockRange, block: number): boolean {
    return this.blocks.size >= BLOCKS_MAX || this.blocks.has(nameOf(range, block));
  }

  add(range: BlockRange, nowUs: Micros): Suspect {
    const pauseUs = AGAIN_US_MIN;
    const bad = new Uint8Array(range.blockCount).fill(1);
    const suspect = { range, bad, dueUs: nowUs + pauseUs, pauseUs };
    this.suspects.add(suspect);
    for (let index = 0; index < range.blockCount; index++)
      this.blocks.add(nameOf(range, range.firstBlock + index));
    this.earliestUs = Math.min(this.earliestUs, suspect.dueUs);
    return suspect;
  }

  /** It was read again. Returns how many of its blocks are right now. */
  readAgain(suspect: Suspect, isBad: (index: number) => boolean, nowUs: Micros): number {
    const { range, bad } = suspect;
    let fixed = 0;
    for (let index = 0; index < bad.length; index++) {
      if (bad[index] !== 1 || isBad(index)) continue;
      bad[index] = 0;
      fixed++;
      this.blocks.delete(nameOf(range, range.firstBlock + index));
    }
    if (bad.includes(1)) {
      // Less and less often.
      suspect.pauseUs = Math.min(2 * suspect.pauseUs, AGAIN_US_MAX);
      suspect.dueUs = nowUs + suspect.pauseUs;
      this.earliestUs = Math.min(this.earliestUs, suspect.dueUs);
    } else this.suspects.delete(suspect);
    return fixed;
  }

  /** One that is due, or null. */
  due(nowUs: Micros): Suspect | null {
    if (nowUs < this.earliestUs) return null;
    this.earliestUs = Infinity;
    for (const suspect of this.suspects) {
      if (suspect.dueUs <= nowUs) {
        this.earliestUs = nowUs;
        return suspect;
      }
      this.earliestUs = Math.min(this.earliestUs, suspect.dueUs);
    }
    return null;
  }

  /** A copy of a chunk was made equal: whether it is, is seen soon. */
  doubt(range: BlockRange, nowUs: Micros): void {
    const isKnown = this.doubts.some(
      ({ range: { volumeKey, chunkIndex } }) =>
        volumeKey === range.volumeKey && chunkIndex === range.chunkIndex,
    );
    if (isKnown || this.doubts.length >= COMPARES_MAX) return;
    this.doubts.push({ range, dueUs: nowUs + AGAIN_US_MIN });
  }

  /** A chunk that is due, or undefined. It is in doubt no more. */
  takeDoubt(nowUs: Micros): Doubt | undefined {
    const [first] = this.doubts;
    return first !== undefined && first.dueUs <= nowUs ? this.doubts.shift() : undefined;
  }
}

function nameOf({ volumeKey, chunkIndex }: BlockRange, block: number): string {
  return `${volumeKey}:${chunkIndex}:${block}`;
}
