// The file system under a member of etcd is full: not etcd's quota, but ENOSPC. A minority of such members costs nothing, and who
// asks is told of which file system it is; when there is room all go on. Real etcd, on a disk of its own.

import { rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import test from 'ava';

import { ClusterReader } from '../../backend/runtime/cluster-reader.js';
import { currentAlerts } from '../../backend/runtime/alerts.js';
import { until } from '../support/until.js';
import { Load } from './mdm-load.js';
import { MdmNodes } from './mdm-nodes.js';

const DISK_MIB = 512;
const MIB = 1024 * 1024;

/** Takes all that is left of a file system. */
function fill(directory: string): string {
  const path = join(directory, 'filler');
  writeFileSync(path, '');
  for (const size of [MIB, 4096])
    for (;;) {
      const { bavail, bsize } = statfsSync(directory);
      if (bavail * bsize < size) break;
      writeFileSync(path, Buffer.alloc(size, 1), { flag: 'a' });
    }
  return path;
}

test('no space is left under a member of etcd: the others go on, the cause is named, and it comes back', async (t) => {
  t.timeout(280_000);
  const mdms = new MdmNodes(['127.0.99.1', '127.0.99.2', '127.0.99.3']);
  t.teardown(() => mdms.cleanUp());
  const [, second] = mdms.nodes;
  if (second === undefined) throw new Error('three nodes');
  second.diskMib = DISK_MIB;
  mdms.start();
  const keys = await mdms.addStandbys(['mdm3']);
  await mdms.switch(3, [keys.get('mdm2') ?? 0, keys.get('mdm3') ?? 0], []);
  const load = new Load(mdms.session(5000));
  t.teardown(() => load.stop());
  await load.start(mdms.session(120_000));
  await load.goesOn();

  const reader = mdms.session(20_000);
  const filler = fill(second.state);
  // It writes to what it reserved for a while; one that starts needs more at once.
  process.kill(second.memberPid, 'SIGKILL');
  const fault = await until('the cause is known', async () => {
    const { members } = await reader.clusterState().catch(() => ({ members: [] }));
    const found = members.find(({ name }) => name === 'mdm2');
    return found?.reason.includes('no space is left') === true ? found : null;
  });
  t.regex(fault.reason, /no space is left on the file system of .*etcd-.* \(\d+ bytes are free\)/);
  t.regex(second.log(), /"evt":"etcd.ended".*no space is left on the file system/);
  await load.goesOn();
  t.is(await load.fault(reader), null, 'nothing is lost');
  const [system] = await reader.query('system');
  if (system === undefined) throw new Error('a system');
  const alerts = await currentAlerts(new ClusterReader(reader, system), Date.now());
  const alert = alerts.find(({ type }) => type === 'MDM_CONNECTION_LOST');
  t.is(alert?.values['name'], 'mdm2');
  t.regex(String(alert?.values['reason']), /no space is left/);

  truncateSync(filler, 0);
  rmSync(filler);
  await until('it takes part again', async () => {
    const { members } = await reader.clusterState().catch(() => ({ members: [] }));
    return members.length > 0 && members.every(({ up, reason }) => up && reason === '')
      ? true
      : null;
  });
  await load.goesOn();
  await load.stop();
  t.is(await load.fault(reader), null);
});
