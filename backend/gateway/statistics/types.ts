// THE table of statistics by object type: which properties a type has and how one object's values are found. Asking for
// a property that is not in the list of its type fails the call, as clients probe for names that way.

import type { Reader } from '../reader.js';

import { scopeOfDevices, scopeOfPools } from '../../runtime/statistics/facts.js';
import type { Facts, Rate } from '../../runtime/statistics/facts.js';
import {
  BANDWIDTH,
  CAPACITY,
  JOBS,
  OTHER,
  POOL_COUNTS,
  POOL_IDS,
  RFCACHE,
  RMCACHE,
  SYSTEM_COUNTS,
  SYSTEM_IDS,
  VAC,
} from './names.js';
import {
  NO_BANDWIDTH,
  capacityValues,
  clientValues,
  deviceValues,
  volumeCounts,
} from '../../runtime/statistics/values.js';
import type { Value, Values } from '../../runtime/statistics/values.js';

export interface StatisticsRow {
  /** Every property of the type with what it shows when there is nothing to report. */
  readonly defaults: ReadonlyMap<string, Value>;
  keys(reader: Reader, facts: Facts): readonly number[];
  values(reader: Reader, facts: Facts, key: number): Values;
}

/** Waiting for limits of mappings, which the original does not tell; in the form of its latencies, and no part of them. */
const WAITING = ['userDataSdcThrottledLatency'];

const BASE = [...BANDWIDTH, ...CAPACITY, ...VAC, ...JOBS, ...RMCACHE, ...RFCACHE, ...OTHER];

function defaultOf(name: string): Value {
  if (BANDWIDTH.includes(name) || WAITING.includes(name)) return NO_BANDWIDTH;
  return /Ids$|^registrationKeys$/.test(name) ? [] : 0;
}

function defaults(...names: readonly string[]): ReadonlyMap<string, Value> {
  return new Map(names.map((name) => [name, defaultOf(name)]));
}

const keysOf = (objects: readonly { readonly key: number }[]): readonly number[] =>
  objects.map(({ key }) => key);

function ids(reader: Reader, objects: readonly { readonly key: number }[]): readonly string[] {
  return objects.map(({ key }) => reader.id(key));
}

function ratesOf(facts: Facts, volumes: Facts['volumes']): readonly Rate[] {
  return volumes.flatMap(({ key }) => facts.ratesByVolume.get(key) ?? []);
}

function poolsValues(facts: Facts, pools: Facts['pools']): Values {
  const scope = scopeOfPools(facts, pools);
  return {
    ...capacityValues(facts, scope),
    ...deviceValues(facts, scope.devices),
    ...clientValues(ratesOf(facts, scope.volumes)),
    ...volumeCounts(facts, scope.volumes),
    numOfDevices: scope.devices.length,
  };
}

function devicesValues(reader: Reader, facts: Facts, devices: Facts['devices']): Values {
  return {
    ...capacityValues(facts, scopeOfDevices(facts, devices)),
    ...deviceValues(facts, devices),
    numOfDevices: devices.length,
    deviceIds: ids(reader, devices),
  };
}

const SYSTEM: StatisticsRow = {
  defaults: defaults(...BASE, ...WAITING, ...SYSTEM_COUNTS, ...SYSTEM_IDS),
  keys: (reader) => [reader.system.key],
  values: (reader, facts) => ({
    ...poolsValues(facts, facts.pools),
    numOfStoragePools: facts.pools.length,
    numOfProtectionDomains: facts.domains.length,
    numOfFaultSets: facts.faultSets.length,
    numOfSds: facts.sds.length,
    numOfSdc: facts.sdcs.length,
    protectionDomainIds: ids(reader, facts.domains),
    sdcIds: ids(reader, facts.sdcs),
  }),
};

