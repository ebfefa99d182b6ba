// File systems on attached block devices while storage servers, the MDM and the client are killed: fio, stress-ng and a load
// like fsx verify what they read, then fsck finds nothing to mend and every file is what it was.

import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';

import type { DeviceFacts } from '../../backend/bin/holder-attachment.js';
import { Prng } from '../../backend/core/prng.js';
import type { ProcessRow } from '../../backend/deploy/local/supervisor.js';
import { askControl } from '../../backend/runtime/control-socket.js';
import { LocalCluster } from '../support/local-cluster.js';
import { until } from '../support/until.js';
import { guarded } from './bench.js';
import { fsx } from './fsx.js';

/** MESHSAN_KILLS=40 makes the long proof of it. */
const KILLS = Number(process.env['MESHSAN_KILLS'] ?? '3');
const SECONDS_PER_KILL = 12;
const LONGEST_S = KILLS * SECONDS_PER_KILL * 3 + 240;
const SEED = 4711;

interface FileSystem {
  readonly name: string;
  readonly make: readonly string[];
  /** Ends with 0 only where nothing is wrong; it changes nothing. */
  readonly check: readonly string[];
}

const FILE_SYSTEMS: readonly FileSystem[] = [
  { name: 'ext4', make: ['mkfs.ext4', '-q'], check: ['e2fsck', '-f', '-n'] },
  { name: 'xfs', make: ['mkfs.xfs', '-q'], check: ['xfs_repair', '-n'] },
];

let cluster: LocalCluster;
test.before(async (t) => {
  t.timeout(240_000);
  cluster = await LocalCluster.start('--attach');
});
test.after.always(async () => {
  for (const { name } of FILE_SYSTEMS)
    await guarded(60, 'umount', '-l', join(cluster.dir, `mount-${name}`)).catch(() => null);
  await cluster.remove();
});

async function deviceOf(id: string): Promise<DeviceFacts | null> {
  const socket = join(cluster.dir, 'run', 'sdc.sock');
  const status = await askControl(socket, { op: 'status' }).catch(() => ({ volumes: [] }));
  const volumes = status.volumes as readonly { id: string; device: DeviceFacts | null }[];
  return volumes.find((volume) => volume.id === id)?.device ?? null;
}

/** I/O that a device has completed. */
function completed({ blockDevice }: DeviceFacts): number {
  const file = join('/sys/block', blockDevice.replace('/dev/', ''), 'stat');
  const fields = readFileSync(file, 'utf8').trim().split(/\s+/);
  return Number(fields[0]) + Number(fields[4]);
}

/** Who is killed, in turn: a device's process, the MDM, a whole server, the client, another device's. */
function victims(turn: number): ProcessRow[] {
  const data = cluster.processes('sds-data');
  const one = data[turn % data.length];
  switch (turn % 5) {
    case 1:
      return cluster.processes('mdm');
    case 2:
      return cluster.processes('sds').slice(-1);
    case 3:
      return cluster.processes('sdc');
    default:
      return one === undefined ? [] : [one];
  }
}

/** Lists every file with its digest. */
async function digests(folder: string): Promise<string> {
  const script = 'cd "$0" && find . -type f -print0 | sort -z | xargs -0r sha256sum';
  return (await guarded(120, 'sh', '-c', script, folder)).stdout;
}

const fioLoad = (folder: string) =>
  guarded(
    LONGEST_S,
    'fio',
    ...['--name=files', `--directory=${folder}`, '--ioengine=libaio', '--direct=1', '--nrfiles=4'],
    ...['--rw=randrw', '--rwmixread=30', '--bsrange=4k-64k', '--iodepth=8', '--size=48m'],
    ...['--time_based=1', `--runtime=${LONGEST_S}`, '--rate_iops=200', '--fsync=64'],
    ...['--verify=crc32c', '--verify_fatal=1', '--verify_backlog=128', '--verify_state_save=0'],
    ...['--eta=never', `--aux-path=${folder}`],
  );

/** Also in a mount namespace that was copied from ours while it was mounted: there it stays so. */
function isMounted({ device }: DeviceFacts): boolean {
  return readdirSync('/proc').some(
    (pid) => /^\d+$/.test(pid) && mountsOf(pid).includes(` ${device} `),
  );
}

