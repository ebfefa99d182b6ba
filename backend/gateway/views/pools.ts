// View of storage pools.

import type { StoragePool } from '../../protocol/generated/types.js';
import type { Reader } from '../reader.js';

import { links, nullIfEmpty } from './parts.js';
import type { Json } from './parts.js';

function ioPriority(prefix: string, policy: string): Json {
  return {
    [`${prefix}IoPriorityPolicy`]: policy,
    [`${prefix}IoPriorityNumOfConcurrentIosPerDevice`]: null,
    [`${prefix}IoPriorityBwLimitPerDeviceInKbps`]: null,
    [`${prefix}IoPriorityAppIopsPerDeviceThreshold`]: null,
    [`${prefix}IoPriorityAppBwPerDeviceThresholdInKbps`]: null,
    [`${prefix}IoPriorityQuietPeriodInMsec`]: null,
  };
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
  rmcacheWriteHandlingMode: 'Cached',
  rebuildEnabled: true,
  rebalanceEnabled: true,
  fragmentationEnabled: true,
  numOfParallelRebuildRebalanceJobsPerDevice: 2,
  ...ioPriority('rebuild', 'unlimited'),
  ...ioPriority('rebalance', 'favorAppIos'),
  ...ioPriority('vtreeMigration', 'favorAppIos'),
  ...ioPriority('protectedMaintenanceMode', 'limitNumOfConcurrentIos'),
  addressSpaceUsage: 'Normal',
  addressSpaceUsageType: 'DeviceCapacityLimit',
  capacityUsageState: 'Normal',
  capacityUsageType: 'NetCapacity',
  backgroundScannerMode: 'Disabled',
  backgroundScannerBWLimitKBps: null,
  bgScannerCompareErrorAction: 'ReportAndFix',
  bgScannerReadErrorAction: 'ReportAndFix',
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

export function storagePoolView(reader: Reader, pool: StoragePool): Json {
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
    zeroPaddingEnabled: pool.zeroPadding,
    sparePercentage: pool.sparePercent,
    capacityAlertHighThreshold: pool.capacityAlertHighPercent,
    capacityAlertCriticalThreshold: pool.capacityAlertCriticalPercent,
    durability: pool.durability,
    links: links(
      'StoragePool',
      id,
      ['SpSds', 'Volume', 'Device', 'VTree'],
      [['protectionDomainId', 'ProtectionDomain', domainId]],
    ),
  };
}