const PROTECTION_DOMAIN: StatisticsRow = {
  defaults: defaults(
    ...BASE,
    ...WAITING,
    ...POOL_COUNTS,
    ...POOL_IDS,
    'numOfSds',
    'numOfStoragePools',
    'numOfFaultSets',
    'sdsIds',
    'storagePoolIds',
    'faultSetIds',
  ),
  keys: (_, facts) => keysOf(facts.domains),
  values: (reader, facts, key) => {
    const pools = facts.pools.filter(({ domainKey }) => domainKey === key);
    const sds = facts.sds.filter(({ domainKey }) => domainKey === key);
    const sets = facts.faultSets.filter(({ domainKey }) => domainKey === key);
    return {
      ...poolsValues(facts, pools),
      numOfSds: sds.length,
      numOfStoragePools: pools.length,
      numOfFaultSets: sets.length,
      sdsIds: ids(reader, sds),
      storagePoolIds: ids(reader, pools),
      faultSetIds: ids(reader, sets),
    };
  },
};

const STORAGE_POOL: StatisticsRow = {
  defaults: defaults(...BASE, ...WAITING, ...POOL_COUNTS, ...POOL_IDS),
  keys: (_, facts) => keysOf(facts.pools),
  values: (reader, facts, key) => {
    const scope = scopeOfPools(
      facts,
      facts.pools.filter((pool) => pool.key === key),
    );
    const trees = [...new Set(scope.volumes.map(({ vtreeKey }) => vtreeKey))];
    const servers = [...new Set(scope.devices.map(({ sdsKey }) => sdsKey))];
    return {
      ...poolsValues(facts, scope.pools),
      deviceIds: ids(reader, scope.devices),
      volumeIds: ids(reader, scope.volumes),
      vtreeIds: trees.map((tree) => reader.id(tree)),
      spSdsIds: servers.map((server) => reader.id(server)),
    };
  },
};

const SDS: StatisticsRow = {
  defaults: defaults(...BASE, 'numOfDevices', 'numOfRfcacheDevices', 'deviceIds'),
  keys: (_, facts) => keysOf(facts.sds),
  values: (reader, facts, key) =>
    devicesValues(
      reader,
      facts,
      facts.devices.filter(({ sdsKey }) => sdsKey === key),
    ),
};

const FAULT_SET: StatisticsRow = {
  defaults: defaults(...BASE, 'numOfDevices', 'numOfSds', 'sdsIds', 'deviceIds'),
  keys: (_, facts) => keysOf(facts.faultSets),
  values: (reader, facts, key) => {
    const sds = facts.sds.filter(({ faultSetKey }) => faultSetKey === key);
    const keys = new Set(keysOf(sds));
    const devices = facts.devices.filter(({ sdsKey }) => keys.has(sdsKey));
    return {
      ...devicesValues(reader, facts, devices),
      numOfSds: sds.length,
      sdsIds: ids(reader, sds),
    };
  },
};

const DEVICE: StatisticsRow = {
  defaults: defaults(
    ...BASE,
    'avgReadSizeInBytes',
    'avgWriteSizeInBytes',
    'avgReadLatencyInMicrosec',
    'avgWriteLatencyInMicrosec',
  ),
  keys: (_, facts) => keysOf(facts.devices),
  values: (reader, facts, key) =>
    devicesValues(
      reader,
      facts,
      facts.devices.filter((device) => device.key === key),
    ),
};

const SDC: StatisticsRow = {
  defaults: defaults(
    'numOfMappedVolumes',
    'volumeIds',
    'userDataReadBwc',
    'userDataWriteBwc',
    'userDataTrimBwc',
    'userDataSdcReadLatency',
    'userDataSdcWriteLatency',
    'userDataSdcTrimLatency',
    ...WAITING,
  ),
  keys: (_, facts) => keysOf(facts.sdcs),
  values: (reader, facts, key) => {
    const mapped = facts.mappingsBySdc.get(key) ?? [];
    return {
      ...clientValues(facts.ratesBySdc.get(key) ?? []),
      numOfMappedVolumes: mapped.length,
      volumeIds: mapped.map(({ volumeKey }) => reader.id(volumeKey)),
    };
  },
};

