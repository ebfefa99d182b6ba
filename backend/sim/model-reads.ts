// Reads of a modelled device: what they find is decided when they are asked, and said later. It owns those under way; it
// must never promise more than sds/store/store.ts says.

import { DISK_KIND } from '../core/disk-meter.js';
import type { DiskMeter } from '../core/disk-meter.js';
import type { Micros, Token } from '../core/ports.js';
import { BLOCK_STATE, IO_BLOCKS_MAX, STORE_STATUS } from '../sds/store/store.js';
import type { Geometry, Store, StoreHost } from '../sds/store/store.js';

import type { ModelContent, ModelRead } from './model-content.js';
import { describeLayers, readLayers } from './model-layers.js';
import type { ModelMedium } from './model-medium.js';
import type { SimProcess } from './process.js';

interface PendingRead extends ModelRead {
  readonly beganUs: number;
  readonly token: Token;
  readonly describe: boolean;
  /** Through a chain: the layer of each block. */
  readonly foundIn?: Uint32Array;
}

/** A device of which so many reads failed is dead: here they all fail or none does. */
const FAILED_READS_MAX = 4;

export interface ModelReadParts {
  readonly medium: ModelMedium;
  readonly process: SimProcess;
  readonly host: StoreHost;
  readonly geometry: Geometry;
  readonly content: ModelContent;
  readonly meter: DiskMeter;
}

export class ModelReads {
  readonly badLayers: Uint32Array = new Uint32Array(IO_BLOCKS_MAX);
  private readonly parts: ModelReadParts;
  private readonly schedule: () => void;
  private readonly pending: PendingRead[] = [];
  private failedReads = 0;

  /** @param schedule - `answer` is to be called once more, later */
  constructor(parts: ModelReadParts, schedule: () => void) {
    this.parts = parts;
    this.schedule = schedule;
  }

  readonly read: Store['read'] = (
    token,
    volumeKey,
    vtreeKey,
    chunkIndex,
    firstBlock,
    blockCount,
    bytes,
    at,
  ) => {
    const range = { volumeKey, vtreeKey, chunkIndex, firstBlock, blockCount };
    const { status, badLow, badHigh } = this.parts.content.read(range, bytes, at);
    this.push({ token, status: this.answered(status), badLow, badHigh, describe: false });
  };

  readonly readLayers: Store['readLayers'] = (
    token,
    layers,
    vtreeKey,
    chunkIndex,
    firstBlock,
    blockCount,
    bytes,
    at,
  ) => {
    const { content, geometry } = this.parts;
    const range = { vtreeKey, chunkIndex, firstBlock, blockCount };
    const foundIn = new Uint32Array(blockCount);
    const read = readLayers(content, layers, range, bytes, at, geometry.blockBytes, foundIn);
    const { badLow, badHigh } = read;
    const status = this.answered(read.status);
    this.push({ token, status, badLow, badHigh, describe: false, foundIn });
  };

  readonly describe: Store['describe'] = (token, volumeKey, chunkIndex, states) => {
    const { content } = this.parts;
    const chunk = content.chunks.get(content.keyOf(volumeKey, chunkIndex));
    if (chunk === undefined) states.fill(BLOCK_STATE.absent);
    else states.set(chunk.states);
    this.push({ token, status: STORE_STATUS.ok, badLow: 0, badHigh: 0, describe: true });
  };

  readonly describeSums: Store['describeSums'] = (token, volumeKey, chunkIndex, states, sums) => {
    const { content } = this.parts;
    const chunk = content.chunks.get(content.keyOf(volumeKey, chunkIndex));
    states.fill(BLOCK_STATE.absent);
    sums.fill(0);
    if (chunk !== undefined) {
      states.set(chunk.states);
      for (let block = 0; block < chunk.states.length; block++)
        if (chunk.states[block] === BLOCK_STATE.data) sums[block] = chunk.crcs[block] ?? 0;
    }
    this.push({ token, status: STORE_STATUS.ok, badLow: 0, badHigh: 0, describe: true });
  };

  readonly describeLayers: Store['describeLayers'] = (token, layers, chunkIndex, states) => {
    const { content, geometry } = this.parts;
    describeLayers(content, layers, chunkIndex, states, geometry.chunkBlocks);
    this.push({ token, status: STORE_STATUS.ok, badLow: 0, badHigh: 0, describe: true });
  };

  private answered(status: ModelRead['status']): ModelRead['status'] {
    return this.parts.medium.faults.failReads ? STORE_STATUS.failed : status;
  }

  private push(read: Omit<PendingRead, 'beganUs'>): void {
    const { meter, process } = this.parts;
    const beganUs = process.sim.nowUs;
    meter.begin(DISK_KIND.read, beganUs);
    this.pending.push({ ...read, beganUs });
    this.schedule();
  }

  /** Answers the oldest read. @returns false: so many failed that nothing can be read from the device */
  answer(nowUs: Micros): boolean {
    const { meter, process, host } = this.parts;
    const read = this.pending.shift();
    if (read === undefined) return true;
    meter.end(DISK_KIND.read, read.beganUs, process.sim.nowUs);
    if (read.foundIn !== undefined) this.badLayers.set(read.foundIn);
    if (read.describe) host.storeDescribed(nowUs, read.token, read.status);
    else if (read.status === STORE_STATUS.failed && ++this.failedReads >= FAILED_READS_MAX)
      return false;
    else host.storeRead(nowUs, read.token, read.status, read.badLow, read.badHigh);
    return true;
  }
}
