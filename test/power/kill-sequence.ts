// The sequence of changes that kill-writer.ts makes and store-kill.test.ts expects: number -> change.

import { Prng } from '../../backend/core/prng.js';

export const KILL_CHUNKS = 12;

export interface Operation {
  readonly chunk: number;
  readonly first: number;
  readonly count: number;
  readonly discard: boolean;
}

/** Mostly single blocks, sometimes units and more, sometimes a discard. */
export function operationOf(index: number): Operation {
  const prng = new Prng(index, 3);
  const chunk = prng.below(KILL_CHUNKS);
  const kind = prng.below(16);
  const unit = prng.below(16) * 16;
  if (kind === 0) return { chunk, first: unit, count: 16, discard: true };
  if (kind === 1) return { chunk, first: unit, count: 16, discard: false };
  if (kind === 2) return { chunk, first: 64 * prng.below(4), count: 64, discard: false };
  if (kind === 3)
    return { chunk, first: prng.below(200), count: 1 + prng.below(20), discard: false };
  return { chunk, first: prng.below(256), count: 1, discard: false };
}
