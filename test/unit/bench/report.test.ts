// What is derived from the runs, and the reading back of a result file.
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';

import {
  ReportError,
  floorOf,
  median,
  parseReportFile,
  readReport,
  summarise,
  writeReport,
} from '../../bench/report.js';
import { report, run, target } from './fixtures.js';

const WRITE = 'randwrite-4k-qd32';
const READ = 'randread-4k-qd32';
const FSYNC = 'randwrite-4k-fsync-qd1';
const floor = target('nbdkit', 'cached');
const flushedFloor = target('nbdkit-fua', 'flushed');
const media = target('meshsan-media', 'flushed');
const memory = target('meshsan-memory', 'cached');

test('the median is the middle, or the mean of the two middles', (t) => {
  t.is(median([5]), 5);
  t.is(median([30, 1, 2]), 2);
  t.is(median([4, 1, 3, 100]), 3.5);
  t.throws(() => median([]), { instanceOf: RangeError });
});

test('a target is compared with the floor of equal durability', (t) => {
  t.is(floorOf(WRITE, media), 'nbdkit-fua');
  t.is(floorOf(WRITE, memory), 'nbdkit');
  t.is(floorOf(WRITE, target('meshsan-device', 'handed-to-device')), 'nbdkit');
  t.is(floorOf(READ, media), 'nbdkit', 'a read is as durable as any');
  t.is(floorOf(FSYNC, media), 'nbdkit', 'the job itself flushes every write');
  t.is(floorOf(WRITE, flushedFloor), null);
});

test('a summary holds medians and best values per job and target', (t) => {
  const runs = [
    run(WRITE, 'meshsan-memory', 0, { iops: 100, cpuUsPerIo: 40, p99Us: 9 }),
    run(WRITE, 'meshsan-memory', 1, { iops: 300, cpuUsPerIo: 30, p99Us: 7 }),
    run(WRITE, 'meshsan-memory', 2, { iops: 200, cpuUsPerIo: 35, p99Us: 8 }),
    run(READ, 'meshsan-memory', 0, { iops: 9 }),
  ];
  const [write, read, ...more] = summarise(report([floor, memory], runs));
  t.deepEqual(more, []);
  const figures = { iops: 200, iopsBest: 300, cpuUsPerIo: 35, cpuUsPerIoBest: 30, p99Us: 8 };
  t.like(write, { job: WRITE, target: 'meshsan-memory', runs: 3, ...figures, floor: null });
  t.like(read, { job: READ, runs: 1, iops: 9 });
});

test('a ratio is the median of ratios within a repetition, not the ratio of medians', (t) => {
  const runs = [
    run(WRITE, 'nbdkit', 0, { iops: 1000, cpuUsPerIo: 10 }),
    run(WRITE, 'nbdkit', 1, { iops: 100, cpuUsPerIo: 20 }),
    run(WRITE, 'nbdkit', 2, { iops: 500, cpuUsPerIo: 10 }),
    run(WRITE, 'meshsan-memory', 0, { iops: 500, cpuUsPerIo: 30 }),
    run(WRITE, 'meshsan-memory', 1, { iops: 50, cpuUsPerIo: 40 }),
    // Repetition 2 of this target failed; the floor's counts for nothing then.
  ];
  const rows = summarise(report([floor, memory], runs));
  t.deepEqual(rows.find((row) => row.target === 'meshsan-memory')?.floor, {
    target: 'nbdkit',
    iops: 0.5,
    cpu: 2.5,
  });
});

test('a written result is read back whole, its summary derived anew', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'meshsan-test-'));
  try {
    const file = join(dir, 'result.json');
    const written = report([floor, memory], [run(WRITE, 'nbdkit', 0), run(WRITE, 'nbdkit', 1)]);
    await writeReport(file, written);
    const read = await readReport(file);
    t.deepEqual(read, written);
    t.is(read.summary.length, 1);
    t.deepEqual(await readdir(dir), ['result.json'], 'nothing else is left beside it');
  } finally {
    await rm(dir, { recursive: true });
  }
});

test('a file that is no result is refused with the place that is wrong', async (t) => {
  const whole = report([floor], [run(WRITE, 'nbdkit', 0)]);
  const changed = (change: object): string => JSON.stringify({ ...whole, ...change });
  const refused = (text: string, message: RegExp): void => {
    t.throws(() => parseReportFile(text, 'r.json'), { instanceOf: ReportError, message });
  };
  t.notThrows(() => parseReportFile(changed({}), 'r.json'));
  refused(changed({}).slice(0, -10), /r\.json is not JSON/);
  refused('[]', /must be object/);
  refused(changed({ format: 'other' }), /data\/format/);
  refused(changed({ version: 2 }), /data\/version/);
  refused(changed({ runs: [{ ...run(WRITE, 'nbdkit', 0), iops: 'many' }] }), /data\/runs\/0\/iops/);
  refused(changed({ runs: [{ ...run(WRITE, 'nbdkit', 0), ios: 0 }] }), /data\/runs\/0\/ios/);
  refused(changed({ targets: [{ ...floor, name: 'a | b' }] }), /data\/targets\/0\/name/);
  await t.throwsAsync(readReport('/nonexistent/r.json'), {
    instanceOf: ReportError,
    message: /cannot read \/nonexistent\/r\.json/,
  });
});
