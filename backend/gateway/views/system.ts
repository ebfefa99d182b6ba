// View of the system and of its MDM cluster.

import type { Approval, ClusterQueryReplyBody } from '../../protocol/generated/types.js';
import type { Reader } from '../reader.js';

import { counterParameters, links } from './parts.js';
import type { Json } from './parts.js';

const DAY_MS = 86_400_000;
const MEMBER_PORT = 9011;

const MODE_WORDS: ReadonlyMap<number, string> = new Map([
  [1, 'OneNode'],
  [3, 'ThreeNodes'],
  [5, 'FiveNodes'],
]);
const APPROVAL_WORDS: Readonly<Record<Approval, string>> = {
  none: 'None',
  guid: 'Guid',
  ip: 'ApprovedIp',
};

/** Name and version as monitoring tools split them: at ` Version: `. */
export function versionName(version: string): string {
  return `MeshSAN Version: R3_5.${version.replace(/[^0-9.]/g, '') || '0'}`;
}

function clusterStateWord(mode: number): string {
  return mode === 1 ? 'NotClustered' : 'ClusteredNormal';
}

function master(reader: Reader, state: ClusterQueryReplyBody): Json {
  const hosts = state.addresses.map(({ host }) => host);
  return {
    id: reader.systemId,
    name: state.name,
    ips: hosts,
    managementIPs: hosts,
    port: MEMBER_PORT,
    role: 'Manager',
    status: 'Normal',
    versionInfo: versionName(state.version).replace(/^.*Version: /, ''),
    opensslVersion: 'N/A',
    virtualInterfaces: [],
  };
}

/** The MDM cluster. */
export async function mdmClusterView(reader: Reader): Promise<Json> {
  const state = await reader.clusterState();
  return {
    id: BigInt(`0x${reader.systemId}`).toString(),
    name: reader.system.name,
    clusterMode: MODE_WORDS.get(state.mode) ?? 'OneNode',
    clusterState: clusterStateWord(state.mode),
    goodNodesNum: state.mode,
    goodReplicasNum: 1,
    master: master(reader, state),
    slaves: [],
    tieBreakers: [],
    standbyMDMs: [],
    virtualIps: [],
  };
}

function settings(reader: Reader): Json {
  const { system } = reader;
  return {
    restrictedSdcModeEnabled: system.approval !== 'none',
    restrictedSdcMode: APPROVAL_WORDS[system.approval],
    capacityAlertHighThresholdPercent: system.capacityAlertHighPercent,
    capacityAlertCriticalThresholdPercent: system.capacityAlertCriticalPercent,
    authenticationMethod: 'Native',
    cliPasswordAllowed: true,
    defaultIsVolumeObfuscated: false,
    managementClientSecureCommunicationEnabled: true,
    mdmToSdsPolicy: 'Authentication',
    perfProfile: 'Default',
    remoteReadOnlyLimitState: false,
    showGuid: true,
    tlsVersion: 'TLSv1.2',
    upgradeState: 'NoUpgrade',
    sdcMdmNetworkDisconnectionsCounterParameters: counterParameters(300, 500, 700),
    sdcSdsNetworkDisconnectionsCounterParameters: counterParameters(800, 4000, 20_000),
    sdcMemoryAllocationFailuresCounterParameters: counterParameters(300, 500, 700),
    sdcSocketAllocationFailuresCounterParameters: counterParameters(300, 500, 700),
    sdcLongOperationsCounterParameters: counterParameters(10_000, 100_000, 1_000_000),
    sdcSdsConnectivityInfo: {
      sdcSdsConnectivityStatus: 'AllConnected',
      disconnectedSdcId: null,
      disconnectedSdcName: null,
      disconnectedSdsId: null,
      disconnectedSdsIp: null,
      disconnectedSdsName: null,
    },
  };
}

/** The one system. */
export async function systemView(reader: Reader, nowMs: number): Promise<Json> {
  const { system, systemId } = reader;
  const state = await reader.clusterState();
  const hosts = state.addresses.map(({ host }) => host);
  return {
    id: systemId,
    name: system.name,
    installId: system.installId,
    swid: '',
    systemVersionName: versionName(state.version),
    daysInstalled: Math.max(0, Math.floor((nowMs - system.createdAtMs) / DAY_MS)),
    maxCapacityInGb: 'Unlimited',
    capacityTimeLeftInDays: 'Unlimited',
    enterpriseFeaturesEnabled: true,
    isInitialLicense: false,
    ...settings(reader),
    mdmMode: state.mode === 1 ? 'Single' : 'Cluster',
    mdmClusterState: clusterStateWord(state.mode),
    mdmManagementIPList: hosts,
    mdmManagementPort: state.port,
    primaryMdmActorIpList: hosts,
    primaryMdmActorPort: MEMBER_PORT,
    secondaryMdmActorIpList: [],
    secondaryMdmActorPort: 0,
    tiebreakerMdmIpList: [],
    tiebreakerMdmActorPort: 0,
    mdmCluster: await mdmClusterView(reader),
    links: links('System', systemId, ['ProtectionDomain', 'Sdc', 'User']),
  };
}
