// The life of a local cluster as an operator has it: two side by side, stopped without a trace, started again with all
// data, its keeper killed; and what must never be seen from outside: secrets, and strangers that are let in.

import { existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';

import test from 'ava';
import { execa } from 'execa';

import { lockDirectory } from '../../backend/deploy/local/directory-lock.js';
import { isRunning, signal } from '../../backend/runtime/processes.js';
import type { ProcessId } from '../../backend/runtime/processes.js';
import { ClusterError } from '../../backend/runtime/cluster.js';
import { MdmSession } from '../../backend/runtime/mdm-session.js';
import { CLUSTER, LocalCluster } from '../support/local-cluster.js';
import { until } from '../support/until.js';

const STRANGER = new Uint8Array(32).fill(0x5a);
const QUIET = { event: (): void => undefined };
const SMALL = ['--sds', '2', '--device-size', '2G'];

let one: LocalCluster;
let other: LocalCluster;
test.before(async () => {
  [one, other] = await Promise.all([LocalCluster.start(...SMALL), LocalCluster.start(...SMALL)]);
});
test.after.always(async () => {
  await Promise.all([one, other].map((cluster) => cluster.remove()));
});

function run(...args: string[]) {
  return execa(process.execPath, [CLUSTER, ...args], { reject: false, stdin: 'ignore' });
}

async function volumeNames(cluster: LocalCluster): Promise<string[]> {
  const rest = await cluster.rest();
  const { data } = await rest.get<{ name: string }[]>('/types/Volume/instances');
  return data.map(({ name }) => name).sort();
}

/** Everything that runs for a cluster. */
function running(cluster: LocalCluster): ProcessId[] {
  const keeper = JSON.parse(
    readFileSync(join(cluster.dir, 'run', 'supervisor.json'), 'utf8'),
  ) as ProcessId;
  return [keeper, ...cluster.file.processes].filter(isRunning);
}

/** Processes that have the directory in their arguments, whatever their cluster says. */
function mentioning(text: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(text);
      } catch (error) {
        // It ended meanwhile.
        if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
        throw error;
      }
    })
    .map(Number);
}

test.serial('two clusters run side by side and know nothing of each other', async (t) => {
  await one.addVolume('of-one');
  await other.addVolume('of-the-other');
  t.deepEqual(await volumeNames(one), ['of-one']);
  t.deepEqual(await volumeNames(other), ['of-the-other']);
  t.not(one.file.systemId, other.file.systemId);
  t.not(one.file.gateway, other.file.gateway);
  const status = await run('status', '--dir', one.dir, '--json');
  t.is(status.exitCode, 0);
  t.true((JSON.parse(status.stdout) as { running: boolean }).running);
});

test.serial('with a wrong secret nothing is read, written or registered', async (t) => {
  const [mdm] = one.processes('mdm');
  const session = new MdmSession({
    addresses: [{ host: mdm?.address ?? '', port: mdm?.port ?? 0 }],
    secret: STRANGER,
    log: QUIET,
    requestTimeoutMs: 3000,
  });
  t.teardown(() => {
    session.close();
  });
  await t.throwsAsync(session.clusterState(), { instanceOf: ClusterError });
  const added = session.command('ADD_PROTECTION_DOMAIN', 'admin', { name: 'intruder' });
  await t.throwsAsync(added, { instanceOf: ClusterError });

  // An SDC and an SDS that are configured as the real ones are, but for the secret.
  const secretFile = join(one.dir, 'run', 'stranger-secret');
  writeFileSync(secretFile, Buffer.from(STRANGER).toString('hex'), { mode: 0o600 });
  const socketDir = join(one.dir, 'run', 'stranger-nbd');
  for (const role of ['sdc', 'sds1']) {
    const config = JSON.parse(
      readFileSync(join(one.dir, 'config', `${role}.json`), 'utf8'),
    ) as Record<string, unknown>;
    const stateDir = join(one.dir, 'run', `stranger-${role}`);
    const address = `${mdm?.address.replace(/\.\d+$/, '') ?? ''}.77`;
    const changed = {
      ...{ ...config, secretFile, stateDir, name: `stranger-${role}` },
      addresses: [{ host: address, role: 'all' }],
      ...(role === 'sdc'
        ? { guid: 'AAAAAAAA-0000-0000-0000-000000000001', nbdDir: socketDir }
        : { deviceSearch: [] }),
      ...(role === 'sdc' ? { controlSocket: join(one.dir, 'run', 'stranger.sock') } : {}),
    };
    const configFile = join(one.dir, 'run', `stranger-${role}.json`);
    writeFileSync(configFile, JSON.stringify(changed), { mode: 0o600 });
    const program = join(CLUSTER, '..', `${role.replace(/\d/, '')}.js`);
    const child = execa(process.execPath, [program, '--config', configFile], {
      ...{ reject: false, stdin: 'ignore', all: true },
    });
    let said = '';
    child.all.on('data', (text: Buffer) => (said += text.toString()));
    await until(`the stranger ${role} hears that it is not let in`, () =>
      said.includes('links.unreachable') || child.exitCode !== null ? true : null,
    ).finally(() => child.kill('SIGKILL'));
    await child;
    t.regex(said, /does not hold the secret of this system/);
    t.false(said.includes('5a5a5a5a'), 'the secret is not in its log');
  }
  const rest = await one.rest();
  const count = async (type: string): Promise<number> =>
    (await rest.get<unknown[]>(`/types/${type}/instances`)).data.length;
  t.is(await count('Sdc'), 1);
  t.is(await count('Sds'), 2);
  t.is(await count('ProtectionDomain'), 1);
  t.false(existsSync(socketDir) && readdirSync(socketDir).length > 0);
});

