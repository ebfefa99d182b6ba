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

/** What is copied in one go: blocks of a chunk, in all of its layers that have to be copied. */
export interface CopyRange extends BlockRange {
  readonly layers: readonly number[];
}

/**
 * Ranges of several layers of a chunk become one: whoever has merged two layers and whoever has not must be made equal in
 * both of them at once.
 *
 * @param ranges - as `unionOf` has them
 */
export function byChunk(ranges: readonly BlockRange[]): CopyRange[] {
  const work: CopyRange[] = [];
  const places = new Map<string, number>();
  const layersOf = new Map<string, Set<number>>();
  for (const { volumeKey, vtreeKey, chunkIndex } of ranges) {
    const name = `${vtreeKey}:${chunkIndex}`;
    const layers = layersOf.get(name);
    if (layers === undefined) layersOf.set(name, new Set([volumeKey]));
    else layers.add(volumeKey);
  }
  for (const range of ranges) {
    const name = `${range.vtreeKey}:${range.chunkIndex}`;
    const layers = [...(layersOf.get(name) ?? [])];
    const place = places.get(name);
    const one = work[place ?? -1];
    if (layers.length === 1 || one === undefined) {
      places.set(name, work.push({ ...range, layers }) - 1);
      continue;
    }
    const firstBlock = Math.min(one.firstBlock, range.firstBlock);
    const end = Math.max(one.firstBlock + one.blockCount, range.firstBlock + range.blockCount);
    work[place ?? -1] = { ...one, firstBlock, blockCount: end - firstBlock };
  }
  return work;
}
