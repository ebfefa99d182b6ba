// Commands about snapshots and V-trees: snapshots of several volumes as of one moment, their removal, reverting. Each is judged
// as a whole: all of it happens or nothing.

import { LIMIT } from '../../protocol/generated/constants.js';
import type { Cut, CutItem, SnapshotSpec, Volume } from '../../protocol/generated/types.js';
import { allowanceOf, checkPromise, promisedOf } from '../capacity.js';
import { validName } from '../names.js';
import { found, refuse, refuseWith } from '../refusal.js';
import type { State } from '../state.js';
import { chainOf, cutOf, dropVolume, isReverted, topOf } from '../vtrees.js';
import { NOTHING } from './context.js';
import type { CommandContext, Handlers, Seen } from './context.js';

/** What making snapshots is judged by, whoever wants them. */
export interface CutContext extends Pick<CommandContext, 'state' | 'options' | 'wallMs'> {
  readonly seen: Pick<Seen, 'layerUsedBytes' | 'poolThinUsedBytes'>;
}

/** Somebody asked for it. */
const NO_RUN = { policyKey: 0, policyRun: 0, policyNextMs: 0 } as const;

/** What removing volumes is judged by. */
type RemovalContext = Pick<CommandContext, 'state' | 'sequence' | 'waitFor' | 'secureNowMs'>;

export function secondsLeft(untilMs: number, nowMs: number): number {
  return Math.ceil((untilMs - nowMs) / 1000);
}

/** Refuses what would change a snapshot before its time is over. @throws Refusal SNAPSHOT_SECURE */
export function requireInsecure(
  { secureNowMs }: Pick<CommandContext, 'secureNowMs'>,
  { name, secureUntilMs }: Volume,
): void {
  if (secureUntilMs > secureNowMs)
    refuse(
      'SNAPSHOT_SECURE',
      `${name} can be neither removed nor changed for another ${secondsLeft(secureUntilMs, secureNowMs)} seconds`,
    );
}

/**
 * Refuses what would change a volume while a snapshot of it is being made, it is reverted, or another one to it.
 *
 * @throws Refusal VOLUME_BUSY
 */
export function requireNoCut(state: State, volumeKey: number): void {
  if (state.cuts.size > 0 && cutOf(state, volumeKey) !== null) refuse('VOLUME_BUSY');
  requireNotReverted(state, volumeKey);
}

/** Refuses what would be lost with the content of a volume. @throws Refusal VOLUME_BUSY */
export function requireNotReverted(state: State, volumeKey: number): void {
  if (state.cuts.size > 0 && isReverted(state, volumeKey)) refuse('VOLUME_BUSY');
}

/** Refuses what rests on layers that the metadata may not know all of. @throws Refusal VTREE_DOUBTFUL */
function requireSure({ doubtful, name }: Volume): void {
  if (doubtful) refuseWith('VTREE_DOUBTFUL', { volume: name });
}

/**
 * Refuses to build on the layers of a V-tree while a point in it is not valid yet, or is being discarded, and while it is not
 * known what they hold.
 *
 * @throws Refusal VOLUME_BUSY, VTREE_DOUBTFUL
 */
function requireSettledVtree(state: State, vtreeKey: number): void {
  for (const { items } of state.cuts.values())
    for (const { volumeKey } of items)
      if (state.volumes.get(volumeKey)?.vtreeKey === vtreeKey) refuse('VOLUME_BUSY');
  for (const volume of state.volumes.values())
    if (volume.vtreeKey === vtreeKey) requireSure(volume);
}

/** Names that volumes have, or will have once a cut is valid. */
function namesInUse(state: State): Set<string> {
  const names = new Set<string>();
  for (const { name } of state.volumes.values()) names.add(name);
  for (const { items } of state.cuts.values()) for (const { name } of items) names.add(name);
  return names;
}

/** Members by V-tree, those that a cut will add included. */
function membersByVtree(state: State): Map<number, number> {
  const counts = new Map<number, number>();
  const add = (vtreeKey: number): void => {
    counts.set(vtreeKey, (counts.get(vtreeKey) ?? 0) + 1);
  };
  for (const { vtreeKey } of state.volumes.values()) add(vtreeKey);
  for (const { items } of state.cuts.values())
    for (const { volumeKey, targetKey } of items)
      if (targetKey === 0) add(state.volumes.get(volumeKey)?.vtreeKey ?? 0);
  return counts;
}

/** @throws Refusal SNAPSHOT_LIMIT */
function requireLayer(state: State, volume: Volume): void {
  if (chainOf(state, topOf(volume)).length >= LIMIT.layersPerVolumeMax) refuse('SNAPSHOT_LIMIT');
}

