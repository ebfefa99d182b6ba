// One client, two systems: two real clusters of which the first one's client uses both. What counts is that whatever happens
// to one is not noticed by who uses the other; judged by fio's own verification.

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { execa } from 'execa';
import { askControl } from '../../backend/runtime/control-socket.js';
import { LocalCluster } from '../support/local-cluster.js';
import { until } from '../support/until.js';

let near: LocalCluster;
let far: LocalCluster;
/** Keepers that do not start anything anew for now. */
const asleep: number[] = [];

test.before(async (t) => {
  t.timeout(300_000);
  near = await LocalCluster.start();
  far = await LocalCluster.start();
});
test.after.always(async () => {
  for (const pid of asleep.splice(0)) process.kill(pid, 'SIGCONT');
  await near.remove();
  await far.remove();
});

interface Status {
  readonly sdcId: string;
  readonly systemId: string;
  readonly systems: readonly {
    readonly systemId: string;
    readonly connected: boolean;
    readonly approved: boolean;
    readonly fault: string;
  }[];
  readonly volumes: readonly { readonly id: string; readonly systemId: string }[];
}

async function control(request: Record<string, unknown>): Promise<Record<string, unknown>> {
  return askControl(join(near.dir, 'run', 'sdc.sock'), request);
}

async function status(): Promise<Status> {
  return (await control({ op: 'status' })) as unknown as Status;
}

/** The program as an administrator has it. */
async function drvCfg(...args: string[]) {
  const { exitCode, all } = await execa(join(near.dir, 'bin', 'drv_cfg'), args, {
    ...{ reject: false, all: true, stdin: 'ignore' },
  });
  return { exitCode, all };
}

const mdmOf = (cluster: LocalCluster): string => cluster.processes('mdm')[0]?.address ?? '';
const farFolder = (): string => join(near.file.nbdDir, '1');
const drvCfgTxt = (): string => readFileSync(join(near.dir, 'sdc', 'drv_cfg.txt'), 'utf8');

async function connected(): Promise<void> {
  await until('both systems are connected', async () => {
    const now = await status().catch(() => null);
    return now?.systems.length === 2 && now.systems.every((system) => system.connected)
      ? true
      : null;
  });
}

async function served(id: string): Promise<void> {
  await until('the volume is served', async () => {
    const now = await status().catch(() => null);
    return now?.volumes.some((volume) => volume.id === id) === true ? true : null;
  });
}

/** A volume of the other cluster that is mapped to this one's client. */
async function farVolume(name: string): Promise<string> {
  const id = await far.addVolume(name);
  const rest = await far.rest();
  await rest.post(`/instances/Volume::${id}/action/addMappedSdc`, { guid: near.file.sdcGuid });
  return id;
}

const uriOf = (socket: string): string => `nbd+unix:///?socket=${socket}`;

/** fio that writes and verifies; it ends with an error at the first I/O error or wrong byte. */
function fio(uri: string, ...args: string[]) {
  return execa(
    'timeout',
    [
      ...['-s', 'KILL', '300', 'fio', '--name=two', '--ioengine=nbd', `--uri=${uri}`],
      ...['--rw=randrw', '--bs=4k', '--iodepth=16', '--size=64m', '--verify=crc32c'],
      ...['--verify_fatal=1', '--verify_state_save=0', ...args],
    ],
    { stdin: 'ignore', all: true },
  );
}

function parentOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
}

/** Kills the MDM and one storage server of the other cluster; nothing is started anew until `wake`. */
function killFar(): void {
  const [mdm] = far.processes('mdm');
  const [sds] = far.processes('sds');
  if (mdm === undefined || sds === undefined) throw new Error('the cluster runs nothing');
  const keeper = parentOf(mdm.pid);
  process.kill(keeper, 'SIGSTOP');
  asleep.push(keeper);
  process.kill(mdm.pid, 'SIGKILL');
  process.kill(sds.pid, 'SIGKILL');
  for (const row of far.processes('sds-data'))
    if (row.address === sds.address) process.kill(row.pid, 'SIGKILL');
}

function wakeFar(): void {
  for (const pid of asleep.splice(0)) process.kill(pid, 'SIGCONT');
}

