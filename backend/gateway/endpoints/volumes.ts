// Endpoints that create, change, map and remove volumes. It owns the original's rules of size: creation rounds up to
// 8 GiB, a new size must be a multiple of 8 GiB and not smaller; a client that asks for it gets steps of 1 GiB.

import { normalizeGuid } from '../../core/ids.js';
import { GIB } from '../../core/units.js';
import { LIMIT } from '../../protocol/generated/constants.js';
import type { Access, RemoveMode, Sdc, VolumeFullPolicy } from '../../protocol/generated/types.js';
import { action, ask, askWhenFree, creation, objectOf, pathKey } from '../action.js';
import { ApiError } from '../api-error.js';
import {
  FLAG,
  PRESENT,
  TEXT,
  WHOLE,
  flagOf,
  object,
  oneOf,
  textIn,
  textOf,
  wholeOf,
} from '../body.js';
import type { Body, Call, Route } from '../route.js';

const FULL_POLICIES: readonly VolumeFullPolicy[] = ['pool', 'wait', 'error'];
const GRAIN_GIB = 8;
const SECTORS_PER_GIB = GIB / 512;
const KB_PER_GIB = GIB / 1024;
const SIZE_GIB_MAX = Math.floor(LIMIT.volumeSectorsMax / SECTORS_PER_GIB);
const IOPS_MIN = 11;
const BANDWIDTH_GRAIN_KBPS = 1024;
const U32_MAX = 0xffffffff;
const ZERO_GUID = '00000000-0000-0000-0000-000000000000';

const ACCESS: Readonly<Record<string, Access>> = { ReadWrite: 'readWrite', ReadOnly: 'readOnly' };
const REMOVE_MODES: Readonly<Record<string, RemoveMode>> = {
  ONLY_ME: 'onlyMe',
  INCLUDING_DESCENDANTS: 'includingDescendants',
  DESCENDANTS_ONLY: 'descendantsOnly',
  WHOLE_VTREE: 'wholeVtree',
};
/** Version of a cluster that has snapshots. */
const SNAPSHOTS_SINCE = 2;

const SDC_KEYS = { sdcId: TEXT, guid: TEXT, allSdcs: PRESENT };

/** Size in sectors for a wanted size, rounded up to the grain. @throws ApiError */
export function roundedSectors(sizeGib: number, grainGib = GRAIN_GIB): number {
  if (!(sizeGib > 0)) throw ApiError.named('VOLUME_SIZE_ILLEGAL', 'it must be larger than 0');
  const grains = Math.ceil(sizeGib / grainGib);
  if (grains * grainGib > SIZE_GIB_MAX)
    throw ApiError.named('VOLUME_SIZE_ILLEGAL', `at most ${SIZE_GIB_MAX} GB`);
  return grains * grainGib * SECTORS_PER_GIB;
}

/** 8 GiB, as the original's clients expect, or 1 GiB for a client that says that it can. */
function grainOf(body: Body): number {
  const grain = wholeOf(body, 'sizeGranularityInGb') ?? GRAIN_GIB;
  if (grain !== 1 && grain !== GRAIN_GIB)
    throw ApiError.invalid(`sizeGranularityInGb must be 1 or ${GRAIN_GIB}`);
  return grain;
}

function wantedGib(body: Body): number {
  const kb = wholeOf(body, 'volumeSizeInKb');
  const gib = wholeOf(body, 'volumeSizeInGb') ?? wholeOf(body, 'volumeSizeInGB');
  if (kb === undefined && gib === undefined)
    throw ApiError.invalid(
      'The following parameter(s) must be part of the request body: volumeSizeInKb.',
    );
  if (kb !== undefined && gib !== undefined && kb !== gib * KB_PER_GIB)
    throw ApiError.invalid(
      `volumeSizeInKb (${kb}) and volumeSizeInGb (${gib}) are two sizes: give one of them`,
    );
  return kb === undefined ? (gib ?? 0) : kb / KB_PER_GIB;
}

async function create(call: Call): Promise<{ readonly key: number }> {
  const { body } = call;
  const pool = await objectOf(call, 'storagePool', textIn(body, 'storagePoolId'), 'POOL_NOT_FOUND');
  return ask(call, 'ADD_VOLUME', {
    poolKey: pool.key,
    name: textOf(body, 'name') ?? '',
    sizeSectors: roundedSectors(wantedGib(body), grainOf(body)),
    provisioning: textOf(body, 'volumeType') === 'ThinProvisioned' ? 'thin' : 'thick',
    rmcache: flagOf(body, 'useRmcache') ?? true,
  });
}

