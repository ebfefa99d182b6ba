// The sentinel on a cluster of real processes: what an operator sees when a pool answers nobody, when the sentinel itself is
// gone, when its content is not what it wrote, and when it is ended on purpose.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import axios from 'axios';
import { execa } from 'execa';

import { LocalCluster } from '../support/local-cluster.js';
import { until } from '../support/until.js';

const PROGRAM = join(import.meta.dirname, '../../backend/bin/sentinel.js');
/** Far above what a request takes on a busy machine, far below what a paused server takes. */
const BOUND_MS = 4000;
const CLEAR_MS = 2000;
const CHUNK = 1_048_576;

let cluster: LocalCluster;
let scratch: string;
let sentinel: ReturnType<typeof run> | null = null;
test.before(async () => {
  cluster = await LocalCluster.start('--sds', '2', '--device-size', '4G');
  scratch = mkdtempSync(join(tmpdir(), 'meshsan-sentinel-'));
});
test.after.always(async () => {
  sentinel?.kill('SIGKILL');
  await sentinel;
  resume();
  await cluster.remove();
  rmSync(scratch, { recursive: true, force: true });
});

const run = (config: string) => {
  const log = { file: join(scratch, 'sentinel.log'), append: true };
  return execa(process.execPath, [PROGRAM, '--config', config], {
    ...({ stdin: 'ignore', stdout: log, stderr: log, reject: false, buffer: false } as const),
  });
};

function start(): void {
  const [mdm] = cluster.processes('mdm');
  const { sdcGuid: guid, nbdDir } = cluster.file;
  const config = {
    mdm: [{ host: mdm?.address, port: mdm?.port }],
    ...{ secretFile: join(cluster.dir, 'secret'), guid, nbdDir },
    ...{ intervalMs: 20, boundMs: BOUND_MS, clearMs: CLEAR_MS },
  };
  const file = join(scratch, 'sentinel.json');
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  sentinel = run(file);
}

const stopped: number[] = [];
function pause(): void {
  for (const { pid } of cluster.processes('sds-data')) {
    process.kill(pid, 'SIGSTOP');
    stopped.push(pid);
  }
}
function resume(): void {
  for (const pid of stopped.splice(0)) process.kill(pid, 'SIGCONT');
}

interface SeenAlert {
  readonly alertType: string;
  readonly alertValues: Readonly<Record<string, string>>;
}

/** Alerts of sentinels. */
async function alerts(): Promise<readonly SeenAlert[]> {
  const rest = await cluster.rest();
  const { data } = await rest.get<SeenAlert[]>('/types/Alert/instances');
  return data.filter(({ alertType }) => alertType.startsWith('SENTINEL_'));
}

const raised = (type: string): Promise<SeenAlert> =>
  until(type, async () => (await alerts()).find(({ alertType }) => alertType === type) ?? null);
const cleared = (): Promise<true> =>
  until('no alert of a sentinel', async () => ((await alerts()).length === 0 ? true : null));

interface SeenVolume {
  readonly id: string;
  readonly name: string;
  readonly mappedSdcInfo: readonly unknown[] | null;
}

async function volume(): Promise<SeenVolume | null> {
  const rest = await cluster.rest();
  const { data } = await rest.get<SeenVolume[]>('/types/Volume/instances');
  return data.find(({ name }) => /^(sentinel|starving|mismatch)\./.test(name)) ?? null;
}

/** It reads and writes. */
async function busy(): Promise<void> {
  await until('the sentinel reads and writes', async () => {
    const found = await volume();
    if (found === null) return false;
    const rest = await cluster.rest();
    const path = `/instances/Volume::${found.id}/relationships/Statistics`;
    const { data } = await rest.get<Record<string, { numOccured: number }>>(path);
    const { userDataReadBwc: reads, userDataWriteBwc: writes } = data;
    return (reads?.numOccured ?? 0) > 0 && (writes?.numOccured ?? 0) > 0;
  });
}

async function metrics(): Promise<string> {
  const { gateway, caFile, username, passwordFile } = cluster.file;
  const auth = { username, password: readFileSync(passwordFile, 'utf8').trim() };
  const httpsAgent = new Agent({ ca: readFileSync(caFile) });
  return (await axios.get<string>(`${gateway}/metrics`, { auth, httpsAgent, proxy: false })).data;
}

test.serial('it makes a small volume for the pool, and has nothing to say', async (t) => {
  start();
  await busy();
  await cleared();
  t.regex((await volume())?.name ?? '', /^sentinel\.[0-9a-f]+\.[0-9a-f]+$/);
});

test.serial('a pool that answers nobody raises the alert; it ends when it answers', async (t) => {
  pause();
  const { alertValues } = await raised('SENTINEL_STARVED');
  t.is(alertValues['name'], cluster.file.storagePool);
  t.regex(await metrics(), /meshsan_alert\{alert="SENTINEL_STARVED",severity="high".*\} 1/);
  resume();
  await cleared();
  t.regex((await volume())?.name ?? '', /^sentinel\./);
  t.notRegex(await metrics(), /SENTINEL_STARVED/);
});

test.serial('a sentinel that died is missed, and the next goes on with its volume', async (t) => {
  const before = await volume();
  sentinel?.kill('SIGKILL');
  await sentinel;
  await raised('SENTINEL_SILENT');
  start();
  await busy();
  await cleared();
  t.is((await volume())?.id, before?.id);
});

test.serial('ended in order it leaves its volume unmapped, and nobody misses it', async (t) => {
  sentinel?.kill('SIGTERM');
  t.is((await sentinel)?.exitCode, 0);
  t.is((await volume())?.mappedSdcInfo?.length ?? 0, 0);
  t.deepEqual(await alerts(), []);
});

test.serial('content that it did not write raises an alert that stays', async (t) => {
  start();
  const { id = '' } = (await volume()) ?? {};
  const socket = join(cluster.file.nbdDir, `${id}.sock`);
  await until('the volume has its socket again', () => existsSync(socket));
  const nbd = `nbd+unix:///?socket=${socket}`;
  // Block after block until it meets one: it may have written the first ones anew meanwhile.
  await until('the sentinel finds it', async () => {
    const writes = [10, 20, 30].flatMap((block) => ['-c', `write -P 0x5a ${block * CHUNK} 4096`]);
    await execa('qemu-io', ['-f', 'raw', ...writes, nbd], { stdin: 'ignore' });
    return (await alerts()).some(({ alertType }) => alertType === 'SENTINEL_MISMATCH');
  });
  sentinel?.kill('SIGTERM');
  await sentinel;
  t.is((await alerts())[0]?.alertType, 'SENTINEL_MISMATCH');
  const rest = await cluster.rest();
  await rest.post(`/instances/Volume::${id}/action/removeVolume`, { removeMode: 'ONLY_ME' });
  t.deepEqual(await alerts(), []);
});
