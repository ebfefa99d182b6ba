// Plans of what a node gets by its roles: packages, secrets, configurations and services. It must never plan what another
// node does, and never start a second metadata manager beside one that has data.

import { X509Certificate } from 'node:crypto';
import {
  controllersOf,
  devicesOf,
  gatewayHostOf,
  isController,
  managersOf,
} from '../environment/model.js';
import type { Environment, EnvironmentNode } from '../environment/model.js';
import { planDevices } from './devices.js';
import { planned, refused } from './model.js';
import type { Context, Plan, Questions, Step } from './model.js';
import {
  FILES,
  addressArguments,
  configPath,
  fileSteps,
  mdmArguments,
  mdmConfiguration,
  nodeAddresses,
  roleSteps,
  secretSteps,
  unitOf,
} from './parts.js';

/** Where devices that are files may be. */
const SDS_STATE = '/var/lib/meshsan/sds';
const MEMORY_BYTES_MIN = 1.5 * 2 ** 30;

export const isClient = ({ roles }: EnvironmentNode): boolean =>
  roles.includes('compute') || roles.includes('cinder');
export const isServer = (environment: Environment, node: EnvironmentNode): boolean =>
  devicesOf(environment, node).length > 0;
export const isNew = ({ settings }: Environment): boolean => settings.existing === null;

/** Packages of ours that a node needs, without their version. */
export function packagesOf(environment: Environment, node: EnvironmentNode): string[] {
  const controller = isController(node) && isNew(environment);
  const ours = environment.settings.drivers.includes('meshsan');
  return [
    'meshsan-runtime',
    'meshsan-deploy',
    'meshsan-lia',
    ...(controller ? ['meshsan-cli', 'meshsan-mdm', 'meshsan-gateway'] : []),
    ...(isServer(environment, node) ? ['meshsan-sds'] : []),
    ...(isClient(node) ? ['meshsan-sdc'] : []),
    ...(node.roles.includes('cinder') && ours ? ['meshsan-cinder-bridge'] : []),
    ...(node.roles.includes('compute') && ours ? ['meshsan-nova-hooks'] : []),
  ];
}

export const precheckQuestions = (environment: Environment, node: EnvironmentNode): Questions => ({
  files: [FILES.record],
  devices: devicesOf(environment, node).map(({ path }) => path),
  cluster: 'ifThere',
});

export function planPrecheck(context: Context): Plan {
  const { self, seen } = context;
  const refusals: string[] = [];
  const { memoryBytes, addresses } = seen.host;
  if (memoryBytes < MEMORY_BYTES_MIN)
    refusals.push(
      `this node has ${(memoryBytes / 2 ** 30).toFixed(1)} GiB of memory; at least ${MEMORY_BYTES_MIN / 2 ** 30} GiB are needed`,
    );
  for (const address of new Set([self.managementAddress, self.storageAddress]))
    if (!addresses.includes(address))
      refusals.push(
        `this node should have the address ${address}, but has ${addresses.join(', ') || 'none'}`,
      );
  const sds = seen.cluster?.sds.find(({ name }) => name === self.name) ?? null;
  const devices = planDevices(context, sds);
  refusals.push(...devices.refusals);
  if (refusals.length > 0) return refused(...refusals);
  return planned([], devices.notes);
}

export const packagesQuestions = (environment: Environment, node: EnvironmentNode): Questions => ({
  packages: packagesOf(environment, node),
});

export function planPackages({ environment, self, seen, version }: Context): Plan {
  const missing = packagesOf(environment, self).filter(
    (name) => seen.packages.get(name) !== version,
  );
  if (missing.length === 0) return planned([]);
  return planned([
    {
      kind: 'packages',
      about: `install ${missing.join(', ')} ${version}`,
      names: missing.map((name) => `${name}=${version}`),
    },
  ]);
}

/** Who manages metadata, for people; written down by no process until there is a cluster of managers. */
export function managersText(environment: Environment): string {
  const duties = [...managersOf(environment)].map(([name, duty]) => `${name} ${duty}`);
  return `plan of the MDM cluster: ${duties.join(', ')}; this release runs one MDM, nothing else votes`;
}

