// Counters of the background scanner add up: a block counts once until it is right again, and a reset forgets nothing that
// is still wrong. What is wrong is looked at again, less and less often.

import test from 'ava';

import { MICROS_PER_MS } from '../../../backend/core/units.js';
import { ScanTotals } from '../../../backend/sds/scan-counts.js';
import { Suspects } from '../../../backend/sds/scan-suspects.js';

const RANGE = { volumeKey: 5, vtreeKey: 5, chunkIndex: 1, firstBlock: 8, blockCount: 4 };
const PEER = 12;

test('errors that are found and repaired add up, also over a reset', (t) => {
  const totals = new ScanTotals();
  totals.found(5);
  totals.fixed(3);
  t.like(totals.asCounts(), { readErrors: 5, fixedReadErrors: 3 });
  totals.scannedBytes = 4096;
  totals.reset();
  t.like(totals.asCounts(), { scannedBytes: 0, readErrors: 2, fixedReadErrors: 0 });
  totals.fixed(2);
  t.like(totals.asCounts(), { readErrors: 2, fixedReadErrors: 2 });
});

test('a difference counts once, however often it is met', (t) => {
  const totals = new ScanTotals();
  t.is(totals.compared(RANGE, PEER, 0), 0);
  t.is(totals.compared(RANGE, PEER, 3), 3);
  t.is(totals.compared(RANGE, PEER, 3), 0);
  t.is(totals.compared(RANGE, PEER + 1, 1), 1, 'another copy');
  t.is(totals.compared(RANGE, PEER, 1), -2);
  t.like(totals.asCounts(), { compareErrors: 4, fixedCompareErrors: 2 });
  totals.reset();
  t.like(totals.asCounts(), { compareErrors: 2, fixedCompareErrors: 0 });
  totals.compared(RANGE, PEER, 0);
  totals.compared(RANGE, PEER + 1, 0);
  t.like(totals.asCounts(), { compareErrors: 2, fixedCompareErrors: 2 });
});

test('bad blocks are looked at until each verifies, with longer and longer pauses', (t) => {
  const suspects = new Suspects();
  const suspect = suspects.add(RANGE, 0);
  t.true(suspects.covers(RANGE, 8) && suspects.covers(RANGE, 11));
  t.false(suspects.covers(RANGE, 7) || suspects.covers(RANGE, 12));
  t.is(suspects.due(0), null);
  const firstUs = suspect.dueUs;
  t.is(suspects.due(firstUs), suspect);
  t.is(
    suspects.readAgain(suspect, (index) => index === 1 || index === 2, firstUs),
    2,
  );
  t.false(suspects.covers(RANGE, 8), 'it verifies again');
  t.true(suspects.covers(RANGE, 9) && suspects.covers(RANGE, 10));
  t.true(suspect.dueUs - firstUs > firstUs, 'the second pause is longer');
  let nowUs = suspect.dueUs;
  for (let times = 0; times < 20; times++) {
    t.is(suspects.due(nowUs), suspect);
    t.is(
      suspects.readAgain(suspect, (index) => index === 2, nowUs),
      times === 0 ? 1 : 0,
    );
    t.is(suspects.due(nowUs), null);
    t.true(suspect.dueUs - nowUs <= 60_000 * MICROS_PER_MS, 'and has a bound');
    nowUs = suspect.dueUs;
  }
  t.is(
    suspects.readAgain(suspect, () => false, nowUs),
    1,
  );
  t.is(suspects.due(Infinity), null);
});
