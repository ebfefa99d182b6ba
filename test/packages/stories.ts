// What an operator does with the packages, in order: install, configure, use, break, upgrade, remove, purge. Each story
// asserts what that operator relies on; they build on each other, in one machine.

import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { VERSION } from '../../backend/core/version.js';
import { flusherGuest, hasResourceCapability } from './guest.js';
import { agentInstallStory, agentStory, bridgeStory } from './agent.js';
import { sentinelStory } from './sentinel.js';
import { memoryStory } from './memory.js';
import type { Machine } from './machine.js';
import { until } from '../support/until.js';
import { SERVICES, clusterStory, deviceOf, mainPid, pidsOf } from './cluster.js';

export interface Bench {
  /** Folders of the two builds, seen at the same path inside. */
  readonly first: string;
  readonly second: string;
  /** Version of the second. */
  readonly higher: string;
  readonly machine: Machine;
}

type Story = (bench: Bench) => Promise<readonly string[]>;

const MOUNT = '/mnt/volume';
/** Prints what nova-compute would load. */
const ENTRY_POINTS =
  'from importlib.metadata import entry_points as e; print(*[p.value for p in e(group="nova.compute.monitors.cpu") if p.name == "meshsan"])';
/** Process flags of PR_SET_IO_FLUSHER: PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE. */
const IO_FLUSHER = 0x00180000;
/** What `systemd-analyze security` may find at most; 10 is a service without any restriction. */
const EXPOSURE_MAX: Readonly<Record<string, number>> = {
  'meshsan-mdm': 2,
  'meshsan-gateway': 2.5,
  'meshsan-sds': 2.5,
  'meshsan-sdc': 5,
  'meshsan-cinder-bridge': 2,
  'meshsan-lia': 2.5,
  'meshsan-sentinel': 2,
};

function debs(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.deb'))
    .map((name) => join(folder, name));
}

async function apt(machine: Machine, ...args: readonly string[]): Promise<string> {
  return machine.run('apt-get', '-y', '-q', '-o', 'Dpkg::Use-Pty=0', ...args);
}

async function installedVersions(machine: Machine): Promise<Map<string, string>> {
  const format = '${Package} ${Version} ${db:Status-Status}\\n';
  const { stdout } = await machine.try('dpkg-query', '-W', '-f', format, 'meshsan-*');
  const rows = stdout.split('\n').map((line) => line.split(' '));
  return new Map(
    rows
      .filter(([, , state]) => state === 'installed')
      .map(([name = '', version = '']) => [name, version]),
  );
}

const install: Story = async ({ machine, first }) => {
  await apt(machine, 'install', '--no-install-recommends', ...debs(first));
  const versions = await installedVersions(machine);
  assert.equal(versions.size, debs(first).length);
  for (const unit of SERVICES) {
    assert.equal(await machine.run('systemctl', 'is-enabled', unit), 'enabled', unit);
    const { stdout } = await machine.try('systemctl', 'is-active', unit);
    assert.equal(stdout, 'inactive', `${unit} waits for its configuration`);
  }
  const hooks = await machine.run('python3', '-c', ENTRY_POINTS);
  assert.equal(hooks, 'meshsan_nova.hook:Hook');
  for (const path of ['/opt/emc/scaleio/sdc/bin/drv_cfg', '/bin/emc/scaleio/drv_cfg'])
    assert.match(await machine.run(path, '--help'), /--query_guid/);
  const restore = await machine.run('meshsan-mdm-restore', '--help');
  assert.match(restore, /meshsan-mdm-restore FILE \[--config FILE\]/);
  const noBackup = await machine.try('meshsan-mdm-restore', '/etc/hostname', '--check');
  assert.equal(noBackup.code, 2);
  assert.match(noBackup.stderr, /\/etc\/hostname cannot be used: it is no backup of metadata/);
  const { stdout } = await machine.try('systemctl', '--failed', '--no-legend', 'meshsan-*');
  assert.equal(stdout, '');
  const { stderr } = await machine.try('scli', '--query_all');
  assert.match(stderr, /\/etc\/meshsan\/scli\.json cannot be read/);
  return [`installed: ${[...versions.keys()].join(' ')}`];
};

const ENDPOINT = { host: '127.0.0.1', port: 4443 };
const RIGHT = {
  mdm: [ENDPOINT],
  listen: [ENDPOINT],
  secretFile: '/run/meshsan-gateway/secret',
  stateDir: '/var/lib/meshsan/gateway',
};