export const mdmQuestions = (environment: Environment, node: EnvironmentNode): Questions => ({
  files: [configPath('mdm'), configPath('scli'), ...Object.values(FILES)],
  units: [unitOf('mdm')],
  managers: controllersOf(environment)
    .filter(({ name }) => name !== node.name)
    .map(({ managementAddress }) => managementAddress),
});

function sameAuthority(present: string | undefined, wanted: string): boolean {
  if (present === undefined || wanted === '') return present?.trim() === wanted;
  try {
    const keyOf = (pem: string): string =>
      new X509Certificate(pem).publicKey.export({ type: 'spki', format: 'der' }).toString('hex');
    return keyOf(present) === keyOf(wanted);
  } catch {
    // What cannot be read is not ours, and is written anew.
    return false;
  }
}

/** The authority's certificate; one made elsewhere from the same key is as good. */
export function authoritySteps({ seen, secrets }: Context, path: string = FILES.authority): Step[] {
  if (
    secrets.authorityPem === '' ||
    sameAuthority(seen.files.get(path)?.text, secrets.authorityPem)
  )
    return [];
  return fileSteps(seen, 'certificate of the authority', path, secrets.authorityPem, 0o644);
}

/** Secrets of a controller: what the MDM and the gateway are made from. */
function controllerSecrets(context: Context): Step[] {
  const { seen, secrets } = context;
  return [
    ...secretSteps(context),
    ...fileSteps(
      seen,
      'administrator password',
      FILES.adminPassword,
      `${secrets.adminPassword}\n`,
      0o600,
    ),
    ...fileSteps(seen, 'key of the authority', FILES.authorityKey, secrets.authorityKeyPem, 0o600),
    ...authoritySteps(context),
  ];
}

function scliSteps({ environment, seen }: Context): Step[] {
  const text = seen.files.get(configPath('scli'))?.text;
  const mdm = mdmConfiguration(environment);
  const present = text === undefined ? null : (JSON.parse(text) as { mdm?: unknown }).mdm;
  if (JSON.stringify(present) === JSON.stringify(mdm)) return [];
  return [
    {
      kind: 'setup',
      about: 'configuration of scli',
      args: ['scli', ...mdmArguments(environment)],
    },
  ];
}

/** Remembers who has the metadata, so that no other controller ever starts with none. */
const managerSteps = ({ seen }: Context, address: string): Step[] =>
  fileSteps(seen, `the MDM is on ${address}`, FILES.manager, `${address}\n`, 0o600);

export function planMdm(context: Context): Plan {
  const { environment, self, seen } = context;
  const notes = [managersText(environment)];
  const secrets = [...controllerSecrets(context), ...scliSteps(context)];
  const present = seen.files.get(configPath('mdm')) ?? null;
  const primary = self.roles.includes('primary-controller');
  const [elsewhere] = seen.managers;
  if (present !== null && elsewhere !== undefined)
    return refused(
      `two metadata managers of one system: ${configPath('mdm')} is here, and one answers on ${elsewhere}; only one of them may have data`,
    );
  if (present === null) {
    const recorded = seen.files.get(FILES.manager)?.text.trim() ?? null;
    const first = controllersOf(environment)[0]?.managementAddress ?? '';
    const manager = elsewhere ?? recorded ?? first;
    if (elsewhere !== undefined || !primary)
      return planned(
        [...secrets, ...managerSteps(context, manager)],
        [...notes, `the MDM is on ${manager}`],
      );
    if (recorded !== null && recorded !== self.managementAddress)
      return refused(
        `the MDM of this environment was made on ${recorded}, which does not answer; starting an empty one here would forget every volume. Bring that node back`,
      );
  }
  const addresses = [{ host: self.managementAddress, role: 'all' as const }];
  const steps = roleSteps(seen, {
    role: 'mdm',
    wanted: { name: self.name, addresses, systemName: environment.label },
    args: [...addressArguments(addresses), '--name', self.name, '--system-name', environment.label],
  });
  return planned([...secrets, ...steps, ...managerSteps(context, self.managementAddress)], notes);
}

