// Views of protection domains and fault sets.

import type { FaultSet, ProtectionDomain } from '../../protocol/generated/types.js';
import type { Reader } from '../reader.js';

import { counterParameters, links } from './parts.js';
import type { Json } from './parts.js';

const CONNECTED = {
  clientServerConnStatus: 'AllConnected',
  disconnectedClientId: null,
  disconnectedClientName: null,
  disconnectedServerId: null,
  disconnectedServerIp: null,
  disconnectedServerName: null,
};

/** What every domain has alike, because the feature behind it does not exist here. */
const FIXED: Json = {
  genType: 'Mirroring',
  rebuildNetworkThrottlingEnabled: false,
  rebuildNetworkThrottlingInKbps: null,
  rebalanceNetworkThrottlingEnabled: false,
  rebalanceNetworkThrottlingInKbps: null,
  overallIoNetworkThrottlingEnabled: false,
  overallIoNetworkThrottlingInKbps: null,
  protectedMaintenanceModeNetworkThrottlingEnabled: false,
  protectedMaintenanceModeNetworkThrottlingInKbps: null,
  vtreeMigrationNetworkThrottlingEnabled: false,
  vtreeMigrationNetworkThrottlingInKbps: null,
  rebuildEnabled: true,
  rebalanceEnabled: true,
  replicationCapacityMaxRatio: null,
  rfcacheEnabled: false,
  rfcacheAccpId: null,
  rfcacheMaxIoSizeKb: 0,
  rfcacheOpertionalMode: 'None',
  rfcachePageSizeKb: 0,
  rplCapAlertLevel: 'normal',
  fglDefaultMetadataCacheSize: 0,
  fglDefaultNumConcurrentWrites: 0,
  fglMetadataCacheEnabled: false,
  sdrSdsConnectivityInfo: CONNECTED,
  sdtSdsConnectivityInfo: CONNECTED,
  mdmSdsNetworkDisconnectionsCounterParameters: counterParameters(300, 500, 700),
  sdsSdsNetworkDisconnectionsCounterParameters: counterParameters(800, 4000, 20_000),
  sdsConfigurationFailureCounterParameters: counterParameters(300, 500, 700),
  sdsDecoupledCounterParameters: counterParameters(300, 500, 700),
  sdsReceiveBufferAllocationFailuresCounterParameters: counterParameters(
    20_000,
    200_000,
    2_000_000,
  ),
};

export function protectionDomainView(reader: Reader, domain: ProtectionDomain): Json {
  const id = reader.id(domain.key);
  return {
    ...FIXED,
    id,
    name: domain.name,
    systemId: reader.systemId,
    protectionDomainState: domain.active ? 'Active' : 'Inactive',
    links: links(
      'ProtectionDomain',
      id,
      ['StoragePool', 'Sds', 'FaultSet'],
      [['systemId', 'System', reader.systemId]],
    ),
  };
}

export function faultSetView(reader: Reader, faultSet: FaultSet): Json {
  const id = reader.id(faultSet.key);
  const domainId = reader.id(faultSet.domainKey);
  return {
    id,
    name: faultSet.name,
    protectionDomainId: domainId,
    links: links('FaultSet', id, ['Sds'], [['protectionDomainId', 'ProtectionDomain', domainId]]),
  };
}