function requireSnapshotable(
  { state, options }: CutContext,
  volume: Volume,
  members: Map<number, number>,
): void {
  const { key, vtreeKey } = volume;
  requireNoCut(state, key);
  requireSure(volume);
  const count = (members.get(vtreeKey) ?? 0) + 1;
  // The base volume does not count.
  if (count > options.snapshotsPerVtree + 1) refuse('SNAPSHOT_LIMIT');
  members.set(vtreeKey, count);
  requireLayer(state, volume);
}

/** A name that nobody has; taken from now on. */
function takeName(names: Set<string>, wanted: string, key: number): string {
  if (wanted !== '') {
    validName(wanted);
    if (names.has(wanted)) refuse('VOLUME_NAME_IN_USE');
    names.add(wanted);
    return wanted;
  }
  const base = `snap-${key.toString(16).padStart(8, '0')}`;
  let name = base;
  for (let suffix = 2; names.has(name); suffix++) name = `${base}-${suffix}`;
  names.add(name);
  return name;
}

/** A thick volume may be written once more over what is frozen: that has to fit beside all else. */
function requireRoomForThick(
  { state, options, seen }: CutContext,
  volumeKeys: readonly number[],
): void {
  const byPool = new Map<number, number>();
  for (const volumeKey of volumeKeys) {
    const volume = state.volumes.get(volumeKey);
    if (volume?.provisioning !== 'thick') continue;
    const { poolKey } = volume;
    const bytes = seen.layerUsedBytes(poolKey, topOf(volume));
    byPool.set(poolKey, (byPool.get(poolKey) ?? 0) + bytes);
  }
  for (const [poolKey, bytes] of byPool) {
    const pool = found(state.pools.get(poolKey), 'POOL_NOT_FOUND');
    const promised = promisedOf(state, pool, options.sectorBytes);
    const used = seen.poolThinUsedBytes(poolKey);
    checkPromise(bytes, allowanceOf(promised, used, options.overProvisioningFactor).thickBytes);
  }
}

/**
 * Snapshots of volumes as of one moment, from now on to be pursued.
 *
 * @throws Refusal when one of them cannot be made
 */
export function putCut(
  context: CutContext,
  asked: readonly SnapshotSpec[],
  parts: Omit<Cut, 'key' | 'groupKey' | 'stage' | 'items' | 'startedAtMs'>,
): Cut {
  const { state, wallMs } = context;
  if (asked.length === 0) refuse('INVALID_PARAMETER', 'no volume is named');
  if (new Set(asked.map(({ volumeKey }) => volumeKey)).size < asked.length)
    refuse('INVALID_PARAMETER', 'a volume is named twice');
  if (state.volumes.size + asked.length > LIMIT.volumesMax)
    refuse('TOO_MANY', `at most ${LIMIT.volumesMax} volumes`);
  const names = namesInUse(state);
  const members = membersByVtree(state);
  const items = asked.map(({ volumeKey, name }): CutItem => {
    const volume = found(state.volumes.get(volumeKey), 'VOLUME_NOT_FOUND');
    requireSnapshotable(context, volume, members);
    const snapshotKey = state.newKey();
    const layerKey = state.newKey();
    const taken = takeName(names, name, snapshotKey);
    return { volumeKey, layerKey, snapshotKey, name: taken, targetKey: 0 };
  });
  requireRoomForThick(
    context,
    asked.map(({ volumeKey }) => volumeKey),
  );
  const key = state.newKey();
  const groupKey = state.newKey();
  const cut: Cut = { key, groupKey, stage: 'holding', items, startedAtMs: wallMs, ...parts };
  state.cuts.put(key, cut);
  return cut;
}

export const SNAPSHOT_COMMANDS: Handlers<
  'SNAPSHOT_VOLUMES' | 'REMOVE_GROUP_SNAPSHOTS' | 'OVERWRITE_VOLUME' | 'CONFIRM_VTREE'
