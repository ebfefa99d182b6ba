// Endpoints of snapshot policies, of the locks of snapshots that they made, and of secure snapshots. It owns the bodies that
// clients send for them; what may be done the MDM judges.

import { LIMIT } from '../../protocol/generated/constants.js';
import { action, ask, askWhenFree, creation, pathKey } from '../action.js';
import { ApiError } from '../api-error.js';
import { FLAG, TEXT, WHOLE, flagOf, object, oneOf, textIn, textOf, wholeOf } from '../body.js';
import type { Body, Call, Route } from '../route.js';
import { accessOf } from './volumes.js';

const U32_MAX = 0xffffffff;
/** More levels than there may be: how many there may be says the refusal of the MDM. */
const LEVELS_MAX = 64;

const LEVELS = {
  type: 'array',
  maxItems: LEVELS_MAX,
  items: WHOLE,
  description: `must be a list of at most ${LEVELS_MAX} whole numbers`,
};
const TIMES = { autoSnapshotCreationCadenceInMin: WHOLE, numOfRetainedSnapshotsPerLevel: LEVELS };
const TIMES_NEEDED = Object.keys(TIMES);

function small(name: string, value: number): number {
  if (value > U32_MAX) throw ApiError.invalid(`${name} must be at most ${U32_MAX}`);
  return value;
}

function timesOf(body: Body): { readonly cadenceMin: number; readonly retained: number[] } {
  const cadence = wholeOf(body, 'autoSnapshotCreationCadenceInMin') ?? 0;
  const levels = body['numOfRetainedSnapshotsPerLevel'] as readonly (number | string)[];
  return {
    cadenceMin: small('autoSnapshotCreationCadenceInMin', cadence),
    retained: levels.map((count) => small('numOfRetainedSnapshotsPerLevel', Number(count))),
  };
}

function create(call: Call): Promise<{ readonly key: number }> {
  const { body } = call;
  const secure = flagOf(body, 'secureSnapshots') ?? false;
  return ask(call, 'ADD_SNAPSHOT_POLICY', {
    name: textOf(body, 'name') ?? '',
    ...timesOf(body),
    paused: flagOf(body, 'paused') ?? false,
    accessLimit: accessOf({ snapshotAccessMode: 'ReadOnly', ...body }, 'snapshotAccessMode'),
    secure,
  });
}

function pause(paused: boolean): (call: Call) => Promise<unknown> {
  return (call) => ask(call, 'PAUSE_SNAPSHOT_POLICY', { key: pathKey(call), paused });
}

function addVolume(call: Call): Promise<unknown> {
  const volumeKey = call.reader.keyOf(textIn(call.body, 'sourceVolumeId'));
  return askWhenFree(call, 'ADD_POLICY_VOLUME', { key: pathKey(call), volumeKey });
}

function removeVolume(call: Call): Promise<unknown> {
  const { body } = call;
  return askWhenFree(call, 'REMOVE_POLICY_VOLUME', {
    key: pathKey(call),
    volumeKey: call.reader.keyOf(textIn(body, 'sourceVolumeId')),
    detach: (textOf(body, 'autoSnapshotRemovalAction') ?? 'Detach') === 'Detach',
    detachLocked: flagOf(body, 'detachLockedAutoSnapshots') ?? false,
  });
}

async function secure(call: Call): Promise<void> {
  const minutes = wholeOf(call.body, 'retentionPeriodInMin') ?? 0;
  if (minutes < 1 || minutes > LIMIT.secureMinutesMax)
    throw ApiError.invalid(`retentionPeriodInMin must be 1 to ${LIMIT.secureMinutesMax}`);
  await askWhenFree(call, 'SECURE_SNAPSHOT', { key: pathKey(call), minutes });
}

const SOURCE = object({ sourceVolumeId: TEXT }, ['sourceVolumeId']);
const LEAVING = object(
  {
    sourceVolumeId: TEXT,
    autoSnapshotRemovalAction: oneOf(['Remove', 'Detach']),
    detachLockedAutoSnapshots: FLAG,
  },
  ['sourceVolumeId'],
);
const UNLOCKED = object({ autoSnapshotWillBeRemoved: FLAG });

export const SNAPSHOT_POLICY_ROUTES: readonly Route[] = [
  creation(
    'SnapshotPolicy',
    object(
      {
        ...{ name: TEXT, ...TIMES, paused: FLAG, secureSnapshots: FLAG },
        snapshotAccessMode: oneOf(['ReadWrite', 'ReadOnly']),
      },
      TIMES_NEEDED,
    ),
    create,
  ),
  action('SnapshotPolicy', 'removeSnapshotPolicy', object({}), (call) =>
    ask(call, 'REMOVE_SNAPSHOT_POLICY', { key: pathKey(call) }),
  ),
  action('SnapshotPolicy', 'renameSnapshotPolicy', object({ newName: TEXT }, ['newName']), (call) =>
    ask(call, 'RENAME_SNAPSHOT_POLICY', {
      key: pathKey(call),
      name: textIn(call.body, 'newName'),
    }),
  ),
  action('SnapshotPolicy', 'modifySnapshotPolicy', object(TIMES, TIMES_NEEDED), (call) =>
    ask(call, 'MODIFY_SNAPSHOT_POLICY', { key: pathKey(call), ...timesOf(call.body) }),
  ),
  action('SnapshotPolicy', 'pauseSnapshotPolicy', object({}), pause(true)),
  action('SnapshotPolicy', 'resumeSnapshotPolicy', object({}), pause(false)),
  // Newer clients know other names for the same.
  ...['addSourceVolumeToSnapshotPolicy', 'assignSnapshotPolicy'].map((name) =>
    action('SnapshotPolicy', name, SOURCE, addVolume),
  ),
  ...['removeSourceVolumeFromSnapshotPolicy', 'unassignSnapshotPolicy'].map((name) =>
    action('SnapshotPolicy', name, LEAVING, removeVolume),
  ),
  action('Volume', 'lockAutoSnapshot', UNLOCKED, (call) =>
    askWhenFree(call, 'LOCK_AUTO_SNAPSHOT', { key: pathKey(call) }),
  ),
  action('Volume', 'unlockAutoSnapshot', UNLOCKED, (call) =>
    askWhenFree(call, 'UNLOCK_AUTO_SNAPSHOT', {
      key: pathKey(call),
      mayGo: flagOf(call.body, 'autoSnapshotWillBeRemoved') ?? false,
    }),
  ),
  action(
    'Volume',
    'setSnapshotSecurity',
    object({ retentionPeriodInMin: WHOLE }, ['retentionPeriodInMin']),
    secure,
  ),
];
