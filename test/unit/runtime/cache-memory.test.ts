// Memory of read caches: what is given back is the system's again without a collection of garbage.

import { setImmediate } from 'node:timers/promises';
import test from 'ava';

import { MIB } from '../../../backend/core/units.js';
import { SYSTEM_CACHE_MEMORY } from '../../../backend/runtime/cache-memory.js';

const PIECES = 16;
const PIECE_BYTES = 16 * MIB;

test('what is given back is the memory of the system again, and of nobody here', async (t) => {
  const pieces = Array.from({ length: PIECES }, () => SYSTEM_CACHE_MEMORY.take(PIECE_BYTES));
  for (const piece of pieces) piece?.fill(1);
  const heldBytes = process.memoryUsage.rss();
  for (const piece of pieces) {
    if (piece === null) throw new Error('the memory could not be had');
    SYSTEM_CACHE_MEMORY.give(piece);
    t.is(piece.length, 0, 'nobody can look at it any more');
  }
  // It takes a turn; without it the test would run into its time limit.
  while (process.memoryUsage.rss() > heldBytes - (PIECES / 2) * PIECE_BYTES) await setImmediate();
  t.pass();
});

test('more than the host has is not taken', (t) => {
  t.false(SYSTEM_CACHE_MEMORY.hasRoom(2 ** 50));
  t.true(SYSTEM_CACHE_MEMORY.hasRoom(0));
  t.is(SYSTEM_CACHE_MEMORY.take(2 ** 52), null);
});
