import test from 'ava';
import { readFacts } from '../../../backend/deploy/environment/astute.js';
import type { NodeFacts } from '../../../backend/deploy/environment/astute.js';
import { secretsOf } from '../../../backend/deploy/environment/secrets.js';
import type {
  AgentSeen,
  ClusterView,
  DeviceSeen,
  FileSeen,
  Observation,
  Plan,
  Secrets,
  Step,
  UnitSeen,
} from '../../../backend/deploy/plan/model.js';
import { TASKS } from '../../../backend/deploy/plan/tasks.js';
import type { Task, TaskId } from '../../../backend/deploy/plan/tasks.js';
import { judgeRemoval } from '../../../backend/deploy/removal.js';
import { partitionsIn, PARTITION_GUID } from '../../../backend/deploy/shell/partitions.js';
import { ENVIRONMENT_KEY, factsText, fixture } from '../../support/deploy-facts.js';
import type { Fixture } from '../../support/deploy-facts.js';

const VERSION = '1.2.3';
const NOW_MS = Date.UTC(2026, 0, 1);

const factsOf = (uid: number, made: Fixture = fixture()): NodeFacts =>
  readFacts('astute.yaml', factsText('8.0', made, uid));
const withSettings = (more: Readonly<Record<string, unknown>>): Fixture =>
  fixture({ settings: { environment_key: ENVIRONMENT_KEY, device_paths: '/dev/sdb', ...more } });

const EMPTY_DEVICE: DeviceSeen = {
  fault: null,
  sizeBytes: 2 ** 36,
  inUse: null,
  foreign: null,
  damaged: null,
  systemId: null,
  deviceKey: 0,
};
const RUNNING: UnitSeen = { exists: true, active: true, enabled: true };

const NOTHING: Observation = {
  files: new Map(),
  packages: new Map(),
  candidates: new Map([['etcd-server', '3.4.23-4+b4']]),
  units: new Map(),
  devices: new Map([['/dev/sdb', EMPTY_DEVICE]]),
  cluster: null,
  managers: [],
  gateways: new Map(),
  agents: new Map(),
  volumeTypes: null,
  host: {
    memoryBytes: 2 ** 33,
    addresses: ['127.0.0.1', '192.168.0.2', '192.168.1.2', '192.168.0.5', '192.168.1.5'],
    hostName: 'node-128',
  },
};

const CLUSTER: ClusterView = {
  systemId: 'aaaa000000000001',
  systemName: 'fuel-37',
  mdms: [
    {
      ...{ name: 'node-128', host: '192.168.0.2', role: 'manager' },
      ...{ member: true, master: true, up: true },
    },
  ],
  approval: 'none',
  domains: [],
  pools: [],
  sds: [],
  sdcs: [],
  users: ['admin'],
  degradedCombs: 0,
  unavailableCombs: 0,
};

async function plan(
  task: TaskId,
  facts: NodeFacts,
  seen: Partial<Observation> = {},
): Promise<Plan> {
  const row: Task = TASKS[task];
  const { environment, self } = facts;
  const secrets: Secrets = await secretsOf(environment, NOW_MS);
  return row.plan({ environment, self, seen: { ...NOTHING, ...seen }, secrets, version: VERSION });
}

const abouts = ({ steps }: Plan): string[] => steps.map(({ about }) => about);

/** What a node has after the steps were done: files as texts, configurations by meshsan-setup as given. */
function filesAfter(steps: readonly Step[]): Map<string, FileSeen> {
  return new Map(
    steps.flatMap((step) =>
      step.kind === 'file' ? [[step.path, { text: step.text, mode: step.mode }]] : [],
    ),
  );
}

test('secrets come from the key of the environment: the same on every node, others elsewhere', async (t) => {
  const one = await secretsOf(factsOf(128).environment, NOW_MS);
  const two = await secretsOf(factsOf(132).environment, NOW_MS + 86_400_000);
  t.is(one.system, two.system);
  t.is(one.adminPassword, two.adminPassword);
  t.is(one.authorityKeyPem, two.authorityKeyPem);
  t.regex(one.system, /^[0-9a-f]{64}$/);
  t.not(one.system, one.bridgeToken);
  t.not(one.adminPassword, one.openstackPassword);
  const other = await secretsOf(
    factsOf(128, withSettings({ environment_key: 'f'.repeat(64) })).environment,
    NOW_MS,
  );
  t.not(one.system, other.system);
  t.not(one.authorityKeyPem, other.authorityKeyPem);
});