function mountsOf(pid: string): string {
  try {
    return readFileSync(join('/proc', pid, 'mountinfo'), 'utf8');
  } catch {
    // The process is gone, and its mounts with it.
    return '';
  }
}

/** Rounds of what changes names, sizes and holes; each round judges itself. @returns how many there were */
async function stress(folder: string, ends: AbortSignal): Promise<number> {
  const what = ['hdd', 'rename', 'fallocate', 'fpunch', 'dir', 'iomix', 'seek'];
  const sizes = ['--hdd-bytes', '8m', '--fallocate-bytes', '8m', '--dir-dirs', '64'];
  const limits = ['--iomix-bytes', '8m', '--seek-size', '4m', '-t', '5'];
  let rounds = 0;
  while (!ends.aborted) {
    const stressors = what.flatMap((name) => [`--${name}`, '1']);
    const args = ['--temp-path', folder, '--verify', ...stressors, ...sizes, ...limits];
    await guarded(LONGEST_S, 'nice', '-n', '10', 'stress-ng', ...args);
    rounds++;
  }
  return rounds;
}

async function killAll(
  t: ExecutionContext,
  facts: DeviceFacts,
  broken: AbortSignal,
): Promise<void> {
  for (let turn = 0; turn < KILLS; turn++) {
    const before = completed(facts);
    await until('I/O goes on', () => broken.aborted || completed(facts) > before + 50);
    await cluster.allInSync();
    if (broken.aborted) return;
    const [victim] = victims(turn);
    if (victim === undefined) throw new Error('nobody is there to be killed');
    t.log(`kill -9 ${victim.name}`);
    await cluster.killAndWait(victim);
  }
  await cluster.allInSync();
}

/** All loads until the kills are over. @returns what the file of the load like fsx must hold */
async function underKills(t: ExecutionContext, facts: DeviceFacts, point: string): Promise<Buffer> {
  const ends = new AbortController();
  const folders = ['fio', 'stress'].map((name) => join(point, name));
  const [fioFolder = '', stressFolder = ''] = folders;
  for (const folder of folders) await guarded(60, 'mkdir', folder);
  const fio = fioLoad(fioFolder);
  const over = <T>(load: Promise<T>): Promise<T> =>
    load.finally(() => {
      ends.abort();
    });
  const written = over(fsx(join(point, 'fsx'), new Prng(SEED), ends.signal));
  const rounds = over(stress(stressFolder, ends.signal));
  const verified = over(fio.catch((error: unknown) => error as { all?: string })).then(
    ({ all }) => all ?? '',
  );
  try {
    await killAll(t, facts, ends.signal);
  } finally {
    ends.abort();
    // `timeout` hands it on to fio, which ends what is under way and says what it found.
    fio.kill('SIGINT');
  }
  const { operations, fault, content } = await written;
  t.is(fault, null);
  t.log(`${operations} operations like those of fsx, ${await rounds} rounds of stress-ng`);
  t.true(operations > 100 && (await rounds) > 0);
  const said = await verified;
  t.regex(said, /err= 0/);
  t.notRegex(said, /verify failed|verify: bad|err=\s*[1-9]/);
  return content;
}

for (const { name, make, check } of FILE_SYSTEMS)
  test.serial(`${name} on a device while servers, MDM and client are killed`, async (t) => {
    t.timeout((LONGEST_S + 240) * 1000);
    const id = await cluster.addVolume(name);
    await cluster.mapVolume(id);
    const facts = await until('the volume is a block device', () => deviceOf(id));
    const point = join(cluster.dir, `mount-${name}`);
    const [maker = '', ...flags] = make;
    await guarded(120, maker, ...flags, facts.device);
    mkdirSync(point);
    await guarded(60, 'mount', facts.device, point);
    const content = await underKills(t, facts, point);
    const before = await digests(point);
    await guarded(120, 'umount', point);
    await until(`${facts.device} is mounted nowhere else`, () => !isMounted(facts));
    const [checker = '', ...options] = check;
    const { exitCode, all } = await guarded(120, checker, ...options, facts.device);
    t.is(exitCode, 0, all);
    // Nothing of it is in the page cache any more.
    await guarded(60, 'mount', '-o', 'ro', facts.device, point);
    t.is(await digests(point), before);
    t.true(readFileSync(join(point, 'fsx')).equals(content), 'the file of the load like fsx');
    await guarded(120, 'umount', point);
    await cluster.unmapVolume(id);
  });