const refuse: Story = async ({ machine }) => {
  await machine.run('meshsan-setup', 'system', '--name', 'prod');
  const config = machine.path('/etc/meshsan/gateway.json');
  const wrong = { ...RIGHT, listn: [] };
  writeFileSync(config, JSON.stringify(wrong), { mode: 0o600 });
  await machine.try('systemctl', 'start', 'meshsan-gateway');
  await until('the gateway gives up', async () => {
    const { stdout } = await machine.try('systemctl', 'is-failed', 'meshsan-gateway');
    return stdout === 'failed';
  });
  const show = await machine.run(
    'systemctl',
    'show',
    '-p',
    'NRestarts,ExecMainStatus',
    'meshsan-gateway',
  );
  assert.deepEqual(show.split('\n').sort(), ['ExecMainStatus=2', 'NRestarts=0']);
  const log = await machine.run('journalctl', '-u', 'meshsan-gateway', '-o', 'cat', '--no-pager');
  assert.match(log, /gateway\.json: unknown key "listn" in the file; did you mean "listen"\?/);
  await machine.run('rm', '/etc/meshsan/gateway.json');
  await machine.run('systemctl', 'reset-failed', 'meshsan-gateway');
  return [];
};

const rights: Story = async ({ machine }) => {
  const users: string[] = [];
  for (const unit of SERVICES) {
    const pid = await mainPid(machine, unit);
    const user = await machine.run('ps', '-o', 'user:32=', '-p', String(pid));
    assert.equal(user.trim(), unit === 'meshsan-sdc' ? 'root' : unit);
    users.push(`${unit} as ${user.trim()}`);
  }
  for (const file of [
    '/etc/meshsan/secret',
    '/etc/meshsan/admin-password',
    '/etc/meshsan/ca-key.pem',
  ])
    for (const user of ['nobody', 'meshsan-gateway', 'meshsan-sds', 'meshsan-mdm']) {
      const { code } = await machine.try(
        'setpriv',
        `--reuid=${user}`,
        '--clear-groups',
        'cat',
        file,
      );
      assert.notEqual(code, 0, `${user} must not read ${file}`);
    }
  const { code } = await machine.try(
    'setpriv',
    '--reuid=meshsan-gateway',
    '--clear-groups',
    'cat',
    '/run/meshsan-sds/secret',
  );
  assert.notEqual(code, 0, 'a service must not read the copy of another one');
  const exposures: string[] = [];
  for (const unit of Object.keys(EXPOSURE_MAX)) {
    const text = await machine.run('systemd-analyze', 'security', '--no-pager', unit);
    const level = Number(/Overall exposure level for \S+: ([\d.]+)/.exec(text)?.[1]);
    assert.ok(level <= (EXPOSURE_MAX[unit] ?? 0), `${unit}: exposure ${level}`);
    exposures.push(`${unit} ${level}`);
  }
  return [users.join(', '), `systemd-analyze security (10 is worst): ${exposures.join(', ')}`];
};

/** Whoever a write to a block device passes through never waits for such a write, and is killed last. */
const flushers: Story = async ({ machine }) => {
  const pids = await pidsOf(machine, /\/backend\/bin\/(sds|sds-data|sdc|sdc-holder)\.js/);
  assert.equal(pids.length, 6, 'two servers with a device each, a client and its holder');
  const [server = 0] = await pidsOf(machine, /\/backend\/bin\/sds\.js/);
  const status = await machine.run('cat', `/proc/${server}/status`);
  assert.match(status, /^CapEff:\t0000000000000000$/m, 'the capability for the mark was given up');
  if (!hasResourceCapability()) {
    for (const unit of ['meshsan-sds', 'meshsan-sdc']) {
      const log = await machine.run('journalctl', '-u', unit, '-o', 'cat', '--no-pager');
      assert.match(
        log,
        /io-flusher: writes under memory pressure are not protected: Operation not permitted/,
      );
    }
    return [
      'this host gives nobody CAP_SYS_RESOURCE: neither mark nor score can be set here, and the journal says so',
      ...(await flusherGuest(IO_FLUSHER)),
    ];
  }
  let threads = 0;
  for (const pid of pids) {
    const score = await machine.run('cat', `/proc/${pid}/oom_score_adj`);
    assert.equal(score, '-900');
    const stats = await machine.shell(`cat /proc/${pid}/task/*/stat`);
    for (const line of stats.split('\n')) {
      const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
      assert.equal(Number(fields[6]) & IO_FLUSHER, IO_FLUSHER, line);
      threads++;
    }
  }
  return [
    `${threads} threads of ${pids.length} processes have PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE`,
  ];
};

