// Views of SDSs and their devices.

import type {
  Device,
  DeviceState,
  Maintenance,
  MaintenanceStage,
  RuntimeStatus,
  Sds,
  SdsMoveStage,
} from '../../protocol/generated/types.js';
import type { Reader } from '../reader.js';

import { cacheView } from './caching.js';
import { ADDRESS_ROLE_WORDS, links, nullIfEmpty } from './parts.js';
import type { Json } from './parts.js';
import { versionName } from './system.js';

const SDS_FIXED: Json = {
  authenticationError: 'None',
  certificateInfo: null,
  configuredDrlMode: 'Volatile',
  drlMode: 'Volatile',
  fglMetadataCacheSize: 0,
  fglMetadataCacheState: 'Disabled',
  fglNumConcurrentWrites: 0,
  isOnVmWare: false,
  onVmWare: false,
  lastUpgradeTime: 0,
  numOfIoBuffers: null,
  numRestarts: 0,
  perfProfile: 'HighPerformance',
  raidControllers: null,
  rfcacheEnabled: false,
  rfcacheErrorApiVersionMismatch: false,
  rfcacheErrorDeviceDoesNotExist: false,
  rfcacheErrorInconsistentCacheConfiguration: false,
  rfcacheErrorInconsistentSourceConfiguration: false,
  rfcacheErrorInvalidDriverPath: false,
  rfcacheErrorLowResources: false,
  rmcacheFrozen: false,
  sdsConfigurationFailure: null,
  sdsDecoupled: null,
  sdsReceiveBufferAllocationFailures: null,
};

const MAINTENANCE_STATES: Readonly<Record<MaintenanceStage, string>> = {
  none: 'NoMaintenance',
  entering: 'SetMaintenanceInProgress',
  active: 'InMaintenance',
  exiting: 'ExitMaintenanceInProgress',
};
const MAINTENANCE_TYPES: Readonly<Record<Maintenance, string>> = {
  none: 'NoMaintenance',
  instant: 'InstantMaintenance',
  protected: 'ProtectedMaintenance',
};

const MOVE_STATES: Readonly<Record<SdsMoveStage, string>> = {
  leaving: 'Leaving',
  joining: 'Joining',
};

/** The version as objects carry it, such as `R3_5.0.1.0`; null where none was announced. */
export function shortVersion(status: RuntimeStatus | undefined): string | null {
  const version = status?.version ?? '';
  return version === '' ? null : versionName(version).replace(/^.*Version: /, '');
}

/** @param cacheFailed - one of its devices could not have the memory that its cache may have */
export function sdsView(
  reader: Reader,
  sds: Sds,
  status: RuntimeStatus | undefined,
  cacheFailed: boolean,
): Json {
  const id = reader.id(sds.key);
  const domainId = reader.id(sds.domainKey);
  const connected = status?.liveness === 'connected';
  const faultSetId = reader.idOrNull(sds.faultSetKey);
  return {
    ...SDS_FIXED,
    id,
    name: sds.name,
    protectionDomainId: domainId,
    faultSetId,
    ipList: sds.addresses.map(({ host, role }) => ({ ip: host, role: ADDRESS_ROLE_WORDS[role] })),
    port: sds.port,
    sdsState: sds.removing ? 'RemovePending' : 'Normal',
    moveState: sds.move === null ? 'NotMoving' : MOVE_STATES[sds.move.stage],
    moveTargetProtectionDomainId: reader.idOrNull(sds.move?.domainKey ?? 0),
    moveTargetFaultSetId: reader.idOrNull(sds.move?.faultSetKey ?? 0),
    maintenanceState: MAINTENANCE_STATES[sds.maintenanceStage],
    maintenanceType: MAINTENANCE_TYPES[sds.maintenance],
    membershipState: connected ? 'Joined' : 'Decoupled',
    mdmConnectionState: connected ? 'Connected' : 'Disconnected',
    softwareVersionInfo: shortVersion(status),
    ...cacheView(sds, cacheFailed),
    links: links(
      'Sds',
      id,
      ['SpSds', 'Device'],
      [
        ['protectionDomainId', 'ProtectionDomain', domainId],
        ['faultSetId', 'FaultSet', faultSetId],
      ],
    ),
  };
}

const DEVICE_STATE_WORDS: Readonly<Record<DeviceState, string>> = {
  adding: 'InitialTest',
  up: 'Normal',
  down: 'Normal',
  failed: 'Normal',
  removing: 'RemovePending',
};

const DEVICE_FIXED: Json = {
  accelerationPoolId: null,
  accelerationProps: null,
  ataSecurityActive: false,
  cacheLookAheadActive: false,
  deviceType: 'Unknown',
  externalAccelerationType: 'None',
  fglNvdimmMetadataAmortizationX100: null,
  fglNvdimmWriteCacheSize: null,
  firmwareVersion: null,
  ledSetting: 'Off',
  logicalSectorSizeInBytes: 512,
  physicalSectorSizeInBytes: 4096,
  longSuccessfulIos: { shortWindow: null, mediumWindow: null, longWindow: null },
  modelName: null,
  persistentChecksumState: 'Protected',
  raidControllerSerialNumber: null,
  rfcacheErrorDeviceDoesNotExist: false,
  rfcacheProps: null,
  serialNumber: null,
  slotNumber: null,
  ssdEndOfLifeState: 'NeverFailed',
  storageProps: null,
  temperatureState: 'NeverFailed',
  vendorName: null,
  writeCacheActive: false,
};

/** @param mediaType - of the device's pool */
export function deviceView(reader: Reader, device: Device, mediaType: string): Json {
  const id = reader.id(device.key);
  const sdsId = reader.id(device.sdsKey);
  const poolId = reader.id(device.poolKey);
  const capacityKb = Math.floor(device.capacityBytes / 1024);
  const failed = device.state === 'failed';
  // What clearDeviceError clears is an error, too: a device that was found slow.
  const isGood = !failed && device.state !== 'down' && device.slowStage === 'none';
  return {
    ...DEVICE_FIXED,
    id,
    name: nullIfEmpty(device.name),
    sdsId,
    storagePoolId: poolId,
    spSdsId: null,
    deviceCurrentPathName: device.path,
    deviceCurrentPathname: device.path,
    deviceOriginalPathName: device.path,
    deviceOriginalPathname: device.path,
    deviceState: device.removing ? 'RemovePending' : DEVICE_STATE_WORDS[device.state],
    deviceFailure: nullIfEmpty(device.failure),
    errorState: isGood ? 'None' : 'Error',
    aggregatedState: failed ? 'CurrentlyFailed' : 'NeverFailed',
    mediaFailing: failed,
    mediaType: device.mediaType || device.mediaFound || mediaType || 'HDD',
    autoDetectMediaType: nullIfEmpty(device.mediaFound),
    capacity: 0,
    capacityInMb: Math.floor(capacityKb / 1024),
    capacityLimitInKb: capacityKb,
    maxCapacityInKb: capacityKb,
    links: links(
      'Device',
      id,
      [],
      [
        ['sdsId', 'Sds', sdsId],
        ['storagePoolId', 'StoragePool', poolId],
      ],
    ),
  };
}