test('no step says a secret', async (t) => {
  const facts = factsOf(128, withSettings({ admin_password: 'Very5ecretIndeed' }));
  const secrets = await secretsOf(facts.environment, NOW_MS);
  const { authorityPem: _public, ...rest } = secrets;
  t.truthy(_public);
  for (const id of Object.keys(TASKS) as TaskId[]) {
    const { steps, notes, refusals } = await plan(id, facts, { cluster: CLUSTER });
    const said = JSON.stringify([steps.map(({ about }) => about), notes, refusals]);
    const argued = JSON.stringify(
      steps.map((step) =>
        step.kind === 'run' ? step.argv : step.kind === 'setup' ? step.args : [],
      ),
    );
    for (const secret of Object.values(rest)) {
      t.false(said.includes(secret), id);
      t.false(argued.includes(secret), id);
    }
  }
});

test('files with secrets are for root only', async (t) => {
  const { steps } = await plan('mdm', factsOf(128));
  const modes = Object.fromEntries([...filesAfter(steps)].map(([path, { mode }]) => [path, mode]));
  t.deepEqual(modes, {
    '/etc/meshsan/secret': 0o600,
    '/etc/meshsan/admin-password': 0o600,
    '/etc/meshsan/ca-key.pem': 0o600,
    '/etc/meshsan/ca.pem': 0o644,
    '/etc/meshsan/manager': 0o600,
  });
});

const setupOf = ({ steps }: Plan): readonly string[] =>
  steps.flatMap((step) => (step.kind === 'setup' && step.args[0] === 'mdm' ? step.args : []));
const foundAt = (host: string, systemId: string, ...mdmHosts: string[]) => ({
  ...{ host, systemId, mdmHosts },
});

test('the primary controller makes the system; the others wait to be taken in', async (t) => {
  const primary = await plan('mdm', factsOf(128));
  t.true(abouts(primary).includes('start meshsan-mdm.service'));
  t.true(setupOf(primary).includes('--system-name'));
  t.regex(
    primary.notes.join(),
    /MDM cluster: node-128 manager, node-129 manager, node-131 tie-breaker/,
  );
  const other = await plan('mdm', factsOf(129));
  t.true(abouts(other).includes('start meshsan-mdm.service'));
  t.true(setupOf(other).includes('--standby'));
  t.true(abouts(other).includes('the system was made on 192.168.0.2'));
});

test('an MDM that is there stays what it is, whoever is the primary controller now', async (t) => {
  const record = { text: '192.168.0.9\n', mode: 0o600 };
  const managers = [foundAt('192.168.0.2', 'a', '192.168.0.2', '192.168.0.3', '192.168.0.4')];
  const run = async (uid: number, config: object): Promise<Plan> => {
    const { self, environment } = factsOf(uid);
    const secrets = await secretsOf(environment, NOW_MS);
    const addresses = [{ host: self.managementAddress, role: 'all' }];
    const text = (value: object): FileSeen => ({ text: JSON.stringify(value), mode: 0o600 });
    const hosts = ['192.168.0.2', '192.168.0.3', '192.168.0.4'];
    const files = new Map<string, FileSeen>([
      ['/etc/meshsan/mdm.json', text({ name: self.name, addresses, ...config })],
      ['/etc/meshsan/scli.json', text({ mdm: hosts.map((host) => ({ host, port: 6611 })) })],
      ['/etc/meshsan/manager', record],
      ['/etc/meshsan/secret', { text: `${secrets.system}\n`, mode: 0o600 }],
      ['/etc/meshsan/admin-password', { text: `${secrets.adminPassword}\n`, mode: 0o600 }],
      ['/etc/meshsan/ca-key.pem', { text: secrets.authorityKeyPem, mode: 0o600 }],
      ['/etc/meshsan/ca.pem', { text: secrets.authorityPem, mode: 0o644 }],
    ]);
    const units = new Map([['meshsan-mdm.service', RUNNING]]);
    return plan('mdm', factsOf(uid), { files, units, managers });
  };
  const { label: systemName } = factsOf(128).environment;
  t.deepEqual(abouts(await run(128, { systemName, initialAdmin: {} })), []);
  t.deepEqual(abouts(await run(129, {})), []);
  // The first maker was taken out of the cluster, and runs: it waits like any other.
  t.deepEqual(abouts(await run(131, { systemName, initialAdmin: {} })), []);
});

