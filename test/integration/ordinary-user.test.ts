// The main job as a newcomer has it: an ordinary user with a copy of the project and a home of their own starts a cluster,
// makes a volume, writes and reads it through its socket, and stops. Nothing of it may need root.

import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';
import { execa } from 'execa';

import { isRunning } from '../../backend/runtime/processes.js';
import type { ProcessId } from '../../backend/runtime/processes.js';
import { until } from '../support/until.js';

const ROOT = join(import.meta.dirname, '..', '..', '..');
/** Debian's user without any right. */
const NOBODY = 65534;
const isRoot = process.getuid?.() === 0;
const START_MS = 240_000;

const home = mkdtempSync(join(tmpdir(), 'meshsan-user-'));
const project = join(home, 'meshsan');
/** With a space: whoever hands it on must keep it whole. */
const dir = join(home, 'my state');
test.after.always(async () => {
  if (existsSync(join(dir, 'layout.json')))
    await asUser('npm', 'run', '-s', 'stop', '--', '--dir', dir);
  rmSync(home, { recursive: true, force: true });
});

/** Runs a program as the ordinary user, in the copy, with nothing of our environment but the search path. */
function asUser(program: string, ...words: string[]) {
  const drop = ['--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups', '--'];
  const [first, ...rest] = isRoot ? ['setpriv', ...drop, program, ...words] : [program, ...words];
  return execa(first, rest, {
    cwd: existsSync(project) ? project : home,
    env: { PATH: process.env['PATH'] ?? '', HOME: home, LC_ALL: 'C.UTF-8' },
    extendEnv: false,
    stdin: 'ignore',
    reject: false,
    timeout: START_MS,
  });
}

/** What git has, what is built, and the dependencies: linked where that user may read them, copied otherwise. */
async function copyProject(): Promise<void> {
  mkdirSync(project);
  for (const name of readdirSync(ROOT))
    if (!['.git', 'node_modules', '.meshsan'].includes(name))
      execFileSync('cp', ['-r', join(ROOT, name), join(project, name)]);
  const modules = realpathSync(join(ROOT, 'node_modules'));
  if (isRoot) execFileSync('chown', ['-R', `${NOBODY}:${NOBODY}`, home]);
  const readable = await asUser('test', '-r', join(modules, 'lmdb', 'package.json'));
  if (readable.exitCode === 0) symlinkSync(modules, join(project, 'node_modules'));
  else execFileSync('cp', ['-r', modules, join(project, 'node_modules')]);
}

test('an ordinary user starts a cluster, writes through the socket, and stops it', async (t) => {
  t.timeout(2 * START_MS);
  await copyProject();
  const start = await asUser('npm', 'start', '--', '--dir', dir, '--sds', '2', '--detach');
  t.is(start.exitCode, 0, start.stderr);
  t.regex(start.stdout, /MeshSAN is ready/);
  const { processes, passwordFile, nbdDir, sdcGuid, protectionDomain, storagePool } = JSON.parse(
    (await asUser('cat', join(dir, 'cluster.json'))).stdout,
  ) as Record<
    'passwordFile' | 'nbdDir' | 'sdcGuid' | 'protectionDomain' | 'storagePool',
    string
  > & {
    readonly processes: readonly ProcessId[];
  };
  t.true(processes.length >= 7);
  if (isRoot)
    for (const { pid } of processes) t.is(statSync(`/proc/${pid}`).uid, NOBODY, `process ${pid}`);

  const scli = join(dir, 'bin', 'scli');
  const told = async (...words: string[]): Promise<string> => {
    const run = await asUser('sh', '-c', 'exec "$0" "$@"', scli, ...words);
    t.is(run.exitCode, 0, `${words.join(' ')}: ${run.stderr}`);
    return run.stdout;
  };
  const login = await asUser('sh', '-c', `"${scli}" --login --username admin < "${passwordFile}"`);
  t.is(login.exitCode, 0, login.stderr);
  const pool = ['--protection_domain_name', protectionDomain, '--storage_pool_name', storagePool];
  await told('--add_volume', ...pool, '--size_gb', '8', '--volume_name', 'mine');
  await told('--map_volume_to_sdc', '--volume_name', 'mine', '--sdc_guid', sdcGuid);
  const socket = await until('the volume has a socket', async () => {
    const { stdout } = await asUser('ls', nbdDir);
    return stdout.includes('.sock') ? join(nbdDir, stdout.trim()) : null;
  });
  const uri = `nbd+unix:///?socket=${socket.replaceAll(' ', '%20')}`;
  const io = await asUser(
    'qemu-io',
    ...['-f', 'raw', '-c', 'write -P 0x5c 3M 4M', '-c', 'flush', '-c', 'read -P 0x5c 3M 4M'],
    ...['-c', 'read -P 0 7M 1M', uri],
  );
  t.is(io.exitCode, 0, io.stderr);
  t.notRegex(io.stdout, /failed/i);

  const attach = await asUser('npm', 'start', '--', '--dir', join(home, 'other'), '--attach');
  t.is(attach.exitCode, 2, 'only block devices need root, and that is said');
  t.regex(attach.stderr, /--attach.*root/);
  t.false(existsSync(join(home, 'other')));

  const theirs = join(home, 'theirs');
  await asUser('mkdir', '--mode=0555', theirs);
  for (const flags of [[], ['--detach']]) {
    const refused = await asUser('npm', 'start', '--', '--dir', theirs, ...flags);
    t.is(refused.exitCode, 2, refused.stderr);
    t.regex(refused.stderr, /^MeshSAN: --dir \S+ cannot be used: EACCES/m);
    t.notRegex(refused.stderr, /^ +at /m, 'a sentence, no stack');
  }

  const stop = await asUser('npm', 'run', 'stop', '--', '--dir', dir);
  t.is(stop.exitCode, 0, stop.stderr);
  t.deepEqual(processes.filter(isRunning), []);
});
