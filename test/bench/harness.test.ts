// The harness as a user runs it, against the floor alone: it measures, writes its result, and leaves
// neither a process nor a file behind, also when it is interrupted.
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import test from 'ava';
import { execa } from 'execa';

import { readReport } from './report.js';

const MAIN = join(import.meta.dirname, 'main.js');
const JOBS = 'randread-4k-qd1,randwrite-4k-fsync-qd1';

/** Command lines of running processes that name `dir`. */
async function processesOf(dir: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    // A process may end while this list is read.
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (command.includes(dir)) found.push(command.replaceAll('\0', ' '));
  }
  return found;
}

async function withDir(body: (dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'meshsan-test-'));
  try {
    await body(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

test.serial('measures the floor and leaves only its result', async (t) => {
  await withDir(async (dir) => {
    const file = join(dir, 'out/result.json');
    const data = join(dir, 'data');
    const what = ['--modes', 'none', '--jobs', JOBS, '--size', '64M', '--runtime', '1'];
    const result = await execa(
      process.execPath,
      [MAIN, ...what, '--runs', '1', '--json', file, '--dir', data],
      { reject: false },
    );
    t.is(result.exitCode, 0, result.stderr);
    const report = await readReport(file);
    t.deepEqual(
      report.runs.map(({ job, target }) => `${job} ${target}`),
      JOBS.split(',').map((job) => `${job} nbdkit`),
    );
    for (const run of report.runs) {
      t.true(run.iops > 0 && run.ios > 0);
      t.true(run.p50Us > 0 && run.p50Us <= run.p99Us && run.p99Us <= run.p999Us);
      t.true(run.cpuUsPerIo > 0, 'the CPU time of nbdkit is counted');
    }
    t.true(result.stdout.includes('| randread-4k-qd1 | nbdkit | 1 |'));
    const again = await execa(process.execPath, [MAIN, '--table', file]);
    t.is(again.stdout, result.stdout, '--table prints the same');
    t.false(existsSync(data));
    t.deepEqual(await processesOf(dir), []);
  });
});

test.serial('measures snapshots on a cluster of its own and leaves only the result', async (t) => {
  t.timeout(300_000);
  await withDir(async (dir) => {
    const file = join(dir, 'result.json');
    const data = join(dir, 'data');
    const what = ['--snapshots', 'pause,creation', '--volumes', '6', '--runs', '2'];
    const { exitCode, stdout, stderr } = await execa(
      process.execPath,
      [MAIN, ...what, '--json', file, '--dir', data],
      { reject: false },
    );
    t.is(exitCode, 0, stderr);
    const { rows } = JSON.parse(await readFile(file, 'utf8')) as {
      rows: { figure: string; what: string; value: string }[];
    };
    const said = (about: string): string =>
      rows.find((row) => row.what.startsWith(about))?.value ?? '';
    t.regex(said('the call'), /of 2\), 0 refused$/);
    t.regex(said('longest time without an answer, per client, call'), /longest .* ms \(of 4\)$/);
    t.regex(said('thin volume of 1 TiB'), /median .* ms \(of 2\)$/);
    for (const row of rows)
      t.true(stdout.includes(`| ${row.figure} | ${row.what} | ${row.value} |`));
    t.false(existsSync(data));
    t.deepEqual(await processesOf(dir), []);
  });
});

test.serial('an interruption ends everything that was started', async (t) => {
  await withDir(async (dir) => {
    const data = join(dir, 'data');
    const what = ['--modes', 'none', '--jobs', JOBS, '--size', '64M', '--runtime', '600'];
    const bench = execa(process.execPath, [MAIN, ...what, '--dir', data], { reject: false });
    const measuring = async (): Promise<boolean> =>
      (await processesOf(dir)).some((command) => command.startsWith('nbdkit'));
    const endMs = performance.now() + 60_000;
    while (!(await measuring()) && performance.now() < endMs) await delay(50);
    t.true(await measuring());
    bench.kill('SIGTERM');
    t.is((await bench).exitCode, 130);
    t.false(existsSync(data));
    t.deepEqual(await processesOf(dir), []);
  });
});

test.serial('it ends and cleans up when nobody reads its output any more', async (t) => {
  await withDir(async (dir) => {
    const data = join(dir, 'data');
    const what = ['--modes', 'none', '--jobs', JOBS, '--size', '64M', '--runtime', '1'];
    const bench = execa(process.execPath, [MAIN, ...what, '--runs', '100', '--dir', data], {
      reject: false,
      buffer: false,
    });
    bench.stderr.once('data', () => bench.stderr.destroy());
    t.is((await bench).exitCode, 130);
    t.false(existsSync(data));
    t.deepEqual(await processesOf(dir), []);
  });
});

test('bad usage exits with 2 and changes nothing', async (t) => {
  await withDir(async (dir) => {
    const data = join(dir, 'data');
    const words = ['--dir', data, '--modes', 'none', '--runs', '0'];
    const result = await execa(process.execPath, [MAIN, ...words], { reject: false });
    t.is(result.exitCode, 2);
    t.regex(result.stderr, /--runs must be a whole number from 1 to 100, not "0"/);
    t.false(existsSync(data));
  });
});
