// Calling fio and reading its report: the figures that a result shows are those of the right
// section of the report in the right unit, and a report that lacks one is refused.
import test from 'ava';

import { FioError, fillArguments, nbdEngine, parseReport, runArguments } from '../../bench/fio.js';
import { JOBS, jobNamed, type Job } from '../../bench/jobs.js';

const NBD_NOTE = 'fio: connected to NBD server\n';

function job(name: string): Job {
  const found = jobNamed(name);
  if (found === undefined) throw new Error(`no job ${name}`);
  return found;
}

function latency(p50: number, p99: number, p999: number): object {
  return { lat_ns: { percentile: { '50.000000': p50, '99.000000': p99, '99.900000': p999 } } };
}

function report(entry: object): string {
  return `${NBD_NOTE}${JSON.stringify({ 'fio version': 'fio-3.33', jobs: [entry] }, null, 2)}\n`;
}

const io = { total_ios: 48030, iops: 12007.5, bw_bytes: 49182720 };

test('a mixed report gives IOPS, megabytes per second and microseconds', (t) => {
  const entry = { error: 0, mixed: { ...io, ...latency(301056, 962560, 3522560) } };
  t.deepEqual(parseReport(report(entry), job('randwrite-4k-qd32')), {
    ios: 48030,
    iops: 12007.5,
    mbPerS: 49.18272,
    p50Us: 301.056,
    p99Us: 962.56,
    p999Us: 3522.56,
  });
});

test('a flushing job adds the latency of the flush to that of the write', (t) => {
  const write = { ...io, ...latency(30_000, 80_000, 300_000) };
  const sync = { total_ios: 48030, ...latency(190_000, 290_000, 500_000) };
  const result = parseReport(report({ error: 0, write, sync }), job('randwrite-4k-fsync-qd1'));
  t.like(result, { ios: 48030, p50Us: 220, p99Us: 370, p999Us: 800 });
});

const good = { error: 0, mixed: { ...io, ...latency(1, 2, 3) } };
const REFUSED: readonly (readonly [what: string, text: string, message: RegExp])[] = [
  ['no output', '', /no JSON report/],
  ['only a message', 'fio: connection refused\n', /no JSON report: fio: connection refused/],
  ['a report cut short', report(good).slice(0, 120), /no JSON report/],
  ['no job', '{"jobs":[]}', /has no job/],
  ['an I/O error', report({ ...good, error: 5 }), /reports I\/O error 5/],
  ['no mixed section', report({ error: 0, write: {} }), /no object "mixed"/],
  ['no I/O', report({ error: 0, mixed: { ...good.mixed, total_ios: 0 } }), /completed no I\/O/],
  ['no percentiles', report({ error: 0, mixed: { ...io, lat_ns: {} } }), /no object "percentile"/],
  ['text as a number', report({ error: 0, mixed: { ...good.mixed, iops: '9' } }), /number "iops"/],
];

for (const [what, text, message] of REFUSED)
  test(`refuses a report with ${what}`, (t) => {
    t.throws(() => parseReport(text, job('randwrite-4k-qd32')), { instanceOf: FioError, message });
  });

test('a run names the engine, the workload, the size in bytes and the run time', (t) => {
  const run = { sizeBytes: 2 ** 31, runtimeS: 5, scratchDir: '/tmp/x' };
  const words = runArguments(job('randrw-4k-w70-qd8'), nbdEngine('/run/v.sock'), run);
  for (const word of [
    '--ioengine=nbd',
    '--uri=nbd+unix:///?socket=/run/v.sock',
    '--rw=randrw',
    '--rwmixwrite=70',
    '--iodepth=8',
    '--size=2147483648',
    '--runtime=5',
    '--time_based=1',
    '--unified_rw_reporting=mixed',
  ])
    t.true(words.includes(word), word);
});

test('only the flushing job asks for flushes, and it keeps them in its report', (t) => {
  const run = { sizeBytes: 2 ** 31, runtimeS: 5, scratchDir: '/tmp/x' };
  for (const one of JOBS) {
    const words = runArguments(one, nbdEngine('/run/v.sock'), run);
    t.is(words.includes('--fsync=1'), one.flushes, one.name);
    t.is(words.includes('--unified_rw_reporting=mixed'), !one.flushes, one.name);
  }
});

test('filling writes exactly the measured range and flushes it', (t) => {
  const words = fillArguments(nbdEngine('/run/v.sock'), 2 ** 28);
  for (const word of ['--rw=write', '--size=268435456', '--end_fsync=1'])
    t.true(words.includes(word));
  t.false(words.some((word) => word.startsWith('--runtime')));
});
