// What an operator relies on when servers are taken out for maintenance and a protection domain is stopped, under load: no
// I/O error, no wrong byte, all as before afterwards. Real processes; judged by fio's own verification.

import test from 'ava';
import { execa } from 'execa';
import { LocalCluster } from '../support/local-cluster.js';
import { act, listServers, verifiedLoad } from '../support/server-story.js';
import type { ListedServer } from '../support/server-story.js';
import { until } from '../support/until.js';

const STAGE_MS = 120_000;

let cluster: LocalCluster;
test.before(async () => {
  cluster = await LocalCluster.start('--sds', '4');
});
test.after.always(async () => {
  await cluster.remove();
});

async function reached(id: string, state: string): Promise<void> {
  await until(
    `the server is in the state ${state}`,
    async () =>
      (await listServers(cluster)).find((sds) => sds.id === id)?.maintenanceState === state
        ? true
        : null,
    STAGE_MS,
  );
}

/** Takes a server out, kills it meanwhile, and takes it back. */
async function maintain(sds: ListedServer, enter: string): Promise<number> {
  const entered = (await act(cluster, 'Sds', sds.id, enter)).status;
  if (entered !== 200) return entered;
  await reached(sds.id, 'InMaintenance');
  const row = cluster.processes('sds').find(({ name }) => name === sds.name);
  if (row !== undefined) await cluster.killAndWait(row);
  await until(
    'the server may come back',
    async () =>
      (await act(cluster, 'Sds', sds.id, 'exitMaintenanceMode')).status === 200 ? true : null,
    STAGE_MS,
  );
  await reached(sds.id, 'NoMaintenance');
  return 200;
}

test.serial('servers rest in either mode and a domain is stopped, and no I/O fails', async (t) => {
  const uri = await cluster.volumeUri('kept');
  await execa('qemu-io', ['-f', 'raw', '-c', 'write -P 0x5a 0 32M', uri]);
  const load = verifiedLoad(uri, 400);
  const [first, second, third] = await listServers(cluster);
  if (first === undefined || second === undefined || third === undefined)
    throw new Error('servers');
  t.is(await maintain(first, 'enterProtectedMaintenanceMode'), 200);
  t.is((await act(cluster, 'Sds', second.id, 'enterMaintenanceMode')).status, 200);
  t.is((await act(cluster, 'Sds', third.id, 'enterMaintenanceMode')).status, 500, 'one at a time');
  await reached(second.id, 'InMaintenance');
  t.is((await act(cluster, 'Sds', second.id, 'exitMaintenanceMode')).status, 200);
  await reached(second.id, 'NoMaintenance');
  t.is(await maintain(third, 'enterMaintenanceMode'), 200);

  const rest = await cluster.rest();
  const [domain] = (await rest.get<{ id: string }[]>('/types/ProtectionDomain/instances')).data;
  const stop = async (body: object): Promise<number> =>
    (await act(cluster, 'ProtectionDomain', domain?.id ?? '', 'inactivateProtectionDomain', body))
      .status;
  t.is(await stop({}), 500, 'a client has a volume mapped');
  t.is(await stop({ forceShutdown: 'TRUE' }), 200);
  const idle = await execa('timeout', ['2', 'qemu-io', '-f', 'raw', '-c', 'read 0 4k', uri], {
    reject: false,
  });
  t.is(idle.exitCode, 124, 'what is asked waits');
  t.is(
    (await act(cluster, 'ProtectionDomain', domain?.id ?? '', 'activateProtectionDomain')).status,
    200,
  );
  const { stdout } = await execa('qemu-io', ['-f', 'raw', '-c', 'read -P 0x5a 0 32M', uri]);
  t.false(stdout.includes('failed'), stdout);
  t.is((await load).exitCode, 0);
  await cluster.allInSync();
});
