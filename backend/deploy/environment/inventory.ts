// Reads the inventory of operators who deploy without Fuel: one YAML file with the nodes, how to reach them, and the
// settings. It owns the schema of that file. Unknown keys are refused: nobody else writes into it.

import { Ajv } from 'ajv';
import { describeFault } from '../../runtime/config-file.js';
import { readSettings } from '../settings/read.js';
import { environmentFaults } from './check.js';
import { EnvironmentError, ROLES } from './model.js';
import type { Environment, EnvironmentNode, ReadEnvironment, Role } from './model.js';
import { readYamlMap } from './astute.js';

export interface SshTarget {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly keyFile: string;
  /** Public key of the host as in known_hosts ("ssh-ed25519 AAAA..."), or empty: the key is kept at first use. */
  readonly hostKey: string;
}

export interface Inventory extends ReadEnvironment {
  /** How to reach each node, by name. */
  readonly ssh: ReadonlyMap<string, SshTarget>;
  /** Directory of the Debian packages; empty: the nodes have a repository of their own. */
  readonly packages: string;
}

interface RawSsh {
  readonly host?: string;
  readonly port?: number;
  readonly user?: string;
  readonly key?: string;
  readonly hostKey?: string;
}

interface RawNode {
  readonly name: string;
  readonly roles: readonly Role[];
  readonly management: string;
  readonly storage?: string;
  readonly devices?: readonly string[];
  readonly takeover?: readonly string[];
  readonly ssh?: RawSsh;
}

interface RawInventory {
  readonly name: string;
  readonly managementVip: string;
  readonly publicVip?: string;
  readonly packages?: string;
  readonly ssh?: RawSsh;
  readonly nodes: readonly RawNode[];
  readonly settings?: Readonly<Record<string, unknown>>;
}

const TEXT = { type: 'string', minLength: 1, maxLength: 1024 };
const SSH = {
  type: 'object',
  additionalProperties: false,
  properties: {
    host: TEXT,
    port: { type: 'integer', minimum: 1, maximum: 65535 },
    user: TEXT,
    key: TEXT,
    hostKey: TEXT,
  },
};
const PATHS = { type: 'array', maxItems: 64, items: TEXT };

const validate = new Ajv({ allErrors: true, verbose: true }).compile({
  type: 'object',
  additionalProperties: false,
  required: ['name', 'managementVip', 'nodes'],
  properties: {
    name: { type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,30}$' },
    managementVip: TEXT,
    publicVip: TEXT,
    packages: TEXT,
    ssh: SSH,
    settings: { type: 'object' },
    nodes: {
      type: 'array',
      minItems: 1,
      maxItems: 1024,
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['name', 'roles', 'management'],
        properties: {
          name: TEXT,
          roles: { type: 'array', minItems: 1, maxItems: 8, items: { enum: ROLES } },
          management: TEXT,
          storage: TEXT,
          devices: PATHS,
          takeover: PATHS,
          ssh: SSH,
        },
      },
    },
  },
});

/** Devices of nodes go through the same grammar as those of the settings. */
function settingsInput(raw: RawInventory): Record<string, unknown> {
  const lines = (key: 'devices' | 'takeover'): string =>
    raw.nodes
      .filter((node) => (node[key] ?? []).length > 0)
      .map((node) => `${node.name}: ${(node[key] ?? []).join(', ')}`)
      .join('\n');
  const settings = raw.settings ?? {};
  const joined = (key: string, more: string): Record<string, string> => {
    const before = settings[key];
    if (more === '') return {};
    return { [key]: typeof before === 'string' && before !== '' ? `${before}\n${more}` : more };
  };
  return {
    ...settings,
    ...joined('node_devices', lines('devices')),
    ...joined('takeover_devices', lines('takeover')),
  };
}

function targetOf(raw: RawInventory, node: RawNode): SshTarget {
  const merged = { ...raw.ssh, ...node.ssh };
  return {
    host: merged.host ?? node.management,
    port: merged.port ?? 22,
    user: merged.user ?? 'root',
    keyFile: merged.key ?? '',
    hostKey: merged.hostKey ?? '',
  };
}

/**
 * Reads an inventory.
 *
 * @param source - path, for messages
 * @param environmentKey - the key kept beside the inventory, or empty where none was made yet
 * @throws EnvironmentError with everything that is wrong
 */
export function readInventory(source: string, text: string, environmentKey: string): Inventory {
  const value = readYamlMap(source, text);
  if (!validate(value))
    throw new EnvironmentError(source, [...new Set((validate.errors ?? []).map(describeFault))]);
  const raw = value as unknown as RawInventory;
  const read = readSettings({ ...settingsInput(raw), environment_key: environmentKey });
  const faults = [...read.faults, ...read.unknown];
  if (read.settings === null || faults.length > 0) throw new EnvironmentError(source, faults);
  const nodes = raw.nodes.map((node): EnvironmentNode => ({
    name: node.name,
    fqdn: node.name,
    roles: node.roles,
    managementAddress: node.management,
    storageAddress: node.storage ?? node.management,
    devices: null,
    takeover: [],
  }));
  const environment: Environment = {
    source: 'inventory',
    label: raw.name,
    nodes,
    managementVip: raw.managementVip,
    publicVip: raw.publicVip ?? null,
    settings: read.settings,
  };
  faults.push(...environmentFaults(environment));
  if (faults.length > 0) throw new EnvironmentError(source, faults);
  const ssh = new Map(raw.nodes.map((node) => [node.name, targetOf(raw, node)]));
  return { environment, ssh, packages: raw.packages ?? '', notes: [] };
}