test.serial(
  'secrets are in no argument, no environment, no log, and no file that others may read',
  async (t) => {
    const secret = readFileSync(join(one.dir, 'secret'), 'utf8').trim();
    const password = readFileSync(one.file.passwordFile, 'utf8').trim();
    const rest = await one.rest();
    const token = (rest.defaults.auth as { password?: string } | undefined)?.password ?? '';
    t.true(token.length > 20);
    const hidden = [secret, password, token];
    const pids = running(one).map(({ pid }) => pid);
    t.true(pids.length >= 8, `${pids.length} processes`);
    for (const pid of pids)
      for (const place of ['cmdline', 'environ']) {
        const text = readFileSync(`/proc/${pid}/${place}`, 'utf8');
        for (const word of hidden) t.false(text.includes(word), `/proc/${pid}/${place}`);
      }
    const logs = readdirSync(join(one.dir, 'log'));
    t.true(logs.length >= 6);
    for (const name of logs) {
      const text = readFileSync(join(one.dir, 'log', name), 'utf8');
      for (const word of hidden) t.false(text.includes(word), name);
    }
    for (const name of readdirSync(one.dir, { recursive: true, encoding: 'utf8' })) {
      const path = join(one.dir, name);
      if (!existsSync(path) || !statSync(path).isFile() || statSync(path).size > 2 ** 20) continue;
      if ((statSync(path).mode & 0o077) === 0) continue;
      const text = readFileSync(path, 'utf8');
      for (const word of hidden) t.false(text.includes(word), name);
      t.notRegex(text, /PRIVATE KEY/, name);
    }
  },
);

test.serial(
  'a killed keeper leaves the cluster running; it is stopped, or started again, all the same',
  async (t) => {
    const before = running(one);
    const [keeper] = before;
    if (keeper === undefined) throw new Error('nobody keeps the cluster');
    t.true(signal(keeper, 'SIGKILL'));
    await until('the keeper has ended', () => (isRunning(keeper) ? null : true));
    t.deepEqual(await volumeNames(one), ['of-one'], 'what was running goes on');
    t.is((await run('status', '--dir', one.dir)).exitCode, 3);
    await one.startAgain();
    t.deepEqual(await volumeNames(one), ['of-one']);
    const now = running(one);
    t.is(now.length, before.length);
    await one.allInSync();
  },
);

test.serial('stop leaves no process, and the next start has all data', async (t) => {
  const uri = await other.volumeUri('kept');
  await execa('qemu-io', ['-f', 'raw', '-c', 'write -P 0x6b 1M 2M', '-c', 'flush', uri]);
  const before = running(other);
  const addresses = other.file.processes.map(({ address }) => address);
  await other.stop();
  t.deepEqual(before.filter(isRunning), []);
  t.deepEqual(mentioning(other.dir), []);
  t.is((await run('status', '--dir', other.dir)).exitCode, 3);
  t.regex((await run('stop', '--dir', other.dir)).stdout, /not running/);
  t.true(running(one).length > 0, 'the other one goes on');

  await other.startAgain();
  t.deepEqual(
    other.file.processes.map(({ address }) => address),
    addresses,
  );
  t.deepEqual(await volumeNames(other), ['kept', 'of-the-other']);
  const { stdout } = await until('the volume is back', () =>
    execa('qemu-io', ['-f', 'raw', '-c', 'read -P 0x6b 1M 2M', '-c', 'read -P 0 3M 1M', uri]).catch(
      () => null,
    ),
  );
  t.notRegex(stdout, /failed/);
});

test.serial('Ctrl-C stops a cluster in the foreground', async (t) => {
  await other.stop();
  const child = execa(process.execPath, [CLUSTER, 'start', '--dir', other.dir], {
    ...{ reject: false, stdin: 'ignore', all: true },
  });
  let said = '';
  child.all.on('data', (text: Buffer) => (said += text.toString()));
  await until('it is ready', () => (said.includes('MeshSAN is ready\n') ? true : null));
  const before = running(other);
  t.is(before[0]?.pid, child.pid);
  child.kill('SIGINT');
  t.is((await child).exitCode, 0, said);
  t.deepEqual(before.filter(isRunning), []);
  t.regex(said, /stopped/);
});

