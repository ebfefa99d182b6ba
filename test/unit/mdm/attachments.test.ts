// Who relies on a mapping: sharing, leaving, and that a late farewell never takes a mapping away from another.

import test from 'ava';

import type { CommandName } from '../../../backend/protocol/control.js';
import type { CommandParams, CommandResults } from '../../../backend/protocol/generated/types.js';
import { Cluster, SECTORS_PER_GIB, standard } from './harness.js';
import type { TestDevice } from './harness.js';

interface Ready {
  readonly cluster: Cluster;
  readonly devices: readonly TestDevice[];
  readonly volumeKey: number;
  readonly one: number;
  readonly two: number;
}

function ready(): Ready {
  const { cluster, poolKey, devices } = standard();
  const sizeSectors = SECTORS_PER_GIB;
  const params = { poolKey, name: 'v', sizeSectors, provisioning: 'thin', rmcache: true } as const;
  const { key } = cluster.command('ADD_VOLUME', params);
  const one = cluster.sdc(1).sdcKey;
  const two = cluster.sdc(2).sdcKey;
  return { cluster, devices, volumeKey: key, one, two };
}

/** Asks, lets every device apply the commit, and gives the answer. */
function done<N extends CommandName>(
  { cluster, devices }: Ready,
  name: N,
  params: CommandParams[N],
): CommandResults[N] {
  const tag = cluster.begin(name, params);
  cluster.applyAll(devices);
  // The clients of this test never say what they know: the answer waits five seconds for that.
  cluster.pass(5100, () => {
    cluster.applyAll(devices);
  });
  const outcome = cluster.outcome(name, tag);
  if (outcome === null || 'error' in outcome)
    throw new Error(`${name}: ${outcome === null ? 'no answer' : outcome.error}`);
  return outcome;
}

function hold(at: Ready, holder: string, sdcKey = at.one): CommandResults['HOLD_MAPPING'] {
  const { volumeKey } = at;
  return done(at, 'HOLD_MAPPING', { volumeKey, sdcKey, holder, access: 'readWrite' });
}

function release(at: Ready, holder: string, generation = 0): boolean {
  return done(at, 'RELEASE_MAPPING', { volumeKey: at.volumeKey, holder, generation }).unmapped;
}

function generations({ cluster }: Ready): readonly number[] {
  return cluster.query('mapping').mappings.map(({ generation }) => generation);
}

test('a holder maps; the same holder again changes nothing; others share, and the last one unmaps', (t) => {
  const at = ready();
  t.deepEqual(hold(at, 'a'), { generation: 1, shared: false });
  const { sequence } = at.cluster.store;
  t.deepEqual(hold(at, 'a'), { generation: 1, shared: false });
  t.is(at.cluster.store.sequence, sequence, 'nothing was committed');
  t.deepEqual(hold(at, 'b'), { generation: 1, shared: true });
  t.false(release(at, 'a'));
  t.deepEqual(generations(at), [1]);
  t.true(release(at, 'b'));
  t.deepEqual(generations(at), []);
  t.deepEqual(at.cluster.query('attachment').attachments, []);
});

test('a late farewell does not touch the mapping of who came after', (t) => {
  const at = ready();
  const refused = (params: Partial<CommandParams['RELEASE_MAPPING']>): string =>
    at.cluster.refused('RELEASE_MAPPING', {
      ...{ volumeKey: at.volumeKey, holder: 'a', generation: 0 },
      ...params,
    }).error;
  hold(at, 'a');
  t.true(release(at, 'a', 1));
  t.is(hold(at, 'b').generation, 2);
  t.is(refused({}), 'VOLUME_NOT_MAPPED');
  t.is(refused({ holder: 'b', generation: 1 }), 'VOLUME_NOT_MAPPED');
  t.is(refused({ holder: '' }), 'VOLUME_NOT_MAPPED');
  t.is(refused({ volumeKey: 9999 }), 'VOLUME_NOT_FOUND');
  t.deepEqual(generations(at), [2]);
});

test('two hosts at once, as in a live migration: each has its own mapping', (t) => {
  const at = ready();
  t.is(hold(at, 'a').generation, 1);
  t.deepEqual(hold(at, 'b', at.two), { generation: 2, shared: false });
  const { volumeKey } = at;
  const elsewhere = { volumeKey, sdcKey: at.two, holder: 'a', access: 'readWrite' } as const;
  t.is(at.cluster.refused('HOLD_MAPPING', elsewhere).error, 'INVALID_PARAMETER');
  t.true(release(at, 'a'));
  t.deepEqual(generations(at), [2]);
});

test('a mapping that was made by hand stays when its last holder leaves', (t) => {
  const at = ready();
  const { volumeKey, one } = at;
  const byHand = { volumeKey, sdcKey: one, allowMultiple: false, access: 'readWrite' } as const;
  done(at, 'MAP_VOLUME', byHand);
  t.deepEqual(hold(at, 'a'), { generation: 1, shared: true });
  t.false(release(at, 'a'));
  t.deepEqual(generations(at), [1]);
  const other = { volumeKey, sdcKey: one, holder: 'b', access: 'readOnly' } as const;
  t.is(at.cluster.refused('HOLD_MAPPING', other).error, 'INVALID_PARAMETER');
});

test('unmapping by hand strikes the holders out; the ledger outlives the manager', (t) => {
  const at = ready();
  const { cluster, volumeKey } = at;
  hold(at, 'a');
  hold(at, 'b');
  hold(at, 'c', at.two);
  cluster.restart();
  t.deepEqual(
    cluster.query('attachment').attachments.map(({ holder, sdcKey }) => [holder, sdcKey]),
    [
      ['a', at.one],
      ['b', at.one],
      ['c', at.two],
    ],
  );
  cluster.begin('UNMAP_VOLUME', { volumeKey, sdcKeys: [at.one], generation: 0 });
  cluster.settle();
  t.deepEqual(
    cluster.query('attachment').attachments.map(({ holder }) => holder),
    ['c'],
  );
});

test('bad input: holders without a name, unknown volumes and clients', (t) => {
  const at = ready();
  const params = { volumeKey: at.volumeKey, sdcKey: at.one, holder: 'a', access: 'readWrite' };
  const refused = (changes: Partial<CommandParams['HOLD_MAPPING']>): string =>
    at.cluster.refused('HOLD_MAPPING', {
      ...(params as CommandParams['HOLD_MAPPING']),
      ...changes,
    }).error;
  t.is(refused({ holder: '' }), 'INVALID_PARAMETER');
  t.is(refused({ volumeKey: 9999 }), 'VOLUME_NOT_FOUND');
  t.is(refused({ sdcKey: 9999 }), 'SDC_NOT_FOUND');
  t.deepEqual(generations(at), []);
});
