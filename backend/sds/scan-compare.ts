// What counts as a difference between two copies of a chunk. Blocks differ when a client would read something else, from any
// volume that looks through the layer; how a copy came to hold nothing is its own affair. It must never send or write.

import { addressSeed, blockChecksum } from '../core/checksum.js';
import type { Below, ScanTask } from './scan-task.js';
import { BLOCK_STATE } from './store/store.js';
import type { Volumes } from './volumes.js';

/** The layers below one; null: no volume that is known here has it. */
export function belowOf(volumes: Volumes, layerKey: number, vtreeKey: number): Below {
  for (const volume of volumes.all()) {
    if (volume.vtreeKey !== vtreeKey) continue;
    const at = volume.layers.indexOf(layerKey);
    if (at >= 0) return volume.layers.slice(at + 1);
  }
  return null;
}

/**
 * Marks the blocks of a task's range, from its first, in which the member that answered differs. Checksums stand for content:
 * what a copy answers is verified by them.
 *
 * @param zeroes - a block of them
 */
export function differing(task: ScanTask, zeroes: Uint8Array): Uint8Array {
  const differences = new Uint8Array(task.blockCount);
  for (let index = 0; index < task.blockCount; index++) {
    const block = task.firstBlock + index;
    const own = task.states[block] ?? BLOCK_STATE.lost;
    const theirs = task.memberStates[index] ?? BLOCK_STATE.lost;
    const sum = task.sums[block] ?? 0;
    const theirSum = task.memberSums.getUint32(4 * index, true);
    if (own === theirs && (own !== BLOCK_STATE.data || sum === theirSum)) continue;
    // Each device finds out by itself what it lost, and has it repaired.
    if (own === BLOCK_STATE.lost || theirs === BLOCK_STATE.lost) continue;
    const seed = addressSeed(task.vtreeKey, task.chunkIndex, block);
    const zeroSum = blockChecksum(zeroes, seed);
    const one = contentOf(own, sum, zeroSum);
    const other = contentOf(theirs, theirSum, zeroSum);
    if (one === other) continue;
    const isNothing = one <= CONTENT_ZERO && other <= CONTENT_ZERO;
    if (isNothing && !showsBelow(task, block)) continue;
    differences[index] = 1;
  }
  return differences;
}

const CONTENT_ABSENT = -2;
const CONTENT_ZERO = -1;

/** A number that is the same for the same content. */
function contentOf(state: number, sum: number, zeroSum: number): number {
  if (state === BLOCK_STATE.absent) return CONTENT_ABSENT;
  return state === BLOCK_STATE.zero || sum === zeroSum ? CONTENT_ZERO : sum;
}

/** Whether an absent block shows something of a layer below. */
function showsBelow(task: ScanTask, block: number): boolean {
  return task.below !== null && task.belowStates[block] === BLOCK_STATE.data;
}
