// Commands about snapshot policies, the locks of what they made, and what is secure. Each is judged as a whole. What policies
// do by themselves is in policies.ts.

import { LIMIT } from '../../protocol/generated/constants.js';
import type { SnapshotPolicy, Volume } from '../../protocol/generated/types.js';
import { validName } from '../names.js';
import { cadenceMs } from '../policy-times.js';
import { found, refuse } from '../refusal.js';
import type { State } from '../state.js';
import { NOTHING } from './context.js';
import type { CommandContext, Handlers } from './context.js';
import { removeVolumes, requireNoCut, secondsLeft } from './snapshots.js';

function freePolicyName(state: State, name: string, self = 0): string {
  validName(name);
  const other = state.policies.find((policy) => policy.name === name);
  if (other !== undefined && other.key !== self) refuse('POLICY_NAME_IN_USE');
  return name;
}

function madeName(state: State, key: number): string {
  const wanted = `policy-${key.toString(16).padStart(8, '0')}`;
  let name = wanted;
  const isTaken = (policy: SnapshotPolicy): boolean => policy.name === name;
  for (let suffix = 2; state.policies.find(isTaken) !== undefined; suffix++)
    name = `${wanted}-${suffix}`;
  return name;
}

/** @throws Refusal for times that no policy can have */
function checkTimes(
  { options }: CommandContext,
  cadenceMin: number,
  retained: readonly number[],
): void {
  if (cadenceMin < 1 || cadenceMin > LIMIT.policyCadenceMinMax)
    refuse(
      'POLICY_CADENCE_ILLEGAL',
      `${cadenceMin} minutes, it must be 1 to ${LIMIT.policyCadenceMinMax}`,
    );
  if (retained.length > LIMIT.policyLevelsMax)
    refuse('TOO_MANY_POLICY_LEVELS', `${retained.length}, at most ${LIMIT.policyLevelsMax}`);
  if (retained.length === 0 || retained.includes(0))
    refuse('POLICY_LEVELS_ILLEGAL', 'there must be a level, and each must retain a snapshot');
  if (retained.slice(0, -1).includes(1)) refuse('POLICY_LEVEL_MEANINGLESS');
  // One more is there while the oldest is not removed yet.
  const most = Math.min(LIMIT.policySnapshotsMax, options.snapshotsPerVtree - 1);
  const all = retained.reduce((sum, count) => sum + count, 0);
  if (all > most)
    refuse('POLICY_LEVELS_ILLEGAL', `${all} snapshots in all levels together, at most ${most}`);
}

function policyOf(state: State, key: number): SnapshotPolicy {
  return found(state.policies.get(key), 'POLICY_NOT_FOUND');
}

function sourcesOf(state: State, key: number): readonly Volume[] {
  return state.volumes.filter(({ policyKey }) => policyKey === key);
}

function autoSnapshot(state: State, key: number): Volume {
  const volume = found(state.volumes.get(key), 'VOLUME_NOT_FOUND');
  if (volume.autoPolicyKey === 0) refuse('NOT_AUTO_SNAPSHOT');
  return volume;
}

/** From now on an ordinary snapshot. */
function detach(state: State, volume: Volume): void {
  const ordinary = { autoPolicyKey: 0, autoRun: 0, locked: false, lockedExpired: false };
  state.volumes.put(volume.key, { ...volume, ...ordinary });
}

type PolicyCommand =
  | 'ADD_SNAPSHOT_POLICY'
  | 'REMOVE_SNAPSHOT_POLICY'
  | 'RENAME_SNAPSHOT_POLICY'
  | 'MODIFY_SNAPSHOT_POLICY'
  | 'PAUSE_SNAPSHOT_POLICY';
type SourceCommand = 'ADD_POLICY_VOLUME' | 'REMOVE_POLICY_VOLUME';
type AutoCommand = 'LOCK_AUTO_SNAPSHOT' | 'UNLOCK_AUTO_SNAPSHOT' | 'SECURE_SNAPSHOT';

const OWN: Handlers<PolicyCommand> = {
  ADD_SNAPSHOT_POLICY(context, { name, cadenceMin, retained, paused, accessLimit, secure }) {
    const { state, wallMs, options } = context;
    if (name !== '') freePolicyName(state, name);
    checkTimes(context, cadenceMin, retained);
    if (state.policies.size >= LIMIT.snapshotPoliciesMax) refuse('TOO_MANY_POLICIES');
    const key = state.newKey();
    state.policies.put(key, {
      ...{ key, name: name === '' ? madeName(state, key) : name, cadenceMin, retained, paused },
      ...{ accessLimit: secure ? 'readOnly' : accessLimit, secure },
      nextAtMs: wallMs + cadenceMs({ cadenceMin }, options.minuteMs),
      ...{ nextRun: 0, lastRunAtMs: 0, lastRun: 0 },
      ...{ lastFailedAtMs: 0, lastFailedRun: 0, lastFailure: '', failures: 0 },
    });
    return { key };
  },

  REMOVE_SNAPSHOT_POLICY({ state }, { key }) {
    policyOf(state, key);
    if (sourcesOf(state, key).length > 0) refuse('POLICY_HAS_VOLUMES');
    state.policies.delete(key);
    return NOTHING;
  },

  RENAME_SNAPSHOT_POLICY({ state }, { key, name }) {
    const policy = policyOf(state, key);
    state.policies.put(key, { ...policy, name: freePolicyName(state, name, key) });
    return NOTHING;
  },

  MODIFY_SNAPSHOT_POLICY(context, { key, cadenceMin, retained }) {
    const { state, wallMs, options } = context;
    const policy = policyOf(state, key);
    checkTimes(context, cadenceMin, retained);
    const lastMs = policy.nextAtMs - cadenceMs(policy, options.minuteMs);
    const nextAtMs = Math.max(wallMs, lastMs + cadenceMs({ cadenceMin }, options.minuteMs));
    state.policies.put(key, { ...policy, cadenceMin, retained, nextAtMs });
    return NOTHING;
  },

  PAUSE_SNAPSHOT_POLICY({ state, wallMs }, { key, paused }) {
    const policy = policyOf(state, key);
    const nextAtMs = paused ? policy.nextAtMs : Math.max(wallMs, policy.nextAtMs);
    state.policies.put(key, { ...policy, paused, nextAtMs });
    return NOTHING;
  },
};

