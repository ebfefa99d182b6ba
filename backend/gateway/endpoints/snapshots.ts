// Endpoints of snapshots: of one volume or of many as of one moment, their removal as a group, and the content of a
// volume given back. It owns the bodies that clients send for them; what may be done the MDM judges, all or nothing.

import { LIMIT } from '../../protocol/generated/constants.js';
import type { SnapshotSpec } from '../../protocol/generated/types.js';
import { action, ask, askWhenFree, objectOf, pathKey } from '../action.js';
import { ApiError } from '../api-error.js';
import { FLAG, TEXT, WHOLE, listOf, object, textIn, textOf, wholeOf } from '../body.js';
import type { Body, Call, Route } from '../route.js';
import { accessOf } from './volumes.js';

/** Set by management programs of other vendors; volumes here are managed by nobody else. */
const EXTERNAL = { allowOnExtManagedVol: FLAG };

const SNAPSHOT_BODY = object(
  {
    snapshotDefs: listOf(
      object({ volumeId: TEXT, snapshotName: TEXT }, ['volumeId']),
      LIMIT.cutVolumesMax,
    ),
    accessModeLimit: TEXT,
    retentionPeriodInMin: WHOLE,
    ...EXTERNAL,
  },
  ['snapshotDefs'],
);

/** What a body asks for. @throws ApiError for none, for a volume twice and for what is no id */
function wanted({ body, reader }: Call): readonly SnapshotSpec[] {
  const defs = body['snapshotDefs'] as readonly Body[];
  if (defs.length === 0) throw ApiError.invalid('snapshotDefs must name at least one volume');
  const seen = new Set<number>();
  return defs.map((def) => {
    const id = textIn(def, 'volumeId');
    const volumeKey = reader.keyOf(id);
    if (volumeKey !== 0 && seen.has(volumeKey))
      throw ApiError.invalid(
        `snapshotDefs must name each volume once, volume ${id} is there twice`,
      );
    seen.add(volumeKey);
    return { volumeKey, name: textOf(def, 'snapshotName') ?? '' };
  });
}

/** Answered when the point is valid on every device, or was given up. */
async function snapshot(call: Call): Promise<unknown> {
  const secureMin = wholeOf(call.body, 'retentionPeriodInMin') ?? 0;
  if (secureMin > LIMIT.secureMinutesMax)
    throw ApiError.invalid(`retentionPeriodInMin must be at most ${LIMIT.secureMinutesMax}`);
  const accessLimit = accessOf(call.body, 'accessModeLimit');
  const { groupKey, keys } = await askWhenFree(call, 'SNAPSHOT_VOLUMES', {
    ...{ items: wanted(call), accessLimit, secureMin },
  });
  return {
    volumeIdList: keys.map((key) => call.reader.id(key)),
    snapshotGroupId: call.reader.id(groupKey),
  };
}

async function removeGroup(call: Call): Promise<unknown> {
  const groupKey = call.reader.keyOf(textIn(call.body, 'snapGroupId'));
  const { removed } = await askWhenFree(call, 'REMOVE_GROUP_SNAPSHOTS', { groupKey });
  return { numberOfVolumes: removed };
}

async function overwrite(call: Call): Promise<void> {
  const source = textIn(call.body, 'srcVolumeId');
  const { key } = await objectOf(call, 'volume', source, 'VOLUME_NOT_FOUND');
  await askWhenFree(call, 'OVERWRITE_VOLUME', { key: pathKey(call), sourceKey: key });
}

/** The system is named by id, or not: there is only one. */
function ofSystem(name: string, schema: Route['schema'], handle: Route['handle']): Route[] {
  return ['System', 'System::{id}'].map((of) => ({
    method: 'POST',
    path: `/api/instances/${of}/action/${name}`,
    ...(schema === undefined ? {} : { schema }),
    handle,
  }));
}

export const SNAPSHOT_ROUTES: readonly Route[] = [
  // Newer clients know three names for it, by what they mean to do with the result.
  ...['snapshotVolumes', 'createSnapshot', 'createThinClone'].flatMap((name) =>
    ofSystem(name, SNAPSHOT_BODY, snapshot),
  ),
  ...ofSystem(
    'removeConsistencyGroupSnapshots',
    object({ snapGroupId: TEXT, ...EXTERNAL }, ['snapGroupId']),
    removeGroup,
  ),
  action(
    'Volume',
    'overwriteVolumeContent',
    object({ srcVolumeId: TEXT, ...EXTERNAL }, ['srcVolumeId']),
    overwrite,
  ),
  action('VTree', 'confirmVTree', object({}), (call) =>
    ask(call, 'CONFIRM_VTREE', { vtreeKey: pathKey(call) }),
  ),
];
