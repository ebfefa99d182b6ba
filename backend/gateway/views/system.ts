// View of the system and of its MDM cluster.

import type {
  Approval,
  ClusterQueryReplyBody,
  MdmMember,
  MdmRole,
} from '../../protocol/generated/types.js';
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

type State = ClusterQueryReplyBody;

const membersOf = ({ members }: State): readonly MdmMember[] =>
  members.filter(({ member }) => member);

function clusterStateWord(state: State): string {
  if (state.mode === 1) return 'NotClustered';
  const down = membersOf(state).filter(({ up }) => !up);
  if (down.length === 0) return 'ClusteredNormal';
  return down.every(({ role }) => role === 'tieBreaker')
    ? 'ClusteredTieBreakerDown'
    : 'ClusteredDegraded';
}

function goodNodes(state: State): number {
  return state.mode === 1 ? 1 : membersOf(state).filter(({ up }) => up).length;
}

function goodReplicas(state: State): number {
  if (state.mode === 1) return 1;
  return membersOf(state).filter(({ role, up }) => role === 'manager' && up).length;
}

function entry(id: string, name: string, hosts: readonly string[], role: string): Json {
  return {
    ...{ id, name, ips: hosts, managementIPs: hosts, role },
    port: MEMBER_PORT,
    opensslVersion: 'N/A',
    virtualInterfaces: [],
  };
}

function versionInfo(version: string): string {
  return version === '' ? '' : versionName(version).replace(/^.*Version: /, '');
}

function master(reader: Reader, state: State): Json {
  const hosts = state.addresses.map(({ host }) => host);
  const self = state.members.find((member) => member.master);
  return {
    ...entry(reader.id(self?.key ?? reader.system.key), state.name, hosts, 'Manager'),
    status: 'Normal',
    versionInfo: versionInfo(state.version),
  };
}

/** Every MDM but the master, as far as it is wanted. */
function others(reader: Reader, state: State, isWanted: (member: MdmMember) => boolean): Json[] {
  return state.members.flatMap((member) => {
    if (member.master || !isWanted(member)) return [];
    const { key, name, host, up, role, version } = member;
    const word = role === 'manager' ? 'Manager' : 'TieBreaker';
    return [
      {
        ...entry(reader.id(key), name, [host], word),
        ...{ status: up ? 'Normal' : 'Error', versionInfo: versionInfo(version) },
      },
    ];
  });
}

/** Addresses of the members with a role, but for the master's. */
function hostsOf({ members }: ClusterQueryReplyBody, wanted: MdmRole): readonly string[] {
  return members
    .filter(({ role, member, master: isMaster }) => member && role === wanted && !isMaster)
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
    slaves: others(reader, state, ({ member, role }) => member && role === 'manager'),
    tieBreakers: others(reader, state, ({ member, role }) => member && role === 'tieBreaker'),
    standbyMDMs: others(reader, state, ({ member }) => !member),
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