test.serial(
  'a directory of another cluster, version, or of something else is refused',
  async (t) => {
    await other.stop();
    const copy = `${other.dir}-copy`;
    t.teardown(() => {
      rmSync(copy, { recursive: true, force: true });
    });
    await execa('cp', ['-r', '--sparse=always', other.dir, copy]);
    const copied = await run('start', '--dir', copy, '--detach');
    t.is(copied.exitCode, 2);
    t.regex(copied.stderr + copied.stdout, /is a copy of the cluster in .*still there/);

    const layoutFile = join(other.dir, 'layout.json');
    const layout = readFileSync(layoutFile, 'utf8');
    writeFileSync(layoutFile, layout.replace(/"layoutVersion": 1/, '"layoutVersion": 99'));
    const version = await run('start', '--dir', other.dir, '--detach');
    t.is(version.exitCode, 2);
    t.regex(version.stderr, /made by another version \(layout 99, this release uses 1\)/);
    writeFileSync(layoutFile, '{"product":');
    const broken = await run('start', '--dir', other.dir, '--detach');
    t.is(broken.exitCode, 2);
    t.regex(broken.stderr, /layout\.json/);
    writeFileSync(layoutFile, layout);

    // The secret of another system: the MDM names its store, and says what is wrong.
    const secretFile = join(other.dir, 'secret');
    const secret = readFileSync(secretFile, 'utf8');
    writeFileSync(secretFile, Buffer.from(STRANGER).toString('hex'));
    const foreign = await run('start', '--dir', other.dir, '--detach');
    t.not(foreign.exitCode, 0);
    t.regex(foreign.stderr + foreign.stdout, /metadata\.mdb belongs to another system/);
    writeFileSync(secretFile, secret);
    t.deepEqual(mentioning(other.dir), []);
  },
);

test.serial('while a start is under way, another one of the same directory ends', async (t) => {
  await other.stop();
  const unlock = await lockDirectory(other.dir);
  t.truthy(unlock);
  for (const flags of [[], ['--detach']]) {
    const second = await run('start', '--dir', other.dir, ...flags);
    t.is(second.exitCode, 2);
    t.regex(second.stderr, /another start of the cluster in .* is under way/);
  }
  t.deepEqual(mentioning(other.dir), []);
  await unlock?.();
});

test.serial('unknown, malformed and contradicting flags', async (t) => {
  const cases: readonly (readonly [args: string[], message: RegExp])[] = [
    [['start', '--frobnicate'], /--frobnicate/],
    [['start', '--sds', '0'], /--sds must be a whole number from 2 to 32, not "0"/],
    [['start', '--sds', 'three'], /--sds must be a whole number/],
    [['start', '--device-size', '1K'], /--device-size must be a size such as 16G, from 1 GiB/],
    [['start', '--device-size=-5G'], /--device-size must be a size .*not "-5G"/],
    [['start', '--gateway-port', '70000'], /--gateway-port must be .* to 65535/],
    [['start', '--dir', ''], /--dir must name a directory/],
    [['start', 'word'], /word/],
    [['start', '--sds', '2', '--sds', '4'], /--sds is given more than once/],
    [['start', '--dir', other.dir, '--sds', '3'], /--sds 3 contradicts .* made with 2/],
    [['start', '--dir', '/proc/meshsan'], /\/proc\/meshsan/],
    [['stop', '--dir', join(other.dir, 'log')], /not the directory of a MeshSAN cluster/],
    [['stop', '--frobnicate'], /--frobnicate/],
    [['status', '--dir', join(other.dir, 'nowhere')], /not the directory of a MeshSAN cluster/],
    [['frobnicate'], /unknown command "frobnicate"/],
  ];
  for (const [args, message] of cases) {
    const { exitCode, stderr } = await run(...args);
    t.is(exitCode, 2, `${args.join(' ')}: ${stderr}`);
    t.regex(stderr, message);
    t.notRegex(stderr, /\n\s+at /, 'no stack');
  }
  t.false(existsSync(join(other.dir, 'nowhere')));
});

test.serial('a port in use is named, with its process, and nothing is started', async (t) => {
  await other.stop();
  const taken = createServer();
  const address = JSON.parse(readFileSync(join(other.dir, 'layout.json'), 'utf8')) as {
    readonly network: string;
  };
  await new Promise<void>((done) => taken.listen(6611, `${address.network}.1`, done));
  t.teardown(() => taken.close());
  const { exitCode, stderr, stdout } = await run('start', '--dir', other.dir, '--detach');
  t.is(exitCode, 2);
  t.regex(stderr + stdout, /port in use: .*:6611 \(mdm\)/);
  t.deepEqual(mentioning(other.dir), []);
});
