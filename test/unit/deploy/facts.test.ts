import test from 'ava';
import { stringify } from 'yaml';
import { readFacts } from '../../../backend/deploy/environment/astute.js';
import {
  EnvironmentError,
  controllersOf,
  devicesOf,
  mdmAddressesOf,
  takeoverOf,
} from '../../../backend/deploy/environment/model.js';
import { managersOf } from '../../../backend/deploy/plan/managers.js';
import { factsObject, factsText, fixture } from '../../support/deploy-facts.js';
import type { FactsShape, Fixture } from '../../support/deploy-facts.js';

const SHAPES: readonly FactsShape[] = ['6.1', '8.0', '10.0'];

function faultsOf(text: string): readonly string[] {
  try {
    readFacts('astute.yaml', text);
    return [];
  } catch (error) {
    if (error instanceof EnvironmentError) return error.faults;
    throw error;
  }
}

const changed = (uid: number, change: Partial<Fixture['nodes'][number]>): Fixture => {
  const made = fixture();
  return {
    ...made,
    nodes: made.nodes.map((node) => (node.uid === uid ? { ...node, ...change } : node)),
  };
};

for (const shape of SHAPES)
  test(`facts of ${shape}: nodes, roles, addresses and the own node`, (t) => {
    const { environment, self, notes } = readFacts('astute.yaml', factsText(shape, fixture(), 131));
    t.is(self.name, 'node-131');
    t.deepEqual(
      environment.nodes.map(({ name, roles, managementAddress, storageAddress }) => ({
        name,
        roles: [...roles],
        managementAddress,
        storageAddress,
      })),
      [
        ['node-128', ['primary-controller', 'cinder'], 2] as const,
        ['node-129', ['controller', 'cinder'], 3] as const,
        ['node-131', ['controller', 'cinder'], 4] as const,
        ['node-132', ['compute'], 5] as const,
      ].map(([name, roles, last]) => ({
        name,
        roles: [...roles],
        managementAddress: `192.168.0.${last}`,
        storageAddress: `192.168.1.${last}`,
      })),
    );
    t.is(environment.managementVip, '192.168.0.6');
    t.is(environment.publicVip, '172.16.0.5');
    t.deepEqual(notes, []);
    t.deepEqual(
      devicesOf(environment, self).map(({ path, pool }) => `${path} ${pool}`),
      ['/dev/sdb default'],
    );
  });

test('all shapes describe the same environment', (t) => {
  const [flat, both, life] = SHAPES.map(
    (shape) => readFacts('f', factsText(shape, fixture(), 132)).environment,
  );
  t.deepEqual(flat?.nodes, both?.nodes);
  t.deepEqual(both?.nodes, life?.nodes);
});

test('controllers: the primary one first, the others by address; two managers and a tie-breaker of three', (t) => {
  const made = fixture();
  const nodes = made.nodes.map((node) =>
    node.uid === 128
      ? { ...node, roles: ['controller'], management: '192.168.0.20' }
      : node.uid === 131
        ? { ...node, roles: ['primary-controller'] }
        : node,
  );
  const { environment } = readFacts('f', factsText('8.0', { ...made, nodes }, 131));
  t.deepEqual(
    controllersOf(environment).map(({ name }) => name),
    ['node-131', 'node-129', 'node-128'],
  );
  t.deepEqual(mdmAddressesOf(environment), ['192.168.0.4', '192.168.0.3', '192.168.0.20']);
  t.deepEqual(Object.values(managersOf(environment)), ['manager', 'manager', 'tie-breaker']);
});

test('five controllers: three managers and two tie-breakers, a sixth stands by', (t) => {
  const made = fixture();
  const more = [140, 141, 142].map((uid) => ({
    uid,
    roles: ['controller'],
    management: `192.168.0.${uid}`,
    storage: `192.168.1.${uid}`,
  }));
  const { environment } = readFacts(
    'f',
    factsText('8.0', { ...made, nodes: [...made.nodes, ...more] }, 128),
  );
  t.deepEqual(Object.values(managersOf(environment)), [
    'manager',
    'manager',
    'manager',
    'tie-breaker',
    'tie-breaker',
    'standby',
  ]);
});

test('devices of a node: its own attributes, then node_devices, then those of all', (t) => {
  const made = fixture({
    settings: {
      environment_key: 'ab'.repeat(32),
      storage_pools: 'slow:HDD, fast:SSD',
      device_paths: '/dev/sdb',
      node_devices: 'node-129: /dev/disk/by-id/ata-X.1-part2, /dev/sdd=fast\nnode-131: /dev/sde',
      takeover_devices: 'node-129: /dev/sdd',
    },
  });
  const nodes = made.nodes.map((node) =>
    node.uid === 131
      ? { ...node, section: { devices: '/dev/vdb=fast', takeover: '/dev/vdb' } }
      : node,
  );
  const { environment } = readFacts('f', factsText('10.0', { ...made, nodes }, 128));
  const wishes = environment.nodes.map((node) =>
    devicesOf(environment, node).map(({ path, pool }) => `${path}=${pool}`),
  );
  t.deepEqual(wishes, [
    ['/dev/sdb=slow'],
    ['/dev/disk/by-id/ata-X.1-part2=slow', '/dev/sdd=fast'],
    ['/dev/vdb=fast'],
    ['/dev/sdb=slow'],
  ]);
  t.deepEqual(
    environment.nodes.map((node) => [...takeoverOf(environment, node)]),
    [[], ['/dev/sdd'], ['/dev/vdb'], []],
  );
});

