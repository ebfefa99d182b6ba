// What snapshot policies retain, against a model that looks at all runs there ever were, and when runs are due.

import test from 'ava';

import { ranAt, soonest } from '../../../backend/mdm/policy-times.js';
import type { SnapshotPolicy } from '../../../backend/protocol/generated/types.js';
import { cadencesKept, retainedRuns } from '../../../backend/mdm/retention.js';

/** Of all runs 0 .. last, none of which failed: level by level, the latest multiples that are older than the level before. */
function model(last: number, retained: readonly number[]): Set<number> {
  const kept = new Set<number>();
  let period = 1;
  let below = last + 1;
  for (const count of retained) {
    const level: number[] = [];
    for (let run = below - 1; run >= 0 && level.length < count; run--)
      if (run % period === 0) level.push(run);
    for (const run of level) kept.add(run);
    below = level.at(-1) ?? 0;
    period *= count;
  }
  return kept;
}

const LEVELS = [[1], [5], [2, 6], [2, 4, 6], [24, 7, 4], [10, 10, 10, 10, 10, 10], [3, 3, 1]];

for (const retained of LEVELS)
  test(`levels ${retained.join(', ')}: after each of thousands of runs what the model keeps is kept`, (t) => {
    let there = new Set<number>();
    const born = new Map<number, number>();
    for (let run = 0; run < 5000; run++) {
      born.set(run, run + cadencesKept(run, run === 0 ? null : run - 1, retained));
      const before = new Set([...there, run]);
      there = new Set(retainedRuns(before, retained));
      const expected = model(run, retained);
      if (there.size !== expected.size || [...expected].some((one) => !there.has(one))) {
        t.deepEqual([...there].sort(), [...expected].sort(), `after run ${run}`);
        return;
      }
      for (const gone of before) {
        if (there.has(gone) || born.get(gone) === run) continue;
        t.fail(`the snapshot of run ${gone} went with run ${run}, not ${born.get(gone) ?? 0}`);
        return;
      }
    }
    t.pass();
  });

test('where runs failed, levels have as many, and take the next one that did not', (t) => {
  const retained = [4, 3, 2];
  let there = new Set<number>();
  const fails = (run: number): boolean => run % 4 === 0 || (run * 7919) % 11 < 3;
  for (let run = 0; run < 3000; run++) {
    if (fails(run)) continue;
    there = new Set(retainedRuns([...there, run], retained));
    if (run < 100) continue;
    const runs = [...there].sort((one, other) => other - one);
    t.is(runs.length, 9, `after run ${run}`);
    for (const old of runs.slice(4)) {
      const start = old - (old % 4);
      const missed = Array.from({ length: old - start }, (_, index) => start + index);
      t.true(missed.every(fails), `the first of its four that there was: ${old}`);
    }
    if (!t.passed) return;
  }
});

const MINUTE_MS = 60_000;
const POLICY: SnapshotPolicy = {
  accessLimit: 'readOnly',
  ...{ key: 1, name: 'p', cadenceMin: 10, retained: [2], paused: false, secure: false },
  ...{ nextAtMs: 1_000_000, nextRun: 5, lastRunAtMs: 0, lastRun: 0 },
  ...{ lastFailedAtMs: 0, lastFailedRun: 0, lastFailure: '', failures: 0 },
};

test('runs that were missed are one, with the number of the last of them', (t) => {
  const first = { run: 5, plannedMs: 1_000_000, nextAtMs: 1_600_000 };
  t.deepEqual(ranAt(POLICY, 1_000_000, MINUTE_MS), first);
  t.deepEqual(ranAt(POLICY, 1_599_999, MINUTE_MS), first);
  const late = { run: 10, plannedMs: 4_000_000, nextAtMs: 4_600_000 };
  t.deepEqual(ranAt(POLICY, 4_000_001, MINUTE_MS), late);
});

test('a clock that was set back makes nobody wait for more than one cadence', (t) => {
  t.is(soonest(POLICY, 900_000, MINUTE_MS), 1_000_000);
  t.is(soonest(POLICY, 100_000, MINUTE_MS), 700_000);
});
