// The local cluster's flags, its directory, and how it knows processes: what an operator relies on before anything runs.

import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { recordedProcesses, runningSupervisor } from '../../../backend/deploy/local/start.js';
import { lockDirectory } from '../../../backend/deploy/local/directory-lock.js';
import { openLayout, pathsOf, readLayout } from '../../../backend/deploy/local/layout.js';
import { parseSimple, parseStart } from '../../../backend/deploy/local/options.js';
import { UsageError } from '../../../backend/runtime/flags.js';
import {
  childrenOf,
  identify,
  isRunning,
  signal,
  waitForEnd,
} from '../../../backend/runtime/processes.js';

const scratch = mkdtempSync(join(tmpdir(), 'meshsan-local-'));
test.after.always(() => {
  rmSync(scratch, { recursive: true, force: true });
});

const startOf = (...args: string[]) => {
  const options = parseStart(args);
  if (options === null) throw new Error('help was not asked for');
  return options;
};

test('flags of start are read with their units', (t) => {
  t.like(startOf('--dir', '/x', '--sds', '5', '--device-size', '2T', '--gateway-port', '9443'), {
    dir: '/x',
    sdsCount: 5,
    deviceBytes: 2 * 2 ** 40,
    gatewayPort: 9443,
    detach: false,
  });
});

for (const [flag, value, names] of [
  ['--sds', '1', '--sds must be a whole number from 2'],
  ['--sds', 'three', '--sds must be a whole number from 2'],
  ['--device-size', '512M', '--device-size must be a size such as 16G'],
  ['--device-size', '-1G', '--device-size'],
  ['--gateway-port', '65536', '--gateway-port must be a whole number from 1 to 65535'],
  ['--speed', '9', '--speed'],
] as const)
  test(`${flag} ${value} is refused by name`, (t) => {
    const error = t.throws(() => parseStart([`${flag}=${value}`]), { instanceOf: UsageError });
    t.true(error.message.includes(names), error.message);
  });

test('a positional word is refused', (t) => {
  t.throws(() => parseSimple(['everything']), { instanceOf: UsageError });
});

test('a directory is made once, privately, and keeps what it was made with', (t) => {
  const dir = join(scratch, 'made');
  const first = openLayout(startOf('--dir', dir, '--sds', '2', '--device-size', '1G'));
  t.true(first.made);
  for (const file of [first.paths.secret, first.paths.password, first.paths.layout])
    t.is(statSync(file).mode & 0o777, 0o600, file);
  t.is(statSync(join(dir, 'sds2', 'device0')).size, 2 ** 30);
  const second = openLayout(startOf('--dir', dir));
  t.false(second.made);
  t.deepEqual(second.layout, first.layout);
  const error = t.throws(() => openLayout(startOf('--dir', dir, '--sds', '4')));
  t.true(error instanceof UsageError && error.message.includes('made with 2'));
});

test('a directory that a start did not get to the end of making is made anew', (t) => {
  const dir = join(scratch, 'half');
  mkdirSync(dir);
  writeFileSync(join(dir, 'making'), '');
  writeFileSync(join(dir, 'secret'), 'not all of');
  const { paths, made } = openLayout(startOf('--dir', dir, '--device-size', '1G'));
  t.true(made);
  t.regex(readFileSync(paths.secret, 'utf8'), /^[0-9a-f]{64}\n$/);
  t.false(existsSync(join(dir, 'making')));
  t.false(openLayout(startOf('--dir', dir)).made);
});

test('a damaged record of processes is named, with what to do', (t) => {
  const { paths } = openLayout(startOf('--dir', join(scratch, 'damaged'), '--device-size', '1G'));
  t.is(runningSupervisor(paths), null);
  t.deepEqual(recordedProcesses(paths), []);
  for (const [name, read] of [
    ['supervisor.json', runningSupervisor],
    ['processes.json', recordedProcesses],
  ] as const) {
    writeFileSync(join(paths.run, name), '{');
    const error = t.throws(() => read(paths), { instanceOf: UsageError });
    t.regex(error.message, new RegExp(`${name} cannot be used: .*then remove that file`));
  }
});

test('a directory is locked once, until the lock is given back', async (t) => {
  const dir = join(scratch, 'locked');
  const unlock = await lockDirectory(dir);
  t.truthy(unlock);
  t.is(await lockDirectory(dir), null);
  const elsewhere = await lockDirectory(`${dir}-too`);
  t.truthy(elsewhere);
  await elsewhere?.();
  await unlock?.();
  const again = await lockDirectory(dir);
  t.truthy(again);
  await again?.();
});

test('another directory gets other addresses', (t) => {
  const one = openLayout(startOf('--dir', join(scratch, 'one'), '--device-size', '1G'));
  const two = openLayout(startOf('--dir', join(scratch, 'two'), '--device-size', '1G'));
  t.not(one.layout.network, two.layout.network);
});

test('a directory with foreign files is refused and left as it was', (t) => {
  const dir = join(scratch, 'foreign');
  mkdirSync(dir);
  writeFileSync(join(dir, 'thesis.tex'), 'x');
  const error = t.throws(() => openLayout(startOf('--dir', dir)), { instanceOf: UsageError });
  t.true(error.message.includes('thesis.tex'));
});

test('a directory of another layout version is refused', (t) => {
  const dir = join(scratch, 'version');
  openLayout(startOf('--dir', dir, '--device-size', '1G'));
  const paths = pathsOf(dir);
  writeFileSync(paths.layout, JSON.stringify({ product: 'meshsan', layoutVersion: 99 }));
  const error = t.throws(() => readLayout(paths), { instanceOf: UsageError });
  t.true(error.message.includes('layout 99'));
});

test('a directory whose sockets would have too long a path is refused before it is made', (t) => {
  const link = join(scratch, 'short');
  const long = join(scratch, 'y'.repeat(60));
  mkdirSync(long);
  symlinkSync(long, link);
  for (const dir of [join(scratch, 'x'.repeat(100)), join(link, 'z'.repeat(30), 'new')]) {
    const error = t.throws(() => openLayout(startOf('--dir', dir)), { instanceOf: UsageError });
    t.regex(error.message, /--dir is too long by \d+ bytes/);
    t.false(existsSync(dir));
  }
  t.deepEqual(readdirSync(long), []);
});

test('a directory in which nothing can be made is refused, whatever it holds', (t) => {
  const closed = join(scratch, 'closed');
  mkdirSync(closed, { mode: 0o555 });
  // Rights do not keep root from anything; in /proc nobody makes a file.
  const dirs = process.getuid?.() === 0 ? ['/proc'] : ['/proc', closed];
  for (const dir of dirs) {
    const error = t.throws(() => openLayout(startOf('--dir', dir)), { instanceOf: UsageError });
    t.true(error.message.startsWith(`--dir ${dir} cannot be used: `), error.message);
  }
  t.deepEqual(readdirSync(closed), []);
});

test('a process is known by pid and start time', async (t) => {
  const child = spawn('sleep', ['60']);
  const id = identify(child.pid ?? 0);
  if (id === null) throw new Error('sleep did not start');
  t.true(isRunning(id));
  t.true(childrenOf(process.pid).includes(id.pid));
  t.false(isRunning({ ...id, startTicks: id.startTicks + 1 }));
  t.false(signal({ ...id, startTicks: id.startTicks + 1 }, 'SIGKILL'));
  t.true(signal(id, 'SIGTERM'));
  t.true(await waitForEnd([id], 10_000));
  t.false(isRunning(id));
});
