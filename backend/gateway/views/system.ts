// View of the system and of its MDM cluster.

import { memberId } from '../../protocol/member-id.js';
import type { Approval, ClusterQueryReplyBody, MdmRole } from '../../protocol/generated/types.js';
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

function clusterStateWord({ mode, members }: ClusterQueryReplyBody): string {
  if (mode === 1) return 'NotClustered';
  const down = members.filter(({ up }) => !up);
  if (down.length === 0) return 'ClusteredNormal';
  return down.every(({ role }) => role === 'tieBreaker')
    ? 'ClusteredTieBreakerDown'
    : 'ClusteredDegraded';
}

function goodNodes({ mode, members }: ClusterQueryReplyBody): number {
  return mode === 1 ? 1 : members.filter(({ up }) => up).length;
}

function goodReplicas({ mode, members }: ClusterQueryReplyBody): number {
  return mode === 1 ? 1 : members.filter(({ role, up }) => role === 'manager' && up).length;
}

function entry(id: string, name: string, hosts: readonly string[], role: string): Json {
  return {
    ...{ id, name, ips: hosts, managementIPs: hosts, role },
    port: MEMBER_PORT,
    opensslVersion: 'N/A',
    virtualInterfaces: [],
  };
}

function master(reader: Reader, state: ClusterQueryReplyBody): Json {
  const hosts = state.addresses.map(({ host }) => host);
  return {
    ...entry(reader.systemId, state.name, hosts, 'Manager'),
    status: 'Normal',
    versionInfo: versionName(state.version).replace(/^.*Version: /, ''),
  };
}

/** The other members with this role. Ids of members: the system's, and the place in the list below it. */
function others(reader: Reader, state: ClusterQueryReplyBody, role: MdmRole): readonly Json[] {
  return state.members.flatMap((member, index) => {
    if (member.role !== role || member.master) return [];
    const { name, host, up } = member;
    const word = role === 'manager' ? 'Manager' : 'TieBreaker';
    const id = memberId(reader.systemId, index);
    return [{ ...entry(id, name, [host], word), status: up ? 'Normal' : 'Error', versionInfo: '' }];
  });
}

/** Addresses of the members with a role, but for the master's. */
function hostsOf({ members }: ClusterQueryReplyBody, wanted: MdmRole): readonly string[] {
  return members
    .filter(({ role, master: isMaster }) => role === wanted && !isMaster)
    .map(({ host }) => host);
}

/** The MDM cluster. */
export async function mdmClusterView(reader: Reader): Promise<Json> {
  const state = await reader.clusterState();
  return {
    id: BigInt(`0x${reader.systemId}`).toString(),
    name: reader.system.name,
    clusterMode: MODE_WORDS.get(state.mode) ?? 'OneNode',
    clusterState: clusterStateWord(state),
    goodNodesNum: goodNodes(state),
    goodReplicasNum: goodReplicas(state),
    master: master(reader, state),
    slaves: others(reader, state, 'manager'),
    tieBreakers: others(reader, state, 'tieBreaker'),
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
    mdmClusterState: clusterStateWord(state),
    mdmManagementIPList: hosts,
    mdmManagementPort: state.port,
    primaryMdmActorIpList: hosts,
    primaryMdmActorPort: MEMBER_PORT,
    secondaryMdmActorIpList: hostsOf(state, 'manager'),
    secondaryMdmActorPort: hostsOf(state, 'manager').length > 0 ? MEMBER_PORT : 0,
    tiebreakerMdmIpList: hostsOf(state, 'tieBreaker'),
    tiebreakerMdmActorPort: hostsOf(state, 'tieBreaker').length > 0 ? MEMBER_PORT : 0,
    mdmCluster: await mdmClusterView(reader),
    links: links('System', systemId, ['ProtectionDomain', 'Sdc', 'User']),
  };
}
