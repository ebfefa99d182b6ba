// Views of SDCs and users.

import type { RuntimeStatus, Sdc, User } from '../../protocol/generated/types.js';
import type { Reader } from '../reader.js';

import { USER_ROLE_WORDS, links, nullIfEmpty } from './parts.js';
import type { Json } from './parts.js';
import { shortVersion } from './servers.js';

const SDC_FIXED: Json = {
  hostType: 'SdcHost',
  hostOsFullType: null,
  kernelBuildNumber: null,
  kernelVersion: null,
  maxNumPaths: null,
  maxNumSysPorts: null,
  mdmIpAddressesCurrent: true,
  memoryAllocationFailure: null,
  socketAllocationFailure: null,
  nqn: null,
  onVmWare: false,
  osType: 'Linux',
  peerMdmId: null,
  perfProfile: 'HighPerformance',
  sdcAgentActive: false,
  sdcApprovedIps: null,
  sdcType: 'AppSdc',
  sdrId: null,
  sdtId: null,
};

export function sdcView(reader: Reader, sdc: Sdc, status: RuntimeStatus | undefined): Json {
  const id = reader.id(sdc.key);
  const hosts = sdc.addresses.map(({ host }) => host);
  const version = shortVersion(status);
  return {
    ...SDC_FIXED,
    id,
    name: nullIfEmpty(sdc.name),
    systemId: reader.systemId,
    sdcGuid: sdc.guid,
    sdcApproved: sdc.approved,
    sdcIp: hosts[0] ?? '',
    SdcIp: hosts[0] ?? '',
    sdcIps: hosts,
    mdmConnectionState: status?.liveness === 'connected' ? 'Connected' : 'Disconnected',
    softwareVersionInfo: version,
    installedSoftwareVersionInfo: version,
    versionInfo: version,
    links: links('Sdc', id, ['Volume'], [['systemId', 'System', reader.systemId]]),
  };
}

export function userView(reader: Reader, user: User): Json {
  const id = reader.id(user.key);
  return {
    id,
    name: user.name,
    systemId: reader.systemId,
    userRole: USER_ROLE_WORDS[user.role],
    passwordChangeRequired: false,
    links: [
      { rel: 'self', href: `/api/instances/User::${id}` },
      {
        rel: '/api/parent/relationship/systemId',
        href: `/api/instances/System::${reader.systemId}`,
      },
    ],
  };
}