test('a controller that became primary makes no second system', async (t) => {
  const made = fixture();
  const moved = {
    ...made,
    nodes: made.nodes.map((node) => ({
      ...node,
      roles:
        node.uid === 129 ? ['primary-controller'] : node.uid === 128 ? ['controller'] : node.roles,
    })),
  };
  const managers = [foundAt('192.168.0.2', 'a', '192.168.0.2')];
  const there = await plan('mdm', factsOf(129, moved), { managers });
  t.true(setupOf(there).includes('--standby'));
  const record = new Map([['/etc/meshsan/manager', { text: '192.168.0.2\n', mode: 0o600 }]]);
  const silent = await plan('mdm', factsOf(129, moved), { files: record });
  t.deepEqual(silent.steps, []);
  t.regex(
    silent.refusals.join(),
    /was made on 192.168.0.2, and no MDM answers; starting an empty one here would forget every volume/,
  );
});

test('two MDMs with data are refused', async (t) => {
  const maker = { text: JSON.stringify({ initialAdmin: {} }), mode: 0o600 };
  const files = new Map([['/etc/meshsan/mdm.json', maker]]);
  const managers = [foundAt('192.168.0.3', 'a', '192.168.0.3')];
  const { refusals, steps } = await plan('mdm', factsOf(128), { files, managers });
  t.deepEqual(steps, []);
  t.regex(refusals.join(), /two metadata managers of one system/);
  const both = [...managers, foundAt('192.168.0.2', 'b', '192.168.0.2')];
  const units = new Map([['meshsan-mdm.service', RUNNING]]);
  const running = await plan('mdm', factsOf(128), { files, units, managers: both });
  t.deepEqual(running.steps, []);
  t.regex(running.refusals.join(), /two systems answer in this environment: a on .*3, b on .*2/);
});

test('a changed list of MDM addresses alone restarts no server', async (t) => {
  const sds = (mdm: readonly string[], name = 'node-128') => ({
    name,
    addresses: [
      { host: '192.168.1.2', role: 'all' },
      { host: '192.168.0.2', role: 'management' },
    ],
    mdm: mdm.map((host) => ({ host, port: 6611 })),
    deviceSearch: ['/var/lib/meshsan/sds', '/dev/sdb'],
  });
  const steps = async (config: object): Promise<string[]> => {
    const secrets = await secretsOf(factsOf(128).environment, NOW_MS);
    const files = new Map([
      ['/etc/meshsan/sds.json', { text: JSON.stringify(config), mode: 0o600 }],
      ['/etc/meshsan/secret', { text: `${secrets.system}\n`, mode: 0o600 }],
    ]);
    const units = new Map([['meshsan-sds.service', RUNNING]]);
    const cluster = {
      ...CLUSTER,
      sds: [
        {
          key: 5,
          name: 'node-128',
          hosts: [],
          connected: true,
          devices: [{ key: 6, path: '/dev/sdb', pool: 'default', connected: true, failure: '' }],
        },
      ],
    };
    return abouts(await plan('sds', factsOf(128), { files, units, cluster }));
  };
  t.deepEqual(await steps(sds(['192.168.0.2', '192.168.0.3', '192.168.0.4'])), []);
  t.deepEqual(await steps(sds(['192.168.0.2', '192.168.0.3'])), ['configuration of sds (mdm)']);
  t.deepEqual(await steps(sds(['192.168.0.9'])), [
    'configuration of sds (mdm)',
    'restart meshsan-sds.service',
  ]);
  t.deepEqual(await steps(sds(['192.168.0.2', '192.168.0.3', '192.168.0.4'], 'other')), [
    'configuration of sds (name)',
    'restart meshsan-sds.service',
  ]);
});

