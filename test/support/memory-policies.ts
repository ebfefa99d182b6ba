// Snapshot policies of the cluster in memory: what gateways and command lines see of them. When they run is for the MDM's tests.

import type { CommandParams, CommandResults } from '../../backend/protocol/generated/types.js';
import { ClusterError } from '../../backend/runtime/cluster.js';
import type { Objects } from '../../backend/runtime/cluster.js';
import type { ErrorName } from '../../backend/protocol/generated/errors.js';

type Name =
  | 'ADD_SNAPSHOT_POLICY'
  | 'REMOVE_SNAPSHOT_POLICY'
  | 'RENAME_SNAPSHOT_POLICY'
  | 'MODIFY_SNAPSHOT_POLICY'
  | 'PAUSE_SNAPSHOT_POLICY'
  | 'ADD_POLICY_VOLUME'
  | 'REMOVE_POLICY_VOLUME'
  | 'LOCK_AUTO_SNAPSHOT'
  | 'UNLOCK_AUTO_SNAPSHOT'
  | 'SECURE_SNAPSHOT';

interface Tables {
  volume: Objects['volume'][];
  snapshotPolicy: Objects['snapshotPolicy'][];
}

const NOW_MS = 1_700_000_000_000;

function refuse(name: ErrorName): never {
  throw ClusterError.named(name);
}

export function policyCommands(
  tables: Tables,
  newKey: () => number,
): { readonly [N in Name]: (params: CommandParams[N]) => CommandResults[N] } {
  const change = (
    key: number,
    fields: Partial<Objects['snapshotPolicy']>,
  ): Record<string, never> => {
    if (!tables.snapshotPolicy.some((one) => one.key === key)) refuse('POLICY_NOT_FOUND');
    tables.snapshotPolicy = tables.snapshotPolicy.map((one) =>
      one.key === key ? { ...one, ...fields } : one,
    );
    return {};
  };
  const changeVolume = (key: number, fields: Partial<Objects['volume']>): Record<string, never> => {
    if (!tables.volume.some((one) => one.key === key)) refuse('VOLUME_NOT_FOUND');
    tables.volume = tables.volume.map((one) => (one.key === key ? { ...one, ...fields } : one));
    return {};
  };
  return {
    ADD_SNAPSHOT_POLICY: ({ name, ...fields }) => {
      if (tables.snapshotPolicy.some((one) => one.name === name)) refuse('POLICY_NAME_IN_USE');
      const key = newKey();
      tables.snapshotPolicy.push({
        ...{ ...fields, key, name: name === '' ? `policy-${key}` : name },
        ...{ nextAtMs: NOW_MS, nextRun: 0, lastRunAtMs: 0, lastRun: 0 },
        ...{ lastFailedAtMs: 0, lastFailedRun: 0, lastFailure: '', failures: 0 },
      });
      return { key };
    },
    REMOVE_SNAPSHOT_POLICY: ({ key }) => {
      if (tables.volume.some(({ policyKey }) => policyKey === key)) refuse('POLICY_HAS_VOLUMES');
      change(key, {});
      tables.snapshotPolicy = tables.snapshotPolicy.filter((one) => one.key !== key);
      return {};
    },
    RENAME_SNAPSHOT_POLICY: ({ key, name }) => change(key, { name }),
    MODIFY_SNAPSHOT_POLICY: ({ key, ...times }) => change(key, times),
    PAUSE_SNAPSHOT_POLICY: ({ key, paused }) => change(key, { paused }),
    ADD_POLICY_VOLUME: ({ key, volumeKey }) => {
      change(key, {});
      return changeVolume(volumeKey, { policyKey: key });
    },
    REMOVE_POLICY_VOLUME: ({ key, volumeKey }) => {
      const volume = tables.volume.find((one) => one.key === volumeKey);
      if (volume?.policyKey !== key) refuse('POLICY_LACKS_VOLUME');
      changeVolume(volumeKey, { policyKey: 0 });
      return { removed: 2, detached: 1 };
    },
    LOCK_AUTO_SNAPSHOT: ({ key }) => changeVolume(key, { locked: true }),
    UNLOCK_AUTO_SNAPSHOT: ({ key, mayGo }) => {
      changeVolume(key, { locked: false });
      return { removed: mayGo };
    },
    SECURE_SNAPSHOT: ({ key, minutes }) =>
      changeVolume(key, { accessLimit: 'readOnly', secureUntilMs: NOW_MS + minutes * 60_000 }),
  };
}
