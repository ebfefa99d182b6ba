// THE table of deployment settings: what an operator chooses for a cluster. The Fuel plugin's settings tab and the
// `settings` of an inventory are both made from it, and settings/read.ts checks against it. It must never hold a default
// that destroys data or a secret.

export type SettingKind =
  'text' | 'textarea' | 'password' | 'checkbox' | 'select' | 'hidden' | 'generated';

export interface SettingRow {
  readonly kind: SettingKind;
  readonly label: string;
  readonly description: string;
  /** Strings also for numbers: Fuel's builder refuses numbers. */
  readonly value: string | boolean;
  /** Whole value, as a JavaScript regular expression (it also runs in Fuel's browser). */
  readonly pattern?: string;
  /** What the pattern wants, in words. */
  readonly hint?: string;
  readonly values?: readonly { readonly data: string; readonly label: string }[];
  /** Shown and used only for a new cluster, or only for one that exists. */
  readonly only?: 'new' | 'existing';
}

const NAME = '[A-Za-z0-9][A-Za-z0-9_.-]{0,30}';
const PATH = '(?:/[A-Za-z0-9._:+@-]+)+';
const DEVICE = `${PATH}(?:=${NAME})?`;
const DEVICES = `${DEVICE}(?:[, \\t]+${DEVICE})*`;
const NODE = '[a-z0-9][a-z0-9.-]{0,62}';
const PER_NODE = `\\s*(?:${NODE}\\s*:\\s*${DEVICES}\\s*(?:[;\\n]\\s*|$))*`;
const PERCENT = '(?:\\d|[1-9]\\d|100)';
const PORT = '(?:[1-9]\\d{0,3}|[1-5]\\d{4}|6[0-4]\\d{3}|65[0-4]\\d{2}|655[0-2]\\d|6553[0-5])';
const OCTET = '(?:25[0-5]|2[0-4]\\d|1?\\d?\\d)';
const IPV4 = `${OCTET}(?:\\.${OCTET}){3}`;
const PASSWORD_HINT =
  'be empty, or 8 to 31 characters with lower case, upper case and digits, without spaces';
const PASSWORD = '(?:(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])[\\x21-\\x7e]{8,31})?';

const setting = <R extends SettingRow>(row: R): R => row;

