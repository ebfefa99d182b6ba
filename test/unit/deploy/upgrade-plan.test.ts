// What a rolling upgrade does next, and what keeps it from beginning.

import test from 'ava';

import { copiesMissing, faultsOf, stepsOf, turns } from '../../../backend/deploy/plan/upgrade.js';
import type { UpgradeCluster, UpgradeNode } from '../../../backend/deploy/plan/upgrade.js';

const GOAL = { version: '2', protocolMax: 2 };

function node(number: number, version: string, state = 'active'): UpgradeNode {
  return {
    ...{ host: `10.0.0.${number}`, name: `n${number}` },
    addresses: [`10.0.0.${number}`, `10.1.0.${number}`],
    packages: [
      { name: 'meshsan-runtime', version, state: 'installed' },
      { name: 'meshsan-sds', version, state: 'installed' },
    ],
    services: [{ unit: 'meshsan-sds', state }],
  };
}

function cluster(changes: Partial<UpgradeCluster> = {}): UpgradeCluster {
  const numbers = [1, 2, 3];
  return {
    ...{ clusterVersion: 1, devicesAway: [], degradedCombs: 0, unavailableCombs: 0 },
    sds: numbers.map((number) => ({
      ...{ key: 10 + number, name: `s${number}`, hosts: [`10.1.0.${number}`], connected: true },
      ...{ maintenance: 'none', stage: 'none' },
    })),
    mdms: numbers.slice(0, 2).map((number) => ({
      ...{ key: number, name: `m${number}`, host: `10.0.0.${number}`, isMember: true, isUp: true },
      ...{ isManager: true, isMaster: number === 1 },
    })),
    ...changes,
  };
}

const ALL = [node(1, '1'), node(2, '1'), node(3, '1')];

test('standby MDMs come first, then the master, then everybody else', (t) => {
  t.deepEqual(
    turns(ALL, cluster()).map(({ name }) => name),
    ['n2', 'n1', 'n3'],
  );
});

test('a node hands its mastership over and rests before its packages are replaced, and returns afterwards', (t) => {
  const kinds = (steps: ReturnType<typeof stepsOf>): string[] => steps.map(({ kind }) => kind);
  t.deepEqual(kinds(stepsOf(node(1, '1'), cluster(), GOAL)), [
    'handOver',
    'rest',
    'install',
    'return',
  ]);
  t.deepEqual(kinds(stepsOf(node(3, '1'), cluster(), GOAL)), ['rest', 'install', 'return']);
  t.deepEqual(stepsOf(node(3, '2'), cluster(), GOAL), []);
});

test('a run goes on where one stopped', (t) => {
  const resting = cluster();
  const sds = resting.sds.map((one) =>
    one.key === 13 ? { ...one, maintenance: 'instant', stage: 'active' } : one,
  );
  const kinds = (version: string): string[] =>
    stepsOf(node(3, version), { ...resting, sds }, GOAL).map(({ kind }) => kind);
  t.deepEqual(kinds('1'), ['install', 'return']);
  t.deepEqual(kinds('2'), ['return']);
  t.is(turns(ALL, { ...resting, sds })[0]?.name, 'n3');
  t.regex(faultsOf(ALL, { ...resting, sds }, GOAL, false).join(), /name --resume/);
  t.deepEqual(faultsOf(ALL, { ...resting, sds, degradedCombs: 4 }, GOAL, true), []);
});

test('a package that is half installed is installed again', (t) => {
  const half = node(3, '2');
  const packages = half.packages.map((row) => ({ ...row, state: 'half-configured' }));
  t.deepEqual(
    stepsOf({ ...half, packages }, cluster(), GOAL).map(({ kind }) => kind),
    ['rest', 'install', 'return'],
  );
});

for (const [what, nodes, changes, words] of [
  ['a raised cluster', ALL, { clusterVersion: 3 }, /raised to version 3, 2 speaks up to 2/],
  [
    'a failed service',
    [...ALL.slice(1), node(1, '1', 'failed')],
    {},
    /meshsan-sds has failed on n1/,
  ],
  ['a missing copy', ALL, { degradedCombs: 2 }, /2 combs lack a copy/],
  ['a device that is away', ALL, { devicesAway: ['device d'] }, /device d is not connected/],
  ['a node that was not named', ALL.slice(1), {}, /SDS s1 \(10\.1\.0\.1\) is on none.*MDM m1/],
] as const)
  test(`it does not begin with ${what}`, (t) => {
    t.regex(faultsOf(nodes, cluster(changes), GOAL, false).join('; '), words);
  });

test('nothing is said of a cluster in which all is well', (t) => {
  t.deepEqual(faultsOf(ALL, cluster(), GOAL, false), []);
  t.deepEqual(copiesMissing(cluster()), []);
});
