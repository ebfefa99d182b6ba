// Commands about snapshot policies, the locks of snapshots that they made, and secure snapshots. It owns how they are asked for
// and shown; what may be done the MDM judges.

import type { SnapshotPolicy, Volume } from '../../protocol/generated/types.js';
import { whenNotBusy } from '../../runtime/busy-volumes.js';
import type { ClusterReader } from '../../runtime/cluster-reader.js';
import { counted, nameOrNone } from '../format.js';
import { POLICY_REF, VOLUME_REF, needed, policyOf, volumeOf } from '../lookup.js';
import { outcome } from '../option.js';
import type { Command, Option, Outcome, Run, Values } from '../option.js';
import { UsageError } from '../parser.js';
import { minutesOf } from './snapshots.js';

const topic = 'Snapshot policies';

function wholeOf(option: string, text: string): number {
  const value = Number(text.trim());
  if (text.trim() === '' || !Number.isSafeInteger(value) || value < 0 || value > 0xffffffff)
    throw new UsageError(`--${option} must be a whole number, is "${text}"`);
  return value;
}

function timesOf(values: Values): { readonly cadenceMin: number; readonly retained: number[] } {
  const levels = values.get('num_of_retained_snapshots_per_level') ?? '';
  return {
    cadenceMin: wholeOf(
      'auto_snapshot_creation_cadence',
      values.get('auto_snapshot_creation_cadence') ?? '',
    ),
    retained: levels
      .split(',')
      .map((count) => wholeOf('num_of_retained_snapshots_per_level', count)),
  };
}

async function add({ reader, values, cluster, user }: Run): Promise<Outcome> {
  const mode = (values.get('snapshot_access_mode') ?? 'read_only').toLowerCase();
  if (mode !== 'read_only' && mode !== 'read_write')
    throw new UsageError('--snapshot_access_mode must be read_write or read_only');
  const { key } = await cluster.command('ADD_SNAPSHOT_POLICY', user, {
    name: values.get('snapshot_policy_name') ?? '',
    ...timesOf(values),
    paused: values.has('paused'),
    accessLimit: mode === 'read_only' ? 'readOnly' : 'readWrite',
    secure: values.has('secure_snapshots'),
  });
  const id = reader.id(key);
  return outcome(`Successfully created snapshot policy. Object ID ${id}`, { id });
}

/** A command about one policy that is done or refused. */
async function change(
  run: Run,
  done: string,
  act: (policy: SnapshotPolicy) => Promise<unknown>,
): Promise<Outcome> {
  const policy = needed(await policyOf(run.reader, run.values), 'snapshot policy');
  await act(policy);
  const id = run.reader.id(policy.key);
  return outcome(`Successfully ${done} snapshot policy with ID ${id}`, { id });
}

const pause =
  (paused: boolean) =>
  (run: Run): Promise<Outcome> =>
    change(run, paused ? 'paused' : 'resumed', ({ key }) =>
      run.cluster.command('PAUSE_SNAPSHOT_POLICY', run.user, { key, paused }),
    );

async function addVolume(run: Run): Promise<Outcome> {
  const { key: volumeKey } = needed(await volumeOf(run.reader, run.values), 'volume');
  return change(run, `added volume ${run.reader.id(volumeKey)} to`, ({ key }) =>
    whenNotBusy(() => run.cluster.command('ADD_POLICY_VOLUME', run.user, { key, volumeKey })),
  );
}

async function removeVolume({ reader, values, cluster, user }: Run): Promise<Outcome> {
  const { key } = needed(await policyOf(reader, values), 'snapshot policy');
  const { key: volumeKey } = needed(await volumeOf(reader, values), 'volume');
  const action = (values.get('auto_snapshot_removal_action') ?? 'detach').toLowerCase();
  if (action !== 'detach' && action !== 'remove')
    throw new UsageError('--auto_snapshot_removal_action must be remove or detach');
  const { removed, detached } = await whenNotBusy(() =>
    cluster.command('REMOVE_POLICY_VOLUME', user, {
      ...{ key, volumeKey, detach: action === 'detach' },
      detachLocked: values.has('detach_locked_auto_snapshots'),
    }),
  );
  return outcome(
    [
      `Successfully removed volume ${reader.id(volumeKey)} from snapshot policy with ID ${reader.id(key)}`,
      ` ${counted(removed, 'auto snapshot was', 'auto snapshots were')} removed, ${detached} detached`,
    ],
    { id: reader.id(key), volumeId: reader.id(volumeKey), removed, detached },
  );
}

const time = (ms: number): string => (ms === 0 ? 'never' : new Date(ms).toISOString());

interface Shown {
  readonly policy: SnapshotPolicy;
  readonly sources: readonly Volume[];
  readonly made: readonly Volume[];
}