test('devices: what carries anything is erased only when this node names it; what is in use, never', async (t) => {
  const look = async (device: Partial<DeviceSeen>, settings = {}): Promise<Plan> =>
    plan('precheck', factsOf(128, withSettings(settings)), {
      devices: new Map([['/dev/sdb', { ...EMPTY_DEVICE, ...device }]]),
      cluster: CLUSTER,
    });
  const here = { takeover_devices: 'node-128: /dev/sdb' };
  const elsewhere = { takeover_devices: 'node-129: /dev/sdb' };
  const refusal = async (device: Partial<DeviceSeen>, settings = {}): Promise<string> =>
    (await look(device, settings)).refusals.join('\n');
  t.is(await refusal({}), '');
  const foreign = { foreign: 'an ext4 file system' };
  t.regex(
    await refusal(foreign),
    /carries an ext4 file system; nothing is erased unasked: .* for node node-128 in takeover_devices/,
  );
  t.regex(await refusal(foreign, elsewhere), /nothing is erased unasked/);
  t.is(await refusal(foreign, here), '');
  const other = { systemId: 'bbbb000000000001', deviceKey: 7 };
  t.regex(await refusal(other), /is device 7 of another MeshSAN system \(bbbb000000000001\)/);
  t.regex(
    await refusal({ systemId: CLUSTER.systemId, deviceKey: 7 }),
    /of this MeshSAN system, which no longer knows it/,
  );
  t.regex(await refusal({ damaged: 'checksum' }), /damaged MeshSAN device/);
  t.regex(
    await refusal({ inUse: 'it is mounted on /srv' }, here),
    /is in use: it is mounted on \/srv/,
  );
  t.regex(await refusal({ sizeBytes: 2 ** 20 }, here), /at least 1 GiB are needed/);
  t.regex(await refusal({ fault: '/dev/sdb does not exist' }, here), /does not exist/);
});

test('only a device that this node names is formatted by force', async (t) => {
  const seen = {
    cluster: CLUSTER,
    devices: new Map([['/dev/sdb', { ...EMPTY_DEVICE, foreign: 'swap space' }]]),
  };
  const named = withSettings({ takeover_devices: 'node-128: /dev/sdb' });
  const { steps } = await plan('sds', factsOf(128, named), seen);
  const [request] = steps.flatMap((step) => (step.kind === 'cluster' ? [step.request] : []));
  t.deepEqual(request, {
    op: 'addSds',
    domain: 'default',
    name: 'node-128',
    addresses: [
      { host: '192.168.1.2', role: 'all' },
      { host: '192.168.0.2', role: 'management' },
    ],
    devices: [{ pool: 'default', path: '/dev/sdb', force: true }],
  });
  const plain = await plan('sds', factsOf(128), { cluster: CLUSTER });
  const [gentle] = plain.steps.flatMap((step) => (step.kind === 'cluster' ? [step.request] : []));
  t.true(gentle?.op === 'addSds' && !gentle.devices.some(({ force }) => force));
});

test('a host that lacks its addresses, or memory, is refused', async (t) => {
  const host = { memoryBytes: 2 ** 29, addresses: ['10.0.0.1'], hostName: 'x' };
  const { refusals } = await plan('precheck', factsOf(128), { host, cluster: CLUSTER });
  t.regex(refusals.join('\n'), /0.5 GiB of memory; at least 1.5 GiB are needed/);
  t.regex(refusals.join('\n'), /should have the address 192.168.0.2, but has 10.0.0.1/);
});

test('cluster: made from nothing, then nothing; a changed option is one step', async (t) => {
  const facts = factsOf(128);
  const first = await plan('cluster', facts, { cluster: CLUSTER });
  t.deepEqual(abouts(first), [
    'protection domain default',
    'storage pool default/default (SSD, media, spare 10 %)',
    'account openstack for Cinder (frontendConfigure)',
    'record of this deployment',
  ]);
  const pool = {
    key: 3,
    name: 'default',
    domain: 'default',
    mediaType: 'SSD',
    durability: 'media',
    zeroPadding: true,
    checksums: true,
    rmcache: false,
    sparePercent: 10,
    alertHighPercent: 80,
    alertCriticalPercent: 90,
    volumes: 0,
  };
  const cluster = {
    ...CLUSTER,
    domains: ['default'],
    pools: [pool],
    users: ['admin', 'openstack'],
  };
  const files = filesAfter(first.steps);
  t.deepEqual(abouts(await plan('cluster', facts, { cluster, files })), []);
  const other = factsOf(128, withSettings({ spare_percent: '34', rmcache_usage: true }));
  t.deepEqual(abouts(await plan('cluster', other, { cluster, files })), [
    'storage pool default/default: rmcache false becomes true, sparePercent 10 becomes 34',
  ]);
});

