// What becomes of the volumes of a cut when it is decided. It must never judge whether the cut is valid.

import { assert } from '../core/assert.js';
import type { Cut, CutItem, Volume } from '../protocol/generated/types.js';
import type { State } from './state.js';
import { free, freeze, NO_POLICY, settle, storedTop, topOf } from './vtrees.js';

/** Every device certified the point: the snapshots exist, or what is reverted has that content. */
export function validateCut(state: State, cut: Cut, sequence: number): void {
  const made = { ...NO_POLICY, ...noteRun(state, cut), secureUntilMs: cut.secureUntilMs };
  for (const item of cut.items) {
    const volume = volumeOf(state, item.volumeKey);
    const frozenKey = topOf(volume);
    lift(state, volume, item.layerKey);
    if (item.targetKey !== 0) {
      replace(state, item, frozenKey, sequence);
      continue;
    }
    const { poolKey, vtreeKey, sizeSectors, fullPolicy } = volume;
    const key = item.snapshotKey;
    const layer = { key, poolKey, vtreeKey, parentKey: frozenKey, mergeKey: 0, mergeSequence: 0 };
    state.layers.put(key, layer);
    state.volumes.put(key, {
      ...{ key, poolKey, vtreeKey, sizeSectors, provisioning: 'thin', rmcache: true },
      ...{ ancestorKey: volume.key, groupKey: cut.groupKey, name: item.name },
      ...{ epoch: 1, createdAtMs: cut.startedAtMs, lastMappingGeneration: 0 },
      ...{ layerKey: 0, accessLimit: cut.accessLimit, doubtful: false, fullPolicy },
      ...made,
    });
  }
}

/** The run of a policy counts from the moment when its snapshots are there: whoever comes before that does it again. */
function noteRun(state: State, cut: Cut): Pick<Volume, 'autoPolicyKey' | 'autoRun'> {
  const { policyKey, policyRun, startedAtMs } = cut;
  const policy = state.policies.get(policyKey);
  if (policy === undefined) return { autoPolicyKey: 0, autoRun: 0 };
  // Somebody may have given it another time meanwhile.
  const nextAtMs = policy.nextAtMs > startedAtMs ? policy.nextAtMs : cut.policyNextMs;
  const next = { nextAtMs, nextRun: Math.max(policy.nextRun, policyRun + 1) };
  const last = { lastRunAtMs: startedAtMs, lastRun: policyRun };
  state.policies.put(policyKey, { ...policy, ...next, ...last });
  return { autoPolicyKey: policyKey, autoRun: policyRun };
}

/** It is not valid: what was switched stays written in its new layers, and the ones below are merged into them. */
export function discardCut(state: State, cut: Cut, sequence: number): void {
  if (cut.stage !== 'switched') return;
  for (const item of cut.items) {
    const volume = volumeOf(state, item.volumeKey);
    const frozenKey = topOf(volume);
    lift(state, volume, item.layerKey);
    settle(state, frozenKey, sequence);
  }
}

/** The target of a revert is written over what was frozen of its source; what it held is freed. */
function replace(
  state: State,
  { targetKey, snapshotKey }: CutItem,
  frozenKey: number,
  sequence: number,
): void {
  const target = volumeOf(state, targetKey);
  const { poolKey } = target;
  const old = storedTop(state, target);
  const layer = { ...old, key: snapshotKey, parentKey: frozenKey, mergeKey: 0, mergeSequence: 0 };
  state.layers.put(snapshotKey, layer);
  state.volumes.put(targetKey, { ...target, layerKey: snapshotKey, epoch: target.epoch + 1 });
  free(state, old.key, poolKey, sequence, true);
  settle(state, old.parentKey, sequence);
}

function volumeOf(state: State, volumeKey: number): Volume {
  const volume = state.volumes.get(volumeKey);
  assert(volume !== undefined, 'a volume of a cut is not removed');
  return volume;
}

/** What the switch told devices already: the volume is written in its new layer. */
function lift(state: State, volume: Volume, layerKey: number): void {
  freeze(state, volume, layerKey);
  state.volumes.put(volume.key, { ...volume, layerKey, epoch: volume.epoch + 1 });
}
