// CPU accounting from /proc, the order of the runs, and finding the file system.
import test from 'ava';

import {
  ProcessGone,
  cpuUsed,
  parseMachineStat,
  parseProcessStat,
  residentMib,
  sampleCpu,
  startTicksOf,
  type CpuSample,
} from '../../bench/accounting.js';
import { jobNamed, type Job } from '../../bench/jobs.js';
import { filesystemOf, isVolatile } from '../../bench/machine.js';
import { planRuns } from '../../bench/plan.js';

test('a command name with spaces and parentheses does not shift the fields of a process', (t) => {
  const tail = 'S 1 2 3 0 -1 4194304 5 6 7 8 1500 700 30 12 20 0 11 0 98765 1000 200';
  t.deepEqual(parseProcessStat(`42 (a) b (c) ${tail}\n`), {
    userTicks: 1500,
    systemTicks: 700,
    childTicks: 42,
    startTicks: 98765,
  });
  t.throws(() => parseProcessStat('42 (node) S 1'), { message: /not a \/proc\/PID\/stat/ });
});

test('waiting for I/O is not busy, and stolen time is apart', (t) => {
  const text = 'cpu  100 5 50 9000 800 7 8 33 0 0\ncpu0 1 2 3\n';
  t.deepEqual(parseMachineStat(text), { busyTicks: 170, stealTicks: 33 });
  t.throws(() => parseMachineStat('intr 1 2 3'), { message: /not a \/proc\/stat/ });
});

function sample(atMs: number, ticks: number, startTicks = 5): CpuSample {
  const process = { pid: 10, userTicks: ticks, systemTicks: ticks * 2, childTicks: 0, startTicks };
  return {
    atMs,
    processes: [
      { name: 'sds1', role: 'sds-data', ...process },
      { name: 'sds2', role: 'sds-data', ...process, pid: 11 },
      { name: 'sdc', role: 'sdc', ...process, pid: 12 },
    ],
    fioTicks: ticks,
    machine: { busyTicks: ticks * 15, stealTicks: ticks },
  };
}

test('what was used is summed by role, and the rest of the machine is apart', (t) => {
  const used = cpuUsed(sample(1000, 100), sample(3000, 200));
  t.is(used.wallUs, 2_000_000);
  t.is(used.systemUs, 9_000_000);
  t.deepEqual(used.byRole, {
    'sds-data': { userUs: 2_000_000, systemUs: 4_000_000 },
    sdc: { userUs: 1_000_000, systemUs: 2_000_000 },
  });
  t.is(used.fioUs, 1_000_000);
  t.is(used.otherUs, 15_000_000 - 9_000_000 - 1_000_000);
  t.is(used.stealUs, 1_000_000);
});

test('a process that was replaced under the same pid makes the run invalid', (t) => {
  t.throws(() => cpuUsed(sample(1000, 100, 5), sample(3000, 200, 6)), {
    instanceOf: ProcessGone,
    message: /sds1 \(pid 10\) was replaced/,
  });
});

test('a process that does not run is named', (t) => {
  // Beyond the largest pid that Linux gives.
  const gone = { name: 'sds9', role: 'sds-data', pid: 4_194_305 };
  t.throws(() => sampleCpu([gone]), { instanceOf: ProcessGone, message: /sds9 .* does not run/ });
  t.throws(() => residentMib(gone), { instanceOf: ProcessGone });
  t.is(startTicksOf(gone.pid), null);
});

test('the clocks of a real process go forward', (t) => {
  const self = { name: 'this test', role: 'test', pid: process.pid };
  const before = sampleCpu([self]);
  const endMs = performance.now() + 2000;
  let used = cpuUsed(before, sampleCpu([self]));
  while (used.systemUs === 0 && performance.now() < endMs)
    used = cpuUsed(before, sampleCpu([self]));
  t.true(used.systemUs > 0);
  t.true(residentMib(self) > 1);
  t.is(startTicksOf(process.pid), before.processes[0]?.startTicks ?? null);
});

test('runs of one repetition stand together, and no target always comes first', (t) => {
  const jobs = ['randwrite-4k-qd1', 'randread-4k-qd1']
    .map(jobNamed)
    .filter((job) => job !== undefined);
  const all = { name: 'a', takes: (): boolean => true };
  const writesOnly = { name: 'b', takes: (job: Job): boolean => job.writes };
  const plan = planRuns(jobs, [all, writesOnly], 2).map(
    ({ job, target, repetition }) => `${job.name} ${repetition} ${target.name}`,
  );
  t.deepEqual(plan, [
    'randwrite-4k-qd1 0 a',
    'randwrite-4k-qd1 0 b',
    'randwrite-4k-qd1 1 b',
    'randwrite-4k-qd1 1 a',
    'randread-4k-qd1 0 a',
    'randread-4k-qd1 1 a',
  ]);
});

const MOUNTS = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /tmp rw - tmpfs tmpfs rw
31 22 8:1 / /srv/with\\040space rw shared:3 - xfs /dev/sda1 rw
32 31 8:2 / /srv/with\\040space rw - btrfs /dev/sdb rw
`;

test('the file system is that of the deepest and latest mount', (t) => {
  t.like(filesystemOf(MOUNTS, '/var/lib'), { type: 'ext4', mountPoint: '/' });
  t.like(filesystemOf(MOUNTS, '/tmp/bench'), { type: 'tmpfs', device: 'tmpfs' });
  t.like(filesystemOf(MOUNTS, '/tmpfoo'), { type: 'ext4' });
  t.like(filesystemOf(MOUNTS, '/srv/with space/x'), { type: 'btrfs', device: '/dev/sdb' });
  t.throws(() => filesystemOf('', '/x'), { message: /no mount holds \/x/ });
  t.true(isVolatile(filesystemOf(MOUNTS, '/tmp')));
  t.false(isVolatile(filesystemOf(MOUNTS, '/')));
});