/** Another address of a cluster's MDM. @returns it, and how often somebody came through */
async function openDoor(
  t: ExecutionContext,
  cluster: LocalCluster,
): Promise<{ readonly place: string; readonly visits: () => number }> {
  const [mdm] = cluster.processes('mdm');
  let visits = 0;
  const door = createServer((socket) => {
    visits++;
    const inner = connect(mdm?.port ?? 0, mdm?.address);
    for (const end of [socket, inner]) end.on('error', () => socket.destroy());
    socket.pipe(inner).pipe(socket);
    socket.on('close', () => inner.destroy());
  });
  await new Promise<void>((done) => door.listen(0, '127.0.0.1', done));
  t.teardown(() => door.close());
  const place = `127.0.0.1:${(door.address() as AddressInfo).port}`;
  return { place, visits: () => visits };
}

test.serial('what cannot be added is refused, and nothing changes', async (t) => {
  const before = drvCfgTxt();
  const secret = join(far.dir, 'secret');
  for (const [args, code, words] of [
    [['--add_mdm', '--ip', mdmOf(near)], 0, /Successfully/],
    [['--add_mdm', '--ip', `${mdmOf(near)},127.9.9.9`], 3, /--mod_mdm_ip changes/],
    [['--add_mdm', '--ip', mdmOf(far), '--secret_file', '/nowhere/secret'], 3, /cannot be read/],
    [['--add_mdm', '--ip', mdmOf(far), '--file', '/nowhere/x.txt'], 3, /not to \/nowhere\/x.txt/],
    [['--mod_mdm_ip', '--ip', mdmOf(far), '--new_mdm_ip', mdmOf(far)], 3, /no system of this host/],
    [['--rmv_mdm', '--ip', mdmOf(far)], 3, /no system of this host/],
    [['--rmv_mdm', '--ip', mdmOf(far), '--secret_file', secret], 1, /is not known/],
  ] as const) {
    const { exitCode, all } = await drvCfg(...args);
    t.is(exitCode, code, all);
    t.regex(all, words);
  }
  t.is(drvCfgTxt(), before);
  t.is((await status()).systems.length, 1);
});

test.serial('the same system by another door is not used twice', async (t) => {
  const { place } = await openDoor(t, near);
  t.is((await drvCfg('--add_mdm', '--ip', place)).exitCode, 0);
  const words = await until('it is found to be the same', async () => {
    const fault = (await status()).systems[1]?.fault ?? '';
    return fault === '' ? null : fault;
  });
  t.regex(
    words,
    new RegExp(`same system \\(${near.file.systemId}\\) as the one at ${mdmOf(near)}`),
  );
  t.regex((await drvCfg('--query_mdms')).all, /^Retrieved 1 mdm/);
  await until('the first one is served on', async () => {
    const [first] = (await status()).systems;
    return first?.connected === true ? true : null;
  });
  t.is((await drvCfg('--rmv_mdm', '--ip', place)).exitCode, 0);
});

test.serial('a second system is used at once, and its volumes are told apart', async (t) => {
  const secret = join(far.dir, 'secret');
  const file = join(near.dir, 'sdc', 'drv_cfg.txt');
  const said = await drvCfg(
    ...['--add_mdm', '--ip', mdmOf(far), '--secret_file', secret, '--file', file],
  );
  t.is(said.exitCode, 0, said.all);
  await connected();
  const { systems } = await status();
  t.deepEqual(
    systems.map(({ systemId }) => systemId),
    [near.file.systemId, far.file.systemId],
  );
  const { all } = await drvCfg('--query_mdms');
  t.regex(all, /^Retrieved 2 mdm/);
  t.regex(all, new RegExp(`^MDM-ID ${near.file.systemId} .*-${mdmOf(near)}$`, 'm'));
  t.regex(all, new RegExp(`^MDM-ID ${far.file.systemId} .*-${mdmOf(far)}$`, 'm'));
  t.regex(drvCfgTxt(), new RegExp(`^mdm ${mdmOf(far)}$`, 'm'));
  const id = await farVolume('told-apart');
  t.true(existsSync(join(farFolder(), `${id}.sock`)), 'it is there when the mapping is answered');
  const vols = await drvCfg('--query_vols');
  t.regex(vols.all, new RegExp(`^VOL-ID ${id} MDM-ID ${far.file.systemId}$`, 'm'));
  // The client that the other system knows is this host.
  const rest = await far.rest();
  const known =
    await rest.get<{ sdcGuid: string; mdmConnectionState: string }[]>('/types/Sdc/instances');
  const own = known.data.find(({ sdcGuid }) => sdcGuid === near.file.sdcGuid);
  t.is(own?.mdmConnectionState, 'Connected');
});

