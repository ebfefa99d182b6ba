// What becomes of the volumes of a cut when it is decided. It must never judge whether the cut is valid.

import { assert } from '../core/assert.js';
import type { Cut, CutItem, Volume } from '../protocol/generated/types.js';
import type { State } from './state.js';
import { freeze, settle, topOf } from './vtrees.js';

/** Every device certified the point: the snapshots exist. */
export function validateCut(state: State, cut: Cut): void {
  for (const item of cut.items) {
    const volume = volumeOf(state, item);
    const frozenKey = topOf(volume);
    lift(state, volume, item.layerKey);
    const { poolKey, vtreeKey, sizeSectors } = volume;
    const key = item.snapshotKey;
    const layer = { key, poolKey, vtreeKey, parentKey: frozenKey, mergeKey: 0, mergeSequence: 0 };
    state.layers.put(key, layer);
    state.volumes.put(key, {
      ...{ key, poolKey, vtreeKey, sizeSectors, provisioning: 'thin' },
      ...{ ancestorKey: volume.key, groupKey: cut.groupKey, name: item.name },
      ...{ epoch: 1, createdAtMs: cut.startedAtMs, lastMappingGeneration: 0 },
      ...{ layerKey: 0, accessLimit: cut.accessLimit, doubtful: false },
    });
  }
}

/** It is not valid: what was switched stays written in its new layers, and the ones below are merged into them. */
export function discardCut(state: State, cut: Cut, sequence: number): void {
  if (cut.stage !== 'switched') return;
  for (const item of cut.items) {
    const volume = volumeOf(state, item);
    const frozenKey = topOf(volume);
    lift(state, volume, item.layerKey);
    settle(state, frozenKey, sequence);
  }
}

function volumeOf(state: State, { volumeKey }: CutItem): Volume {
  const volume = state.volumes.get(volumeKey);
  assert(volume !== undefined, 'a volume of a cut is not removed');
  return volume;
}

/** What the switch told devices already: the volume is written in its new layer. */
function lift(state: State, volume: Volume, layerKey: number): void {
  freeze(state, volume, layerKey);
  state.volumes.put(volume.key, { ...volume, layerKey, epoch: volume.epoch + 1 });
}
