// Asking another data process for whole blocks (C9): the frame, and the marks by which answers find whoever asked. It must
// never judge an answer.

import { MSG } from '../protocol/generated/constants.js';
import {
  setChunkIndex,
  setComb,
  setCombLog2,
  setGenerationEpoch,
  setGenerationNumber,
  setLengthSectors,
  setOffsetSectors,
  setVolumeKey,
} from '../protocol/generated/frame-head.js';
import { HEADER_BYTES } from '../protocol/frames.js';
import type { Comb } from './comb.js';
import { closeFrame, openFrame } from './data-frame.js';
import type { PeerDevice } from './peer.js';
import type { Shared } from './shared.js';

const VTREE_BYTES = 4;
/** Tags of copies have the highest bit; those of operations do not. */
const COPY_BIT = 0x80000000;

export function copyTag(taskIndex: number, attempt: number): number {
  return (COPY_BIT + (taskIndex & 0xff) * 0x10000 + (attempt & 0xffff)) >>> 0;
}

/** As `copyTag`, of a check of the background scanner: beyond any copy. */
const SCAN_TASKS_FROM = 0xc0;

export function scanTag(checkIndex: number, attempt: number): number {
  return copyTag(SCAN_TASKS_FROM + checkIndex, attempt);
}

export function isScanTag(tag: number): boolean {
  return isCopyTag(tag) && (copyTask(tag) & 0xff) >= SCAN_TASKS_FROM;
}

/** Number of the check that a tag of {@link scanTag} names. */
export function scanTask(tag: number): number {
  return (copyTask(tag) & 0xff) - SCAN_TASKS_FROM;
}

export function isCopyTag(tag: number): boolean {
  return tag >= COPY_BIT;
}

/** Number of the task that a tag of {@link copyTag} names. */
export function copyTask(tag: number): number {
  return Math.floor((tag - COPY_BIT) / 0x10000);
}

export interface WantedBlocks {
  readonly volumeKey: number;
  readonly vtreeKey: number;
  readonly chunkIndex: number;
  readonly firstBlock: number;
  readonly blockCount: number;
}

/** Sends PEER_READ under the comb's present entry. */
export function askBlocks(
  shared: Shared,
  peer: PeerDevice,
  comb: Comb,
  tag: number,
  wanted: WantedBlocks,
): void {
  const { links, pool, sectorsPerBlock } = shared;
  const region = openFrame(links, peer.link, peer.version, MSG.PEER_READ, 0, tag, VTREE_BYTES);
  const { view, at } = region;
  setCombLog2(view, at, pool?.pool.combCountLog2 ?? 0);
  setComb(view, at, comb.index);
  setGenerationEpoch(view, at, comb.epoch);
  setGenerationNumber(view, at, comb.number);
  setVolumeKey(view, at, wanted.volumeKey);
  setChunkIndex(view, at, wanted.chunkIndex);
  setOffsetSectors(view, at, wanted.firstBlock * sectorsPerBlock);
  setLengthSectors(view, at, wanted.blockCount * sectorsPerBlock);
  view.setUint32(at + HEADER_BYTES, wanted.vtreeKey, true);
  closeFrame(region, VTREE_BYTES);
}
