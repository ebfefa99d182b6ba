// What NBD says of the allocation of a range (base:allocation), from the states of its blocks. It owns how much one answer
// covers and how runs are merged; it must never call a hole what may hold data.

import { LIMIT } from '../../protocol/generated/constants.js';
import { BLOCK_STATE } from '../block-front.js';
import type { Output } from './output.js';
import type { Slot } from './slots.js';

/** Of a range that is asked about, so much is answered at once; the client asks on. */
const COVERED_BYTES_MAX = 256 * 1048576;
const EXTENTS_MAX = 8192;
const EXTENT_BYTES = 8;
const HOLE = 1;
const ZERO = 2;
const BLOCK = LIMIT.blockBytes;

/** Bytes of the buffer that a question about so many bytes needs: one per block. */
export function statusBufferBytes(offsetBytes: number, lengthBytes: number): number {
  return Math.ceil((Math.min(lengthBytes, COVERED_BYTES_MAX) + (offsetBytes % BLOCK)) / BLOCK);
}

/** Makes the range of a slot one of whole blocks that covers the start of what was asked. */
export function coverBlocks(slot: Slot<unknown>, sizeBytes: number): void {
  slot.headBytes = slot.offsetBytes % BLOCK;
  slot.askedBytes = Math.min(slot.lengthBytes, COVERED_BYTES_MAX);
  slot.offsetBytes -= slot.headBytes;
  const blocks = Math.ceil((slot.headBytes + slot.askedBytes) / BLOCK);
  slot.lengthBytes = Math.min(blocks * BLOCK, sizeBytes - slot.offsetBytes);
}

function flagsOf(state: number | undefined): number {
  if (state === BLOCK_STATE.absent) return HOLE | ZERO;
  return state === BLOCK_STATE.zero ? ZERO : 0;
}

/** Length of the extents of an answer: at least one, as many as fit, merged where neighbours are alike. */
function countExtents(slot: Slot<unknown>, extentsMax: number): number {
  const blocks = Math.ceil((slot.headBytes + slot.askedBytes) / BLOCK);
  let count = 1;
  for (let block = 1; block < blocks; block++)
    if (flagsOf(slot.bytes[block]) !== flagsOf(slot.bytes[block - 1])) {
      if (count === extentsMax) break;
      count++;
    }
  return count;
}

/** Bytes of the answer's content for the states in a slot. */
export function statusReplyBytes(slot: Slot<unknown>, onlyOne: boolean): number {
  return 4 + EXTENT_BYTES * countExtents(slot, onlyOne ? 1 : EXTENTS_MAX);
}

/** Fills the content of an answer, of the length that `statusReplyBytes` gave. */
export function putStatus(
  out: Output,
  at: number,
  contextId: number,
  slot: Slot<unknown>,
  replyBytes: number,
): void {
  out.u32(at, contextId);
  const blocks = Math.ceil((slot.headBytes + slot.askedBytes) / BLOCK);
  let block = 0;
  for (let place = at + 4; place < at + replyBytes; place += EXTENT_BYTES) {
    const from = Math.max(block * BLOCK, slot.headBytes);
    const flags = flagsOf(slot.bytes[block]);
    do block++;
    while (block < blocks && flagsOf(slot.bytes[block]) === flags);
    const to = Math.min(block * BLOCK, slot.headBytes + slot.askedBytes);
    out.u32(place, to - from);
    out.u32(place + 4, flags);
  }
}
