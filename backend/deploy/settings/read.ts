// Reads the settings of a deployment as an operator or Fuel wrote them: checks each against the table, then what hangs
// together. It owns the grammar of device lists. It must never quote a password in a message.

import { Ajv } from 'ajv';
import { nearest } from '../../runtime/config-file.js';
import { SETTINGS } from './table.js';
import type { RawSettings, SettingName, SettingRow } from './table.js';

export const MEDIA_TYPES = ['HDD', 'SSD', 'Transitional'] as const;

export type CinderDriver = 'meshsan' | 'powerflex';

export interface PoolWish {
  readonly name: string;
  readonly mediaType: (typeof MEDIA_TYPES)[number];
}

export interface DeviceWish {
  readonly path: string;
  readonly pool: string;
}

export interface ExistingCluster {
  readonly gatewayHost: string;
  readonly user: string;
  readonly password: string;
  readonly authorityPem: string;
  readonly mdm: readonly string[];
  readonly systemSecret: string;
}

export interface Settings {
  /** null: a new cluster is made. */
  readonly existing: ExistingCluster | null;
  /** 64 hex digits, or empty where none was made yet. */
  readonly environmentKey: string;
  /** Empty: derived from the environment's key. */
  readonly adminPassword: string;
  readonly protectionDomain: string;
  /** At least one; the first is the default of devices. */
  readonly pools: readonly PoolWish[];
  readonly devices: readonly DeviceWish[];
  readonly nodeDevices: ReadonlyMap<string, readonly DeviceWish[]>;
  /** Paths per node whose foreign content may be erased. */
  readonly takeover: ReadonlyMap<string, readonly string[]>;
  readonly sdsOnController: boolean;
  readonly sdsOnCompute: boolean;
  readonly durability: 'media' | 'device' | 'memory';
  readonly sparePercent: number;
  readonly zeroPadding: boolean;
  readonly checksums: boolean;
  readonly rmcache: boolean;
  readonly alertHighPercent: number;
  readonly alertCriticalPercent: number;
  readonly approval: 'none' | 'guid';
  readonly gatewayPort: number;
  /** The first is that of the default volume type. */
  readonly drivers: readonly CinderDriver[];
  readonly defaultVolumeType: boolean;
  readonly provisioning: 'thin' | 'thick';
}

const SECRET_KINDS: ReadonlySet<SettingRow['kind']> = new Set(['password', 'generated']);
const TEXT_CHARS_MAX = 16_384;
const NAMES = Object.keys(SETTINGS) as SettingName[];

function schemaOf(row: SettingRow): object {
  if (row.kind === 'checkbox') return { type: 'boolean', default: row.value };
  return {
    type: 'string',
    maxLength: TEXT_CHARS_MAX,
    default: row.value,
    ...(row.pattern === undefined ? {} : { pattern: `^(?:${row.pattern})$` }),
    ...(row.values === undefined ? {} : { enum: row.values.map(({ data }) => data) }),
  };
}

const validate = new Ajv({ useDefaults: true, allErrors: true }).compile({
  type: 'object',
  properties: Object.fromEntries(NAMES.map((name) => [name, schemaOf(SETTINGS[name])])),
});

function describe(name: string, keyword: string, value: unknown): string {
  const row = SETTINGS[name as SettingName] as SettingRow;
  const shown = SECRET_KINDS.has(row.kind) ? '' : `, is ${JSON.stringify(value)}`;
  if (keyword === 'type')
    return `setting ${name} must be ${row.kind === 'checkbox' ? 'true or false' : 'a text'}${shown}`;
  if (keyword === 'enum')
    return `setting ${name} must be one of ${(row.values ?? []).map(({ data }) => data).join(', ')}${shown}`;
  return `setting ${name} must ${row.hint ?? `have at most ${TEXT_CHARS_MAX} characters`}${shown}`;
}

const words = (text: string): string[] => text.split(/[,\s]+/).filter((word) => word !== '');

function device(text: string, defaultPool: string): DeviceWish {
  const [path = '', pool = defaultPool] = text.split('=');
  return { path, pool };
}

/** Reads "node-3: /dev/sdb, /dev/sdc=fast; node-4: ..." into a list of words per node. */
function perNode(text: string, faults: string[], name: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const line of text.split(/[;\n]/)) {
    const match = /^\s*([^:/\s]+)\s*:\s*(.*)$/.exec(line);
    if (match === null) continue;
    const node = match[1] ?? '';
    if (found.has(node)) faults.push(`setting ${name} names ${node} twice`);
    found.set(node, words(match[2] ?? ''));
  }
  return found;
}

function poolsOf(text: string): PoolWish[] {
  return words(text).map((word) => {
    const [name = '', media = 'SSD'] = word.split(':');
    return { name, mediaType: MEDIA_TYPES.find((known) => known === media) ?? 'SSD' };
  });
}

