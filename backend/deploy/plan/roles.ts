// Plans of what a node gets by its roles: packages, secrets, configurations and services. It must never plan what another
// node does, and never start a second metadata manager beside one that has data.

import { devicesOf, gatewayHostOf, isController } from '../environment/model.js';
import type { Environment, EnvironmentNode } from '../environment/model.js';
import { planDevices } from './devices.js';
import { recordSteps } from './deployment-record.js';
import { STORE_PACKAGE } from './managers.js';
import { STORE_UNIT, storeSteps } from './mdm.js';
import { planned, refused } from './model.js';
import type { Context, Plan, Questions, Step } from './model.js';
import {
  FILES,
  addressArguments,
  configPath,
  mdmArguments,
  mdmConfiguration,
  nodeAddresses,
  roleSteps,
  secretSteps,
  unitOf,
} from './parts.js';
import { controllerSecrets } from './secrets.js';

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

/** Controllers run MDMs, and members of etcd for their cluster. */
const isMdmNode = (environment: Environment, node: EnvironmentNode): boolean =>
  isController(node) && isNew(environment);

export const packagesQuestions = (environment: Environment, node: EnvironmentNode): Questions => ({
  packages: [
    ...packagesOf(environment, node),
    ...(isMdmNode(environment, node) ? [STORE_PACKAGE] : []),
  ],
  candidates: isMdmNode(environment, node) ? [STORE_PACKAGE] : [],
  units: isMdmNode(environment, node) ? [STORE_UNIT] : [],
});

export function planPackages(context: Context): Plan {
  const { environment, self, seen, version } = context;
  const store = isMdmNode(environment, self) ? storeSteps(context) : planned([]);
  const missing = packagesOf(environment, self).filter(
    (name) => seen.packages.get(name) !== version,
  );
  const ours: Step[] =
    missing.length === 0
      ? []
      : [
          {
            kind: 'packages',
            about: `install ${missing.join(', ')} ${version}`,
            names: missing.map((name) => `${name}=${version}`),
          },
        ];
  return planned([...store.steps, ...ours], store.notes);
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
  // Whichever controller is the primary one next time knows who left.
  return planned([...controllerSecrets(context), ...steps, ...recordSteps(context)]);
}
