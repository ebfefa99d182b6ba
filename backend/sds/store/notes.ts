// What it takes to note records again, so that they outlive a trim of the log. It owns the arithmetic of that room; it
// must never append.

import { LOG_HEAD_BYTES, RECORD_BYTES } from '../../protocol/generated/disk.js';

import type { Layout } from './layout.js';
import type { Parts } from './parts.js';

/**
 * Part of the ring that is left to records which may not be refused: entries, and stamps of what is not settled. Half of it may be
 * taken before what counts is noted again, half until the log is trimmed behind that, which a slow disk delays for long
 * (seed 160030551).
 */
const RING_MARGIN = 1 / 8;

/** Blocks of the log for so many notes. */
export function notesBlocks(layout: Layout, records: number): number {
  const perHeader = Math.floor((layout.headerBytes - LOG_HEAD_BYTES) / (RECORD_BYTES + 8));
  return Math.ceil(records / perHeader) * layout.headerBlocks;
}

/**
 * Parts of the ring up to which changes of clients are taken, and those that another primary forwards. If all of these still
 * count, they are noted again at once: twice so many and the margin are the whole ring.
 */
const RING_OWN = 5 / 16;
const RING_FORWARDED = (1 - RING_MARGIN) / 2;

/**
 * Part of the ring that copies may hold at a member until they are settled: what primaries take of clients may be forwarded beside
 * them. A round that waits for a copy which finds no room would never end (test/sim/scenarios/copies-fill-ring.json).
 */
export const RING_COPIES = RING_FORWARDED - RING_OWN;

/**
 * Whether a further change is taken with so many records held. Devices that are primaries of combs and members of others
 * must stop taking from clients long before they stop taking from each other: what lets a full ring go is said on links
 * on which a change that finds no room holds up all that follows (test/sim/scenarios/rings-full-both-ways.json).
 */
export function ringTakes(records: number, capacity: number, forwarded: boolean): boolean {
  return records <= capacity * (forwarded ? RING_FORWARDED : RING_OWN);
}

/** Whether so many notes find room right now, in the ring and in the log, and leave some to what may not be refused. None always do. */
export function notesFit({ ring, log, layout }: Parts, notes: number): boolean {
  if (notes === 0) return true;
  const held = log.lastLsn + 1 - ring.tailLsn;
  if (held + notes + Math.floor((ring.capacity * RING_MARGIN) / 2) > ring.capacity) return false;
  return notesBlocks(layout, notes) + layout.segmentBlocks <= log.freeBlocks();
}
