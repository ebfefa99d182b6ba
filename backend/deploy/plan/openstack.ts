// The plan of OpenStack's side of a node: Cinder's back-ends beside those that are there, what Nova needs to attach, and the
// volume types. It must never replace `enabled_backends`, change a file of OpenStack's code, or put a password where a
// user other than root and the service can read it.

import { controllersOf, gatewayHostOf } from '../environment/model.js';
import type { Environment, EnvironmentNode } from '../environment/model.js';
import { OPENSTACK_USER } from './cluster.js';
import { extendIniList, iniText, iniValue, setIni } from './ini.js';
import { planned, refused } from './model.js';
import type { CinderDriver } from '../settings/read.js';
import type { Context, Plan, Questions, Step } from './model.js';
import { ETC, editSteps, fileSteps, serviceSteps } from './parts.js';
import { isNew } from './roles.js';
import { authoritySteps } from './secrets.js';

export const CINDER_CONF = '/etc/cinder/cinder.conf';
const VOLUME_UNIT = 'cinder-volume.service';
const API_UNIT = 'cinder-api.service';
/** Where cinder-api is an application of Apache's instead of a service of its own. */
const API_SITE = '/etc/apache2/conf-enabled/cinder-wsgi.conf';
const APACHE_UNIT = 'apache2.service';
export const NOVA_CONF = '/etc/nova/nova.conf';
const NOVA_UNIT = 'nova-compute.service';
/** Readable for Cinder's user, and taken into the system's authorities: os-brick verifies against those. */
const SYSTEM_AUTHORITY = '/usr/local/share/ca-certificates/meshsan.crt';
const CONNECTOR_CONF = '/opt/emc/scaleio/openstack/connector.conf';
const POWERFLEX_CLASS = 'cinder.volume.drivers.dell_emc.powerflex.driver.PowerFlexDriver';
const MESHSAN_CLASS = 'meshsan_cinder.driver.MeshSANDriver';
/** Driver and bridge are of one user: the socket and the token are for it alone. */
const CINDER_USER = 'cinder';
const BRIDGE = {
  config: `${ETC}/cinder-bridge.json`,
  password: `${ETC}/cinder-bridge-password`,
  token: `${ETC}/cinder-bridge-token`,
  socket: '/run/meshsan-cinder-bridge/bridge.sock',
  unit: 'meshsan-cinder-bridge.service',
} as const;
const SCAN_TRIES = 15;
/** Same on every node, so that one cinder-volume takes over what another began. */
const BACKEND_HOST = 'meshsan';

type Options = readonly (readonly [key: string, value: string])[];

/** Names of back-end, section and volume type. */
export const BACKENDS: Readonly<Record<CinderDriver, string>> = {
  meshsan: 'meshsan',
  powerflex: 'powerflex',
};

const accountOf = ({ settings }: Environment): string => settings.existing?.user ?? OPENSTACK_USER;

function poolList({ settings }: Environment): string {
  return settings.pools.map(({ name }) => `${settings.protectionDomain}:${name}`).join(',');
}

function meshsanOptions({ environment }: Context): Options {
  const { settings } = environment;
  return [
    ['volume_driver', MESHSAN_CLASS],
    ['volume_backend_name', BACKENDS.meshsan],
    ['backend_host', BACKEND_HOST],
    ['meshsan_bridge', BRIDGE.socket],
    ['meshsan_bridge_token_file', BRIDGE.token],
    ['meshsan_storage_pools', poolList(environment)],
    ['meshsan_thin_provision', settings.provisioning === 'thin' ? 'True' : 'False'],
  ];
}