const gateway: Story = async ({ machine }) => {
  const page = ['curl', '-sS', '--fail', '--max-time', '20', '--cacert', '/etc/meshsan/ca.pem'];
  const base = 'https://127.0.0.1:4443';
  await until(
    'the gateway answers',
    async () => (await machine.try(...page, `${base}/api/version`)).code === 0,
  );
  const version = await machine.run(...page, `${base}/api/version`);
  assert.match(version, /^"\d+\.\d+"$/);
  assert.match(await machine.run(...page, '--location', `${base}/dashboard`), /<html/i);
  const password = readFileSync(machine.path('/etc/meshsan/admin-password'), 'utf8').trim();
  const token = await machine.feed(
    `user = "admin:${password}"`,
    ...page,
    '--config',
    '-',
    `${base}/api/login`,
  );
  assert.match(token, /^".+"$/);
  await machine.run('cmp', '/run/meshsan-gateway/ca.pem', '/etc/meshsan/ca.pem');
  return [`version ${version} over TLS that /etc/meshsan/ca.pem proves`];
};

const mounted: Story = async ({ machine }) => {
  const device = await deviceOf(machine);
  mkdirSync(machine.path(MOUNT), { recursive: true });
  await machine.run('mkfs.ext4', '-q', '-F', device);
  await machine.run('mount', device, MOUNT);
  await machine.shell(
    `head -c 50000000 /dev/urandom > ${MOUNT}/data; sync; sha256sum < ${MOUNT}/data > /root/sum`,
  );
  return [`ext4 on ${device}`];
};

async function readsBack(machine: Machine): Promise<void> {
  await machine.shell(
    `dd if=${MOUNT}/data iflag=direct bs=1M status=none | sha256sum | cmp - /root/sum`,
  );
}

const killed: Story = async ({ machine }) => {
  const [holder] = await pidsOf(machine, /sdc-holder\.js/);
  for (const unit of SERVICES) {
    const before = await mainPid(machine, unit);
    await machine.run('kill', '-9', String(before));
    await until(`${unit} is back`, async () => {
      const { stdout } = await machine.try('systemctl', 'is-active', unit);
      return stdout === 'active' && (await mainPid(machine, unit)) !== before;
    });
  }
  await readsBack(machine);
  await machine.shell(`echo after > ${MOUNT}/after; sync`);
  assert.deepEqual(
    await pidsOf(machine, /sdc-holder\.js/),
    [holder],
    'the holder outlives its client',
  );
  return [`${SERVICES.join(', ')}: each came back; the mounted volume read back`];
};

const upgrade: Story = async ({ machine, second, higher }) => {
  const configs = () =>
    machine.shell('cd /etc/meshsan && sha256sum *.json secret ca.pem admin-password');
  const before = await configs();
  const pids = new Map<string, number>();
  for (const unit of SERVICES) pids.set(unit, await mainPid(machine, unit));
  const [holder] = await pidsOf(machine, /sdc-holder\.js/);
  await machine.run('systemctl', 'stop', 'meshsan-gateway');
  await apt(machine, 'install', '--no-install-recommends', ...debs(second));
  const versions = await installedVersions(machine);
  assert.deepEqual([...new Set(versions.values())], [higher]);
  assert.equal(await configs(), before, 'configurations are kept');
  for (const unit of SERVICES.filter((name) => name !== 'meshsan-gateway')) {
    assert.equal(await machine.run('systemctl', 'is-active', unit), 'active', unit);
    assert.notEqual(await mainPid(machine, unit), pids.get(unit), `${unit} runs the new version`);
  }
  const { stdout } = await machine.try('systemctl', 'is-active', 'meshsan-gateway');
  assert.equal(stdout, 'inactive', 'what an operator stopped stays stopped');
  await readsBack(machine);
  await machine.shell(`echo upgraded > ${MOUNT}/upgraded; sync`);
  assert.deepEqual(
    await pidsOf(machine, /sdc-holder\.js/),
    [holder],
    'the block device was held throughout',
  );
  return [`${[...versions.keys()].length} packages are ${higher}; the mounted volume went on`];
};