function twice(list: readonly string[]): string | undefined {
  return list.find((entry, index) => list.indexOf(entry) !== index);
}

function checkTogether(settings: Settings, faults: string[]): void {
  const pools = settings.pools.map(({ name }) => name);
  const doubled = twice(pools);
  if (doubled !== undefined) faults.push(`setting storage_pools names the pool ${doubled} twice`);
  const lists = [['every node', settings.devices] as const, ...settings.nodeDevices];
  for (const [node, devices] of lists) {
    const path = twice(devices.map((wish) => wish.path));
    if (path !== undefined) faults.push(`the device ${path} of ${node} is named twice`);
    for (const { path: of, pool } of devices)
      if (!pools.includes(pool))
        faults.push(
          `the device ${of} of ${node} is for pool ${pool}, but storage_pools has only ${pools.join(', ')}`,
        );
  }
  if (settings.alertCriticalPercent <= settings.alertHighPercent)
    faults.push(
      `setting capacity_critical_alert_threshold (${settings.alertCriticalPercent}) must be above capacity_high_alert_threshold (${settings.alertHighPercent})`,
    );
}

function existingOf(raw: RawSettings, faults: string[]): ExistingCluster | null {
  if (!raw.existing_cluster) return null;
  const needed = ['gateway_ip', 'gateway_password', 'mdm_addresses', 'system_secret'] as const;
  for (const name of needed)
    if (raw[name] === '') faults.push(`setting ${name} is needed to use an existing cluster`);
  return {
    gatewayHost: raw.gateway_ip,
    user: raw.gateway_user,
    password: raw.gateway_password,
    authorityPem: raw.gateway_ca.trim(),
    mdm: words(raw.mdm_addresses),
    systemSecret: raw.system_secret.toLowerCase(),
  };
}

/** What was wrong, all of it, or the settings. Unknown keys are named in `unknown`, with the nearest known one. */
export function readSettings(value: Readonly<Record<string, unknown>>): {
  readonly settings: Settings | null;
  readonly faults: readonly string[];
  readonly unknown: readonly string[];
} {
  const unknown = Object.keys(value)
    .filter((key) => !(NAMES as readonly string[]).includes(key))
    .map((key) => {
      const near = nearest(key, NAMES);
      return near === null
        ? `setting ${key} is unknown`
        : `setting ${key} is unknown; did you mean ${near}?`;
    });
  const known = Object.fromEntries(
    NAMES.flatMap((name) => (name in value ? [[name, value[name]]] : [])),
  );
  if (!validate(known)) {
    const faults = (validate.errors ?? []).map(({ instancePath, keyword }) => {
      const name = instancePath.slice(1);
      return describe(name, keyword, value[name]);
    });
    return { settings: null, faults: [...new Set(faults)], unknown };
  }
  const raw = known as unknown as RawSettings;
  const faults: string[] = [];
  const settings = parsed(raw, faults);
  checkTogether(settings, faults);
  return { settings: faults.length === 0 ? settings : null, faults, unknown };
}

function parsed(raw: RawSettings, faults: string[]): Settings {
  const pools = poolsOf(raw.storage_pools);
  const defaultPool = pools[0]?.name ?? '';
  const wishes = (list: readonly string[]): DeviceWish[] =>
    list.map((word) => device(word, defaultPool));
  const nodeDevices = perNode(raw.node_devices, faults, 'node_devices');
  return {
    existing: existingOf(raw, faults),
    environmentKey: raw.environment_key,
    adminPassword: raw.admin_password,
    protectionDomain: raw.protection_domain,
    pools,
    devices: wishes(words(raw.device_paths)),
    nodeDevices: new Map([...nodeDevices].map(([node, list]) => [node, wishes(list)])),
    takeover: perNode(raw.takeover_devices, faults, 'takeover_devices'),
    sdsOnController: raw.sds_on_controller,
    sdsOnCompute: raw.sds_on_compute,
    durability: raw.durability as Settings['durability'],
    sparePercent: Number(raw.spare_percent),
    zeroPadding: raw.zero_padding,
    checksums: raw.checksum_mode,
    rmcache: raw.rmcache_usage,
    alertHighPercent: Number(raw.capacity_high_alert_threshold),
    alertCriticalPercent: Number(raw.capacity_critical_alert_threshold),
    approval: raw.sdc_approval as Settings['approval'],
    gatewayPort: Number(raw.gateway_port),
    drivers:
      raw.cinder_driver === 'both' ? ['meshsan', 'powerflex'] : [raw.cinder_driver as CinderDriver],
    defaultVolumeType: raw.default_volume_type,
    provisioning: raw.provisioning_type as Settings['provisioning'],
  };
}
