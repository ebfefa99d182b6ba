// Which comb a chunk lies in. Clients and data processes compute it alike and without asking (C1). The function can never
// change: it decides where data was put.

/**
 * Mixes V-tree and chunk so that neighbouring chunks and V-trees spread evenly over any power of two of combs (the
 * finalizer of MurmurHash3 over both numbers).
 *
 * @param vtreeKey - u32
 * @param chunkIndex - u32
 * @returns u32
 */
export function chunkHash(vtreeKey: number, chunkIndex: number): number {
  let mix = Math.imul(vtreeKey, 0x9e3779b1) ^ 0x5bd1e995;
  mix = scramble(mix);
  mix = (mix + Math.imul(chunkIndex, 0x85ebca77)) | 0;
  return scramble(mix) >>> 0;
}

/**
 * Number of the comb of a chunk.
 *
 * @param vtreeKey - u32
 * @param chunkIndex - u32
 * @param combCountLog2 - 0 .. 20
 * @returns 0 .. 2^combCountLog2 - 1
 */
export function combOf(vtreeKey: number, chunkIndex: number, combCountLog2: number): number {
  return chunkHash(vtreeKey, chunkIndex) & ((1 << combCountLog2) - 1);
}

function scramble(value: number): number {
  let mix = value;
  mix = Math.imul(mix ^ (mix >>> 16), 0x85ebca6b);
  mix = Math.imul(mix ^ (mix >>> 13), 0xc2b2ae35);
  return mix ^ (mix >>> 16);
}
