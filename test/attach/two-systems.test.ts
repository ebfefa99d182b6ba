// Block devices of two systems on one host: names that never collide, and devices of one that do not wait for the other.

import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { execa } from 'execa';
import type { DeviceFacts } from '../../backend/bin/holder-attachment.js';
import { askControl } from '../../backend/runtime/control-socket.js';
import { LocalCluster } from '../support/local-cluster.js';
import { until } from '../support/until.js';
import { guarded } from './bench.js';

let near: LocalCluster;
let far: LocalCluster;
const stopped: number[] = [];

test.before(async (t) => {
  t.timeout(300_000);
  near = await LocalCluster.start('--attach');
  far = await LocalCluster.start();
});
test.after.always(async () => {
  wakeFar();
  // Whatever a failed test left open: its device must not outlive the cluster.
  for (const folder of [join(near.dir, 'sdc'), join(near.dir, 'sdc', 'systems', '1')]) {
    const holder = join(folder, 'holder.sock');
    const hello = await askControl(holder, { op: 'hello' }).catch(() => null);
    for (const { volumeId } of (hello?.['attached'] ?? []) as DeviceFacts[])
      await askControl(holder, { op: 'detach', volumeId, revoked: true, force: true });
  }
  await near.remove();
  await far.remove();
});

async function control(request: Record<string, unknown>): Promise<Record<string, unknown>> {
  return askControl(join(near.dir, 'run', 'sdc.sock'), request);
}

async function deviceOf(id: string): Promise<DeviceFacts | null> {
  const status = await control({ op: 'status' }).catch(() => ({ volumes: [] }));
  const volumes = status.volumes as { id: string; device: DeviceFacts | null }[];
  return volumes.find((volume) => volume.id === id)?.device ?? null;
}

/** A volume of either that is a block device of this host. */
async function device(t: ExecutionContext, of: LocalCluster, name: string): Promise<DeviceFacts> {
  const id = await of.addVolume(name);
  const rest = await of.rest();
  await rest.post(`/instances/Volume::${id}/action/addMappedSdc`, { guid: near.file.sdcGuid });
  const facts = await until('the volume is a block device', () => deviceOf(id));
  const byId = `/dev/disk/by-id/emc-vol-${of.file.systemId}-${id}`;
  t.is(readlinkSync(byId), facts.blockDevice);
  t.is(readlinkSync(facts.device), facts.blockDevice);
  return facts;
}

async function unmap(of: LocalCluster, facts: DeviceFacts): Promise<void> {
  const rest = await of.rest();
  const { sdcGuid: guid } = near.file;
  await rest.post(`/instances/Volume::${facts.volumeId}/action/removeMappedSdc`, { guid });
}

function stopFar(): void {
  for (const role of ['mdm', 'sds', 'sds-data'] as const)
    for (const { pid } of far.processes(role)) {
      process.kill(pid, 'SIGSTOP');
      stopped.push(pid);
    }
}

function wakeFar(): void {
  for (const pid of stopped.splice(0)) process.kill(pid, 'SIGCONT');
}

/** fio that writes and verifies on a device. */
function fio({ blockDevice }: DeviceFacts) {
  return guarded(
    120,
    ...(['fio', '--name=two', '--ioengine=libaio', `--filename=${blockDevice}`] as const),
    ...['--direct=1', '--rw=randwrite', '--bs=4k', '--iodepth=8', '--size=8m'],
    ...['--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0'],
  );
}

test.serial('devices of two systems have names of their own', async (t) => {
  t.timeout(300_000);
  const mdm = far.processes('mdm')[0]?.address ?? '';
  const secret = join(far.dir, 'secret');
  await execa(join(near.dir, 'bin', 'drv_cfg'), [
    ...['--add_mdm', '--ip', mdm, '--secret_file', secret],
  ]);
  const all = [
    await device(t, near, 'one'),
    await device(t, far, 'one'),
    await device(t, near, 'two'),
    await device(t, far, 'two'),
  ];
  t.is(new Set(all.map(({ device: name }) => name)).size, 4);
  t.is(new Set(all.map(({ blockDevice }) => blockDevice)).size, 4);
  for (const facts of all) t.is((await fio(facts)).exitCode, 0);
  for (const facts of all.slice(2)) await unmap(facts === all[2] ? near : far, facts);
  for (const facts of all.slice(2))
    await until('the device is gone', () => (existsSync(facts.device) ? null : true));
});

test.serial('a system that stands still holds up no device of the other', async (t) => {
  t.timeout(300_000);
  const before = await device(t, far, 'stands');
  stopFar();
  const waiting = fio(before);
  let ended = false;
  void waiting.finally(() => {
    ended = true;
  });
  const facts = await device(t, near, 'moves');
  t.is((await fio(facts)).exitCode, 0);
  await unmap(near, facts);
  await until('the device is gone', () => (existsSync(facts.device) ? null : true));
  t.false(ended);
  // Its client dies meanwhile, and knows both again.
  const [sdc] = near.processes('sdc');
  if (sdc === undefined) throw new Error('no client runs');
  await near.killAndWait(sdc);
  const again = await device(t, near, 'again');
  t.is((await fio(again)).exitCode, 0);
  t.false(ended);
  wakeFar();
  t.is((await waiting).exitCode, 0, 'I/O waited through all of it');
});

test.serial('a system in use is not given up, unless forced', async (t) => {
  t.timeout(300_000);
  const facts = await device(t, far, 'used');
  const place = ['--ip', far.processes('mdm')[0]?.address ?? ''];
  const drvCfg = join(near.dir, 'bin', 'drv_cfg');
  const refused = await execa(drvCfg, ['--rmv_mdm', ...place], { reject: false, all: true });
  t.is(refused.exitCode, 3);
  t.regex(refused.all, /are mapped to this host: unmap them first/);
  t.is((await fio(facts)).exitCode, 0, 'it is in use as before');
  const forced = await execa(drvCfg, ['--rmv_mdm', ...place, '--force'], {
    ...{ reject: false, all: true },
  });
  t.is(forced.exitCode, 0, forced.all);
  t.false(existsSync(facts.device));
  t.false(existsSync(join(near.dir, 'sdc', 'systems', '1')));
  t.notRegex(readFileSync(join(near.dir, 'sdc', 'drv_cfg.txt'), 'utf8'), /slot 1/);
  const [first] = (await control({ op: 'status' }))['systems'] as { connected: boolean }[];
  t.true(first?.connected);
});