test('newer nodes of hiera count', (t) => {
  const made = fixture();
  const added = {
    uid: 150,
    roles: ['compute'],
    management: '192.168.0.50',
    storage: '192.168.1.50',
  };
  const newer = factsObject('6.1', { ...made, nodes: [...made.nodes, added] }, 128);
  const text = stringify({ nodes: newer['nodes'] });
  const { environment } = readFacts('f', factsText('6.1', made, 128), text);
  t.is(environment.nodes.length, 5);
});

test('a role of others gets nothing and is no fault; an unknown one is noted', (t) => {
  const made = changed(132, { roles: ['compute', 'ceph-osd', 'frobnicator'] });
  const { environment, notes } = readFacts('f', factsText('8.0', made, 132));
  t.deepEqual(environment.nodes[3]?.roles, ['compute']);
  t.deepEqual(notes, [
    'node node-132 has the unknown role "frobnicator", which gets nothing from this plugin',
  ]);
});

test('fewer than three controllers, no compute, too few devices: refused with every reason', (t) => {
  const made = fixture();
  const faults = faultsOf(factsText('8.0', { ...made, nodes: made.nodes.slice(0, 2) }, 128));
  t.is(faults.length, 3);
  t.regex(faults[0] ?? '', /at least 3 controllers are needed.*there are 2/);
  t.regex(faults[1] ?? '', /at least 1 compute node is needed/);
  t.regex(faults[2] ?? '', /at least 3 nodes with devices are needed/);
});

test('two primary controllers, and none', (t) => {
  for (const shape of SHAPES) {
    t.deepEqual(faultsOf(factsText(shape, changed(129, { roles: ['primary-controller'] }), 128)), [
      'node-128 and node-129 are both primary-controller; exactly one must be',
    ]);
    t.deepEqual(faultsOf(factsText(shape, changed(128, { roles: ['controller'] }), 128)), [
      'no node has the role primary-controller; exactly one must',
    ]);
  }
});

test('duplicate addresses, also across the networks, and the virtual address of a node', (t) => {
  t.deepEqual(faultsOf(factsText('6.1', changed(129, { management: '192.168.0.2' }), 128)), [
    'nodes node-128 and node-129 have the same address 192.168.0.2',
  ]);
  t.deepEqual(faultsOf(factsText('8.0', changed(132, { storage: '192.168.0.4' }), 128)), [
    'nodes node-131 and node-132 have the same address 192.168.0.4',
  ]);
  t.deepEqual(faultsOf(factsText('10.0', fixture({ managementVip: '192.168.0.3' }), 128)), [
    'the virtual address 192.168.0.3 is the address of node node-129',
  ]);
});

test('missing keys are named', (t) => {
  const whole = factsObject('6.1', fixture(), 128);
  const without = (...keys: string[]): readonly string[] =>
    faultsOf(
      stringify(Object.fromEntries(Object.entries(whole).filter(([name]) => !keys.includes(name)))),
    );
  t.regex(without('nodes').join(), /it names no nodes: neither `nodes` nor `network_metadata/);
  t.regex(without('meshsan').join(), /section meshsan is missing/);
  t.regex(without('management_vip').join(), /management virtual address is missing/);
  // Either of the two says which node this is.
  t.deepEqual(without('uid'), []);
  t.deepEqual(without('fqdn'), []);
  t.regex(without('uid', 'fqdn').join(), /neither `uid` nor `fqdn` says which node this is/);
});

test('nodes with missing keys are named by their place', (t) => {
  const made = factsObject('6.1', fixture(), 128);
  const nodes = made['nodes'] as Record<string, unknown>[];
  delete nodes[1]?.['role'];
  t.regex(faultsOf(stringify(made)).join('\n'), /nodes\[1\] has no role/);
  const address = factsObject('6.1', changed(132, { management: '', storage: '' }), 128);
  t.regex(
    faultsOf(stringify(address)).join('\n'),
    /node node-132 needs a management address \(IPv4\), has none/,
  );
  const described = factsObject('8.0', fixture(), 128);
  const entry = (
    described['network_metadata'] as { nodes: Record<string, Record<string, unknown>> }
  ).nodes['node-129'];
  delete entry?.['network_roles'];
  t.regex(
    faultsOf(stringify(described)).join('\n'),
    /network_metadata.nodes.node-129 has no network_roles/,
  );
});

test('a node that is not in its own facts, a disabled plugin, YAML that is none', (t) => {
  t.regex(
    faultsOf(factsText('8.0', fixture(), 999)).join(),
    /this node \(uid 999.*is not among the nodes/,
  );
  const made = factsObject('8.0', fixture(), 128);
  (made['meshsan'] as { metadata: { enabled: boolean } }).metadata.enabled = false;
  t.regex(faultsOf(stringify(made)).join(), /the plugin is not enabled/);
  t.regex(faultsOf('nodes: [').join(), /line 1, column \d+/);
  t.deepEqual(faultsOf('- 1\n'), ['it must be a mapping of keys']);
});

test('an environment without its key is refused', (t) => {
  const made = fixture({ settings: { device_paths: '/dev/sdb' } });
  t.regex(faultsOf(factsText('6.1', made, 128)).join(), /environment_key is empty/);
});