test.serial(
  "the other system's MDM and a server die: nobody notices here, there it waits",
  async (t) => {
    t.timeout(400_000);
    const farId = await farVolume('dies');
    const farUri = uriOf(join(farFolder(), `${farId}.sock`));
    const nearId = await near.addVolume('lives');
    const nearUri = uriOf(await near.mapVolume(nearId));
    // Written and verified on both at the same time, long enough to see all of it.
    const there = fio(farUri, '--io_size=64m', '--rate_iops=400');
    let farEnded = false;
    void there.finally(() => {
      farEnded = true;
    });
    const here = fio(nearUri, '--io_size=64m', '--rate_iops=800');
    killFar();
    const id = await near.addVolume('meanwhile');
    const socket = await near.mapVolume(id);
    t.true(existsSync(socket), 'volumes are mapped as ever');
    const rescan = await control({ op: 'rescan' });
    t.true(rescan['ok'], 'a scan does not wait for who is away');
    t.is((await here).exitCode, 0);
    t.false(farEnded, 'what the dead server held waits without an error');

    // The client dies too, and serves what it can, at once.
    const [sdc] = near.processes('sdc');
    if (sdc === undefined) throw new Error('no client runs');
    t.deepEqual(
      (await status()).systems.map((system) => system.connected),
      [true, false],
    );
    wakeFar();
    t.is((await there).exitCode, 0, 'and it goes on when they are back');
    await connected();

    killFar();
    await near.killAndWait(sdc);
    await served(nearId);
    t.is((await fio(nearUri, '--io_size=8m')).exitCode, 0);
    t.like((await status()).systems[1], { systemId: far.file.systemId, connected: false });
    wakeFar();
    await connected();
    await served(farId);
    t.is((await fio(farUri, '--io_size=8m')).exitCode, 0);
  },
);

test.serial('its MDM gets another address: what is known stays in use', async (t) => {
  const { place, visits } = await openDoor(t, far);
  const move = async (from: string, to: string): Promise<void> => {
    const said = await drvCfg('--mod_mdm_ip', '--ip', from, `--new_mdm_ip=${to}`);
    t.is(said.exitCode, 0, said.all);
  };
  await move(mdmOf(far), `127.99.99.99,${place}`);
  await until('it is asked at its new address', () => visits() > 0);
  await connected();
  await move(place, `127.99.99.99,${mdmOf(far)}`);
  await connected();
  t.regex(drvCfgTxt(), new RegExp(`^mdm 127.99.99.99,${mdmOf(far)}$`, 'm'));
  const same = await drvCfg('--add_mdm', '--ip', mdmOf(near).replace(/\d+$/, '250'));
  t.is(same.exitCode, 0, 'nobody answers there: it is used as soon as somebody does');
  t.regex((await drvCfg('--query_mdms')).all, /^Retrieved 2 mdm/);
  t.is((await drvCfg('--rmv_mdm', '--ip', mdmOf(near).replace(/\d+$/, '250'))).exitCode, 0);
});

test.serial('it is given up when nothing of it is mapped, and leaves nothing', async (t) => {
  const refused = await drvCfg('--rmv_mdm', '--ip', mdmOf(far));
  t.is(refused.exitCode, 3);
  t.regex(refused.all, /^Error: \d+ volume\(s\) of system [0-9a-f]{16} are mapped/);
  const rest = await far.rest();
  for (const { id, systemId } of (await status()).volumes)
    if (systemId === far.file.systemId)
      await rest.post(`/instances/Volume::${id}/action/removeMappedSdc`, {
        guid: near.file.sdcGuid,
      });
  const { exitCode, all } = await drvCfg('--rmv_mdm', '--ip', mdmOf(far));
  t.is(exitCode, 0, all);
  t.is((await status()).systems.length, 1);
  t.false(existsSync(farFolder()));
  t.false(existsSync(join(near.dir, 'sdc', 'systems', '1')));
  t.notRegex(drvCfgTxt(), new RegExp(mdmOf(far)));
  t.true(readdirSync(near.file.nbdDir).length > 0, 'the others are served still');
});
