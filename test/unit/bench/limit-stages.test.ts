// What the seconds of a limited load say about its limit.
import test from 'ava';

import { LIMITED_JOBS, allowed, limitsTable, rowOf, stageText } from '../../bench/limit-stages.js';

const about = (iops: number, kbps: number) => ({
  transport: 'nbd',
  job: 'some',
  stage: { iops, kbps },
});

test('of two limits the smaller one allows', (t) => {
  t.is(allowed({ iops: 500, kbps: 0 }, 4096), 500);
  t.is(allowed({ iops: 0, kbps: 1024 }, 4096), 256);
  t.is(allowed({ iops: 500, kbps: 26 * 1024 }, 4096), 500);
  t.is(allowed({ iops: 500, kbps: 26 * 1024 }, 65_536), 416);
  t.is(allowed({ iops: 0, kbps: 0 }, 4096), Infinity);
  t.is(stageText({ iops: 500, kbps: 26 * 1024 }), '500 IOPS and 26 MiB/s');
  t.is(stageText({ iops: 0, kbps: 0 }), 'unset (0)');
});

test('the worst second counts in either direction, and the mean with its sign', (t) => {
  const row = rowOf(about(100, 0), 4096, [101, 94, 102]);
  t.is(row.worstPercent, -6);
  t.is(Math.round((row.meanPercent ?? NaN) * 10), -10);
  t.like(rowOf(about(0, 0), 4096, [3000]), { allowed: null, worstPercent: null });
});

test('the table counts seconds that are further off than 5 %', (t) => {
  const table = limitsTable([
    rowOf(about(100, 0), 4096, [105, 94]),
    rowOf(about(0, 0), 4096, [3000, 3000]),
  ]);
  t.true(table.includes('| nbd | some | 100 IOPS | 100 | 105 94 | -6.0 | -0.5 |'), table);
  t.true(table.includes('| nbd | some | unset (0) | - | 3000 3000 | - | - |'), table);
  t.true(table.includes('1 of 2 limited seconds are off by more than 5 %.'), table);
});

test('every load meets both kinds of limits, both at once, and none', (t) => {
  for (const { stages } of LIMITED_JOBS) {
    t.true(stages.some(({ iops, kbps }) => iops > 0 && kbps === 0));
    t.true(stages.some(({ iops, kbps }) => iops === 0 && kbps > 0));
    t.true(stages.some(({ iops, kbps }) => iops > 0 && kbps > 0));
    t.deepEqual(stages.at(-1), { iops: 0, kbps: 0 });
  }
});