async function shown(reader: ClusterReader, policy: SnapshotPolicy): Promise<Shown> {
  const volumes = await reader.all('volume');
  return {
    policy,
    sources: volumes.filter(({ policyKey }) => policyKey === policy.key),
    made: volumes.filter(({ autoPolicyKey }) => autoPolicyKey === policy.key),
  };
}

const stateOf = ({ paused }: SnapshotPolicy): string => (paused ? 'Paused' : 'Active');

function dataOf(reader: ClusterReader, { policy, sources, made }: Shown): object {
  const { name, cadenceMin, retained, accessLimit, secure } = policy;
  return {
    ...{ id: reader.id(policy.key), name, state: stateOf(policy), cadenceInMin: cadenceMin },
    ...{ retainedPerLevel: retained, accessMode: accessLimit, secure },
    nextTimeMs: policy.paused || sources.length === 0 ? 0 : policy.nextAtMs,
    ...{ lastTimeMs: policy.lastRunAtMs, lastFailureTimeMs: policy.lastFailedAtMs },
    ...{ failures: policy.failures, lastFailure: policy.lastFailure },
    sourceVolumeIds: sources.map(({ key }) => reader.id(key)),
    autoSnapshots: made.map(({ key, name: called, locked, lockedExpired }) => ({
      ...{ id: reader.id(key), name: called, locked, markedForRemoval: lockedExpired },
    })),
  };
}

function linesOf(reader: ClusterReader, all: Shown): readonly string[] {
  const { policy, sources, made } = all;
  const { name, cadenceMin, retained, accessLimit, secure, lastFailedAtMs } = policy;
  const isIdle = policy.paused || sources.length === 0;
  return [
    `Snapshot Policy ID: ${reader.id(policy.key)} Name: ${nameOrNone(name)} State: ${stateOf(policy)}`,
    `   Every ${counted(cadenceMin, 'minute')}, retained per level: ${retained.join(', ')}`,
    `   Snapshots are ${accessLimit === 'readOnly' ? 'read-only' : 'writable'}${secure ? ', secure' : ''}`,
    `   Next auto snapshot: ${isIdle ? 'none' : time(policy.nextAtMs)}`,
    `   Last auto snapshot: ${time(policy.lastRunAtMs)}`,
    `   Failures: ${policy.failures}`,
    ...(lastFailedAtMs === 0
      ? []
      : [`   Last failure: ${time(lastFailedAtMs)} ${policy.lastFailure}`]),
    `   ${counted(sources.length, 'source volume')}`,
    ...sources.map(({ key, name: called }) => `      ${reader.id(key)} Name: ${called}`),
    `   ${counted(made.length, 'auto snapshot')}, ${made.filter(({ locked }) => locked).length} locked, ${made.filter(({ lockedExpired }) => lockedExpired).length} expired but locked`,
  ];
}

async function query({ reader, values }: Run): Promise<Outcome> {
  const all = await shown(reader, needed(await policyOf(reader, values), 'snapshot policy'));
  return outcome([...linesOf(reader, all)], dataOf(reader, all));
}

async function queryAll({ reader }: Run): Promise<Outcome> {
  const policies = await reader.all('snapshotPolicy');
  const all = await Promise.all(policies.map((policy) => shown(reader, policy)));
  const lines = all.map(
    ({ policy, sources, made }) =>
      `Snapshot Policy ID: ${reader.id(policy.key)} Name: ${nameOrNone(policy.name)} State: ${stateOf(policy)}, every ${counted(policy.cadenceMin, 'minute')}, ${counted(sources.length, 'source volume')}, ${counted(made.length, 'auto snapshot')}`,
  );
  return outcome(
    [`Query-all-snapshot-policies returned ${policies.length} snapshot policies`, ...lines],
    all.map((one) => dataOf(reader, one)),
  );
}

async function lock({ reader, values, cluster, user }: Run): Promise<Outcome> {
  const { key } = needed(await volumeOf(reader, values), 'volume');
  await whenNotBusy(() => cluster.command('LOCK_AUTO_SNAPSHOT', user, { key }));
  const id = reader.id(key);
  return outcome(`Successfully locked auto snapshot with ID ${id}`, { id });
}

async function unlock({ reader, values, cluster, user }: Run): Promise<Outcome> {
  const { key } = needed(await volumeOf(reader, values), 'volume');
  const mayGo = values.has('auto_snapshot_will_be_removed');
  const { removed } = await whenNotBusy(() =>
    cluster.command('UNLOCK_AUTO_SNAPSHOT', user, { key, mayGo }),
  );
  const id = reader.id(key);
  const also = removed ? ', which is removed: its time was over' : '';
  return outcome(`Successfully unlocked auto snapshot with ID ${id}${also}`, { id, removed });
}

async function secure({ reader, values, cluster, user }: Run): Promise<Outcome> {
  const { key } = needed(await volumeOf(reader, values), 'volume');
  const minutes = minutesOf(values, 'retention_period') ?? 0;
  await whenNotBusy(() => cluster.command('SECURE_SNAPSHOT', user, { key, minutes }));
  const id = reader.id(key);
  return outcome(`Snapshot with ID ${id} is secure for ${counted(minutes, 'minute')}`, { id });
}

