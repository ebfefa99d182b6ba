// V-trees: which layers a volume reads, and what becomes of layers when volumes go. Layers of a V-tree form a tree: leaves are
// the tops of volumes, what stands between has two children or is being merged into its only one. It owns those rules; it
// must never know a device.

import { assert } from '../core/assert.js';
import { LIMIT } from '../protocol/generated/constants.js';
import type { Cut, CutItem, Layer, Merge, Volume } from '../protocol/generated/types.js';
import type { State } from './state.js';

/** What snapshot policies and the secure clock know of a volume that they have nothing to do with. */
export const NO_POLICY = {
  ...{ policyKey: 0, autoPolicyKey: 0, autoRun: 0 },
  ...{ locked: false, lockedExpired: false, secureUntilMs: 0 },
} as const;

/** The layer that is written. */
export function topOf({ key, layerKey }: Pick<Volume, 'key' | 'layerKey'>): number {
  return layerKey === 0 ? key : layerKey;
}

/** Layers of a chain, from one that nothing is stored of to the root. */
export function chainOf(state: State, topKey: number): number[] {
  const chain = [topKey];
  for (let key = parentOf(state, topKey); key !== 0; key = parentOf(state, key)) {
    chain.push(key);
    assert(chain.length <= LIMIT.layersPerVolumeMax, 'a chain of layers ends');
  }
  return chain;
}

function parentOf(state: State, key: number): number {
  return state.layers.get(key)?.parentKey ?? 0;
}

/** A cut that switches the volume, and its place there. */
export interface InCut {
  readonly cut: Cut;
  readonly item: CutItem;
}

export function cutOf(state: State, volumeKey: number): InCut | null {
  for (const cut of state.cuts.values())
    for (const item of cut.items) if (item.volumeKey === volumeKey) return { cut, item };
  return null;
}

/** Whether a volume loses its content when a cut is valid. */
export function isReverted(state: State, volumeKey: number): boolean {
  for (const { items } of state.cuts.values())
    if (items.some(({ targetKey }) => targetKey === volumeKey)) return true;
  return false;
}

/** What of a volume a cut changes that is switched and not decided yet. */
export interface Writing {
  readonly epoch: number;
  readonly layers: number[];
  readonly cut: number;
}

/** What a volume is written in now. */
export function writingOf(state: State, volume: Volume): Writing {
  const { key, epoch } = volume;
  const top = topOf(volume);
  const found = state.cuts.size === 0 ? null : cutOf(state, key);
  if (found?.cut.stage === 'switched') {
    const layers = [found.item.layerKey, ...chainOf(state, top)];
    return { epoch: epoch + 1, layers, cut: found.cut.key };
  }
  const layers = chainOf(state, top);
  const isPlain = layers.length === 1 && top === key;
  return { epoch, layers: isPlain ? [] : layers, cut: 0 };
}

/** A merge as devices hear of it; null: the layer is not merged. */
export function mergeOf({ key, mergeKey, vtreeKey, poolKey }: Layer): Merge | null {
  return mergeKey === 0 ? null : { parentKey: key, childKey: mergeKey, vtreeKey, poolKey };
}

/** The top layer of a volume as a layer that is stored, as far as it is. */
export function storedTop(state: State, volume: Volume): Layer {
  const key = topOf(volume);
  const { poolKey, vtreeKey } = volume;
  const plain = { key, poolKey, vtreeKey, parentKey: 0, mergeKey: 0, mergeSequence: 0 };
  return state.layers.get(key) ?? plain;
}

/** Freezes what a volume is written in: from now on it is written in a layer above that. */
export function freeze(state: State, volume: Volume, aboveKey: number): void {
  const top = storedTop(state, volume);
  state.layers.put(top.key, top);
  const above = { key: aboveKey, parentKey: top.key, mergeKey: 0, mergeSequence: 0 };
  state.layers.put(aboveKey, { ...top, ...above });
}

/** A volume goes: its top layer is freed, and whatever nobody needs any more below. */
export function dropVolume(state: State, volume: Volume, sequence: number): void {
  const { key, poolKey } = volume;
  const top = topOf(volume);
  state.volumes.delete(key);
  const isLayer = top !== key;
  const parentKey = parentOf(state, top);
  free(state, top, poolKey, sequence, isLayer);
  settle(state, parentKey, sequence);
}

/** A layer without chunks from now on. */
export function free(
  state: State,
  key: number,
  poolKey: number,
  sequence: number,
  layerOnly: boolean,
): void {
  assert(state.layers.childrenOf(key).size === 0, 'nothing stands on a layer that is freed');
  if (state.layers.has(key)) state.layers.delete(key);
  state.tombstones.put(key, { volumeKey: key, poolKey, sequence, layerOnly });
}

/** A frozen layer lost a child, or the merge of its neighbour ended: it goes, is merged into its only child, or stays. */
export function settle(state: State, key: number, sequence: number): void {
  const layer = state.layers.get(key);
  if (layer === undefined) return;
  const children = [...state.layers.childrenOf(key)];
  const [child] = children;
  if (child === undefined) {
    free(state, key, layer.poolKey, sequence, true);
    settle(state, layer.parentKey, sequence);
    return;
  }
  if (children.length > 1 || layer.mergeKey !== 0) return;
  // One after another: what moves into a layer must not have to move on at the same time.
  const isBusy = state.layers.get(child)?.mergeKey !== 0 || isMergedInto(state, key);
  if (isBusy) return;
  state.layers.put(key, { ...layer, mergeKey: child, mergeSequence: sequence });
}

function isMergedInto(state: State, key: number): boolean {
  const parent = state.layers.get(parentOf(state, key));
  return parent?.mergeKey === key;
}

/** Every device has moved what a layer held into its child. */
export function endMerge(state: State, layer: Layer, sequence: number): void {
  const { key, mergeKey, parentKey, poolKey } = layer;
  const child = state.layers.get(mergeKey);
  assert(child?.parentKey === key, 'a layer is merged into its only child');
  state.layers.put(mergeKey, { ...child, parentKey });
  free(state, key, poolKey, sequence, true);
  // Neighbours may have waited for it. Without a child it is the top of a volume.
  if (state.layers.childrenOf(mergeKey).size > 0) settle(state, mergeKey, sequence);
  settle(state, parentKey, sequence);
}

/** Volumes by V-tree, of those that are asked for. */
export function volumesOf(
  state: State,
  vtreeKeys: ReadonlySet<number>,
): ReadonlyMap<number, readonly Volume[]> {
  const found = new Map<number, Volume[]>();
  if (vtreeKeys.size === 0) return found;
  for (const volume of state.volumes.values()) {
    if (!vtreeKeys.has(volume.vtreeKey)) continue;
    const list = found.get(volume.vtreeKey);
    if (list === undefined) found.set(volume.vtreeKey, [volume]);
    else list.push(volume);
  }
  return found;
}