async function resize(call: Call): Promise<void> {
  const sizeGib = wholeOf(call.body, 'sizeInGB') ?? 0;
  const grainGib = grainOf(call.body);
  if (sizeGib === 0 || sizeGib % grainGib !== 0)
    throw ApiError.named('VOLUME_SIZE_ILLEGAL', `${sizeGib} GB`);
  await askWhenFree(call, 'RESIZE_VOLUME', {
    key: pathKey(call),
    sizeSectors: roundedSectors(sizeGib, grainGib),
  });
}

async function remove(call: Call): Promise<void> {
  const mode = REMOVE_MODES[textOf(call.body, 'removeMode') ?? 'ONLY_ME'];
  if (mode === undefined) throw ApiError.named('REMOVE_MODE_ILLEGAL');
  // An MDM of before snapshots knows no modes: to it this would mean the volume itself, which has no descendants there.
  if (mode === 'descendantsOnly' && call.reader.system.clusterVersion < SNAPSHOTS_SINCE) return;
  await askWhenFree(call, 'REMOVE_VOLUME', { key: pathKey(call), mode });
}

/**
 * The SDC that a body names by id or GUID; null when it names none. The GUID of zeroes is what programs see on a host
 * whose kernel cannot show them another; it stands for that host while it is the only one of its kind.
 */
export async function namedSdc(call: Call): Promise<Sdc | null> {
  const id = textOf(call.body, 'sdcId');
  if (id !== undefined && id !== '') return objectOf(call, 'sdc', id, 'SDC_NOT_FOUND');
  const guid = textOf(call.body, 'guid');
  if (guid === undefined || guid === '') return null;
  const wanted = normalizeGuid(guid);
  const sdcs = await call.reader.all('sdc');
  const found =
    wanted === ZERO_GUID
      ? theOnlyOneOfZeroes(call, sdcs)
      : sdcs.find((sdc) => wanted !== null && normalizeGuid(sdc.guid) === wanted);
  if (found === undefined) throw ApiError.named('SDC_NOT_FOUND');
  return found;
}

function theOnlyOneOfZeroes(call: Call, sdcs: readonly Sdc[]): Sdc | undefined {
  const declared = sdcs.filter((sdc) => sdc.approved && sdc.zeroGuid);
  if (declared.length <= 1) return declared[0];
  const names = declared.map(({ key, name, addresses }) =>
    [name, call.reader.id(key), addresses[0]?.host ?? ''].filter((word) => word !== '').join(' '),
  );
  throw ApiError.invalid(
    `the GUID of zeroes is that of ${declared.length} SDCs (${names.join('; ')}); name the SDC by its id, or by the GUID that drv_cfg --query_guid shows`,
  );
}

function noSdcNamed(): ApiError {
  return ApiError.invalid(
    'The following parameter(s) must be part of the request body: sdcId, guid or allSdcs.',
  );
}

/** What a body wants to allow. @throws ApiError */
export function accessOf(body: Body, field = 'accessMode'): Access {
  const access = ACCESS[textOf(body, field) ?? 'ReadWrite'];
  if (access === undefined) throw ApiError.invalid(`${field} must be ReadWrite or ReadOnly`);
  return access;
}

async function map(call: Call): Promise<void> {
  const { body } = call;
  const access = accessOf(body);
  const volumeKey = pathKey(call);
  const sdc = await namedSdc(call);
  if (sdc === null && !('allSdcs' in body)) throw noSdcNamed();
  const targets = sdc === null ? await call.reader.all('sdc') : [sdc];
  const allowMultiple = sdc === null || (flagOf(body, 'allowMultipleMappings') ?? false);
  for (const { key } of targets)
    await askWhenFree(call, 'MAP_VOLUME', { volumeKey, sdcKey: key, allowMultiple, access });
}

async function unmap(call: Call): Promise<void> {
  const sdc = await namedSdc(call);
  if (sdc === null && !('allSdcs' in call.body)) throw noSdcNamed();
  await ask(call, 'UNMAP_VOLUME', {
    volumeKey: pathKey(call),
    sdcKeys: sdc === null ? [] : [sdc.key],
    generation: wholeOf(call.body, 'mappingGeneration') ?? 0,
  });
}

