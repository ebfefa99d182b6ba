// What layers hold, by volume and by V-tree, as devices report it. Every layer is counted once for its V-tree; what several
// volumes read counts for each of them, and is said to be shared. It must never ask a device.

import type { Layer, StoragePool, Volume, VtreeStatus } from '../protocol/generated/types.js';
import type { State } from './state.js';
import { topOf, volumesOf, writingOf } from './vtrees.js';

/** Bytes on all devices together, every copy counted. */
export interface Held {
  readonly bytes: number;
  /** Of which in layers that other volumes read, too. */
  readonly shared: number;
}

/** Layers that a volume reads, the written one first. */
function layersOf(state: State, volume: Volume): readonly number[] {
  const { layers } = writingOf(state, volume);
  return layers.length === 0 ? [topOf(volume)] : layers;
}

export function heldBy(state: State, volume: Volume, raw: ReadonlyMap<number, number>): Held {
  let bytes = 0;
  let shared = 0;
  let isShared = false;
  for (const key of layersOf(state, volume)) {
    isShared ||= state.layers.childrenOf(key).size > 1;
    const here = raw.get(key) ?? 0;
    bytes += here;
    if (isShared) shared += here;
  }
  return { bytes, shared };
}

function layersByVtree(state: State): ReadonlyMap<number, readonly Layer[]> {
  const found = new Map<number, Layer[]>();
  for (const layer of state.layers.values()) {
    const list = found.get(layer.vtreeKey);
    if (list === undefined) found.set(layer.vtreeKey, [layer]);
    else list.push(layer);
  }
  return found;
}

/**
 * Statuses of V-trees.
 *
 * @param vtreeKeys - which; those that do not exist are left out
 * @param raw - bytes by layer, every copy counted
 * @param copiesOf - copies that a comb of a pool has on average
 */
export function vtreeStatuses(
  state: State,
  vtreeKeys: readonly number[],
  raw: ReadonlyMap<number, number>,
  copiesOf: (poolKey: number) => number,
): VtreeStatus[] {
  const members = volumesOf(state, new Set(vtreeKeys));
  const stored = layersByVtree(state);
  return vtreeKeys.flatMap((vtreeKey) => {
    const volumes = members.get(vtreeKey) ?? [];
    const [first] = volumes;
    if (first === undefined) return [];
    const keys = new Set(volumes.flatMap((volume) => layersOf(state, volume)));
    const base = volumes.find(({ key }) => key === vtreeKey);
    const baseKeys = new Set(base === undefined ? [] : layersOf(state, base));
    let baseRaw = 0;
    let otherRaw = 0;
    for (const key of keys)
      if (baseKeys.has(key)) baseRaw += raw.get(key) ?? 0;
      else otherRaw += raw.get(key) ?? 0;
    const copies = copiesOf(first.poolKey);
    const baseNetBytes = Math.round(baseRaw / copies);
    const snapshotNetBytes = Math.round(otherRaw / copies);
    const merging = (stored.get(vtreeKey) ?? []).filter(({ mergeKey }) => mergeKey !== 0);
    return [
      {
        ...{ vtreeKey, poolKey: first.poolKey, rawBytes: baseRaw + otherRaw },
        ...{ netBytes: baseNetBytes + snapshotNetBytes, baseNetBytes, snapshotNetBytes },
        ...{ volumes: volumes.length, layers: keys.size, merging: merging.length },
      },
    ];
  });
}

/**
 * What the volumes of a pool hold beside the tops of thick ones, which have their room set aside: what was frozen below a
 * thick volume is held in addition to all that it may write.
 */
export function thinRawBytes(
  state: State,
  poolKey: StoragePool['key'],
  raw: ReadonlyMap<number, number>,
): number {
  const keys = new Set<number>();
  const thick: number[] = [];
  for (const volume of state.volumes.values()) {
    if (volume.poolKey !== poolKey) continue;
    const layers = layersOf(state, volume);
    for (const key of layers) keys.add(key);
    if (volume.provisioning === 'thick') thick.push(layers[0] ?? 0);
  }
  for (const key of thick) keys.delete(key);
  let bytes = 0;
  for (const key of keys) bytes += raw.get(key) ?? 0;
  return bytes;
}

/** Layers of all volumes; of a cut only once they are written. */
export function layerKeys(state: State): Set<number> {
  const keys = new Set<number>(state.layers.keys());
  for (const volume of state.volumes.values()) keys.add(topOf(volume));
  for (const { stage, items } of state.cuts.values())
    if (stage === 'switched') for (const { layerKey } of items) keys.add(layerKey);
  return keys;
}