test('members that left: only those of the record, by force only when they are away', async (t) => {
  const facts = factsOf(128);
  const sds = (name: string, connected: boolean) => ({
    key: 9,
    name,
    hosts: [],
    connected,
    devices: [],
  });
  const record = {
    text: JSON.stringify({ environment: 'x', nodes: ['node-128', 'node-140', 'node-141'] }),
    mode: 0o600,
  };
  const cluster = {
    ...CLUSTER,
    sds: [sds('node-140', false), sds('node-141', true), sds('stranger', false)],
    sdcs: [
      { key: 20, name: 'node-140', guid: 'A', approved: true, connected: false, mappings: 0 },
      { key: 21, name: 'node-141', guid: 'B', approved: true, connected: false, mappings: 2 },
    ],
  };
  const files = new Map([['/etc/meshsan/deployment.json', record]]);
  const { steps, notes } = await plan('cluster', facts, { cluster, files });
  const requests = steps.flatMap((step) => (step.kind === 'cluster' ? [step.request] : []));
  t.deepEqual(
    requests.filter(({ op }) => op.startsWith('remove')),
    [
      { op: 'removeSds', name: 'node-140', force: true },
      { op: 'removeSds', name: 'node-141', force: false },
      { op: 'removeSdc', name: 'node-140' },
    ],
  );
  t.regex(notes.join('\n'), /node-141 left the environment and still has 2 volumes mapped/);
  t.regex(notes.join('\n'), /SDS stranger is not of this environment; it is left alone/);
});

test('two servers gone at once, with data that nobody has: refused', async (t) => {
  const sds = (name: string) => ({ key: 9, name, hosts: [], connected: false, devices: [] });
  const record = { text: JSON.stringify({ nodes: ['node-140', 'node-141'] }), mode: 0o600 };
  const { refusals } = await plan('cluster', factsOf(128), {
    cluster: { ...CLUSTER, sds: [sds('node-140'), sds('node-141')], unavailableCombs: 7 },
    files: new Map([['/etc/meshsan/deployment.json', record]]),
  });
  t.regex(
    refusals.join(),
    /node-140, node-141 left the environment at once and 7 placement groups have no copy/,
  );
});

test('whether a node may leave', (t) => {
  const device = { key: 6, path: '/dev/sdb', pool: 'default', connected: true, failure: '' };
  const view: ClusterView = {
    ...CLUSTER,
    pools: [{ name: 'default', volumes: 3 } as ClusterView['pools'][number]],
    sds: [{ key: 5, name: 'node-132', hosts: [], connected: true, devices: [device] }],
  };
  t.regex(
    judgeRemoval(view, 'node-132', '192.168.0.5').reasons.join(),
    /holds copies of 3 volumes; scli --remove_sds --sds_name node-132 moves them/,
  );
  t.true(judgeRemoval({ ...view, pools: [] }, 'node-132', '192.168.0.5').removable);
  const first = judgeRemoval(CLUSTER, 'node-128', '192.168.0.2');
  t.regex(first.reasons.join(), /has the only copy of the metadata/);
  t.false(first.removable);
  const mdms = [2, 3, 4].map((last) => ({
    ...{ name: `node-${126 + last}`, host: `192.168.0.${last}`, role: 'manager' as const },
    ...{ member: true, master: last === 2, up: true },
  }));
  const one = judgeRemoval({ ...CLUSTER, mdms }, 'node-128', '192.168.0.2');
  t.true(one.removable);
  t.regex(one.reasons.join(), /a manager of the MDM cluster, in which the next deployment puts/);
  const degraded = mdms.map((mdm) => ({ ...mdm, up: mdm.host !== '192.168.0.4' }));
  const held = judgeRemoval({ ...CLUSTER, mdms: degraded }, 'node-128', '192.168.0.2');
  t.false(held.removable);
  t.regex(held.reasons.join(), /and node-130 does not answer; bring it back first/);
  const away = { ...view, sds: view.sds.map((sds) => ({ ...sds, connected: false })) };
  t.true(judgeRemoval(away, 'node-132', '192.168.0.5').removable);
  t.false(judgeRemoval({ ...away, unavailableCombs: 1 }, 'node-132', '192.168.0.5').removable);
});