async function setLimits(call: Call): Promise<void> {
  const { body } = call;
  const iops = wholeOf(body, 'iopsLimit');
  const kbps = wholeOf(body, 'bandwidthLimitInKbps');
  const iopsPerGib = wholeOf(body, 'iopsPerGb');
  const kbpsPerGib = wholeOf(body, 'bandwidthPerGbInKbps');
  if ([iops, kbps, iopsPerGib, kbpsPerGib].every((limit) => limit === undefined))
    throw ApiError.invalid(
      'The following parameter(s) must be part of the request body: iopsLimit or bandwidthLimitInKbps.',
    );
  for (const [name, limit] of Object.entries({
    iopsPerGb: iopsPerGib,
    bandwidthPerGbInKbps: kbpsPerGib,
  }))
    if (limit !== undefined && limit > U32_MAX)
      throw ApiError.named(
        'LIMIT_ILLEGAL',
        `${name} (${limit}) must be at most ${U32_MAX}, or 0 for no limit`,
      );
  if (iops !== undefined && iops !== 0 && (iops < IOPS_MIN || iops > U32_MAX))
    throw ApiError.named(
      'LIMIT_ILLEGAL',
      `iopsLimit (${iops}) must be a number larger than ${IOPS_MIN - 1} and at most ${U32_MAX}, or 0 for no limit`,
    );
  if (kbps !== undefined && (kbps % BANDWIDTH_GRAIN_KBPS !== 0 || kbps > U32_MAX))
    throw ApiError.named(
      'LIMIT_ILLEGAL',
      `bandwidthLimitInKbps (${kbps}) must be a multiple of ${BANDWIDTH_GRAIN_KBPS} and at most ${U32_MAX}, or 0 for no limit`,
    );
  const sdc = await namedSdc(call);
  if (sdc === null) throw noSdcNamed();
  await ask(call, 'SET_MAPPING_LIMITS', {
    volumeKey: pathKey(call),
    sdcKey: sdc.key,
    iopsLimit: iops ?? null,
    bandwidthLimitKbps: kbps ?? null,
    iopsPerGib: iopsPerGib ?? null,
    kbpsPerGib: kbpsPerGib ?? null,
  });
}

export const VOLUME_ROUTES: readonly Route[] = [
  creation(
    'Volume',
    object(
      {
        storagePoolId: TEXT,
        name: TEXT,
        volumeType: oneOf(['ThinProvisioned', 'ThickProvisioned']),
        volumeSizeInKb: WHOLE,
        volumeSizeInGb: WHOLE,
        volumeSizeInGB: WHOLE,
        sizeGranularityInGb: WHOLE,
        useRmcache: FLAG,
        compressionMethod: oneOf(['None', 'Normal', 'Invalid']),
      },
      ['storagePoolId'],
    ),
    create,
  ),
  action(
    'Volume',
    'removeVolume',
    object({ removeMode: TEXT, allowOnExtManagedVol: FLAG }),
    remove,
  ),
  action('Volume', 'setVolumeName', object({ newName: TEXT }, ['newName']), (call) =>
    ask(call, 'RENAME_VOLUME', { key: pathKey(call), name: textIn(call.body, 'newName') }),
  ),
  action(
    'Volume',
    'setFullPolicy',
    object({ fullPolicy: oneOf(FULL_POLICIES) }, ['fullPolicy']),
    (call) =>
      ask(call, 'SET_VOLUME_FULL_POLICY', {
        key: pathKey(call),
        fullPolicy: textIn(call.body, 'fullPolicy') as VolumeFullPolicy,
      }),
  ),
  action(
    'Volume',
    'setVolumeSize',
    object({ sizeInGB: WHOLE, sizeGranularityInGb: WHOLE }, ['sizeInGB']),
    resize,
  ),
  action(
    'Volume',
    'addMappedSdc',
    object({ ...SDC_KEYS, allowMultipleMappings: FLAG, accessMode: TEXT }),
    map,
  ),
  action(
    'Volume',
    'removeMappedSdc',
    object({ ...SDC_KEYS, ignoreScsiInitiators: FLAG, mappingGeneration: WHOLE }),
    unmap,
  ),
  action(
    'Volume',
    'setMappedSdcLimits',
    object({
      ...{ sdcId: TEXT, guid: TEXT, iopsLimit: WHOLE, bandwidthLimitInKbps: WHOLE },
      ...{ iopsPerGb: WHOLE, bandwidthPerGbInKbps: WHOLE },
    }),
    setLimits,
  ),
];