/** The service beside cinder-volume: its configuration, the gateways' password, the token that it shares with the driver. */
function bridgeSteps(context: Context): Step[] {
  const { environment, seen, secrets } = context;
  const port = environment.settings.gatewayPort;
  const controllers = isNew(environment) ? controllersOf(environment) : [];
  const hosts = [
    gatewayHostOf(environment),
    ...controllers.map(({ managementAddress }) => managementAddress),
  ];
  const config = {
    name: 'cinder-bridge',
    gateways: hosts.map((host) => `https://${host}:${port}`),
    caFile: SYSTEM_AUTHORITY,
    username: accountOf(environment),
    passwordFile: BRIDGE.password,
    tokenFile: BRIDGE.token,
    listen: { socket: BRIDGE.socket },
  };
  const file = (about: string, path: string, text: string): Step[] =>
    fileSteps(seen, about, path, `${text}\n`, 0o600, CINDER_USER);
  const files = [
    ...file('token of the bridge', BRIDGE.token, secrets.bridgeToken),
    ...file('password of the bridge', BRIDGE.password, secrets.openstackPassword),
    ...file('configuration of the bridge', BRIDGE.config, JSON.stringify(config, null, 2)),
  ];
  return [...files, ...serviceSteps(seen, BRIDGE.unit, files.length > 0)];
}

function powerflexOptions({ environment, secrets }: Context): Options {
  const { settings } = environment;
  return [
    ['volume_driver', POWERFLEX_CLASS],
    ['volume_backend_name', BACKENDS.powerflex],
    ['backend_host', BACKEND_HOST],
    ['san_ip', gatewayHostOf(environment)],
    ['powerflex_rest_server_port', String(settings.gatewayPort)],
    ['san_login', accountOf(environment)],
    ['san_password', iniText(secrets.openstackPassword)],
    ['san_thin_provision', settings.provisioning === 'thin' ? 'True' : 'False'],
    ['powerflex_storage_pools', poolList(environment)],
    ['driver_ssl_cert_verify', 'True'],
    ['driver_ssl_cert_path', SYSTEM_AUTHORITY],
  ];
}

const optionsOf: Readonly<Record<CinderDriver, (context: Context) => Options>> = {
  meshsan: meshsanOptions,
  powerflex: powerflexOptions,
};

/** cinder.conf with our back-ends beside those that are there. */
function withBackends(context: Context, present: string): string {
  const { drivers } = context.environment.settings;
  let text = present;
  for (const driver of drivers) {
    const section = BACKENDS[driver];
    for (const [key, value] of optionsOf[driver](context)) text = setIni(text, section, key, value);
    text = extendIniList(text, 'DEFAULT', 'enabled_backends', section);
  }
  return text;
}

/** cinder.conf with our type as that of volumes for which nobody names one; cinder-api reads it. */
function withDefaultType({ environment }: Context, present: string): string {
  const { drivers, defaultVolumeType } = environment.settings;
  const [first] = drivers;
  if (!defaultVolumeType || first === undefined) return present;
  return setIni(present, 'DEFAULT', 'default_volume_type', BACKENDS[first]);
}

function connectorSteps({ environment, seen, secrets }: Context): Step[] {
  if (!environment.settings.drivers.includes('powerflex')) return [];
  const present = seen.files.get(CONNECTOR_CONF)?.text ?? '';
  const section = BACKENDS.powerflex;
  const text = setIni(present, section, 'san_password', secrets.openstackPassword);
  return fileSteps(seen, "os-brick's password file", CONNECTOR_CONF, text, 0o600);
}

function trustSteps(context: Context): Step[] {
  const steps = authoritySteps(context, SYSTEM_AUTHORITY);
  if (steps.length === 0) return [];
  return [
    ...steps,
    { kind: 'run', about: 'the system trusts the authority', argv: ['update-ca-certificates'] },
  ];
}

export const cinderQuestions = (): Questions => ({
  files: [
    ...[CINDER_CONF, CONNECTOR_CONF, SYSTEM_AUTHORITY, API_SITE],
    ...[BRIDGE.config, BRIDGE.password, BRIDGE.token],
  ],
  units: [VOLUME_UNIT, API_UNIT, APACHE_UNIT, BRIDGE.unit],
});

/** Whoever serves Cinder's API here reads its file again. */
function apiSteps({ seen }: Context): Step[] {
  if (seen.units.get(API_UNIT)?.active === true)
    return [{ kind: 'unit', unit: API_UNIT, action: 'restart', about: `restart ${API_UNIT}` }];
  const site = seen.files.get(API_SITE) ?? null;
  if (site === null || seen.units.get(APACHE_UNIT)?.active !== true) return [];
  return [
    { kind: 'unit', unit: APACHE_UNIT, action: 'reload', about: 'cinder-api reads its file' },
  ];
}

