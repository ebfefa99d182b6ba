// Ranges of blocks as sets: what several copies say of the same comb names the same places over and over. It must never
// know why a range is asked for.

import type { BlockRange } from '../protocol/generated/types.js';

function order(one: BlockRange, other: BlockRange): number {
  return (
    one.volumeKey - other.volumeKey ||
    one.vtreeKey - other.vtreeKey ||
    one.chunkIndex - other.chunkIndex ||
    one.firstBlock - other.firstBlock
  );
}

/**
 * The same places, each once, in order.
 *
 * @returns as few ranges as name them; none crosses a chunk
 */
export function unionOf(ranges: readonly BlockRange[]): BlockRange[] {
  const union: BlockRange[] = [];
  for (const range of [...ranges].sort(order)) {
    const last = union.at(-1);
    const isSameChunk =
      last?.volumeKey === range.volumeKey &&
      last.vtreeKey === range.vtreeKey &&
      last.chunkIndex === range.chunkIndex;
    if (
      last === undefined ||
      !isSameChunk ||
      range.firstBlock > last.firstBlock + last.blockCount
    ) {
      union.push(range);
      continue;
    }
    const end = Math.max(last.firstBlock + last.blockCount, range.firstBlock + range.blockCount);
    union[union.length - 1] = { ...last, blockCount: end - last.firstBlock };
  }
  return union;
}
