// Views of snapshot policies, with how many volumes and snapshots they have.

import type { SnapshotPolicy } from '../../protocol/generated/types.js';
import type { Reader } from '../reader.js';

import { ACCESS_WORDS, links } from './parts.js';
import type { Json } from './parts.js';

/** `lastAutoSnapshotCreationFailureReason` of a policy that never failed. */
const NO_REASON = 'NR';

const seconds = (ms: number): number => Math.floor(ms / 1000);

/** Whether the last run that failed would have made a snapshot for the first level alone. */
function failedInFirstLevel({ lastFailedAtMs, lastFailedRun, retained }: SnapshotPolicy): boolean {
  return lastFailedAtMs > 0 && (retained.length < 2 || lastFailedRun % (retained[0] ?? 1) !== 0);
}

/** Views of policies in the given order. */
export async function snapshotPolicyViews(
  reader: Reader,
  policies: readonly SnapshotPolicy[],
): Promise<readonly Json[]> {
  const volumes = policies.length === 0 ? [] : await reader.all('volume');
  return policies.map((policy) => {
    const { key, name, paused, retained } = policy;
    const id = reader.id(key);
    const sources = volumes.filter(({ policyKey }) => policyKey === key).length;
    const made = volumes.filter(({ autoPolicyKey }) => autoPolicyKey === key);
    return {
      ...{ id, name, systemId: reader.systemId },
      snapshotPolicyState: paused ? 'Paused' : 'Active',
      autoSnapshotCreationCadenceInMin: policy.cadenceMin,
      numOfRetainedSnapshotsPerLevel: retained,
      maxVTreeAutoSnapshots: retained.reduce((sum, count) => sum + count, 0),
      snapshotAccessMode: ACCESS_WORDS[policy.accessLimit],
      secureSnapshots: policy.secure,
      numOfSourceVolumes: sources,
      numOfAutoSnapshots: made.length,
      numOfLockedSnapshots: made.filter(({ locked }) => locked).length,
      numOfExpiredButLockedSnapshots: made.filter(({ lockedExpired }) => lockedExpired).length,
      nextAutoSnapshotCreationTime: paused || sources === 0 ? 0 : seconds(policy.nextAtMs),
      timeOfLastAutoSnapshot: seconds(policy.lastRunAtMs),
      timeOfLastAutoSnapshotCreationFailure: seconds(policy.lastFailedAtMs),
      lastAutoSnapshotCreationFailureReason:
        policy.lastFailure === '' ? NO_REASON : policy.lastFailure,
      lastAutoSnapshotFailureInFirstLevel: failedInFirstLevel(policy),
      numOfCreationFailures: policy.failures,
      // Of policies that replication made, which there is none of.
      ...{ isLastAutoSnapshotDataTimeAccurate: null, lastAutoSnapshotDataTime: null },
      ...{ rcgId: null, rcgName: null },
      links: links('SnapshotPolicy', id, ['SourceVolume', 'AutoSnapshotVolume']),
    };
  });
}
