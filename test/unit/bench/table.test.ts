// The printed markdown: a reader sees the figures, against what, on which machine, and what was
// durable; a failed run is never silent.
import test from 'ava';

import { renderTable } from '../../bench/table.js';
import { report, run, target } from './fixtures.js';

const WRITE = 'randwrite-4k-qd32';
const targets = [target('nbdkit', 'cached'), target('meshsan-memory', 'cached')];
const runs = [
  run(WRITE, 'nbdkit', 0, { iops: 80_000, cpuUsPerIo: 10 }),
  run(WRITE, 'meshsan-memory', 0, { iops: 20_123.4, cpuUsPerIo: 34.567 }),
];

function rows(markdown: string): string[][] {
  return markdown
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) => line.slice(2, -2).split(' | '));
}

test('each row has a cell per column, with the ratio to its floor', (t) => {
  const [head = [], rule = [], nbdkit = [], meshsan = [], ...more] = rows(
    renderTable(report(targets, runs)),
  );
  t.deepEqual(more, []);
  for (const row of [rule, nbdkit, meshsan]) t.is(row.length, head.length);
  const cell = (name: string): string | undefined => meshsan[head.indexOf(name)];
  t.is(cell('target'), 'meshsan-memory');
  t.is(cell('IOPS'), '20123');
  t.is(cell('CPU us/IO'), '34.6');
  t.is(cell('IOPS vs floor'), '0.25x of nbdkit');
  t.is(cell('CPU vs floor'), '3.46x');
  t.is(nbdkit[head.indexOf('IOPS vs floor')], '-');
  t.false(head.includes('IOPS vs Ceph'));
});

test('where CPU time goes is said for systems of several roles only', (t) => {
  const cpuByRole = {
    sdc: { userUs: 4.25, systemUs: 6 },
    'sds-data': { userUs: 9, systemUs: 120.6 },
  };
  const split = run(WRITE, 'meshsan-memory', 0, { cpuByRole });
  const text = renderTable(report(targets, [run(WRITE, 'nbdkit', 0), split]));
  t.true(text.includes(`* ${WRITE} on meshsan-memory: sdc 4.25 + 6, sds-data 9 + 121\n`));
  t.false(text.includes(`* ${WRITE} on nbdkit`));
});

test('with Ceph measured there is a ratio to it', (t) => {
  const withCeph = [...targets, target('ceph', 'flushed')];
  const ceph = run(WRITE, 'ceph', 0, { iops: 2000 });
  const [head = [], , , meshsan = [], last = []] = rows(
    renderTable(report(withCeph, [...runs, ceph])),
  );
  t.is(meshsan[head.indexOf('IOPS vs Ceph')], '10.1x');
  t.is(last[head.indexOf('IOPS vs Ceph')], '-');
});

test('machine, command and durability of each target are said', (t) => {
  const text = renderTable(report(targets, runs));
  for (const part of [
    'Test CPU, 2 cores, 24 GiB, Linux 6.1.0, Node v20.20.2, load 0.1 0.2 0.3',
    'Data on ext4 (/dev/vda at /)',
    '`npm run bench -- --runs 3`',
    'meshsan-memory (meshsan-memory 1.0, 2 copies): a write is acknowledged with a copy of',
    'meshsan sds1-data 71.5',
  ])
    t.true(text.includes(part), part);
  t.false(text.includes('failed'));
  t.false(text.includes('nothing here survives'));
});

test('a result from memory says that nothing was durable', (t) => {
  const whole = report(targets, runs);
  const filesystem = { type: 'tmpfs', device: 'tmpfs', mountPoint: '/tmp' };
  const text = renderTable({ ...whole, machine: { ...whole.machine, filesystem } });
  t.regex(text, /tmpfs .* which is memory: nothing here survives a power cut/);
});

test('failed and interrupted runs are said', (t) => {
  const error = 'fio did not end\n120 s after its time';
  const failures = [{ job: WRITE, target: 'meshsan-media', repetition: 1, error }];
  const text = renderTable({ ...report(targets, runs), failures, finishedAt: null });
  t.true(text.includes('1 failed:'));
  t.true(text.includes(`${WRITE} on meshsan-media, repetition 2: fio did not end 120 s`));
  t.true(text.includes('to an interruption'));
});
