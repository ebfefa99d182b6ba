// Looks at this node and at the cluster for a task's questions. It must never change anything.

import { existsSync, readFileSync, statSync } from 'node:fs';
import { hostname, networkInterfaces, totalmem } from 'node:os';
import { execa } from 'execa';
import { DeviceError, probeDevice } from '../../runtime/disk-probe.js';
import { devicesOf, mdmAddressesOf } from '../environment/model.js';
import type { Environment, EnvironmentNode } from '../environment/model.js';
import { HAPROXY_CONF } from '../plan/haproxy.js';
import { STORE_PACKAGE, STORE_VERSION_TEXT } from '../plan/managers.js';
import { CINDER_CONF, NOVA_CONF } from '../plan/openstack.js';
import type {
  ClusterView,
  DeviceSeen,
  FileSeen,
  Observation,
  Questions,
  Secrets,
  UnitSeen,
} from '../plan/model.js';
import { agentSeen } from './agents.js';
import { managerSeen, viewCluster } from './cluster.js';
import { gatewayFault } from './gateways.js';

const FILE_BYTES_MAX = 4 * 2 ** 20;
const COMMAND_MS = 60_000;
const CLUSTER_IF_THERE_MS = 2_000;
const CLUSTER_NEEDED_MS = 60_000;
export const OPENRC = '/root/openrc';

function fileSeen(path: string): FileSeen | null {
  if (!existsSync(path)) return null;
  const { mode, size } = statSync(path);
  if (size > FILE_BYTES_MAX)
    throw new Error(`${path} has ${size} bytes; at most ${FILE_BYTES_MAX} are expected`);
  return { text: readFileSync(path, 'utf8'), mode: mode & 0o777 };
}

async function packageVersion(name: string): Promise<string | null> {
  const result = await execa('dpkg-query', ['-W', '-f', '${Status}\\t${Version}', name], {
    reject: false,
    timeout: COMMAND_MS,
  });
  const [status, version] = result.stdout.split('\t');
  return result.exitCode === 0 && status === 'install ok installed' ? (version ?? null) : null;
}

/** The version of a package that could be installed; null: the repositories have none. */
async function candidateVersion(name: string): Promise<string | null> {
  const result = await execa('apt-cache', ['policy', name], {
    ...{ reject: false, timeout: COMMAND_MS, stdin: 'ignore', env: { LC_ALL: 'C' } },
  });
  const version = /^ {2}Candidate: (\S+)$/m.exec(result.stdout)?.[1] ?? '(none)';
  return version === '(none)' ? null : version;
}

async function unitSeen(unit: string): Promise<UnitSeen> {
  const result = await execa(
    'systemctl',
    ['show', '-p', 'LoadState', '-p', 'ActiveState', '-p', 'UnitFileState', unit],
    { reject: false, timeout: COMMAND_MS },
  );
  const lines = result.stdout.split('\n');
  return {
    exists: lines.includes('LoadState=loaded'),
    active: lines.includes('ActiveState=active'),
    enabled: lines.includes('UnitFileState=enabled'),
  };
}

function deviceSeen(path: string): DeviceSeen {
  const none = { sizeBytes: 0, inUse: null, foreign: null, damaged: null, systemId: null };
  try {
    const probed = probeDevice(path);
    return {
      fault: null,
      sizeBytes: probed.sizeBytes,
      inUse: probed.inUse,
      foreign: probed.foreign,
      damaged: probed.damaged,
      systemId: probed.identity?.systemId ?? null,
      deviceKey: probed.identity?.deviceKey ?? 0,
    };
  } catch (error) {
    if (error instanceof DeviceError) return { ...none, deviceKey: 0, fault: error.message };
    throw error;
  }
}

/** Names of Cinder's volume types; null where nobody may ask for them from here. */
async function volumeTypesSeen(): Promise<readonly string[] | null> {
  if (!existsSync(OPENRC)) return null;
  const { stdout } = await execa(
    'sh',
    ['-c', `. ${OPENRC} && exec openstack volume type list -f json`],
    { timeout: COMMAND_MS, stdin: 'ignore' },
  );
  return (JSON.parse(stdout) as { Name: string }[]).map(({ Name }) => Name);
}

async function clusterSeen(
  wish: Questions['cluster'],
  environment: Environment,
  secrets: Secrets,
  dryRun: boolean,
): Promise<ClusterView | null> {
  if (wish === undefined) return null;
  const hosts = mdmAddressesOf(environment);
  const needed = wish === 'needed' && !dryRun;
  return viewCluster(
    hosts,
    secrets.system,
    needed ? CLUSTER_NEEDED_MS : CLUSTER_IF_THERE_MS,
    needed,
  );
}

async function mapOf<T>(
  keys: readonly string[] | undefined,
  look: (key: string) => T | Promise<T>,
): Promise<Map<string, T>> {
  const entries = (keys ?? []).map(async (key): Promise<[string, T]> => [key, await look(key)]);
  return new Map(await Promise.all(entries));
}

function addressesSeen(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ family }) => family === 'IPv4')
    .map(({ address }) => address);
}

/**
 * Answers a task's questions.
 *
 * @param dryRun - a cluster that does not answer counts as one that is not there yet
 * @throws Error when something that must be known cannot be seen
 */
export async function observe(
  questions: Questions,
  environment: Environment,
  secrets: Secrets,
  dryRun: boolean,
): Promise<Observation> {
  const managers = await mapOf(questions.managers, (host) =>
    managerSeen(host, secrets.system, CLUSTER_IF_THERE_MS),
  );
  return {
    files: await mapOf(questions.files, fileSeen),
    packages: await mapOf(questions.packages, packageVersion),
    candidates: await mapOf(questions.candidates, candidateVersion),
    units: await mapOf(questions.units, unitSeen),
    devices: await mapOf(questions.devices, deviceSeen),
    cluster: await clusterSeen(questions.cluster, environment, secrets, dryRun),
    managers: [...managers.values()].filter((seen) => seen !== null),
    gateways: await mapOf(questions.gateways, (host) =>
      gatewayFault(host, environment.settings.gatewayPort, secrets),
    ),
    agents: await mapOf(questions.agents, (host) => agentSeen(host, secrets.agentToken)),
    volumeTypes: questions.volumeTypes === true ? await volumeTypesSeen() : null,
    host: { memoryBytes: totalmem(), addresses: addressesSeen(), hostName: hostname() },
  };
}

/** What is seen of a node that has nothing of ours yet, with empty devices and OpenStack installed. */
export function freshObservation(environment: Environment, self: EnvironmentNode): Observation {
  const empty = { text: '', mode: 0o640 };
  const device: DeviceSeen = {
    fault: null,
    sizeBytes: Number.MAX_SAFE_INTEGER,
    inUse: null,
    foreign: null,
    damaged: null,
    systemId: null,
    deviceKey: 0,
  };
  return {
    files: new Map([CINDER_CONF, NOVA_CONF, HAPROXY_CONF].map((path) => [path, empty])),
    packages: new Map(),
    candidates: new Map([[STORE_PACKAGE, STORE_VERSION_TEXT]]),
    units: new Map(),
    devices: new Map(devicesOf(environment, self).map(({ path }) => [path, device])),
    cluster: null,
    managers: [],
    gateways: new Map(),
    agents: new Map(),
    volumeTypes: [],
    host: {
      memoryBytes: Number.MAX_SAFE_INTEGER,
      addresses: [self.managementAddress, self.storageAddress],
      hostName: self.name,
    },
  };
}