test('HAProxy: all gateways behind both virtual addresses; Debian reads conf.d by its defaults file', async (t) => {
  const files = new Map([
    ['/etc/haproxy/haproxy.cfg', { text: 'global\n', mode: 0o644 }],
    ['/etc/default/haproxy', { text: '# x\nEXTRAOPTS="-de -m 16"\n', mode: 0o644 }],
  ]);
  const { steps } = await plan('haproxy', factsOf(128), { files });
  const texts = filesAfter(steps);
  const service = texts.get('/etc/haproxy/conf.d/201-meshsan-gateway.cfg')?.text ?? '';
  t.regex(service, /bind 172.16.0.5:4443 transparent\n {2}bind 192.168.0.6:4443 transparent/);
  t.is(service.match(/^ {2}server /gm)?.length, 3);
  t.false(service.includes('backup'));
  t.is(
    texts.get('/etc/default/haproxy')?.text,
    '# x\nEXTRAOPTS="-de -m 16 -f /etc/haproxy/conf.d"\n',
  );
  const again = await plan('haproxy', factsOf(128), {
    files: new Map([...files, ...texts]),
    units: new Map([['haproxy.service', RUNNING]]),
  });
  t.deepEqual(again.steps, []);
  const fuel = await plan('haproxy', factsOf(128), {
    files: new Map([
      ['/etc/haproxy/haproxy.cfg', { text: 'global\ninclude conf.d/*.cfg\n', mode: 0o644 }],
    ]),
  });
  t.deepEqual(abouts(fuel), ['gateways behind HAProxy', 'HAProxy reads its files again']);
  t.regex(
    (await plan('haproxy', factsOf(128), {})).refusals.join(),
    /HAProxy is not installed here/,
  );
});

test('packages: only those of the roles, in the version of the deployer', async (t) => {
  const { steps } = await plan('packages', factsOf(132), {
    packages: new Map([
      ['meshsan-runtime', VERSION],
      ['meshsan-sds', '1.0.0'],
    ]),
  });
  const [step] = steps;
  t.true(step?.kind === 'packages');
  if (step?.kind !== 'packages') return;
  t.true(step.names.includes(`meshsan-sds=${VERSION}`));
  t.false(step.names.some((name) => /runtime|mdm|gateway/.test(name)));
});

test('packages: etcd for the MDM cluster, its own service kept from starting; one that is there is left alone', async (t) => {
  const facts = factsOf(129);
  const ours = new Map(
    ['runtime', 'deploy', 'lia', 'cli', 'mdm', 'gateway', 'sds', 'sdc', 'cinder-bridge'].map(
      (name): [string, string | null] => [`meshsan-${name}`, VERSION],
    ),
  );
  const store = async (
    installed: string | null,
    candidate: string | null,
    units = new Map<string, UnitSeen>(),
  ): Promise<Plan> =>
    plan('packages', facts, {
      ...{ units, packages: new Map([...ours, ['etcd-server', installed]]) },
      candidates: new Map([['etcd-server', candidate]]),
    });
  const fresh = await store(null, '3.4.23-4+b4');
  t.deepEqual(
    fresh.steps.map((step) => (step.kind === 'run' ? step.argv.join(' ') : step.kind)),
    ['systemctl mask --quiet etcd.service', 'packages'],
  );
  t.deepEqual((await store('3.4.23-4+b4', '3.4.23-4+b4')).steps, []);
  const own = new Map([['etcd.service', RUNNING]]);
  t.deepEqual(
    (await store(null, '3.5.1', own)).steps.map(({ kind }) => kind),
    ['packages'],
  );
  const old = await store(null, '3.3.25+dfsg-7');
  t.deepEqual(old.steps, []);
  t.regex(old.notes.join(), /have etcd-server 3.3.25.*needs etcd-server 3.4 or newer/);
  t.regex((await store(null, null)).notes.join(), /have no etcd-server; the MDM .* cannot/);
  t.regex((await store('3.2.17', '3.4.1')).notes.join(), /3.2.17 is installed here and left alone/);
  const compute = await plan('packages', factsOf(132));
  t.false(JSON.stringify(compute.steps).includes('etcd'));
});

test('partitions of ours are found by their type', (t) => {
  const text = `/dev/sda \n/dev/sda1 0fc63daf-8483-4772-8e79-3d69d8477de4\n/dev/sdb3 ${PARTITION_GUID.toUpperCase()}\n`;
  t.deepEqual(partitionsIn(text), ['/dev/sdb3']);
});

