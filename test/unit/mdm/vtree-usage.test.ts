// What volumes and V-trees hold adds up: every layer is counted once for its V-tree, and what several read is said to be shared.

import test from 'ava';

import { State } from '../../../backend/mdm/state.js';
import { freeze, NO_POLICY } from '../../../backend/mdm/vtrees.js';
import {
  heldBy,
  layerKeys,
  thinRawBytes,
  vtreeStatuses,
} from '../../../backend/mdm/vtree-usage.js';
import type { Volume } from '../../../backend/protocol/generated/types.js';

const POOL = 2;

function volume(key: number, facts: Partial<Volume> = {}): Volume {
  return {
    ...{ key, poolKey: POOL, vtreeKey: 1, ancestorKey: 0, groupKey: 0, name: `v${key}` },
    ...{ sizeSectors: 64, provisioning: 'thin', rmcache: true, epoch: 1, createdAtMs: 0 },
    ...{ lastMappingGeneration: 0, layerKey: 0, accessLimit: 'readWrite', doubtful: false },
    fullPolicy: 'pool',
    ...NO_POLICY,
    ...facts,
  };
}

/** Volume 1 with its snapshot 10, both written since; volume 5 beside them. */
function setup(facts: Partial<Volume> = {}): State {
  const state = new State();
  const base = volume(1, facts);
  freeze(state, base, 11);
  state.volumes.put(1, { ...base, layerKey: 11 });
  const layer = { key: 10, poolKey: POOL, vtreeKey: 1, parentKey: 1, mergeKey: 0 };
  state.layers.put(10, { ...layer, mergeSequence: 0 });
  state.volumes.put(10, volume(10, { ancestorKey: 1 }));
  state.volumes.put(5, volume(5, { vtreeKey: 5 }));
  return state;
}

/** By layer: frozen, top of the volume, top of the snapshot, the other volume. */
const RAW = new Map([
  [1, 100],
  [11, 20],
  [10, 6],
  [5, 8],
]);

test('a volume holds what it reads, and says what of it others read', (t) => {
  const state = setup();
  const held = (key: number) => heldBy(state, state.volumes.get(key) ?? volume(0), RAW);
  t.deepEqual(held(1), { bytes: 120, shared: 100 });
  t.deepEqual(held(10), { bytes: 106, shared: 100 });
  t.deepEqual(held(5), { bytes: 8, shared: 0 });
});

test('a V-tree holds every layer once, the base volume and the rest add up', (t) => {
  const [tree, plain] = vtreeStatuses(setup(), [1, 5, 77], RAW, () => 2);
  t.deepEqual(tree, {
    ...{ vtreeKey: 1, poolKey: POOL, rawBytes: 126, netBytes: 63, baseNetBytes: 60 },
    ...{ snapshotNetBytes: 3, volumes: 2, layers: 3, merging: 0 },
  });
  t.is(plain?.netBytes, 4);
});

test('all of a pool is counted once; of a thick volume what is frozen below it, too', (t) => {
  t.is(thinRawBytes(setup(), POOL, RAW), 134);
  t.is(thinRawBytes(setup({ provisioning: 'thick', rmcache: true }), POOL, RAW), 114);
  t.deepEqual(
    [...layerKeys(setup())].sort((one, other) => one - other),
    [1, 5, 10, 11],
  );
});
