// Admission of clients by what the MDM confirmed (C1, C13).

import test from 'ava';

import { ClusterMap } from '../../../backend/cluster-map/cluster-map.js';
import type { MapUpdate } from '../../../backend/cluster-map/cluster-map.js';
import { ERR } from '../../../backend/protocol/generated/constants.js';
import { Volumes } from '../../../backend/sds/volumes.js';

const EMPTY: MapUpdate = {
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
const volume = {
  key: 4,
  poolKey: 2,
  vtreeKey: 4,
  epoch: 3,
  sizeSectors: 64,
  ...{ layers: [], cut: 0, active: true, rmcache: true, fullPolicy: 'pool' as const },
  thin: true,
  name: 'v',
};
const mapping = {
  volumeKey: 4,
  sdcKey: 8,
  generation: 5,
  access: 'readWrite',
  ...{ iopsLimit: 0, bandwidthLimitKbps: 0, iopsPerGib: 0, kbpsPerGib: 0 },
} as const;

function fed(...updates: readonly Partial<MapUpdate>[]): Volumes {
  const volumes = new Volumes();
  let map = ClusterMap.EMPTY;
  for (const update of updates) {
    const parts = [{ ...EMPTY, ...update }];
    map = map.apply(parts);
    volumes.apply(map, parts);
  }
  return volumes;
}

test('the right mapping and epoch are admitted, everything else is not', (t) => {
  const volumes = fed({ full: true, volumes: [volume], mappings: [mapping] });
  t.is(volumes.judge(4, 8, 3, 5), 0);
  t.is(volumes.judge(4, 8, 2, 5), ERR.STALE_VOLUME_EPOCH);
  t.is(volumes.judge(4, 8, 3, 4), ERR.NOT_READY, 'it has the right by a newer mapping');
});

test('a client that is ahead of the map is told to wait, never that it has no right', (t) => {
  const volumes = fed({ full: true, volumes: [volume], mappings: [mapping] });
  t.is(volumes.judge(4, 8, 4, 5), ERR.NOT_READY);
  t.is(volumes.judge(4, 8, 3, 6), ERR.NOT_READY);
  t.is(volumes.judge(4, 9, 3, 5), ERR.NOT_READY);
  t.is(volumes.judge(5, 8, 1, 1), ERR.NOT_READY);
});

test('a revoked mapping is refused, also when a complete map no longer names it', (t) => {
  const begin = { full: true, volumes: [volume], mappings: [mapping] };
  const told = fed(begin, { sequence: 2, removedMappings: [mapping] });
  t.is(told.judge(4, 8, 3, 5), ERR.MAPPING_REVOKED);
  const silent = fed(begin, { sequence: 2, full: true, volumes: [volume] });
  t.is(silent.judge(4, 8, 3, 5), ERR.MAPPING_REVOKED);
});

test('mapped again, only the new generation is admitted', (t) => {
  const volumes = fed(
    { full: true, volumes: [volume], mappings: [mapping] },
    { sequence: 2, removedMappings: [mapping] },
    { sequence: 3, mappings: [{ ...mapping, generation: 6 }] },
  );
  t.is(volumes.judge(4, 8, 3, 5), ERR.NOT_READY);
  t.is(volumes.judge(4, 8, 3, 6), 0);
});

test('a removed volume is unknown for good', (t) => {
  const volumes = fed(
    { full: true, volumes: [volume], mappings: [mapping] },
    { sequence: 2, removedVolumes: [4] },
  );
  t.is(volumes.judge(4, 8, 3, 5), ERR.UNKNOWN_VOLUME);
  t.true(volumes.isFreed(4));
});