export const sdsQuestions = (environment: Environment, node: EnvironmentNode): Questions => ({
  files: [configPath('sds'), FILES.secret],
  units: [unitOf('sds')],
  devices: devicesOf(environment, node).map(({ path }) => path),
  cluster: 'needed',
});

export function planSds(context: Context): Plan {
  const { environment, self, seen } = context;
  const sds = seen.cluster?.sds.find(({ name }) => name === self.name) ?? null;
  const devices = planDevices(context, sds);
  if (devices.refusals.length > 0) return refused(...devices.refusals);
  const addresses = nodeAddresses(self);
  const search = [SDS_STATE, ...devicesOf(environment, self).map(({ path }) => path)];
  const service = roleSteps(seen, {
    role: 'sds',
    wanted: {
      name: self.name,
      addresses,
      mdm: mdmConfiguration(environment),
      deviceSearch: search,
    },
    args: [
      ...addressArguments(addresses),
      ...mdmArguments(environment),
      '--name',
      self.name,
      ...search.flatMap((path) => ['--device-search', path]),
    ],
  });
  const domain = environment.settings.protectionDomain;
  const listed = devices.add.map(({ path, force }) => `${path}${force ? ' (erased)' : ''}`);
  const join: Step[] =
    sds === null
      ? [
          {
            kind: 'cluster',
            about: `SDS ${self.name} joins ${domain} with ${listed.join(', ')}`,
            request: { op: 'addSds', domain, name: self.name, addresses, devices: devices.add },
          },
        ]
      : devices.add.map((device) => ({
          kind: 'cluster',
          about: `${device.path} of ${self.name} joins ${device.pool}`,
          request: { op: 'addDevice', sds: self.name, domain, device },
        }));
  return planned([...secretSteps(context), ...service, ...join], devices.notes);
}

export const sdcQuestions = (): Questions => ({
  files: [configPath('sdc'), FILES.secret, FILES.authority],
  units: [unitOf('sdc')],
  cluster: 'needed',
});

export function planSdc(context: Context): Plan {
  const { environment, self, seen } = context;
  const addresses = nodeAddresses(self);
  const service = roleSteps(seen, {
    role: 'sdc',
    wanted: { name: self.name, addresses, mdm: mdmConfiguration(environment), attach: 'all' },
    args: [
      ...addressArguments(addresses),
      ...mdmArguments(environment),
      '--name',
      self.name,
      '--attach',
      'all',
    ],
  });
  const text = seen.files.get(configPath('sdc'))?.text;
  const guid = text === undefined ? '' : ((JSON.parse(text) as { guid?: string }).guid ?? '');
  const known = seen.cluster?.sdcs.find((sdc) => sdc.guid === guid.toUpperCase());
  const approve: Step[] =
    environment.settings.approval === 'none' || known?.approved === true
      ? []
      : [
          {
            kind: 'cluster',
            about: `client ${self.name} is approved`,
            request: { op: 'approveSdc', guid },
          },
        ];
  return planned([...secretSteps(context), ...service, ...approve]);
}

export const gatewayQuestions = (): Questions => ({
  files: [configPath('gateway'), ...Object.values(FILES)],
  units: [unitOf('gateway')],
});

export function planGateway(context: Context): Plan {
  const { environment, self, seen } = context;
  const { publicVip, settings } = environment;
  const names = [
    ...new Set([gatewayHostOf(environment), ...(publicVip === null ? [] : [publicVip])]),
  ];
  const listen = [{ host: self.managementAddress, port: settings.gatewayPort }];
  const steps = roleSteps(seen, {
    role: 'gateway',
    wanted: { listen, names, mdm: mdmConfiguration(environment) },
    args: [
      '--listen',
      `${self.managementAddress}:${settings.gatewayPort}`,
      ...mdmArguments(environment),
      ...names.flatMap((name) => ['--dns-name', name]),
    ],
  });
  return planned([...controllerSecrets(context), ...steps]);
}