const TIMES: readonly Option[] = [
  {
    name: 'auto_snapshot_creation_cadence',
    aliases: ['auto_snapshot_creation_cadence_in_min'],
    value: 'MINUTES',
    about: 'minutes between two snapshots',
    required: true,
  },
  {
    name: 'num_of_retained_snapshots_per_level',
    value: 'N[,N]',
    about: 'snapshots that each level keeps; at most 6 levels and 60 snapshots',
    required: true,
  },
];

const DONE: Readonly<Record<string, string>> = {
  rename_snapshot_policy: 'renamed',
  modify_snapshot_policy: 'modified',
  remove_snapshot_policy: 'removed',
};

function own(
  name: keyof typeof DONE,
  about: string,
  options: readonly Option[],
  act: (run: Run, key: number) => Promise<unknown>,
): Command {
  return {
    ...{ name, topic, about, options: [...POLICY_REF, ...options] },
    run: (run) => change(run, DONE[name] ?? '', ({ key }) => act(run, key)),
  };
}

const OF_POLICIES: readonly Command[] = [
  {
    name: 'add_snapshot_policy',
    topic,
    about: 'a policy that makes snapshots again and again and removes old ones',
    options: [
      { name: 'snapshot_policy_name', value: 'NAME', about: 'unique in the system' },
      ...TIMES,
      { name: 'snapshot_access_mode', value: 'MODE', about: 'read_only (default) or read_write' },
      { name: 'secure_snapshots', about: 'nobody removes them before their time is over' },
      { name: 'paused', about: 'it does not run yet' },
    ],
    run: add,
  },
  own('modify_snapshot_policy', 'other times; what is no longer retained goes', TIMES, (run, key) =>
    run.cluster.command('MODIFY_SNAPSHOT_POLICY', run.user, { key, ...timesOf(run.values) }),
  ),
  own(
    'rename_snapshot_policy',
    'give a policy another name',
    [{ name: 'new_name', value: 'NAME', about: 'unique in the system', required: true }],
    (run, key) => {
      const name = run.values.get('new_name') ?? '';
      return run.cluster.command('RENAME_SNAPSHOT_POLICY', run.user, { key, name });
    },
  ),
  own('remove_snapshot_policy', 'remove a policy without source volumes', [], (run, key) =>
    run.cluster.command('REMOVE_SNAPSHOT_POLICY', run.user, { key }),
  ),
  {
    ...{ name: 'pause_snapshot_policy', topic, about: 'it makes and removes none for now' },
    ...{ options: POLICY_REF, run: pause(true) },
  },
  {
    ...{ name: 'resume_snapshot_policy', topic, about: 'it runs again' },
    ...{ options: POLICY_REF, run: pause(false) },
  },
  {
    name: 'add_source_volume_to_snapshot_policy',
    topic,
    about: 'from now on the policy makes snapshots of the volume',
    options: [...POLICY_REF, ...VOLUME_REF],
    run: addVolume,
  },
  {
    name: 'remove_source_volume_from_snapshot_policy',
    topic,
    about: 'the policy makes no snapshots of the volume any more',
    options: [
      ...POLICY_REF,
      ...VOLUME_REF,
      {
        name: 'auto_snapshot_removal_action',
        value: 'ACTION',
        about: 'what becomes of those that it made: detach (default) or remove',
      },
      { name: 'detach_locked_auto_snapshots', about: 'locked ones stay, the others go' },
    ],
    run: removeVolume,
  },
  {
    ...{ name: 'query_snapshot_policy', topic, about: 'one policy', options: POLICY_REF },
    run: query,
  },
  {
    ...{ name: 'query_all_snapshot_policies', topic, about: 'all policies', options: [] },
    run: queryAll,
  },
];

export const SNAPSHOT_POLICY_COMMANDS: readonly Command[] = [
  ...OF_POLICIES,
  {
    name: 'lock_auto_snapshot',
    topic,
    about: 'its policy does not remove the snapshot',
    options: VOLUME_REF,
    run: lock,
  },
  {
    name: 'unlock_auto_snapshot',
    topic,
    about: 'its policy removes the snapshot when its time is over',
    options: [
      ...VOLUME_REF,
      { name: 'auto_snapshot_will_be_removed', about: 'also if that is at once' },
    ],
    run: unlock,
  },
  {
    name: 'set_snapshot_security',
    topic,
    about: 'nobody removes or changes the snapshot for a while; cannot be undone',
    options: [
      ...VOLUME_REF,
      { name: 'retention_period', value: 'MINUTES', about: 'from now', required: true },
    ],
    sure: 'Nobody, no administrator either, can remove the snapshot before that time is over.',
    run: secure,
  },
];