test('Cinder: our back-ends beside those that are there; the default type is that of the first driver', async (t) => {
  const cinder = {
    text: '[DEFAULT]\nenabled_backends = lvm\ndefault_volume_type = lvm\n',
    mode: 0o640,
  };
  const files = new Map([['/etc/cinder/cinder.conf', cinder]]);
  const units = new Map([['cinder-volume.service', RUNNING]]);
  const both = await plan('cinder', factsOf(128, withSettings({ cinder_driver: 'both' })), {
    files,
    units,
  });
  const after = filesAfter(both.steps);
  const text = after.get('/etc/cinder/cinder.conf')?.text ?? '';
  t.regex(text, /^enabled_backends = lvm,meshsan,powerflex$/m);
  t.regex(text, /^default_volume_type = meshsan$/m);
  t.regex(text, /^\[meshsan\]\nvolume_driver = meshsan_cinder\.driver\.MeshSANDriver$/m);
  t.regex(text, /^san_ip = 192\.168\.0\.6$/m);
  t.deepEqual(both.notes, ['default_volume_type was lvm']);
  t.deepEqual(both.steps.at(-1), {
    kind: 'unit',
    unit: 'cinder-volume.service',
    action: 'restart',
    about: 'restart cinder-volume.service',
  });
  for (const [path, { mode }] of after)
    if (path.startsWith('/etc/meshsan/cinder-bridge') || path.endsWith('connector.conf'))
      t.is(mode, 0o600, path);
  const again = await plan('cinder', factsOf(128, withSettings({ cinder_driver: 'both' })), {
    files: new Map([...files, ...after]),
    units: new Map([...units, ['meshsan-cinder-bridge.service', RUNNING]]),
  });
  t.deepEqual(again.steps, []);
  const kept = await plan('cinder', factsOf(128, withSettings({ default_volume_type: false })), {
    files,
  });
  t.regex(
    filesAfter(kept.steps).get('/etc/cinder/cinder.conf')?.text ?? '',
    /^default_volume_type = lvm$/m,
  );
  t.regex((await plan('cinder', factsOf(128), {})).refusals.join(), /Cinder is not installed/);
});

test("Cinder's API: a controller without volumes gets the default type alone, after the types were made", async (t) => {
  const made = fixture({
    nodes: fixture().nodes.map((node) =>
      node.uid === 129 ? { ...node, roles: ['controller'] } : node,
    ),
  });
  const path = '/etc/cinder/cinder.conf';
  const files = new Map([[path, { text: '[DEFAULT]\nenabled_backends = lvm\n', mode: 0o640 }]]);
  const facts = factsOf(129, made);
  const own = await plan('cinder', facts, {
    files,
    units: new Map([
      ['cinder-api.service', RUNNING],
      ['cinder-volume.service', RUNNING],
    ]),
  });
  t.deepEqual(abouts(own), ["Cinder's default type", 'restart cinder-api.service']);
  const text = filesAfter(own.steps).get(path)?.text ?? '';
  t.is(text, '[DEFAULT]\nenabled_backends = lvm\ndefault_volume_type = meshsan\n');
  const site = new Map([
    ...files,
    ['/etc/apache2/conf-enabled/cinder-wsgi.conf', { text: '', mode: 0o644 }],
  ]);
  const units = new Map([['apache2.service', RUNNING]]);
  const inApache = await plan('cinder', facts, { files: site, units });
  t.deepEqual(
    inApache.steps.flatMap((step) => (step.kind === 'unit' ? [`${step.action} ${step.unit}`] : [])),
    ['reload apache2.service'],
  );
  const without = await plan('cinder', facts, {});
  t.deepEqual([without.steps, without.refusals], [[], []]);
  const order = Object.keys(TASKS);
  t.true(order.indexOf('types') < order.indexOf('cinder'));
});

test('Nova: with our driver alone no password lies on the compute node', async (t) => {
  const files = new Map([['/etc/nova/nova.conf', { text: '[DEFAULT]\n', mode: 0o640 }]]);
  const ours = await plan('nova', factsOf(132, withSettings({ cinder_driver: 'meshsan' })), {
    files,
  });
  t.deepEqual([...filesAfter(ours.steps).keys()], ['/etc/nova/nova.conf']);
  const stock = await plan('nova', factsOf(132, withSettings({ cinder_driver: 'powerflex' })), {
    files,
  });
  t.true(filesAfter(stock.steps).has('/opt/emc/scaleio/openstack/connector.conf'));
  const enough = new Map([
    ['/etc/nova/nova.conf', { text: '[libvirt]\nnum_volume_scan_tries = 30\n', mode: 0o640 }],
  ]);
  const patient = await plan('nova', factsOf(132, withSettings({ cinder_driver: 'meshsan' })), {
    files: enough,
  });
  t.deepEqual(patient.steps, []);
});

