// Finds the layer that holds each block of a read through a chain. It owns which descriptors stay in the cache until all of
// a chain is known; it must never take what it found at one moment for what is so at another.

import { STATE } from './chunk-cache.js';
import type { Loader } from './loader.js';
import type { Parts } from './parts.js';
import type { ReadOp } from './read-op.js';

/** In no layer. */
const NONE = -1;
/** Not looked for yet. */
const OPEN = -2;

export class LayerLookup {
  private readonly parts: Parts;
  private readonly loader: Loader;

  constructor(parts: Parts, loader: Loader) {
    this.parts = parts;
    this.loader = loader;
  }

  /**
   * Finds the layer of every block. All of it happens in one moment: where a descriptor has to come first, it begins anew,
   * and nothing that was found before counts.
   *
   * @returns false: a descriptor has to come first
   */
  resolve(op: ReadOp, layers: readonly number[]): boolean {
    const { cache, directory } = this.parts;
    const { sources, sourceLayers, blockCount, chunkIndex } = op;
    sources.fill(OPEN, 0, blockCount);
    let open = blockCount;
    for (let depth = 0; depth < layers.length && open > 0; depth++) {
      const layerKey = layers[depth] ?? 0;
      const row = directory.find(layerKey, chunkIndex);
      if (row < 0) continue;
      const entry = this.loader.entryOf(row);
      const first = entry * cache.chunkBlocks + op.firstBlock;
      this.hold(op, entry);
      for (let index = 0; index < blockCount; index++) {
        if (sources[index] !== OPEN) continue;
        const state = cache.states[first + index];
        if (state === STATE.absent) continue;
        if (state === STATE.unknown) return false;
        sources[index] = entry;
        sourceLayers[index] = layerKey;
        open--;
      }
    }
    for (let index = 0; open > 0 && index < blockCount; index++)
      if (sources[index] === OPEN) sources[index] = NONE;
    return true;
  }

  /** The entry stays until `letGo`. */
  hold(op: ReadOp, entry: number): void {
    const { cache } = this.parts;
    cache.pins[entry] = (cache.pins[entry] ?? 0) + 1;
    op.held.push(entry);
  }

  letGo(op: ReadOp): void {
    const { cache } = this.parts;
    for (const entry of op.held) cache.pins[entry] = (cache.pins[entry] ?? 0) - 1;
    op.held.length = 0;
  }
}
