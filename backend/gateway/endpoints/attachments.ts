// Endpoints of the attachment ledger: who relies on which mapping. Not of the original: the Cinder bridge asks them, and
// clients of the original neither see nor need them.

import { LIMIT } from '../../protocol/generated/constants.js';
import { ask, askWhenFree, pathKey } from '../action.js';
import { ApiError } from '../api-error.js';
import { TEXT, TEXTS, WHOLE, object, textIn, textsOf, wholeOf } from '../body.js';
import type { Call, Route } from '../route.js';
import type { Json } from '../views/parts.js';

import { accessOf, namedSdc } from './volumes.js';

function holderOf(call: Call): string {
  const holder = textIn(call.body, 'holder');
  if (holder === '' || Buffer.byteLength(holder) > LIMIT.holderBytesMax)
    throw ApiError.invalid(`holder must have 1 to ${LIMIT.holderBytesMax} bytes`);
  return holder;
}

async function hold(call: Call): Promise<Json> {
  const holder = holderOf(call);
  const sdc = await namedSdc(call);
  if (sdc === null)
    throw ApiError.invalid(
      'The following parameter(s) must be part of the request body: sdcId or guid.',
    );
  const { generation, shared } = await askWhenFree(call, 'HOLD_MAPPING', {
    volumeKey: pathKey(call),
    sdcKey: sdc.key,
    holder,
    access: accessOf(call.body),
  });
  return { sdcId: call.reader.id(sdc.key), mappingGeneration: generation, shared };
}

async function release(call: Call): Promise<Json> {
  const { unmapped } = await ask(call, 'RELEASE_MAPPING', {
    volumeKey: pathKey(call),
    holder: holderOf(call),
    generation: wholeOf(call.body, 'mappingGeneration') ?? 0,
  });
  return { unmapped };
}

async function ledger(call: Call): Promise<readonly Json[]> {
  const { reader } = call;
  const wanted = textsOf(call.body, 'volumeIds')?.map((id) => reader.keyOf(id));
  const attachments = await reader.all('attachment');
  return attachments
    .filter(({ volumeKey }) => wanted === undefined || wanted.includes(volumeKey))
    .map(({ volumeKey, sdcKey, generation, holder, createdAtMs }) => ({
      volumeId: reader.id(volumeKey),
      sdcId: reader.id(sdcKey),
      mappingGeneration: generation,
      holder,
      creationTime: Math.floor(createdAtMs / 1000),
    }));
}

const VOLUME_ACTION = '/api/instances/Volume::{id}/action';

export const ATTACHMENT_ROUTES: readonly Route[] = [
  {
    method: 'POST',
    path: `${VOLUME_ACTION}/holdMappedSdc`,
    schema: object({ holder: TEXT, sdcId: TEXT, guid: TEXT, accessMode: TEXT }, ['holder']),
    handle: hold,
  },
  {
    method: 'POST',
    path: `${VOLUME_ACTION}/releaseMappedSdc`,
    schema: object({ holder: TEXT, mappingGeneration: WHOLE }, ['holder']),
    handle: release,
  },
  {
    method: 'POST',
    path: '/api/types/Volume/instances/action/queryAttachments',
    schema: object({ volumeIds: TEXTS }),
    handle: ledger,
  },
];
