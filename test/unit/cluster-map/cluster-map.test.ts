import { REBALANCE_POLICY, REBUILD_POLICY } from '../../../backend/cluster-map/copy-policy.js';
import test from 'ava';

import { ClusterMap } from '../../../backend/cluster-map/cluster-map.js';
import type { MapUpdate } from '../../../backend/cluster-map/cluster-map.js';
import { combOf } from '../../../backend/cluster-map/comb.js';
import { entryFault } from '../../../backend/cluster-map/entry.js';
import type { CombEntry, Mapping } from '../../../backend/protocol/generated/types.js';

const NOTHING: MapUpdate = {
  term: 1,
  sequence: 1,
  full: false,
  last: true,
  pools: [],
  combs: [],
  devices: [],
  volumes: [],
  mappings: [],
  removedDevices: [],
  removedVolumes: [],
  removedMappings: [],
  clusterVersion: 2,
  ...{ merges: [], removedMerges: [], goneVolumes: [], removedLayers: [] },
};

const POOL = {
  key: 7,
  combCountLog2: 2,
  durability: 'media',
  fullPolicy: 'wait',
  active: true,
  ...{ rebuildEnabled: true, rebuild: REBUILD_POLICY, rebalance: REBALANCE_POLICY },
  ...{ rmcache: false, cacheWrites: 'passthrough' as const },
  scanner: null,
} as const;

function entry(index: number, number: number, primary = 0): CombEntry {
  return {
    index,
    generation: { epoch: 1, number },
    members: [
      { deviceKey: 11, incarnation: 3 },
      { deviceKey: 12, incarnation: 4 },
    ],
    primary,
    inSyncMask: 3,
    targetMask: 0,
    blankMask: 0,
  };
}

function mapping(sdcKey: number, generation: number): Mapping {
  return {
    volumeKey: 20,
    sdcKey,
    generation,
    access: 'readWrite',
    ...{ iopsLimit: 0, bandwidthLimitKbps: 0, iopsPerGib: 0, kbpsPerGib: 0 },
  };
}

const FULL: MapUpdate = {
  ...NOTHING,
  full: true,
  pools: [POOL],
  combs: [{ poolKey: 7, combs: [entry(0, 5), entry(1, 5)] }],
  mappings: [mapping(30, 1)],
};

test('comb of a chunk never changes, because data lies by it', (t) => {
  t.deepEqual(
    [
      [1, 0],
      [1, 1],
      [2, 0],
      [0xffffffff, 0xffffffff],
      [77, 1_000_000],
    ].map(([vtree = 0, chunk = 0]) => combOf(vtree, chunk, 20)),
    GOLDEN,
  );
});

const GOLDEN = [244112, 273420, 103057, 636046, 326662];

test('chunks of one volume and first chunks of many volumes spread evenly over the combs', (t) => {
  const spread = (place: (i: number) => number): number => {
    const counts = new Array<number>(256).fill(0);
    for (let i = 0; i < 256 * 400; i++) counts[place(i)] = (counts[place(i)] ?? 0) + 1;
    return Math.max(...counts.map((count) => Math.abs(count - 400)));
  };
  // Five standard deviations of a fair spread.
  t.true(spread((i) => combOf(1234, i, 8)) < 100);
  t.true(spread((i) => combOf(i, 0, 8)) < 100);
});

test('the hot arrays name primary and generation of each known comb', (t) => {
  const pool = ClusterMap.EMPTY.apply([FULL]).pools.get(7);
  t.deepEqual([...(pool?.primaryKeys ?? [])], [11, 11, 0, 0]);
  t.deepEqual([...(pool?.primaryIncarnations ?? [])], [3, 3, 0, 0]);
  t.deepEqual([...(pool?.generationNumbers ?? [])], [5, 5, 0, 0]);
});

test('an older entry never replaces a newer one, and the earlier view stays as it was', (t) => {
  const first = ClusterMap.EMPTY.apply([FULL]);
  const second = first.apply([
    { ...NOTHING, sequence: 2, combs: [{ poolKey: 7, combs: [entry(0, 6, 1), entry(1, 4, 1)] }] },
  ]);
  t.is(second.pools.get(7)?.primaryKeys[0], 12);
  t.is(second.pools.get(7)?.primaryKeys[1], 11);
  t.is(first.pools.get(7)?.primaryKeys[0], 11);
  t.is(second.sequence, 2);
});

test('an entry from a refusal is taken when newer, and survives an older full update', (t) => {
  const first = ClusterMap.EMPTY.apply([FULL]);
  t.is(first.withEntry(7, entry(0, 5, 1)), first);
  t.is(first.withEntry(99, entry(0, 9)), first);
  const learnt = first.withEntry(7, entry(0, 9, 1));
  t.is(learnt.pools.get(7)?.primaryKeys[0], 12);
  t.is(learnt.apply([FULL]).pools.get(7)?.primaryKeys[0], 12);
});

test('a full update forgets what it does not name', (t) => {
  const first = ClusterMap.EMPTY.apply([FULL]);
  const second = first.apply([
    { ...NOTHING, full: true, last: false, pools: [POOL] },
    { ...NOTHING, combs: [{ poolKey: 7, combs: [entry(1, 5)] }] },
  ]);
  t.is(second.pools.get(7)?.entry(0), null);
  t.not(second.pools.get(7)?.entry(1), null);
  t.is(second.mapping(20, 30), undefined);
});

test('a removal told again does not take away a newer mapping', (t) => {
  const first = ClusterMap.EMPTY.apply([FULL]);
  const gone = first.apply([{ ...NOTHING, removedMappings: [mapping(30, 1)] }]);
  t.is(gone.mapping(20, 30), undefined);
  t.is(first.mapping(20, 30)?.generation, 1);
  const again = gone.apply([{ ...NOTHING, mappings: [mapping(30, 2), mapping(31, 3)] }]);
  const late = again.apply([{ ...NOTHING, removedMappings: [mapping(30, 1)] }]);
  t.is(late.mapping(20, 30)?.generation, 2);
});

test('a removed volume is gone with its mappings and named as tombstone of that update alone', (t) => {
  const first = ClusterMap.EMPTY.apply([FULL]);
  const gone = first.apply([{ ...NOTHING, removedVolumes: [20] }]);
  t.deepEqual(gone.tombstones, [20]);
  t.is(gone.mapping(20, 30), undefined);
  t.deepEqual(gone.apply([NOTHING]).tombstones, []);
});

test('an entry that contradicts itself is named and not taken', (t) => {
  const wrong: readonly (readonly [CombEntry, string])[] = [
    [{ ...entry(0, 9), inSyncMask: 2 }, 'primary'],
    [{ ...entry(0, 9), inSyncMask: 7 }, 'beyond'],
    [{ ...entry(0, 9), targetMask: 1 }, 'target'],
    [{ ...entry(0, 9), members: [] }, 'no members'],
    [{ ...entry(0, 9), primary: 3 }, 'primary'],
  ];
  const first = ClusterMap.EMPTY.apply([FULL]);
  for (const [bad, word] of wrong) {
    t.regex(entryFault(bad) ?? '', new RegExp(word));
    t.is(first.withEntry(7, bad), first);
  }
  t.is(entryFault(entry(0, 9)), null);
});
