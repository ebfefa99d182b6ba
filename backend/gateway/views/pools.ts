// View of storage pools.

import { scannerOf } from '../../cluster-map/scanner-policy.js';
import { KIB } from '../../core/units.js';
import type { CopyPolicy, PoolStatus, StoragePool } from '../../protocol/generated/types.js';
import { REST_POLICIES, limitsOf } from '../../runtime/copy-policy-words.js';
import { REST_SCANNER_ACTIONS, REST_SCANNER_MODES } from '../../runtime/scanner-words.js';
import type { Reader } from '../reader.js';

import { CACHE_WRITES_WORDS } from './caching.js';
import { links, nullIfEmpty } from './parts.js';
import type { Json } from './parts.js';

function ioPriority(prefix: string, policy: string, limits: Partial<CopyPolicy> = {}): Json {
  return {
    [`${prefix}IoPriorityPolicy`]: policy,
    [`${prefix}IoPriorityNumOfConcurrentIosPerDevice`]: limits.concurrentIos ?? null,
    [`${prefix}IoPriorityBwLimitPerDeviceInKbps`]: limits.bandwidthKbps ?? null,
    [`${prefix}IoPriorityAppIopsPerDeviceThreshold`]: limits.appIops ?? null,
    [`${prefix}IoPriorityAppBwPerDeviceThresholdInKbps`]: limits.appKbps ?? null,
    [`${prefix}IoPriorityQuietPeriodInMsec`]: limits.quietMs ?? null,
  };
}

/** A policy with the limits that it has. */
function policyOf(prefix: string, set: CopyPolicy): Json {
  const limits = Object.fromEntries(limitsOf(set.policy).map((limit) => [limit, set[limit]]));
  return ioPriority(prefix, REST_POLICIES[set.policy], limits);
}

/** What every pool has alike: one layout, no flash cache, no compression. */
const FIXED: Json = {
  genType: 'Mirroring',
  spClass: 'Default',
  spHealthState: 'Protected',
  dataLayout: 'MediumGranularity',
  compressionMethod: 'Invalid',
  externalAccelerationType: 'None',
  useRfcache: false,
  fragmentationEnabled: true,
  ...ioPriority('vtreeMigration', 'favorAppIos'),
  ...ioPriority('protectedMaintenanceMode', 'limitNumOfConcurrentIos'),
  addressSpaceUsage: 'Normal',
  addressSpaceUsageType: 'DeviceCapacityLimit',
  capacityUsageState: 'Normal',
  capacityUsageType: 'NetCapacity',
  persistentChecksumBuilderLimitKb: null,
  persistentChecksumValidateOnRead: true,
  replicationCapacityMaxRatio: null,
  fglAccpId: null,
  fglExtraCapacity: null,
  fglMaxCompressionRatio: null,
  fglMetadataSizeXx100: null,
  fglNvdimmMetadataAmortizationX100: null,
  fglNvdimmWriteCacheSizeInMb: null,
  fglOverProvisioningFactor: null,
  fglPerfProfile: null,
  fglWriteAtomicitySize: null,
};

function scannerView(pool: StoragePool): Json {
  const { mode, bandwidthKbps, compareErrorAction, readErrorAction } = scannerOf(pool);
  const compares = mode === 'dataComparison';
  return {
    backgroundScannerMode: REST_SCANNER_MODES[mode],
    backgroundScannerBWLimitKBps: mode === 'disabled' ? 0 : bandwidthKbps,
    bgScannerCompareErrorAction: compares ? REST_SCANNER_ACTIONS[compareErrorAction] : 'Invalid',
    bgScannerReadErrorAction:
      mode === 'disabled' ? 'Invalid' : REST_SCANNER_ACTIONS[readErrorAction],
  };
}

export function storagePoolView(
  reader: Reader,
  pool: StoragePool,
  status: PoolStatus | undefined,
): Json {
  const id = reader.id(pool.key);
  const domainId = reader.id(pool.domainKey);
  return {
    ...FIXED,
    id,
    name: pool.name,
    protectionDomainId: domainId,
    mediaType: nullIfEmpty(pool.mediaType),
    checksumEnabled: pool.checksums,
    persistentChecksumEnabled: true,
    persistentChecksumState: 'Protected',
    useRmcache: pool.rmcache,
    rmcacheWriteHandlingMode: CACHE_WRITES_WORDS[pool.cacheWrites],
    rebuildEnabled: pool.rebuildEnabled,
    rebalanceEnabled: pool.rebalanceEnabled,
    numOfParallelRebuildRebalanceJobsPerDevice: pool.movesPerDevice,
    ...policyOf('rebuild', pool.rebuild),
    ...policyOf('rebalance', pool.rebalance),
    ...scannerView(pool),
    zeroPaddingEnabled: pool.zeroPadding,
    sparePercentage: pool.sparePercent,
    capacityAlertHighThreshold: pool.capacityAlertHighPercent,
    capacityAlertCriticalThreshold: pool.capacityAlertCriticalPercent,
    durability: pool.durability,
    fullPolicy: pool.fullPolicy,
    capacityGrowthInKbPerDay: Math.floor((status?.growthBytesPerDay ?? 0) / KIB),
    capacityFullInSeconds: status?.isFillingUp === true ? status.fullInS : null,
    links: links(
      'StoragePool',
      id,
      ['SpSds', 'Volume', 'Device', 'VTree'],
      [['protectionDomainId', 'ProtectionDomain', domainId]],
    ),
  };
}
