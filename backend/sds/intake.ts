// From the frame of a client's request to an operation: the range it names and the fields that it carries. It owns that
// translation; it must never judge a request.

import { assert } from '../core/assert.js';
import type { Micros } from '../core/ports.js';
import {
  getAuthority,
  getChunkIndex,
  getFlags,
  getLengthSectors,
  getOffsetSectors,
  getOpHigh,
  getOpLow,
  getTag,
} from '../protocol/generated/frame-head.js';
import type { Admission } from './admission.js';
import type { Client } from './clients.js';
import { isShared } from './op.js';
import type { Op, OpKind } from './op.js';
import { MutableExtent } from './payload.js';
import type { Shared } from './shared.js';

export class Intake {
  /** Range of the request judged last. */
  readonly extent = new MutableExtent();
  private readonly shared: Shared;
  private readonly admission: Admission;

  constructor(shared: Shared, admission: Admission) {
    this.shared = shared;
    this.admission = admission;
  }

  /** Takes the range of a request; its volume is the one judged last. */
  setExtent(view: DataView, at: number): void {
    const { sectorBytes, blockBytes } = this.shared.geometry;
    this.extent.setSectors(
      this.admission.volume?.vtreeKey ?? 0,
      getChunkIndex(view, at),
      getOffsetSectors(view, at) * sectorBytes,
      getLengthSectors(view, at) * sectorBytes,
      blockBytes,
    );
  }

  /** Takes the request judged last into an operation. */
  fill(nowUs: Micros, op: Op, kind: OpKind, client: Client, view: DataView, at: number): void {
    const { volume, comb } = this.admission;
    assert(volume !== null && comb !== null, 'the request was judged');
    op.kind = kind;
    op.client = client;
    op.tag = getTag(view, at);
    op.sdcKey = client.sdcKey;
    op.run = client.run;
    op.opLow = getOpLow(view, at);
    op.opHigh = getOpHigh(view, at);
    op.flags = getFlags(view, at);
    op.authority = getAuthority(view, at);
    op.volume = volume;
    op.comb = comb;
    op.vtreeKey = volume.vtreeKey;
    op.layers = volume.layers;
    op.layerKey = volume.layerKey;
    op.chunkIndex = this.extent.chunkIndex;
    op.offsetSectors = getOffsetSectors(view, at);
    op.lengthSectors = getLengthSectors(view, at);
    op.firstBlock = this.extent.firstBlock;
    op.blockCount = this.extent.blockCount;
    op.startedUs = nowUs;
    op.partial = false;
    op.lockVtree = volume.vtreeKey;
    op.lockChunk = op.chunkIndex;
    op.lockFirst = op.firstBlock;
    op.lockEnd = op.firstBlock + op.blockCount;
    op.lockExclusive = !isShared(kind);
  }
}
