import test from 'ava';
import { readInventory } from '../../../backend/deploy/environment/inventory.js';
import {
  EnvironmentError,
  devicesOf,
  takeoverOf,
} from '../../../backend/deploy/environment/model.js';

const KEY = 'ab'.repeat(32);
const NODES = `nodes:
  - { name: ctl1, roles: [primary-controller, cinder], management: 10.0.0.11, storage: 10.1.0.11 }
  - { name: ctl2, roles: [controller], management: 10.0.0.12, ssh: { port: 2222 } }
  - { name: ctl3, roles: [controller], management: 10.0.0.13, devices: [/dev/sdd=fast], takeover: [/dev/sdd] }
  - { name: cmp1, roles: [compute, storage], management: 10.0.0.21 }
`;
const TEXT = `name: prod
managementVip: 10.0.0.2
ssh: { user: deploy, key: /root/key }
${NODES}settings:
  storage_pools: "default:HDD,fast:SSD"
  device_paths: /dev/sdb
`;

function faultsOf(text: string): readonly string[] {
  try {
    readInventory('inventory.yaml', text, KEY);
    return [];
  } catch (error) {
    if (error instanceof EnvironmentError) return error.faults;
    throw error;
  }
}

test('nodes, how to reach them, and their devices', (t) => {
  const { environment, ssh } = readInventory('inventory.yaml', TEXT, KEY);
  t.deepEqual(ssh.get('ctl2'), {
    host: '10.0.0.12',
    port: 2222,
    user: 'deploy',
    keyFile: '/root/key',
    hostKey: '',
  });
  t.deepEqual(
    environment.nodes.map((node) =>
      devicesOf(environment, node).map(({ path, pool }) => `${path}=${pool}`),
    ),
    [['/dev/sdb=default'], ['/dev/sdb=default'], ['/dev/sdd=fast'], ['/dev/sdb=default']],
  );
  t.deepEqual(
    environment.nodes.map((node) => [...takeoverOf(environment, node)]),
    [[], [], ['/dev/sdd'], []],
  );
  // Without a storage network everything goes over the management network.
  t.is(environment.nodes[1]?.storageAddress, '10.0.0.12');
});

test('what is wrong is named with what would be right', (t) => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['managementVip', 'managementVIP', /unknown key "managementVIP".*did you mean "managementVip"/],
    [
      'roles: [controller], management: 10.0.0.12',
      'roles: [kontroller], management: 10.0.0.12',
      /roles.0 must be one of/,
    ],
    [
      'management: 10.0.0.12',
      'management: 10.0.0.11',
      /nodes ctl1 and ctl2 have the same address 10.0.0.11/,
    ],
    [
      'roles: [controller], management: 10.0.0.12',
      'roles: [primary-controller], management: 10.0.0.12',
      /are both primary-controller/,
    ],
    [
      'management: 10.0.0.21',
      'management: compute',
      /node cmp1 needs a management address \(IPv4\), has "compute"/,
    ],
    ['name: cmp1', 'name: Compute_1', /must be a short host name/],
    ['device_paths', 'device_pahts', /setting device_pahts is unknown; did you mean device_paths/],
    ['/dev/sdd=fast', '/dev/sdd=gold', /for pool gold, but storage_pools has only default, fast/],
    [
      'managementVip: 10.0.0.2',
      'managementVip: 10.0.0.11',
      /virtual address 10.0.0.11 is the address of node ctl1/,
    ],
    ['name: prod', 'name: [', /line \d+, column \d+/],
  ];
  for (const [from, to, expected] of cases) {
    const text = TEXT.replace(from, to);
    t.not(text, TEXT);
    t.regex(faultsOf(text).join('\n'), expected);
  }
});

test('a compute node is needed, and three controllers', (t) => {
  const text = TEXT.replace(/ {2}- \{ name: cmp1.*\n/, '').replace(/ {2}- \{ name: ctl3.*\n/, '');
  t.regex(faultsOf(text).join('\n'), /at least 3 controllers.*\n.*at least 1 compute/);
});
