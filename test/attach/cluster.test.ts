// Block devices of a real cluster: the client process is killed, volumes are mapped, grown and unmapped, the cluster stops.
// What counts is what a consumer of the device sees, and that nothing is left of it.

import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import type { DeviceFacts } from '../../backend/bin/holder-attachment.js';
import { askControl } from '../../backend/runtime/control-socket.js';
import { LocalCluster } from '../support/local-cluster.js';
import { guarded } from './bench.js';
import { until } from '../support/until.js';

/** MESHSAN_KILLS=20 makes the long proof of it. */
const KILLS = Number(process.env['MESHSAN_KILLS'] ?? '5');
const SECONDS_PER_KILL = 9;
const MDM_PATIENCE_MS = 5000;
let cluster: LocalCluster;

test.before(async (t) => {
  t.timeout(240_000);
  cluster = await LocalCluster.start('--attach');
});
test.after.always(async () => {
  // Whatever a failed test left open or mounted: its device must not outlive the cluster.
  await guarded(60, 'umount', '-l', join(cluster.dir, 'mount')).catch(() => null);
  const holder = join(cluster.dir, 'sdc', 'holder.sock');
  const hello = await askControl(holder, { op: 'hello' }).catch(() => null);
  for (const { volumeId } of (hello?.['attached'] ?? []) as DeviceFacts[])
    await askControl(holder, { op: 'detach', volumeId, revoked: true, force: true });
  await cluster.remove();
});

interface Status {
  readonly volumes: readonly { readonly id: string; readonly device: DeviceFacts | null }[];
}

async function control(request: Record<string, unknown>): Promise<Record<string, unknown>> {
  return askControl(join(cluster.dir, 'run', 'sdc.sock'), request);
}

async function deviceOf(id: string): Promise<DeviceFacts | null> {
  const status = (await control({ op: 'status' }).catch(() => ({ volumes: [] }))) as Status;
  return status.volumes.find((volume) => volume.id === id)?.device ?? null;
}

/** Makes and maps a volume, and waits for its device. */
async function device(name: string): Promise<DeviceFacts & { readonly id: string }> {
  const id = await cluster.addVolume(name);
  await cluster.mapVolume(id);
  const facts = await until('the volume is a block device', () => deviceOf(id));
  return { ...facts, id };
}

/** I/O that a device has completed. */
function completed(facts: DeviceFacts): number {
  const name = facts.blockDevice.replace('/dev/', '');
  const fields = readFileSync(join('/sys/block', name, 'stat'), 'utf8')
    .trim()
    .split(/\s+/);
  return Number(fields[0]) + Number(fields[4]);
}

async function removed(facts: DeviceFacts): Promise<void> {
  await until('the device is gone', () => (existsSync(facts.device) ? null : true));
  for (const link of facts.links)
    await until('its links are gone', () => (existsSync(link) ? null : true));
}

test.serial('fio verifies on the device while the client process is killed', async (t) => {
  t.timeout((KILLS * SECONDS_PER_KILL * 3 + 120) * 1000);
  const facts = await device('kill');
  t.regex(facts.device, /^\/dev\/scini[a-z]+$/);
  const byId = `/dev/disk/by-id/emc-vol-${cluster.file.systemId}-${facts.id}`;
  t.is(readlinkSync(byId), facts.blockDevice);
  let over = false;
  const load = guarded(
    KILLS * SECONDS_PER_KILL * 3 + 100,
    'fio',
    ...['--name=v', `--filename=${byId}`, '--direct=1', '--ioengine=libaio', '--rw=randwrite'],
    ...[
      '--bs=4k',
      '--iodepth=16',
      '--size=64m',
      '--time_based',
      `--runtime=${KILLS * SECONDS_PER_KILL}`,
    ],
    ...['--rate_iops=1000,1000', '--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0'],
    ...['--verify_backlog=256', '--output-format=json'],
  ).finally(() => {
    over = true;
  });
  const killed = new Set<number>();
  while (killed.size < KILLS) {
    const before = completed(facts);
    await until('I/O goes on', () => (completed(facts) > before + 50 ? true : null));
    t.false(over, 'fio runs during all kills');
    const [client] = cluster.processes('sdc');
    if (client === undefined) throw new Error('no client process runs');
    await cluster.killAndWait(client);
    killed.add(client.pid);
  }
  t.log(`${killed.size} client processes were killed`);
  const { exitCode, stdout } = await load;
  t.is(exitCode, 0);
  const report = JSON.parse(stdout) as { jobs: { read: { total_ios: number } }[] };
  t.true((report.jobs[0]?.read.total_ios ?? 0) > 1000, 'what was written was read and verified');
  const after = await until('the client process knows its device', () => deviceOf(facts.id));
  t.is(after.device, facts.device);
  await cluster.unmapVolume(facts.id);
  await removed(facts);
});