export function planCinder(context: Context): Plan {
  const { environment, self, seen } = context;
  const present = seen.files.get(CINDER_CONF) ?? null;
  const volumes = isCinder(self);
  if (present === null)
    return volumes
      ? refused(`${CINDER_CONF} is missing: Cinder is not installed on this node`)
      : planned([], [`${CINDER_CONF} is missing: no cinder-api here`]);
  const before = iniValue(present.text, 'DEFAULT', 'default_volume_type');
  const extended = volumes ? withBackends(context, present.text) : present.text;
  const text = withDefaultType(context, extended);
  const files = volumes
    ? [
        ...trustSteps(context),
        ...connectorSteps(context),
        ...(environment.settings.drivers.includes('meshsan') ? bridgeSteps(context) : []),
      ]
    : [];
  const about = volumes ? `Cinder's back-ends: ${listed(environment)}` : "Cinder's default type";
  const edit = editSteps(seen, about, CINDER_CONF, text);
  const volumesChanged = volumes && edit.length + files.length > 0;
  const typeChanged = text !== extended;
  return planned(
    [
      ...[...files, ...edit],
      ...(typeChanged ? apiSteps(context) : []),
      ...restartSteps(context, VOLUME_UNIT, volumesChanged),
    ],
    typeChanged && before !== null ? [`default_volume_type was ${before}`] : [],
  );
}

function listed({ settings }: Environment): string {
  return settings.drivers.map((driver) => BACKENDS[driver]).join(', ');
}

/** A service of OpenStack reads its files at its start; one that is not installed here has none to restart. */
function restartSteps({ seen }: Context, unit: string, changed: boolean): Step[] {
  const state = seen.units.get(unit);
  if (!changed || state?.exists !== true) return [];
  return [{ kind: 'unit', unit, action: 'restart', about: `restart ${unit}` }];
}

export const novaQuestions = (): Questions => ({
  files: [NOVA_CONF, CONNECTOR_CONF, SYSTEM_AUTHORITY],
  units: [NOVA_UNIT],
});

export function planNova(context: Context): Plan {
  const { environment, seen } = context;
  const present = seen.files.get(NOVA_CONF) ?? null;
  if (present === null)
    return refused(`${NOVA_CONF} is missing: Nova is not installed on this node`);
  const powerflex = environment.settings.drivers.includes('powerflex');
  const tries = Number(iniValue(present.text, 'libvirt', 'num_volume_scan_tries') ?? '0');
  const patient =
    tries >= SCAN_TRIES
      ? present.text
      : setIni(present.text, 'libvirt', 'num_volume_scan_tries', String(SCAN_TRIES));
  // With both drivers, ours tells os-brick's own connector who this host is.
  const both = powerflex && environment.settings.drivers.includes('meshsan');
  const text = both ? setIni(patient, 'meshsan', 'scaleio_guid', 'True') : patient;
  const steps = [
    ...(powerflex ? trustSteps(context) : []),
    ...connectorSteps(context),
    ...editSteps(seen, "Nova's options for volumes", NOVA_CONF, text),
  ];
  return planned([...steps, ...restartSteps(context, NOVA_UNIT, steps.length > 0)]);
}

export const typesQuestions = (): Questions => ({ volumeTypes: true });

/** Volume types that lead to our back-ends. */
export function planTypes({ environment, seen }: Context): Plan {
  const types = seen.volumeTypes;
  if (types === null)
    return planned(
      [],
      ['volume types are not made: no credentials of OpenStack here (/root/openrc)'],
    );
  return planned(
    environment.settings.drivers
      .map((driver) => BACKENDS[driver])
      .filter((name) => !types.includes(name))
      .map((name) => ({
        kind: 'run',
        about: `volume type ${name}`,
        argv: [
          'openstack',
          'volume',
          'type',
          'create',
          '--public',
          '--property',
          `volume_backend_name=${name}`,
          name,
        ],
      })),
  );
}

export const isCinder = ({ roles }: EnvironmentNode): boolean => roles.includes('cinder');
export const isCompute = ({ roles }: EnvironmentNode): boolean => roles.includes('compute');
