// Layers on a modelled device: reads through a chain, and what a merge amounts to. It owns the same rules as
// sds/store/layer-store.ts; it must never be cleverer than a real device is allowed to be.

import { BLOCK_STATE, STORE_STATUS } from '../sds/store/store.js';
import type { StoreStatus, UnsettledRange } from '../sds/store/store.js';

import type { ModelChunk, ModelContent, ModelRead } from './model-content.js';

type Range = Omit<UnsettledRange, 'comb' | 'volumeKey'>;

/** The chunk in which a block of a chain is found, or undefined. */
function holderOf(
  content: ModelContent,
  layers: readonly number[],
  chunkIndex: number,
  block: number,
): ModelChunk | undefined {
  for (const layerKey of layers) {
    const chunk = content.chunks.get(content.keyOf(layerKey, chunkIndex));
    if (chunk !== undefined && chunk.states[block] !== BLOCK_STATE.absent) return chunk;
  }
  return undefined;
}

/** As a read of one layer; `badLayers` says where blocks were found. */
export function readLayers(
  content: ModelContent,
  layers: readonly number[],
  range: Range,
  bytes: Uint8Array,
  at: number,
  blockBytes: number,
  foundIn: Uint32Array,
): ModelRead {
  const { vtreeKey, chunkIndex, firstBlock, blockCount } = range;
  let status: StoreStatus = STORE_STATUS.zero;
  let badLow = 0;
  let badHigh = 0;
  const one = new Uint8Array(4 + blockBytes);
  for (let index = 0; index < blockCount; index++) {
    const block = firstBlock + index;
    const holder = holderOf(content, layers, chunkIndex, block);
    const volumeKey = holder?.volumeKey ?? 0;
    foundIn[index] = volumeKey;
    const part = { volumeKey, vtreeKey, chunkIndex, firstBlock: block, blockCount: 1 };
    const read = content.read(part, one, 0);
    bytes.set(one.subarray(0, 4), at + 4 * index);
    bytes.set(one.subarray(4), at + 4 * blockCount + index * blockBytes);
    if (read.status === STORE_STATUS.ok && status === STORE_STATUS.zero) status = STORE_STATUS.ok;
    if (read.status !== STORE_STATUS.corrupt) continue;
    status = STORE_STATUS.corrupt;
    if (index < 32) badLow |= 1 << index;
    else badHigh |= 1 << (index - 32);
  }
  return { status, badLow: badLow >>> 0, badHigh: badHigh >>> 0 };
}

export function describeLayers(
  content: ModelContent,
  layers: readonly number[],
  chunkIndex: number,
  states: Uint8Array,
  chunkBlocks: number,
): void {
  for (let block = 0; block < chunkBlocks; block++)
    states[block] =
      holderOf(content, layers, chunkIndex, block)?.states[block] ?? BLOCK_STATE.absent;
}

/** Whether no block of a layer's chunk is anything but absent. */
export function isEmptied(content: ModelContent, layerKey: number, chunkIndex: number): boolean {
  const chunk = content.chunks.get(content.keyOf(layerKey, chunkIndex));
  return chunk === undefined || chunk.states.every((state) => state === BLOCK_STATE.absent);
}

/** Blocks of the parent that lie in a unit of which the child has data. */
export function mergeConflicts(
  content: ModelContent,
  childKey: number,
  parentKey: number,
  chunkIndex: number,
  unitBlocks: number,
  blocks: Uint8Array,
): number {
  blocks.fill(0);
  const child = content.chunks.get(content.keyOf(childKey, chunkIndex));
  const parent = content.chunks.get(content.keyOf(parentKey, chunkIndex));
  if (child === undefined || parent === undefined) return 0;
  let count = 0;
  for (let block = 0; block < child.states.length; block++) {
    const first = block - (block % unitBlocks);
    const unit = child.states.subarray(first, first + unitBlocks);
    if (!unit.includes(BLOCK_STATE.data) || child.states[block] !== BLOCK_STATE.absent) continue;
    if (parent.states[block] !== BLOCK_STATE.data) continue;
    blocks[block] = 1;
    count++;
  }
  return count;
}