test.serial('ext4 on a device: make, mount, copy, trim, unmount, check', async (t) => {
  t.timeout(300_000);
  const facts = await device('ext4');
  const point = join(cluster.dir, 'mount');
  await guarded(100, 'mkfs.ext4', '-q', facts.device);
  await guarded(10, 'mkdir', point);
  await guarded(60, 'mount', facts.device, point);
  try {
    await guarded(100, 'cp', process.execPath, join(point, 'copy'));
    await guarded(60, 'sync', '-f', point);
    t.regex((await guarded(100, 'fstrim', '-v', point)).stdout, /trimmed/);
    const refused = await control({ op: 'detach', volume: facts.id });
    t.regex(String(refused['error']), /in use/);
    const same = await guarded(60, 'cmp', process.execPath, join(point, 'copy'));
    t.is(same.exitCode, 0);
  } finally {
    await guarded(60, 'umount', point);
  }
  t.is((await guarded(100, 'e2fsck', '-f', '-n', facts.device)).exitCode, 0);
  await cluster.unmapVolume(facts.id);
  await removed(facts);
});

test.serial('a volume that grows is a larger device', async (t) => {
  t.timeout(120_000);
  const facts = await device('grow');
  const rest = await cluster.rest();
  await rest.post(`/instances/Volume::${facts.id}/action/setVolumeSize`, { sizeInGB: '16' });
  const size = async () => (await guarded(10, 'blockdev', '--getsize64', facts.device)).stdout;
  await until('the device has grown', async () =>
    (await size()) === String(16 * 2 ** 30) ? true : null,
  );
  await cluster.unmapVolume(facts.id);
  await removed(facts);
  t.pass();
});

test.serial('after an unmap an open consumer gets errors', async (t) => {
  t.timeout(120_000);
  const facts = await device('revoked');
  const file = await open(facts.device, 'r+');
  try {
    await file.write(Buffer.alloc(4096, 1), 0, 4096, 0);
    await file.sync();
    await cluster.unmapVolume(facts.id);
    await removed(facts);
    await file.write(Buffer.alloc(4096, 2), 0, 4096, 0);
    await t.throwsAsync(file.sync(), { code: 'EIO' });
  } finally {
    await file.close();
  }
});

test.serial(
  'a volume that was detached by hand is a device again when it is mapped again',
  async (t) => {
    t.timeout(120_000);
    const facts = await device('again');
    t.true((await control({ op: 'detach', volume: facts.id, force: false }))['ok']);
    t.is(await deviceOf(facts.id), null);
    await cluster.unmapVolume(facts.id);
    await cluster.mapVolume(facts.id);
    const again = await until('the volume is a block device again', () => deviceOf(facts.id));
    t.true(existsSync(again.device));
    await cluster.unmapVolume(facts.id);
    await removed(again);
  },
);

test.serial('a volume unmapped while the client process is down loses its device', async (t) => {
  t.timeout(120_000);
  const gone = await device('gone');
  const kept = await device('kept');
  const [client] = cluster.processes('sdc');
  if (client === undefined) throw new Error('no client process runs');
  process.kill(client.pid, 'SIGKILL');
  await cluster.unmapVolume(gone.id);
  await removed(gone);
  t.is(readlinkSync(kept.device), kept.blockDevice);
  const read = await guarded(60, 'dd', `if=${kept.device}`, 'of=/dev/null', 'bs=1M', 'count=4');
  t.is(read.exitCode, 0);
  await cluster.unmapVolume(kept.id);
  await removed(kept);
});

test.serial('a stop takes devices away that nobody uses; a start makes them again', async (t) => {
  t.timeout(300_000);
  const facts = await device('stop');
  await cluster.stop();
  t.false(existsSync(facts.device));
  t.false(readFileSync('/proc/self/mountinfo', 'utf8').includes(cluster.dir));
  t.false(existsSync(join(cluster.dir, 'sdc', 'holder.sock')), 'the holder has ended');
  await cluster.startAgain('--attach');
  const again = await until('the device is back', () => deviceOf(facts.id));
  t.is(again.device, facts.device);
  await cluster.unmapVolume(facts.id);
  await removed(again);
});

test.serial('when a mapping is answered, socket, device and links are there', async (t) => {
  t.timeout(120_000);
  const id = await cluster.addVolume('at-once');
  const rest = await cluster.rest();
  const { file } = cluster;
  const started = Date.now();
  await rest.post(`/instances/Volume::${id}/action/addMappedSdc`, { guid: file.sdcGuid });
  const there = [
    join(file.nbdDir, `${id}.sock`),
    ...['emc-vol', 'scsi-emc-vol'].map((kind) => `/dev/disk/by-id/${kind}-${file.systemId}-${id}`),
  ].filter((path) => existsSync(path));
  // The MDM waits for the client so long and no longer.
  if (Date.now() - started > MDM_PATIENCE_MS) t.log('this machine is too slow to tell');
  else t.is(there.length, 3, there.join(' '));
  const facts = await until('the volume is a block device', () => deviceOf(id));
  await cluster.unmapVolume(id);
  await removed(facts);
});
