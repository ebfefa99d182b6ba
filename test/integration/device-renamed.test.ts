// Devices that have other names after a reboot, and two that swapped theirs: each is found by the label on it, the MDM learns
// its new name, and not a byte of its content is copied. A real cluster; what processes wrote is counted by the kernel.

import { readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { execa } from 'execa';

import type { ProcessRow } from '../../backend/deploy/local/supervisor.js';
import { createDeviceFile } from '../../backend/runtime/disk-probe.js';
import { LocalCluster } from '../support/local-cluster.js';
import { until } from '../support/until.js';

const MIB = 2 ** 20;
const HELD_MIB = 128;
/** What a data process writes that opens its device and joins: far below what it holds. */
const OPENING_MIB_MAX = HELD_MIB / 16;

interface DeviceObject {
  readonly id: string;
  readonly sdsId: string;
  readonly name: string;
  readonly deviceState: string;
  readonly deviceCurrentPathName: string;
}

let cluster: LocalCluster;
let volume: string;
test.before(async (t) => {
  t.timeout(240_000);
  cluster = await LocalCluster.start('--sds', '2', '--device-size', '1G');
  createDeviceFile(pathOf('second'), 1024 * MIB);
  const rest = await cluster.rest();
  const [first] = await devices();
  const sds = await sdsIdOf('sds1');
  const { data } = await rest.get<Record<string, string>>(`/instances/Device::${first?.id ?? ''}`);
  await rest.post('/types/Device/instances', {
    ...{ deviceCurrentPathname: pathOf('second'), sdsId: sds, name: 'second' },
    storagePoolId: data['storagePoolId'],
  });
  volume = await cluster.addVolume('renamed');
  await cluster.mapVolume(volume);
  await until('both devices of the server are used', async () => {
    const known = (await devices()).filter(({ sdsId }) => sdsId === sds);
    return known.length === 2 && known.every(({ deviceState }) => deviceState === 'Normal');
  });
  await io(`write -P 0x11 0 ${HELD_MIB}M`, 'flush');
  await atRest();
});
test.after.always(async () => {
  await cluster.remove();
});

const pathOf = (name: string): string => join(cluster.dir, 'sds1', name);

async function devices(): Promise<DeviceObject[]> {
  const rest = await cluster.rest();
  return (await rest.get<DeviceObject[]>('/types/Device/instances')).data;
}

async function sdsIdOf(name: string): Promise<string> {
  const rest = await cluster.rest();
  const { data } = await rest.get<{ id: string; name: string }[]>('/types/Sds/instances');
  return data.find((sds) => sds.name === name)?.id ?? '';
}

/** Where the MDM says that the devices of the first server are, by their names. */
async function places(): Promise<Record<string, string>> {
  const sds = await sdsIdOf('sds1');
  return Object.fromEntries(
    (await devices())
      .filter(({ sdsId }) => sdsId === sds)
      .map(({ name, deviceCurrentPathName }) => [name, deviceCurrentPathName]),
  );
}

/** What qemu-io says, once the volume takes all of it. */
async function io(...commands: readonly string[]): Promise<string> {
  const uri = `nbd+unix:///?socket=${cluster.file.nbdDir}/${volume}.sock`;
  const args = ['-f', 'raw', ...commands.flatMap((command) => ['-c', command]), uri];
  return until(commands.join(', '), async () => {
    const { stdout } = await execa('qemu-io', args, { reject: false });
    return /^(read|wrote) |verification failed/m.test(stdout) ? stdout : null;
  });
}

const dataProcesses = (name: string): ProcessRow[] =>
  cluster.processes('sds-data').filter((row) => row.name.startsWith(name));

/** What a process has given to write calls: to its device, and to its links. */
function writtenMib(pid: number): number {
  const line = /^wchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'));
  return Number(line?.[1]) / MIB;
}

/** In sync, and nothing moves any more. */
async function atRest(): Promise<void> {
  await cluster.allInSync();
  const total = (): number =>
    cluster.processes('sds-data').reduce((sum, { pid }) => sum + writtenMib(pid), 0);
  let before = -1;
  let still = 0;
  await until('nothing is written any more', () => {
    const now = total();
    still = now - before < 0.1 ? still + 1 : 0;
    before = now;
    return still > 40;
  });
}

/** Everything is right on the first server's devices alone. */
async function contentWithoutSecond(): Promise<string> {
  const halted = [...cluster.processes('sds'), ...cluster.processes('sds-data')].filter(
    ({ name }) => name.startsWith('sds2'),
  );
  for (const { pid } of halted) process.kill(pid, 'SIGSTOP');
  try {
    return await io(`read -P 0x11 0 ${HELD_MIB}M`);
  } finally {
    for (const { pid } of halted) process.kill(pid, 'SIGCONT');
  }
}

test.serial('a server comes back with a device of another name: nothing is copied', async (t) => {
  t.timeout(240_000);
  const before = new Set(dataProcesses('sds1').map(({ pid }) => pid));
  const [control] = cluster.processes('sds').filter(({ name }) => name === 'sds1');
  if (control === undefined) throw new Error('the server does not run');
  const others = dataProcesses('sds2').map(({ pid }) => ({ pid, mib: writtenMib(pid) }));
  // A reboot: the processes end without a word, and the disk has another name when they come back.
  process.kill(control.pid, 'SIGSTOP');
  for (const pid of before) process.kill(pid, 'SIGKILL');
  renameSync(pathOf('device0'), pathOf('renamed'));
  await cluster.killAndWait(control);
  await until('the MDM knows the new name', async () =>
    (await places())['device0'] === pathOf('renamed') ? true : null,
  );
  await atRest();
  const now = dataProcesses('sds1');
  t.is(now.length, 2);
  for (const { pid, name } of now) {
    t.false(before.has(pid));
    t.true(writtenMib(pid) < OPENING_MIB_MAX, `${name} wrote ${writtenMib(pid)} MiB`);
  }
  for (const { pid, mib } of others)
    t.true(writtenMib(pid) - mib < OPENING_MIB_MAX, `sds2 wrote ${writtenMib(pid) - mib} MiB`);
  t.notRegex(await contentWithoutSecond(), /verification failed/);
  await atRest();
});

test.serial('two devices swap their names: nothing is copied', async (t) => {
  t.timeout(240_000);
  const before = await places();
  await cluster.stop();
  renameSync(pathOf('renamed'), pathOf('kept'));
  renameSync(pathOf('second'), pathOf('renamed'));
  renameSync(pathOf('kept'), pathOf('second'));
  await cluster.startAgain();
  await until('the MDM knows the new names', async () => {
    const now = await places();
    return now['device0'] === before['second'] && now['second'] === before['device0'];
  });
  await atRest();
  for (const { pid, name } of cluster.processes('sds-data'))
    t.true(writtenMib(pid) < OPENING_MIB_MAX, `${name} wrote ${writtenMib(pid)} MiB`);
  t.deepEqual(
    (await devices()).map(({ deviceState }) => deviceState),
    ['Normal', 'Normal', 'Normal'],
  );
  t.notRegex(await contentWithoutSecond(), /verification failed/);
});
