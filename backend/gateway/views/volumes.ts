// Views of volumes, with who has them mapped, and of V-trees.

import { limitsOf } from '../../cluster-map/mapping-limits.js';
import { LIMIT } from '../../protocol/generated/constants.js';
import type { Mapping, Sdc, StoragePool, Volume } from '../../protocol/generated/types.js';
import { isSnapshot } from '../../runtime/statistics/trees.js';
import type { Reader } from '../reader.js';

import { ACCESS_WORDS, links, nullIfEmpty } from './parts.js';
import type { Json } from './parts.js';

const SECTORS_PER_KB = 2;

const FIXED: Json = {
  genType: 'Mirroring',
  compressionMethod: 'Invalid',
  dataLayout: 'MediumGranularity',
  isObfuscated: false,
  managedBy: 'ScaleIO',
  mappedScsiInitiatorInfo: null,
  mappingToAllSdcsEnabled: false,
  notGenuineSnapshot: false,
  originalExpiryTime: 0,
  pairIds: null,
  replicationJournalVolume: false,
  replicationTimeStamp: 0,
  retentionLevels: [],
  timeStampIsAccurate: false,
  volumeClass: 'default',
  volumeReplicationState: 'UnmarkedForReplication',
};

function volumeType(volume: Volume): string {
  if (isSnapshot(volume)) return 'Snapshot';
  return volume.provisioning === 'thin' ? 'ThinProvisioned' : 'ThickProvisioned';
}

/** The interface version from which a mapping shows more than four fields. */
const LONG_MAPPINGS_SINCE = 3;

function mappingView(
  reader: Reader,
  mapping: Mapping,
  sizeSectors: number,
  sdc: Sdc | undefined,
): Json {
  const { iops, kbps } = limitsOf(mapping, sizeSectors * LIMIT.sectorBytes);
  const short = {
    sdcId: reader.id(mapping.sdcKey),
    sdcIp: sdc?.addresses[0]?.host ?? '',
    limitIops: iops,
    limitBwInMbps: Math.floor(kbps / 1024),
  };
  // pyscaleio, which asks for version 2.0, takes any further field here for an error.
  if (reader.interfaceVersion !== null && reader.interfaceVersion < LONG_MAPPINGS_SINCE)
    return short;
  return {
    ...short,
    sdcName: nullIfEmpty(sdc?.name ?? ''),
    accessMode: ACCESS_WORDS[mapping.access],
    mappingGeneration: mapping.generation,
    ...{ limitBwInKbps: kbps, iopsPerGb: mapping.iopsPerGib },
    bandwidthPerGbInKbps: mapping.kbpsPerGib,
    isDirectBufferMapping: false,
    hostType: 'SdcHost',
    nqn: null,
  };
}

function volumeView(
  reader: Reader,
  volume: Volume,
  pool: StoragePool | undefined,
  mapped: readonly Json[],
): Json {
  const id = reader.id(volume.key);
  const vtreeId = reader.id(volume.vtreeKey);
  const poolId = reader.id(volume.poolKey);
  const ancestorId = reader.idOrNull(volume.ancestorKey);
  return {
    ...FIXED,
    id,
    name: volume.name,
    sizeInKb: Math.floor(volume.sizeSectors / SECTORS_PER_KB),
    volumeType: volumeType(volume),
    storagePoolId: poolId,
    protectionDomainId: pool === undefined ? null : reader.id(pool.domainKey),
    vtreeId,
    accessModeLimit: ACCESS_WORDS[volume.accessLimit],
    ancestorVolumeId: ancestorId,
    consistencyGroupId: reader.idOrNull(volume.groupKey),
    autoSnapshotGroupId: volume.autoPolicyKey === 0 ? null : reader.idOrNull(volume.groupKey),
    snplIdOfAutoSnapshot: reader.idOrNull(volume.autoPolicyKey),
    snplIdOfSourceVolume: reader.idOrNull(volume.policyKey),
    snapshotPolicyId: reader.idOrNull(volume.policyKey),
    lockedAutoSnapshot: volume.locked,
    lockedAutoSnapshotMarkedForRemoval: volume.lockedExpired,
    secureSnapshotExpTime: Math.floor(volume.secureUntilMs / 1000),
    creationTime: Math.floor(volume.createdAtMs / 1000),
    useRmcache: volume.rmcache,
    fullPolicy: volume.fullPolicy,
    // Clients take anything but null for "mapped".
    mappedSdcInfo: mapped.length === 0 ? null : mapped,
    links: links(
      'Volume',
      id,
      [],
      [
        ['vtreeId', 'VTree', vtreeId],
        ['storagePoolId', 'StoragePool', poolId],
        ['ancestorVolumeId', 'Volume', ancestorId],
      ],
    ),
  };
}

/** Views of volumes in the given order. */
export async function volumeViews(
  reader: Reader,
  volumes: readonly Volume[],
): Promise<readonly Json[]> {
  const mappings = await reader.some(
    'mapping',
    volumes.map(({ key }) => key),
  );
  const [sdcs, pools] = await Promise.all([
    reader.byKey(
      'sdc',
      mappings.map(({ sdcKey }) => sdcKey),
    ),
    reader.byKey(
      'storagePool',
      volumes.map(({ poolKey }) => poolKey),
    ),
  ]);
  const sizes = new Map(volumes.map(({ key, sizeSectors }) => [key, sizeSectors]));
  const byVolume = new Map<number, Json[]>();
  for (const mapping of mappings) {
    const mapped = byVolume.get(mapping.volumeKey) ?? [];
    mapped.push(
      mappingView(reader, mapping, sizes.get(mapping.volumeKey) ?? 0, sdcs.get(mapping.sdcKey)),
    );
    byVolume.set(mapping.volumeKey, mapped);
  }
  return volumes.map((volume) =>
    volumeView(reader, volume, pools.get(volume.poolKey), byVolume.get(volume.key) ?? []),
  );
}

/** Volumes by V-tree, each tree's oldest first; the tree is named after it. */
export function byTree(volumes: readonly Volume[]): ReadonlyMap<number, readonly Volume[]> {
  const trees = new Map<number, Volume[]>();
  for (const volume of volumes) {
    const tree = trees.get(volume.vtreeKey);
    if (tree === undefined) trees.set(volume.vtreeKey, [volume]);
    else tree.push(volume);
  }
  return trees;
}

export function vtreeView(reader: Reader, key: number, volumes: readonly Volume[]): Json {
  const id = reader.id(key);
  // Where the base volume was removed, its oldest snapshot stands for it.
  const [base] = volumes;
  const baseId = base === undefined ? null : reader.id(base.key);
  const poolId = base === undefined ? null : reader.id(base.poolKey);
  return {
    id,
    name: base?.name ?? null,
    baseVolumeId: baseId,
    storagePoolId: poolId,
    compressionMethod: 'Invalid',
    dataLayout: 'MediumGranularity',
    inDeletion: false,
    rootVolumes: volumes
      .filter(({ ancestorKey }) => ancestorKey === 0)
      .map(({ key: rootKey }) => reader.id(rootKey)),
    vtreeMigrationInfo: {
      migrationStatus: 'NotInMigration',
      migrationPauseReason: null,
      sourceStoragePoolId: poolId,
      destinationStoragePoolId: null,
      migrationQueuePosition: 0,
      thicknessConversionType: 'NoConversion',
    },
    links: links(
      'VTree',
      id,
      ['Volume'],
      [
        ['baseVolumeId', 'Volume', baseId],
        ['storagePoolId', 'StoragePool', poolId],
      ],
    ),
  };
}