export const SETTINGS = {
  existing_cluster: setting({
    kind: 'checkbox',
    label: 'Use an existing cluster',
    description:
      'Only clients and OpenStack are configured here; the cluster itself runs elsewhere and is not touched.',
    value: false,
  }),
  gateway_ip: setting({
    kind: 'text',
    label: 'Gateway address',
    description: 'Address of the gateway of the existing cluster.',
    value: '',
    pattern: `(?:${IPV4})?`,
    hint: 'be an IPv4 address',
    only: 'existing',
  }),
  gateway_user: setting({
    kind: 'text',
    label: 'Gateway user',
    description: 'User of the existing cluster that may make and map volumes.',
    value: 'admin',
    pattern: NAME,
    hint: 'be 1 to 31 letters, digits, dots, dashes or underscores',
    only: 'existing',
  }),
  gateway_password: setting({
    kind: 'password',
    label: 'Gateway password',
    description: 'Password of that user.',
    value: '',
    pattern: '[\\x20-\\x7e]{0,128}',
    hint: 'have at most 128 printable characters',
    only: 'existing',
  }),
  gateway_ca: setting({
    kind: 'textarea',
    label: 'Gateway authority',
    description: 'Certificate of the authority of the existing gateway, in PEM.',
    value: '',
    pattern: '(?:\\s*-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\\s]+-----END CERTIFICATE-----\\s*)*',
    hint: 'be certificates in PEM',
    only: 'existing',
  }),
  mdm_addresses: setting({
    kind: 'text',
    label: 'MDM addresses',
    description: 'Addresses of the metadata managers of the existing cluster, separated by commas.',
    value: '',
    pattern: `(?:${IPV4}(?:\\s*,\\s*${IPV4})*)?`,
    hint: 'be IPv4 addresses separated by commas',
    only: 'existing',
  }),
  system_secret: setting({
    kind: 'password',
    label: 'System secret',
    description: 'Content of /etc/meshsan/secret of the existing cluster: 64 hex digits.',
    value: '',
    pattern: '(?:[0-9a-fA-F]{64})?',
    hint: 'be 64 hex digits',
    only: 'existing',
  }),
  admin_password: setting({
    kind: 'password',
    label: 'Administrator password',
    description:
      'Of the user admin. Empty: one is generated; it lies in /etc/meshsan/admin-password on the controllers.',
    value: '',
    pattern: PASSWORD,
    hint: PASSWORD_HINT,
    only: 'new',
  }),
  protection_domain: setting({
    kind: 'text',
    label: 'Protection domain',
    description: 'The servers among which data is mirrored.',
    value: 'default',
    pattern: NAME,
    hint: 'be 1 to 31 letters, digits, dots, dashes or underscores',
  }),
  storage_pools: setting({
    kind: 'text',
    label: 'Storage pools',
    description:
      'NAME or NAME:MEDIA, separated by commas; MEDIA is HDD, SSD or Transitional. Devices without a pool go to the first.',
    value: 'default:SSD',
    pattern: `${NAME}(?::(?:HDD|SSD|Transitional))?(?:\\s*,\\s*${NAME}(?::(?:HDD|SSD|Transitional))?)*`,
    hint: 'be NAME or NAME:MEDIA separated by commas, MEDIA one of HDD, SSD, Transitional',
  }),
  device_paths: setting({
    kind: 'text',
    label: 'Devices of every storage node',
    description:
      'Paths separated by commas, each optionally PATH=POOL. Prefer /dev/disk/by-id. A node with devices of its own in the next field does not use these.',
    value: '',
    pattern: `(?:${DEVICES})?`,
    hint: 'be absolute paths (or PATH=POOL) separated by commas',
    only: 'new',
  }),
  node_devices: setting({
    kind: 'textarea',
    label: 'Devices of single nodes',
    description: 'One line per node, such as "node-3: /dev/sdb, /dev/sdc=fast".',
    value: '',
    pattern: PER_NODE,
    hint: 'be lines such as "node-3: /dev/sdb, /dev/sdc=fast"',
    only: 'new',
  }),
  takeover_devices: setting({
    kind: 'textarea',
    label: 'Devices whose present content may be erased',
    description:
      'One line per node, such as "node-3: /dev/sdb". Only these are formatted although they carry data of others; a device in use never is.',
    value: '',
    pattern: PER_NODE,
    hint: 'be lines such as "node-3: /dev/sdb"',
    only: 'new',
  }),
  sds_on_controller: setting({
    kind: 'checkbox',
    label: 'Storage on controllers',
    description: 'Controllers with devices serve them.',
    value: true,
    only: 'new',
  }),
  sds_on_compute: setting({
    kind: 'checkbox',
    label: 'Storage on compute nodes',
    description: 'Compute nodes with devices serve them (hyper-converged).',
    value: true,
    only: 'new',
  }),
  durability: setting({
    kind: 'select',
    label: 'Writes are acknowledged when',
    description: 'No mode loses an acknowledged write to a single failure.',
    value: 'media',
    values: [
      { data: 'media', label: 'both copies are on media' },
      { data: 'device', label: 'both devices have them (disks with power-loss protection)' },
      { data: 'memory', label: 'both servers have them in memory' },
    ],
    only: 'new',
  }),
  spare_percent: setting({
    kind: 'text',
    label: 'Spare capacity, per cent',
    description: 'Kept free so that a lost server can be rebuilt; at most 90.',
    value: '10',
    pattern: '(?:\\d|[1-8]\\d|90)',
    hint: 'be a whole number from 0 to 90',
    only: 'new',
  }),
  zero_padding: setting({
    kind: 'checkbox',
    label: 'Zero padding',
    description: 'What was never written reads as zero; Cinder requires it.',
    value: true,
    only: 'new',
  }),
  checksum_mode: setting({
    kind: 'checkbox',
    label: 'Report checksums as enabled',
    description: 'Data is always checked; this is what clients are told.',
    value: true,
    only: 'new',
  }),
  rmcache_usage: setting({
    kind: 'checkbox',
    label: 'RAM read cache',
    description: 'Storage servers keep what was read in memory.',
    value: false,
    only: 'new',
  }),
  capacity_high_alert_threshold: setting({
    kind: 'text',
    label: 'Capacity alert: high, per cent',
    description: 'Used capacity of a pool from which operators are warned.',
    value: '80',
    pattern: PERCENT,
    hint: 'be a whole number from 0 to 100',
    only: 'new',
  }),
  capacity_critical_alert_threshold: setting({
    kind: 'text',
    label: 'Capacity alert: critical, per cent',
    description: 'Must be above the first.',
    value: '90',
    pattern: PERCENT,
    hint: 'be a whole number from 0 to 100',
    only: 'new',
  }),
  sdc_approval: setting({
    kind: 'select',
    label: 'Clients',
    description:
      'Which hosts may use volumes; the nodes of this environment are approved by the deployment.',
    value: 'none',
    values: [
      { data: 'none', label: 'every host that knows the system secret' },
      { data: 'guid', label: 'approved hosts only' },
    ],
    only: 'new',
  }),
  gateway_port: setting({
    kind: 'text',
    label: 'Gateway port',
    description:
      'Where the REST gateway listens, on every controller and on the virtual addresses.',
    value: '4443',
    pattern: PORT,
    hint: 'be a port from 1 to 65535',
  }),
  cinder_driver: setting({
    kind: 'select',
    label: 'Cinder driver',
    description: 'How Cinder reaches the cluster.',
    value: 'meshsan',
    values: [
      { data: 'meshsan', label: 'MeshSAN (1 GiB steps, no password on compute nodes)' },
      { data: 'powerflex', label: "Cinder's own PowerFlex driver (8 GiB steps)" },
      { data: 'both', label: 'both, as two volume types; the default is MeshSAN' },
    ],
  }),
  default_volume_type: setting({
    kind: 'checkbox',
    label: 'Default volume type',
    description: 'Volumes without a type go to this cluster. Other back-ends stay as they are.',
    value: true,
  }),
  provisioning_type: setting({
    kind: 'select',
    label: 'Volumes are',
    description: 'Thin volumes take space as they are written.',
    value: 'thin',
    values: [
      { data: 'thin', label: 'thin' },
      { data: 'thick', label: 'thick' },
    ],
  }),
  environment_key: setting({
    kind: 'generated',
    label: 'Key of the environment',
    description: 'Every secret of the deployment is derived from it.',
    value: '',
    pattern: '(?:[0-9a-f]{64})?',
    hint: 'be 64 hex digits',
  }),
} as const satisfies Readonly<Record<string, SettingRow>>;

export type SettingName = keyof typeof SETTINGS;
export type RawSettings = {
  readonly [K in SettingName]: (typeof SETTINGS)[K]['kind'] extends 'checkbox' ? boolean : string;
};
