// A storage server that one system has taken in, in front of another one: refused by name, it and its device, unless forced.
// Real processes and the REST interface, as an administrator meets it.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { closeSync, ftruncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { isAxiosError } from 'axios';
import { LocalCluster } from '../support/local-cluster.js';
import { until } from '../support/until.js';

const PROGRAM = join(import.meta.dirname, '..', '..', 'backend', 'bin', 'sds.js');
const DEVICE_BYTES = 4 * 2 ** 30;
const dir = mkdtempSync(join(tmpdir(), 'meshsan-foreign-'));
const device = join(dir, 'device0');
let first: LocalCluster;
let second: LocalCluster;
let server: ChildProcess | null = null;
/** Of the device, in the first system. */
let deviceId = '';

test.before(async (t) => {
  t.timeout(300_000);
  const file = openSync(device, 'w', 0o600);
  ftruncateSync(file, DEVICE_BYTES);
  closeSync(file);
  first = await LocalCluster.start();
  second = await LocalCluster.start();
});
test.after.always(async () => {
  await stopServer();
  await first.remove();
  await second.remove();
  rmSync(dir, { recursive: true, force: true });
});

async function stopServer(): Promise<void> {
  if (server === null) return;
  const gone = once(server, 'exit');
  server.kill('SIGTERM');
  await gone;
  server = null;
}

/** The address that the server has in the network of a cluster. */
const addressIn = (cluster: LocalCluster): string =>
  (cluster.processes('mdm')[0]?.address ?? '').replace(/\d+$/, '77');

/** Starts the same server, state and device, configured for a cluster. */
function startServer(cluster: LocalCluster): void {
  const [mdm] = cluster.processes('mdm');
  const config = {
    name: 'wanderer',
    addresses: [{ host: addressIn(cluster), role: 'all' }],
    mdm: [{ host: mdm?.address, port: mdm?.port }],
    secretFile: join(cluster.dir, 'secret'),
    stateDir: join(dir, 'state'),
    deviceSearch: [dir],
  };
  const file = join(dir, 'sds.json');
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  server = spawn(process.execPath, [PROGRAM, '--config', file], { stdio: 'ignore' });
}

interface Answer {
  readonly status: number;
  readonly message: string;
  readonly errorCode: number;
  readonly id: string;
}

/** Takes the server in; what the gateway answers. */
async function addTo(
  cluster: LocalCluster,
  devices: boolean,
  forceClean: boolean,
): Promise<Answer> {
  const rest = await cluster.rest();
  const pools = await rest.get<{ id: string; protectionDomainId: string; name: string }[]>(
    '/types/StoragePool/instances',
  );
  const pool = pools.data.find(({ name }) => name === cluster.file.storagePool);
  const body = {
    protectionDomainId: pool?.protectionDomainId,
    sdsIpList: [{ SdsIp: { ip: addressIn(cluster), role: 'all' } }],
    name: 'wanderer',
    forceClean,
    deviceInfoList: devices ? [{ devicePath: device, storagePoolId: pool?.id }] : [],
  };
  const nothing = { status: 200, message: '', errorCode: 0, id: '' };
  try {
    const { data } = await rest.post<{ id: string }>('/types/Sds/instances', body);
    return { ...nothing, id: data.id };
  } catch (error) {
    if (!isAxiosError<Partial<Answer>>(error) || error.response === undefined) throw error;
    return { ...nothing, ...error.response.data, status: error.response.status };
  }
}

/** As `addTo`, once the server has registered: before, nobody answers at its address. */
async function addWhenThere(
  cluster: LocalCluster,
  devices: boolean,
  forceClean = false,
): Promise<Answer> {
  return until('the server is there', async () => {
    const answer = await addTo(cluster, devices, forceClean);
    return answer.message.includes('Could not connect') ? null : answer;
  });
}

interface ListedDevice {
  readonly id: string;
  readonly deviceCurrentPathName: string;
  readonly errorState: string;
}

/** The device as the first system lists it. */
async function wandererDevice(): Promise<ListedDevice | undefined> {
  const rest = await first.rest();
  const { data } = await rest.get<ListedDevice[]>('/types/Device/instances');
  return data.find(({ deviceCurrentPathName: path }) => path === device);
}

test.serial('a server of another system, and its device, are refused by its name', async (t) => {
  t.timeout(300_000);
  startServer(first);
  t.like(await addWhenThere(first, true), { status: 200 });
  const owner = join(dir, 'state', 'system');
  await until('it has noted whose it is', () => (existsSync(owner) ? true : null));
  t.is(readFileSync(owner, 'utf8').trim(), first.file.systemId);

  deviceId = (await wandererDevice())?.id ?? '';

  await stopServer();
  startServer(second);
  const refused = await addWhenThere(second, false);
  t.like(refused, { status: 500, errorCode: 77 });
  t.regex(
    refused.message,
    new RegExp(`belongs to another system: it was taken in by system ${first.file.systemId}`),
  );
  t.is(readFileSync(owner, 'utf8').trim(), first.file.systemId, 'nothing of it was changed');
  await until('the first system misses it', async () =>
    (await wandererDevice())?.errorState === 'Error' ? true : null,
  );
});

test.serial('it is back where it belongs, with its data, as if nothing had been', async (t) => {
  t.timeout(300_000);
  await stopServer();
  startServer(first);
  await until('its device is up', async () =>
    (await wandererDevice())?.errorState === 'None' ? true : null,
  );
  t.is((await wandererDevice())?.id, deviceId);
});

test.serial('forced, the other system has it, and the first one knows it as gone', async (t) => {
  t.timeout(300_000);
  await stopServer();
  startServer(second);
  t.like(await addWhenThere(second, true, true), { status: 200 });
  t.is(readFileSync(join(dir, 'state', 'system'), 'utf8').trim(), second.file.systemId);
  const rest = await first.rest();
  const { data } =
    await rest.get<{ name: string; sdsState: string; mdmConnectionState: string }[]>(
      '/types/Sds/instances',
    );
  t.is(data.find(({ name }) => name === 'wanderer')?.mdmConnectionState, 'Disconnected');
});

test.serial('removed from its system, it belongs to nobody until one has it', async (t) => {
  t.timeout(300_000);
  const rest = await second.rest();
  const { data } = await rest.get<{ name: string; id: string }[]>('/types/Sds/instances');
  const id = data.find(({ name }) => name === 'wanderer')?.id ?? '';
  await rest.post(`/instances/Sds::${id}/action/removeSds`, {});
  const owner = join(dir, 'state', 'system');
  await until('it belongs to nobody', () =>
    readFileSync(owner, 'utf8').trim() === '' ? true : null,
  );
  await stopServer();
  startServer(first);
  // It is still on the list of the first system, which has its GUID: that one takes it back.
  await until('the first system has it again', () =>
    readFileSync(owner, 'utf8').trim() === first.file.systemId ? true : null,
  );
  t.pass();
});
