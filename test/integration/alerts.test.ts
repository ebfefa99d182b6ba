// Alerts of a real cluster: a server that hangs raises those of the server and of the pool, and they end when it goes on.

import test from 'ava';

import { LocalCluster } from '../support/local-cluster.js';
import { until } from '../support/until.js';

interface Listed {
  readonly alertType: string;
  readonly affectedObject: { readonly id: string };
}

/** One MDM, and less spare than one of two servers has. */
const ALWAYS = ['CONFIGURED_SPARE_CAPACITY_SMALLER_THAN_LARGEST_FAULT_UNIT', 'MDM_NOT_CLUSTERED'];

test('a server that hangs is told, with the pool that lost copies, until it goes on', async (t) => {
  const cluster = await LocalCluster.start('--sds', '2', '--device-size', '2G');
  const hung = cluster.processes('sds').concat(cluster.processes('sds-data'));
  const mine = hung.filter(({ name }) => name.startsWith('sds1'));
  t.teardown(async () => {
    for (const { pid } of mine) process.kill(pid, 'SIGCONT');
    await cluster.remove();
  });
  t.is(mine.length, 2);
  const rest = await cluster.rest();
  const alerts = async (): Promise<readonly Listed[]> =>
    (await rest.get<readonly Listed[]>('/types/Alert/instances')).data;
  const types = async (): Promise<readonly string[]> =>
    (await alerts()).map(({ alertType }) => alertType);
  t.deepEqual(await types(), ALWAYS);

  for (const { pid } of mine) process.kill(pid, 'SIGSTOP');
  const found = await until('the alerts are raised', async () => {
    const now = await alerts();
    const wanted = ['SDS_DISCONNECTED', 'STORAGE_POOL_HAS_DEGRADED_CAPACITY'];
    return wanted.every((type) => now.some(({ alertType }) => alertType === type)) ? now : null;
  });
  const servers = await rest.get<{ id: string; name: string }[]>('/types/Sds/instances');
  const away = found.find(({ alertType }) => alertType === 'SDS_DISCONNECTED');
  t.is(away?.affectedObject.id, servers.data.find(({ name }) => name === 'sds1')?.id);

  for (const { pid } of mine) process.kill(pid, 'SIGCONT');
  await cluster.allInSync();
  await until('the alerts end', async () =>
    (await types()).join() === ALWAYS.join() ? true : null,
  );
});