const SOURCES: Handlers<SourceCommand> = {
  ADD_POLICY_VOLUME({ state, wallMs, options }, { key, volumeKey }) {
    const policy = policyOf(state, key);
    const volume = found(state.volumes.get(volumeKey), 'VOLUME_NOT_FOUND');
    if (volume.policyKey !== 0) refuse('POLICY_HAS_VOLUME');
    if (volume.autoPolicyKey !== 0) refuse('POLICY_OF_AUTO_SNAPSHOT');
    const sources = sourcesOf(state, key);
    if (sources.some(({ vtreeKey }) => vtreeKey === volume.vtreeKey)) refuse('POLICY_SAME_VTREE');
    if (sources.length >= LIMIT.cutVolumesMax) refuse('TOO_MANY_POLICY_VOLUMES');
    state.volumes.put(volumeKey, { ...volume, policyKey: key });
    // Without volumes it did not run: that is nothing to make up for.
    const isFirst = sources.length === 0 && policy.nextAtMs <= wallMs;
    const nextAtMs = isFirst ? wallMs + cadenceMs(policy, options.minuteMs) : policy.nextAtMs;
    state.policies.put(key, { ...policy, nextAtMs });
    return NOTHING;
  },

  REMOVE_POLICY_VOLUME(context, { key, volumeKey, detach: stay, detachLocked }) {
    const { state, secureNowMs } = context;
    policyOf(state, key);
    const volume = found(state.volumes.get(volumeKey), 'VOLUME_NOT_FOUND');
    if (volume.policyKey !== key) refuse('POLICY_LACKS_VOLUME');
    // A run that is under way ends first.
    requireNoCut(state, volumeKey);
    state.volumes.put(volumeKey, { ...volume, policyKey: 0 });
    const made = state.volumes.filter(
      ({ vtreeKey, autoPolicyKey }) => vtreeKey === volume.vtreeKey && autoPolicyKey === key,
    );
    const staying = made.filter(
      ({ locked, secureUntilMs }) => stay || locked || secureUntilMs > secureNowMs,
    );
    const locked = staying.filter((one) => one.locked);
    if (!stay && !detachLocked && locked.length > 0)
      refuse('LOCKED_SNAPSHOTS', locked.map(({ name }) => name).join(', '));
    const going = made.filter((one) => !staying.includes(one));
    if (going.some((one) => state.mappings.ofVolume(one.key).size > 0))
      refuse('AUTO_SNAPSHOT_MAPPED');
    for (const one of staying) detach(state, one);
    removeVolumes(context, going);
    return { removed: going.length, detached: staying.length };
  },
};

const AUTO: Handlers<AutoCommand> = {
  LOCK_AUTO_SNAPSHOT({ state }, { key }) {
    const volume = autoSnapshot(state, key);
    if (volume.locked) refuse('AUTO_SNAPSHOT_LOCKED');
    requireNoCut(state, key);
    state.volumes.put(key, { ...volume, locked: true });
    return NOTHING;
  },

  UNLOCK_AUTO_SNAPSHOT(context, { key, mayGo }) {
    const { state, secureNowMs } = context;
    const volume = autoSnapshot(state, key);
    if (!volume.locked) refuse('AUTO_SNAPSHOT_UNLOCKED');
    const unlocked = { ...volume, locked: false, lockedExpired: false };
    state.volumes.put(key, unlocked);
    if (!volume.lockedExpired) return { removed: false };
    if (!mayGo) refuse('UNLOCK_REMOVES');
    if (state.mappings.ofVolume(key).size > 0) refuse('AUTO_SNAPSHOT_MAPPED');
    if (volume.secureUntilMs > secureNowMs) return { removed: false };
    removeVolumes(context, [unlocked]);
    return { removed: true };
  },

  SECURE_SNAPSHOT({ state, secureNowMs, secureUntilMs, waitFor }, { key, minutes }) {
    const volume = found(state.volumes.get(key), 'VOLUME_NOT_FOUND');
    if (volume.key === volume.vtreeKey)
      refuse('INVALID_PARAMETER', 'only snapshots can be made secure');
    requireNoCut(state, key);
    for (const { access } of state.mappings.ofVolume(key).values())
      if (access === 'readWrite') refuse('VOLUME_MAPPED');
    const untilMs = secureUntilMs(minutes);
    if (untilMs < volume.secureUntilMs)
      refuse(
        'SNAPSHOT_SECURE',
        `its time is never shortened, it ends in ${secondsLeft(volume.secureUntilMs, secureNowMs)} seconds`,
      );
    // Whoever was allowed to write it before cannot any more.
    waitFor({ kind: 'changed', poolKey: volume.poolKey });
    state.volumes.put(key, { ...volume, accessLimit: 'readOnly', secureUntilMs: untilMs });
    return NOTHING;
  },
};

export const POLICY_COMMANDS: Handlers<PolicyCommand | SourceCommand | AutoCommand> = {
  ...OWN,
  ...SOURCES,
  ...AUTO,
};