const remove: Story = async ({ machine }) => {
  const refusal = await machine.try('apt-get', '-y', '-q', 'remove', 'meshsan-sdc');
  assert.notEqual(refusal.code, 0);
  assert.match(
    refusal.stdout + refusal.stderr,
    /in use: \/dev\/scinia; unmount and close it first/,
  );
  await readsBack(machine);
  await machine.run('umount', MOUNT);
  // The second server is the test's own, not a package's.
  await machine.run('systemctl', 'stop', 'meshsan-sds2');
  await machine.run('rm', '/etc/systemd/system/meshsan-sds2.service', '/etc/meshsan/sds2.json');
  const names = [...(await installedVersions(machine)).keys()];
  await apt(machine, 'remove', ...names);
  assert.equal((await installedVersions(machine)).size, 0);
  assert.deepEqual(await pidsOf(machine, /\/usr\/lib\/meshsan\//), []);
  for (const path of ['/etc/meshsan/mdm.json', '/etc/meshsan/secret', '/var/lib/meshsan/mdm/store'])
    assert.ok(existsSync(machine.path(path)), `${path} is kept`);
  assert.ok(!existsSync(machine.path('/usr/lib/meshsan')), 'no program is left');
  return ['refused while the volume was mounted; afterwards configuration and state stay'];
};

/** The beginning of a device, with its signature. */
function headOf(path: string): string {
  const bytes = Buffer.alloc(65536);
  const file = openSync(path, 'r');
  try {
    readSync(file, bytes, 0, bytes.length, 0);
  } finally {
    closeSync(file);
  }
  assert.ok(!bytes.every((byte) => byte === 0), `${path} carries a signature`);
  return bytes.toString('base64');
}

const purge: Story = async ({ machine }) => {
  const before = [headOf(machine.diskFile(0)), headOf(machine.diskFile(1))];
  const fileDevice = machine.path('/var/lib/meshsan/sds/device-file');
  writeFileSync(fileDevice, 'data of a customer');
  const { stdout } = await machine.try('dpkg-query', '-W', '-f', '${Package}\\n', 'meshsan-*');
  const {
    code,
    stdout: out,
    stderr,
  } = await machine.try('apt-get', '-y', '-q', 'purge', ...stdout.trim().split('\n'));
  assert.equal(code, 0, stderr);
  assert.match(
    out + stderr,
    /meshsan-mdm: purging deletes the metadata in \/var\/lib\/meshsan\/mdm/,
  );
  assert.match(out + stderr, /meshsan-sds: .* holds devices that are files: they stay/);
  for (const path of [
    '/etc/meshsan',
    '/var/lib/meshsan/mdm',
    '/var/lib/meshsan/sdc',
    '/var/lib/meshsan/gateway',
    '/var/lib/meshsan/lia',
  ])
    assert.ok(!existsSync(machine.path(path)), `${path} is gone`);
  assert.ok(statSync(fileDevice).size > 0);
  assert.deepEqual(
    [headOf(machine.diskFile(0)), headOf(machine.diskFile(1))],
    before,
    'devices are not touched',
  );
  const left = await machine.try(
    'sh',
    '-c',
    'ls /etc/systemd/system/*/meshsan-* /etc/systemd/system/meshsan-mdm.service',
  );
  assert.equal(left.stdout, '', 'no link to a unit is left');
  return [];
};

export const STORIES: readonly (readonly [string, Story])[] = [
  ['all packages install from their files; services wait for their configuration', install],
  ['a wrong configuration is refused once, with the reason in the journal', refuse],
  ['configured nodes make a cluster with a volume that is a block device', clusterStory],
  ['every service has only the rights it needs', rights],
  ['whoever writes block devices is an I/O flusher and is killed last', flushers],
  ['the gateway serves REST and dashboard', gateway],
  ['the Cinder bridge is configured, and answers the driver', bridgeStory],
  ['the agent reports, restarts services, makes a support bundle', agentStory],
  ['the sentinel says when its pool is starved', sentinelStory],
  ['a file system on the volume', mounted],
  ['every service comes back after kill -9', killed],
  ['writes through the block device with 10 % of the memory free', memoryStory],
  ['an upgrade keeps configuration, data and attached devices', upgrade],
  [
    'the agent brings the lower version back, and is replaced on the way',
    async (bench) => {
      const told = await agentInstallStory(bench, bench.first, VERSION);
      await readsBack(bench.machine);
      return told;
    },
  ],
  ['removal: refused while in use; keeps configuration and state', remove],
  ['purge: takes configuration and state, never data', purge],
];
