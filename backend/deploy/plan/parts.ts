// Parts of plans that several tasks share: a file as it should be, a configuration made by meshsan-setup, a service that
// should run. It must never look at a machine.

import type { Environment, EnvironmentNode } from '../environment/model.js';
import { mdmAddressesOf } from '../environment/model.js';
import type { Context, NodeAddress, Observation, Step } from './model.js';

export const ETC = '/etc/meshsan';
export const MDM_PORT = 6611;
export const FILES = {
  secret: `${ETC}/secret`,
  adminPassword: `${ETC}/admin-password`,
  authority: `${ETC}/ca.pem`,
  authorityKey: `${ETC}/ca-key.pem`,
  agentToken: `${ETC}/lia-token`,
  signer: `${ETC}/lia-signer.pem`,
  /** Of who vouches for packages; on the primary controller. */
  signerKey: `${ETC}/lia-signer-key.pem`,
  /** Nodes of the last deployment; on every controller. */
  record: `${ETC}/deployment.json`,
  /** Address of the controller on which the system was made; on every controller. */
  manager: `${ETC}/manager`,
} as const;

/** A file of root's as it should be; nothing when it is so. */
export function fileSteps(
  seen: Observation,
  about: string,
  path: string,
  text: string,
  mode: number,
  owner?: string,
): Step[] {
  const present = seen.files.get(path) ?? null;
  if (present?.text === text && present.mode === mode) return [];
  const file = { kind: 'file', about, path, text, mode, enforceMode: true } as const;
  return [owner === undefined ? file : { ...file, owner }];
}

/** A file of other software that is edited; owner and mode stay. */
export function editSteps(seen: Observation, about: string, path: string, text: string): Step[] {
  const present = seen.files.get(path) ?? null;
  if (present?.text === text) return [];
  return [{ kind: 'file', about, path, text, mode: 0o640, enforceMode: false }];
}

/** What a configuration file says; nothing where it cannot be read. */
export function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch (error) {
    // A file that cannot be read is written anew; meshsan-setup says so when it cannot.
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

export interface RoleConfiguration {
  /** Name of the package, the service and the file: mdm, sds, sdc, gateway. */
  readonly role: string;
  readonly wanted: Readonly<Record<string, unknown>>;
  /** Arguments of meshsan-setup that make it so. */
  readonly args: readonly string[];
}

export const configPath = (role: string): string => `${ETC}/${role}.json`;
export const unitOf = (role: string): string => `meshsan-${role}.service`;

function hostsOf(list: unknown): string[] {
  return Array.isArray(list) ? list.map((entry: { host?: unknown }) => String(entry.host)) : [];
}

/**
 * The configuration of a role and its service: written when it differs, restarted when it must be. A changed list of MDM
 * addresses alone waits for the next start, as long as one of the old ones remains: a new controller must not restart
 * every storage server at once.
 */
export function roleSteps(seen: Observation, { role, wanted, args }: RoleConfiguration): Step[] {
  const text = seen.files.get(configPath(role))?.text ?? null;
  const present = text === null ? {} : parsed(text);
  const differing = Object.keys(wanted).filter((key) => !same(present[key], wanted[key]));
  const steps: Step[] = [];
  if (text === null || differing.length > 0)
    steps.push({
      kind: 'setup',
      about: `configuration of ${role} (${text === null ? 'new' : differing.join(', ')})`,
      args: [role, ...args],
    });
  const old = hostsOf(present['mdm']);
  const reachable = hostsOf(wanted['mdm']).some((host) => old.includes(host));
  const restart = differing.some((key) => key !== 'mdm' || !reachable);
  return [...steps, ...serviceSteps(seen, unitOf(role), text !== null && restart)];
}

/** A service that should run. @param restart - its configuration changed */
export function serviceSteps(seen: Observation, unit: string, restart: boolean): Step[] {
  const state = seen.units.get(unit);
  const steps: Step[] = [];
  if (state?.enabled !== true)
    steps.push({ kind: 'enable', unit, about: `${unit} starts at boot` });
  if (state?.active !== true)
    steps.push({ kind: 'unit', unit, action: 'start', about: `start ${unit}` });
  else if (restart) steps.push({ kind: 'unit', unit, action: 'restart', about: `restart ${unit}` });
  return steps;
}

export function mdmArguments(environment: Environment): string[] {
  return mdmAddressesOf(environment).flatMap((host) => ['--mdm', host]);
}

export function mdmConfiguration(environment: Environment): { host: string; port: number }[] {
  return mdmAddressesOf(environment).map((host) => ({ host, port: MDM_PORT }));
}

/** Data goes over the storage network; the management address is announced as such. */
export function nodeAddresses(node: EnvironmentNode): NodeAddress[] {
  if (node.storageAddress === node.managementAddress)
    return [{ host: node.managementAddress, role: 'all' }];
  return [
    { host: node.storageAddress, role: 'all' },
    { host: node.managementAddress, role: 'management' },
  ];
}

export const addressArguments = (addresses: readonly NodeAddress[]): string[] =>
  addresses.flatMap(({ host, role }) => ['--address', `${host}=${role}`]);

/** The secret of the system, on every node that runs any of our processes. */
export function secretSteps({ seen, secrets }: Context): Step[] {
  return fileSteps(seen, 'system secret', FILES.secret, `${secrets.system}\n`, 0o600);
}
