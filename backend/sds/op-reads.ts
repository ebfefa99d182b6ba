// Reads of the store for an operation: of one layer, or through the chain of its volume. It owns that choice, so that a volume
// without snapshots costs nothing more; it must never look at what was read.

import { loadToken } from './load-token.js';
import type { Op } from './op.js';
import type { Store } from './store/store.js';

/** Reads blocks of the operation's chunk; `part` as in LOAD, `caches` as in `Store.read`. */
export function readBlocks(
  store: Store,
  op: Op,
  part: number,
  firstBlock: number,
  blockCount: number,
  bytes: Uint8Array,
  at: number,
  caches = false,
): void {
  const token = loadToken(op.slot, part);
  const { layers, layerKey, vtreeKey, chunkIndex } = op;
  if (layers.length > 1)
    store.readLayers(
      token,
      layers,
      vtreeKey,
      chunkIndex,
      firstBlock,
      blockCount,
      bytes,
      at,
      caches,
    );
  else store.read(token, layerKey, vtreeKey, chunkIndex, firstBlock, blockCount, bytes, at, caches);
}

/** Describes the operation's chunk. */
export function describeChunk(store: Store, op: Op, part: number, states: Uint8Array): void {
  const token = loadToken(op.slot, part);
  if (op.layers.length > 1) store.describeLayers(token, op.layers, op.chunkIndex, states);
  else store.describe(token, op.layerKey, op.chunkIndex, states);
}

/** Whether zeroes that are written must hide something: a layer below the first holds, or held, something of the chunk. */
export function mustMask(store: Store, layers: readonly number[], chunkIndex: number): boolean {
  for (let depth = 1; depth < layers.length; depth++)
    if (store.hasChunk(layers[depth] ?? 0, chunkIndex)) return true;
  return false;
}
