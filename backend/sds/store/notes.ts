// What it takes to note records again, so that they outlive a trim of the log. It owns the arithmetic of that room; it
// must never append.

import { LOG_HEAD_BYTES, RECORD_BYTES } from '../../protocol/generated/disk.js';

import type { Layout } from './layout.js';
import type { Parts } from './parts.js';

/** Part of the ring that is left to records which may not be refused. */
const RING_MARGIN = 1 / 32;

/** Blocks of the log for so many notes. */
export function notesBlocks(layout: Layout, records: number): number {
  const perHeader = Math.floor((layout.headerBytes - LOG_HEAD_BYTES) / (RECORD_BYTES + 8));
  return Math.ceil(records / perHeader) * layout.headerBlocks;
}

/**
 * Whether a further change is taken with so many records held. A checkpoint may note each of them again before the old
 * ones go: twice the records, and those that may not be refused meanwhile, should fit.
 */
export function ringTakes(records: number, capacity: number): boolean {
  return records * 2 + Math.floor(capacity * RING_MARGIN) <= capacity;
}

/** Whether so many notes find room right now, in the ring and in the log, and leave some to what may not be refused. */
export function notesFit({ ring, log, layout }: Parts, notes: number): boolean {
  const held = log.lastLsn + 1 - ring.tailLsn;
  if (held + notes + Math.floor((ring.capacity * RING_MARGIN) / 2) > ring.capacity) return false;
  return notesBlocks(layout, notes) + layout.segmentBlocks <= log.freeBlocks();
}
