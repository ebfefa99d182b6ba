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

/** Parts of the ring up to which changes of clients are taken, and those that another primary forwards. */
const RING_OWN = 3 / 8;
const RING_FORWARDED = 5 / 8;

/**
 * Whether a further change is taken with so many records held. Devices that are primaries of combs and members of others
 * must stop taking from clients long before they stop taking from each other: what lets a full ring go is said on links
 * on which a change that finds no room holds up all that follows (test/sim/scenarios/rings-full-both-ways.json).
 */
export function ringTakes(records: number, capacity: number, forwarded: boolean): boolean {
  return records <= capacity * (forwarded ? RING_FORWARDED : RING_OWN);
}

/** Whether so many notes find room right now, in the ring and in the log, and leave some to what may not be refused. */
export function notesFit({ ring, log, layout }: Parts, notes: number): boolean {
  const held = log.lastLsn + 1 - ring.tailLsn;
  if (held + notes + Math.floor((ring.capacity * RING_MARGIN) / 2) > ring.capacity) return false;
  return notesBlocks(layout, notes) + layout.segmentBlocks <= log.freeBlocks();
}
