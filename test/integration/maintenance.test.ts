// What an operator relies on when servers are taken out for maintenance and a protection domain is stopped, under load: no
// I/O error, no wrong byte, all as before afterwards. Real processes; judged by fio's own verification.

import test from 'ava';
import { execa } from 'execa';
import { LocalCluster } from '../support/local-cluster.js';
import { until } from '../support/until.js';

const STAGE_MS = 120_000;

interface SdsObject {
  readonly id: string;
  readonly name: string;
  readonly maintenanceState: string;
}

let cluster: LocalCluster;
test.before(async () => {
  cluster = await LocalCluster.start('--sds', '4');
});
test.after.always(async () => {
  await cluster.remove();
});

async function servers(): Promise<SdsObject[]> {
  const rest = await cluster.rest();
  return (await rest.get<SdsObject[]>('/types/Sds/instances')).data;
}

async function act(type: string, id: string, name: string, body: object = {}): Promise<number> {
  const rest = await cluster.rest();
  const path = `/instances/${type}::${id}/action/${name}`;
  return (await rest.post(path, body, { validateStatus: () => true })).status;
}

async function reached(id: string, state: string): Promise<void> {
  await until(
    `the server is in the state ${state}`,
    async () =>
      (await servers()).find((sds) => sds.id === id)?.maintenanceState === state ? true : null,
    STAGE_MS,
  );
}

/** Takes a server out, kills it meanwhile, and takes it back. */
async function maintain(sds: SdsObject, enter: string): Promise<number> {
  const entered = await act('Sds', sds.id, enter);
  if (entered !== 200) return entered;
  await reached(sds.id, 'InMaintenance');
  const row = cluster.processes('sds').find(({ name }) => name === sds.name);
  if (row !== undefined) await cluster.killAndWait(row);
  await until(
    'the server may come back',
    async () => ((await act('Sds', sds.id, 'exitMaintenanceMode')) === 200 ? true : null),
    STAGE_MS,
  );
  await reached(sds.id, 'NoMaintenance');
  return 200;
}

test.serial('servers rest in either mode and a domain is stopped, and no I/O fails', async (t) => {
  const uri = await cluster.volumeUri('kept');
  await execa('qemu-io', ['-f', 'raw', '-c', 'write -P 0x5a 0 32M', uri]);
  const load = execa(
    'timeout',
    [
      ...['-s', 'KILL', '600', 'fio', '--name=kept', '--ioengine=nbd', `--uri=${uri}`],
      ...['--rw=randrw', '--bs=4k', '--iodepth=8', '--offset=2g', '--size=128m'],
      ...['--io_size=64m', '--rate_iops=400', '--verify=crc32c'],
      ...['--verify_fatal=1', '--verify_state_save=0'],
    ],
    { stdin: 'ignore', all: true },
  );
  const [first, second, third] = await servers();
  if (first === undefined || second === undefined || third === undefined)
    throw new Error('servers');
  t.is(await maintain(first, 'enterProtectedMaintenanceMode'), 200);
  t.is(await act('Sds', second.id, 'enterMaintenanceMode'), 200);
  t.is(await act('Sds', third.id, 'enterMaintenanceMode'), 500, 'one at a time');
  await reached(second.id, 'InMaintenance');
  t.is(await act('Sds', second.id, 'exitMaintenanceMode'), 200);
  await reached(second.id, 'NoMaintenance');
  t.is(await maintain(third, 'enterMaintenanceMode'), 200);

  const rest = await cluster.rest();
  const [domain] = (await rest.get<{ id: string }[]>('/types/ProtectionDomain/instances')).data;
  const stop = (body: object): Promise<number> =>
    act('ProtectionDomain', domain?.id ?? '', 'inactivateProtectionDomain', body);
  t.is(await stop({}), 500, 'a client has a volume mapped');
  t.is(await stop({ forceShutdown: 'TRUE' }), 200);
  const idle = await execa('timeout', ['2', 'qemu-io', '-f', 'raw', '-c', 'read 0 4k', uri], {
    reject: false,
  });
  t.is(idle.exitCode, 124, 'what is asked waits');
  t.is(await act('ProtectionDomain', domain?.id ?? '', 'activateProtectionDomain'), 200);
  const { stdout } = await execa('qemu-io', ['-f', 'raw', '-c', 'read -P 0x5a 0 32M', uri]);
  t.false(stdout.includes('failed'), stdout);
  t.is((await load).exitCode, 0);
  await cluster.allInSync();
});
