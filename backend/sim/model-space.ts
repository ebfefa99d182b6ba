// What a modelled device has room for. It owns what is kept free; it must never refuse what a real device would take.

import { ROOM } from '../sds/store/store.js';
import type { Geometry, Store } from '../sds/store/store.js';

import type { ModelContent } from './model-content.js';
import { mergeConflicts } from './model-layers.js';
import type { ModelMedium } from './model-medium.js';

/** Blocks that are kept free so that a member can always complete what it granted. */
const RESERVE_BLOCKS = 4;

export class ModelSpace {
  private readonly medium: ModelMedium;
  private readonly content: ModelContent;
  private readonly geometry: Geometry;
  private keptBlocks = 0;

  constructor(medium: ModelMedium, content: ModelContent, geometry: Geometry) {
    this.medium = medium;
    this.content = content;
    this.geometry = geometry;
  }

  readonly room: Store['room'] = (volumeKey, chunkIndex, firstBlock, blockCount) => {
    const { content, medium } = this;
    const fresh = content.freshBlocks(volumeKey, chunkIndex, firstBlock, blockCount);
    return fresh === 0 || content.usedBlocks + fresh <= medium.capacityBlocks ? ROOM.ok : ROOM.full;
  };

  readonly takesSpace: Store['takesSpace'] = (volumeKey, chunkIndex, firstBlock, blockCount) =>
    this.content.freshBlocks(volumeKey, chunkIndex, firstBlock, blockCount) > 0;

  readonly freeBlocks: Store['freeBlocks'] = () =>
    Math.max(0, this.medium.capacityBlocks - this.content.usedBlocks - RESERVE_BLOCKS);

  readonly keepFree: Store['keepFree'] = (bytes) => {
    this.keptBlocks = Math.ceil(bytes / this.geometry.blockBytes);
  };

  readonly thinBlocks: Store['thinBlocks'] = () => Math.max(0, this.freeBlocks() - this.keptBlocks);

  readonly mergeConflicts: Store['mergeConflicts'] = (childKey, parentKey, chunkIndex, blocks) => {
    const { content, geometry, medium } = this;
    const { unitBlocks } = geometry;
    const count = mergeConflicts(content, childKey, parentKey, chunkIndex, unitBlocks, blocks);
    // Units are not modelled: what a real device does without a new one must not fail here.
    if (content.usedBlocks + count <= medium.capacityBlocks) return count;
    blocks.fill(0);
    return 0;
  };

  readonly usage: Store['usage'] = () => {
    const { blockBytes } = this.geometry;
    return {
      capacityBytes: this.medium.capacityBlocks * blockBytes,
      usedBytes: this.content.usedBlocks * blockBytes,
    };
  };
}