> = {
  SNAPSHOT_VOLUMES(context, { items, accessLimit, secureMin }) {
    const secureUntilMs = secureMin === 0 ? 0 : context.secureUntilMs(secureMin);
    const {
      key,
      groupKey,
      items: made,
    } = putCut(context, items, {
      // What is secure is never written.
      accessLimit: secureMin === 0 ? accessLimit : 'readOnly',
      ...NO_RUN,
      secureUntilMs,
    });
    context.waitFor({ kind: 'cut', cutKey: key });
    return { groupKey, keys: made.map(({ snapshotKey }) => snapshotKey) };
  },

  REMOVE_GROUP_SNAPSHOTS(context, { groupKey }) {
    const { state } = context;
    const members = groupKey === 0 ? [] : state.volumes.filter((one) => one.groupKey === groupKey);
    if (members.length === 0) refuse('GROUP_NOT_FOUND');
    if (members.some(({ autoPolicyKey }) => autoPolicyKey !== 0))
      refuse('GROUP_HAS_AUTO_SNAPSHOTS');
    return { removed: removeVolumes(context, members) };
  },

  OVERWRITE_VOLUME(context, { key, sourceKey }) {
    const { state, wallMs, waitFor } = context;
    const volume = found(state.volumes.get(key), 'VOLUME_NOT_FOUND');
    const source = found(state.volumes.get(sourceKey), 'VOLUME_NOT_FOUND');
    if (key === sourceKey) refuse('VTREE_MISMATCH', 'both are the same volume');
    if (volume.vtreeKey !== source.vtreeKey) refuse('VTREE_MISMATCH', 'they are of two VTrees');
    if (volume.sizeSectors !== source.sizeSectors)
      refuse('VTREE_MISMATCH', 'they are of different sizes');
    requireInsecure(context, volume);
    if (volume.locked) refuse('OVERWRITES_LOCKED');
    requireSettledVtree(state, volume.vtreeKey);
    // What is written meanwhile would be in the new content or not, by chance.
    for (const one of [key, sourceKey])
      if (state.mappings.ofVolume(one).size > 0) refuse('VOLUME_MAPPED');
    requireLayer(state, source);
    requireRoomForThick(context, [sourceKey]);
    // Unmapping may have been answered as pending: whatever still writes to the source has to end before its top is frozen.
    const item = { volumeKey: sourceKey, layerKey: state.newKey(), snapshotKey: state.newKey() };
    const cutKey = state.newKey();
    const stage = 'holding' as const;
    const items: CutItem[] = [{ ...item, name: '', targetKey: key }];
    const accessLimit = 'readWrite' as const;
    state.cuts.put(cutKey, {
      ...{ key: cutKey, groupKey: 0, stage, accessLimit, items, startedAtMs: wallMs },
      ...NO_RUN,
      secureUntilMs: 0,
    });
    waitFor({ kind: 'cut', cutKey });
    waitFor({ kind: 'drain', poolKey: volume.poolKey, sdcKey: 0 });
    return NOTHING;
  },

  CONFIRM_VTREE({ state, waitFor }, { vtreeKey }) {
    const members = state.volumes.filter((volume) => volume.vtreeKey === vtreeKey);
    const [first] = members;
    if (first === undefined) refuse('VTREE_NOT_FOUND');
    for (const volume of members)
      if (volume.doubtful) state.volumes.put(volume.key, { ...volume, doubtful: false });
    waitFor({ kind: 'changed', poolKey: first.poolKey });
    return NOTHING;
  },
};

/** Volumes that go with one, by the removal modes of the original. */
export function volumesToRemove(
  state: State,
  volume: Volume,
  mode: 'onlyMe' | 'includingDescendants' | 'descendantsOnly' | 'wholeVtree',
): Volume[] {
  if (mode === 'onlyMe') return [volume];
  const vtree = state.volumes.filter(({ vtreeKey }) => vtreeKey === volume.vtreeKey);
  if (mode === 'wholeVtree') return vtree;
  const ancestors = new Set([volume.key]);
  const below: Volume[] = [];
  // A descendant has a higher key than what it is a snapshot of.
  for (const one of vtree.sort((left, right) => left.key - right.key))
    if (ancestors.has(one.ancestorKey)) {
      ancestors.add(one.key);
      below.push(one);
    }
  return mode === 'descendantsOnly' ? below : [volume, ...below];
}

/**
 * Removes volumes of any V-trees, all or none. What was a snapshot of one of them counts as one of what that was a snapshot of.
 *
 * @returns how many
 */
export function removeVolumes(context: RemovalContext, volumes: readonly Volume[]): number {
  const { state, sequence, waitFor } = context;
  for (const volume of volumes) {
    const { key, name, policyKey, locked } = volume;
    if (state.mappings.ofVolume(key).size > 0) refuse('VOLUME_MAPPED');
    requireNoCut(state, key);
    requireInsecure(context, volume);
    if (policyKey !== 0) refuse('VOLUME_HAS_POLICY');
    if (locked) refuse('LOCKED_SNAPSHOTS', name);
  }
  const ancestors = new Map(volumes.map(({ key, ancestorKey }) => [key, ancestorKey]));
  const vtrees = new Set(volumes.map(({ vtreeKey }) => vtreeKey));
  for (const volume of volumes) dropVolume(state, volume, sequence);
  const orphans = state.volumes.filter(
    ({ vtreeKey, ancestorKey }) => vtrees.has(vtreeKey) && ancestors.has(ancestorKey),
  );
  for (const orphan of orphans) {
    let { ancestorKey } = orphan;
    while (ancestors.has(ancestorKey)) ancestorKey = ancestors.get(ancestorKey) ?? 0;
    state.volumes.put(orphan.key, { ...orphan, ancestorKey });
  }
  for (const poolKey of new Set(volumes.map((volume) => volume.poolKey)))
    waitFor({ kind: 'drain', poolKey, sdcKey: 0 });
  return volumes.length;
}