const VOLUME: StatisticsRow = {
  defaults: new Map<string, Value>([
    ...defaults(
      'descendantVolumeIds',
      'numOfMappedScsiInitiators',
      'numOfChildVolumes',
      'numOfMappedSdcs',
      'userDataReadBwc',
      'userDataWriteBwc',
      'userDataTrimBwc',
      'userDataSdcReadLatency',
      'userDataSdcWriteLatency',
      'userDataSdcTrimLatency',
      ...WAITING,
      'numOfDescendantVolumes',
      'childVolumeIds',
      'mappedSdcIds',
      'rplUsedJournalCap',
      'rplTotalJournalCap',
      'registrationKeys',
    ),
    ['initiatorSdcId', ''],
    ['registrationKey', ''],
    ['replicationState', 'UnmarkedForReplication'],
    ['reservationType', 'NotReserved'],
    ['replicationJournalVolume', 0],
  ]),
  keys: (_, facts) => keysOf(facts.volumes),
  values: (reader, facts, key) => {
    const mapped = facts.mappingsByVolume.get(key) ?? [];
    const children = facts.volumesByAncestor.get(key) ?? [];
    const offspring = descendants(facts, key);
    return {
      ...clientValues(facts.ratesByVolume.get(key) ?? []),
      numOfMappedSdcs: mapped.length,
      mappedSdcIds: mapped.map(({ sdcKey }) => reader.id(sdcKey)),
      numOfChildVolumes: children.length,
      childVolumeIds: ids(reader, children),
      numOfDescendantVolumes: offspring.length,
      descendantVolumeIds: ids(reader, offspring),
    };
  },
};

function descendants(facts: Facts, key: number): Facts['volumes'] {
  const children = facts.volumesByAncestor.get(key) ?? [];
  return children.flatMap((child) => [child, ...descendants(facts, child.key)]);
}

const VTREE: StatisticsRow = {
  defaults: defaults(
    'numOfVolumes',
    'volumeIds',
    'baseNetCapacityInUseInKb',
    'netCapacityInUseInKb',
    'snapNetCapacityInUseInKb',
    'trimmedCapacityInKb',
    'netProvisionedAddressesInKb',
  ),
  keys: (_, facts) => [...facts.volumesByTree.keys()],
  values: (reader, facts, key) => {
    const volumes = facts.volumesByTree.get(key) ?? [];
    const held = facts.heldByTree.get(key);
    const base = held?.baseNetBytes ?? 0;
    const snapshots = held?.snapshotNetBytes ?? 0;
    return {
      numOfVolumes: volumes.length,
      volumeIds: ids(reader, volumes),
      netCapacityInUseInKb: Math.floor((base + snapshots) / 1024),
      baseNetCapacityInUseInKb: Math.floor(base / 1024),
      snapNetCapacityInUseInKb: Math.floor(snapshots / 1024),
      netProvisionedAddressesInKb: volumes.reduce((sum, v) => sum + v.sizeSectors / 2, 0),
    };
  },
};

const SNAPSHOT_POLICY: StatisticsRow = {
  defaults: defaults(
    ...['autoSnapshotVolIds', 'expiredButLockedSnapshotsIds', 'srcVolIds'],
    ...['numOfAutoSnapshots', 'numOfExpiredButLockedSnapshots', 'numOfSrcVols'],
  ),
  keys: (_, facts) => keysOf(facts.policies),
  values: (reader, facts, key) => {
    const sources = facts.volumes.filter(({ policyKey }) => policyKey === key);
    const made = facts.volumes.filter(({ autoPolicyKey }) => autoPolicyKey === key);
    const expired = made.filter(({ lockedExpired }) => lockedExpired);
    return {
      autoSnapshotVolIds: ids(reader, made),
      expiredButLockedSnapshotsIds: ids(reader, expired),
      numOfAutoSnapshots: made.length,
      numOfExpiredButLockedSnapshots: expired.length,
      numOfSrcVols: sources.length,
      srcVolIds: ids(reader, sources),
    };
  },
};

export const STATISTICS: ReadonlyMap<string, StatisticsRow> = new Map([
  ['System', SYSTEM],
  ['ProtectionDomain', PROTECTION_DOMAIN],
  ['StoragePool', STORAGE_POOL],
  ['FaultSet', FAULT_SET],
  ['Sds', SDS],
  ['Device', DEVICE],
  ['Sdc', SDC],
  ['Volume', VOLUME],
  ['VTree', VTREE],
  ['SnapshotPolicy', SNAPSHOT_POLICY],
]);