test('an existing cluster: clients and OpenStack only', async (t) => {
  const made = fixture({
    settings: {
      existing_cluster: true,
      gateway_ip: '10.9.0.1',
      gateway_password: 'Given1234',
      mdm_addresses: '10.9.0.2,10.9.0.3',
      system_secret: 'cd'.repeat(32),
    },
  });
  const facts = factsOf(132, made);
  const applied = (Object.entries(TASKS) as [TaskId, Task][])
    .filter(([, task]) =>
      facts.environment.nodes.some((node) => task.applies(facts.environment, node)),
    )
    .map(([id]) => id);
  t.deepEqual(applied, ['precheck', 'packages', 'lia', 'sdc', 'types', 'cinder', 'nova']);
  const sdc = await plan('sdc', facts);
  t.is(filesAfter(sdc.steps).get('/etc/meshsan/secret')?.text, `${'cd'.repeat(32)}\n`);
  const setup = sdc.steps.find((step) => step.kind === 'setup');
  t.deepEqual(
    setup?.args.filter((word) => word.startsWith('10.9')),
    ['10.9.0.2', '10.9.0.3'],
  );
});

test('the agent of a node is enrolled before it starts, and only the primary controller can sign', async (t) => {
  const primary = await plan('lia', factsOf(128));
  const files = (steps: readonly Step[]) =>
    steps.flatMap((step) => (step.kind === 'file' ? [step.path] : []));
  t.deepEqual(files(primary.steps), [
    '/etc/meshsan/lia-token',
    '/etc/meshsan/lia-signer.pem',
    '/etc/meshsan/lia-signer-key.pem',
  ]);
  t.deepEqual(
    primary.steps.slice(3).map(({ kind }) => kind),
    ['setup', 'enable', 'unit'],
  );
  const other = await plan('lia', factsOf(132));
  t.false(files(other.steps).includes('/etc/meshsan/lia-signer-key.pem'));
});

test('an agent that has everything is left alone; with another token it starts again', async (t) => {
  const { environment, self } = factsOf(132);
  const secrets = await secretsOf(environment, NOW_MS);
  const config = {
    name: self.name,
    listen: [{ host: self.managementAddress, port: 9099 }],
    signerFile: '/etc/meshsan/lia-signer.pem',
  };
  const seen = (token: string): Partial<Observation> => ({
    files: new Map<string, FileSeen>([
      ['/etc/meshsan/lia.json', { text: JSON.stringify(config), mode: 0o600 }],
      ['/etc/meshsan/lia-token', { text: `${token}\n`, mode: 0o600 }],
      ['/etc/meshsan/lia-signer.pem', { text: secrets.signerPem, mode: 0o644 }],
    ]),
    units: new Map([['meshsan-lia.service', RUNNING]]),
  });
  const right = await plan('lia', factsOf(132), seen(secrets.agentToken));
  t.deepEqual(right.steps, []);
  const { steps } = await plan('lia', factsOf(132), seen('0'.repeat(64)));
  t.deepEqual(
    steps.map(({ kind }) => kind),
    ['file', 'unit'],
  );
});

test('what agents report counts: a node that cannot be asked, another version, a failed service', async (t) => {
  const facts = factsOf(128);
  const row = { name: 'meshsan-lia', version: VERSION, state: 'installed' };
  const right: AgentSeen = { fault: null, packages: [row], failed: [] };
  const faultsWith = async (agent: AgentSeen): Promise<string> => {
    const nodes = facts.environment.nodes.map(({ managementAddress }) => managementAddress);
    const agents = new Map(nodes.map((host, index) => [host, index === 0 ? agent : right]));
    const { refusals } = await plan('verify', facts, { cluster: CLUSTER, agents });
    return refusals.filter((text) => /agent|meshsan-/.test(text)).join();
  };
  t.is(await faultsWith(right), '');
  t.regex(await faultsWith({ ...right, fault: 'nobody listens there' }), /the agent of .*: nobody/);
  t.regex(
    await faultsWith({ ...right, packages: [{ ...row, version: '1.0' }] }),
    /meshsan-lia on \S+ is 1\.0 instead of 1\.2\.3/,
  );
  t.regex(await faultsWith({ ...right, failed: ['meshsan-sds'] }), /meshsan-sds failed on/);
});
