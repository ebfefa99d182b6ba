// Reads a node's facts file as Fuel writes it (astute.yaml): the flat shape of 6.1 (a list of nodes, one entry per node and
// role), that of 7.0 and 8.0 (the same and network_metadata), and that of 9.x and 10 (network_metadata, `roles`). It owns
// these shapes. Unknown keys are Fuel's; it must never fail because of them.

import { LineCounter, parseDocument } from 'yaml';
import { readSettings } from '../settings/read.js';
import type { DeviceWish, Settings } from '../settings/read.js';
import { environmentFaults } from './check.js';
import { EnvironmentError, ROLES } from './model.js';
import type { Environment, EnvironmentNode, ReadEnvironment, Role } from './model.js';

/** Key of our section in the facts, and of our attributes of a node (9.0 and later). */
export const PLUGIN_NAME = 'meshsan';
export const NODE_SECTION = 'meshsan_node';
/** Our own role in Fuel; a plugin's role must not be named like anything of the core. */
export const STORAGE_ROLE = 'meshsan-storage';

/** Roles of Fuel and of its plugins that need nothing from us. */
const FOREIGN_ROLES: ReadonlySet<string> = new Set([
  'ceph-osd',
  'cinder-block-device',
  'cinder-vmware',
  'compute-vmware',
  'mongo',
  'primary-mongo',
  'base-os',
  'virt',
  'ironic',
  'zabbix-server',
]);
const TEXT_BYTES_MAX = 16 * 2 ** 20;

type Json = Readonly<Record<string, unknown>>;

/** The facts and which of the nodes they belong to. */
export interface NodeFacts extends ReadEnvironment {
  readonly self: EnvironmentNode;
}

const isMap = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const mapOf = (value: unknown): Json => (isMap(value) ? value : {});
const textOf = (value: unknown): string =>
  typeof value === 'string' ? value.trim() : typeof value === 'number' ? String(value) : '';
const listOf = (value: unknown): readonly unknown[] =>
  Array.isArray(value) ? (value as readonly unknown[]) : [];
const shortName = (name: string): string => name.split('.')[0] ?? '';

/** YAML text as a mapping. @throws EnvironmentError with the place of what is wrong */
export function readYamlMap(source: string, text: string): Json {
  if (Buffer.byteLength(text) > TEXT_BYTES_MAX)
    throw new EnvironmentError(source, [`it has more than ${TEXT_BYTES_MAX} bytes`]);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [error] = document.errors;
  if (error !== undefined) {
    const { line, col } = lines.linePos(error.pos[0]);
    throw new EnvironmentError(source, [`line ${line}, column ${col}: ${error.message}`]);
  }
  const value: unknown = document.toJS({ maxAliasCount: 1000 });
  if (!isMap(value)) throw new EnvironmentError(source, ['it must be a mapping of keys']);
  return value;
}

interface RawNode {
  readonly uid: string;
  readonly name: string;
  readonly fqdn: string;
  readonly roles: Set<string>;
  readonly management: string;
  readonly storage: string;
  section: Json;
}

/** Nodes of the flat list; a node with two roles has two entries. */
function flatNodes(facts: Json, faults: string[]): RawNode[] {
  const byUid = new Map<string, RawNode>();
  for (const [index, value] of listOf(facts['nodes']).entries()) {
    const entry = mapOf(value);
    const uid = textOf(entry['uid']);
    const role = textOf(entry['role']);
    if (uid === '' || role === '') {
      faults.push(`nodes[${index}] has no ${uid === '' ? 'uid' : 'role'}`);
      continue;
    }
    const fqdn = textOf(entry['fqdn']);
    const node = byUid.get(uid) ?? {
      uid,
      name: shortName(textOf(entry['name']) || fqdn),
      fqdn,
      roles: new Set<string>(),
      management: textOf(entry['internal_address']),
      storage: textOf(entry['storage_address']),
      section: {},
    };
    node.roles.add(role);
    if (isMap(entry[NODE_SECTION])) node.section = entry[NODE_SECTION];
    byUid.set(uid, node);
  }
  return [...byUid.values()];
}

/** Nodes of network_metadata (7.0 and later). */
function metadataNodes(facts: Json, faults: string[]): RawNode[] {
  const nodes = mapOf(mapOf(facts['network_metadata'])['nodes']);
  return Object.entries(nodes).map(([key, value]) => {
    const entry = mapOf(value);
    const where = `network_metadata.nodes.${key}`;
    const addresses = mapOf(entry['network_roles']);
    if (!isMap(entry['network_roles'])) faults.push(`${where} has no network_roles`);
    const roles = listOf(entry['node_roles']).map(textOf);
    if (roles.length === 0) faults.push(`${where} has no node_roles`);
    const fqdn = textOf(entry['fqdn']);
    return {
      uid: textOf(entry['uid']),
      name: shortName(textOf(entry['name']) || key),
      fqdn,
      roles: new Set(roles),
      management: textOf(addresses['management']) || textOf(addresses['mgmt/vip']),
      storage: textOf(addresses['storage']) || textOf(addresses['cinder/iscsi']),
      section: mapOf(entry[NODE_SECTION]),
    };
  });
}

function rawNodes(facts: Json, faults: string[]): RawNode[] {
  const flat = flatNodes(facts, faults);
  const described = metadataNodes(facts, faults);
  if (described.length === 0) {
    if (flat.length === 0)
      faults.push('it names no nodes: neither `nodes` nor `network_metadata.nodes` is there');
    return flat;
  }
  // Attributes of nodes are in the list only.
  for (const node of described) {
    const same = flat.find(({ uid }) => uid === node.uid);
    if (same !== undefined && Object.keys(node.section).length === 0) node.section = same.section;
  }
  return described;
}

function rolesOf(node: RawNode, notes: string[]): Role[] {
  return [...node.roles].flatMap((role): Role[] => {
    if (role === STORAGE_ROLE) return ['storage'];
    const known = ROLES.find((name) => name === role && name !== 'storage');
    if (known !== undefined) return [known];
    if (!FOREIGN_ROLES.has(role))
      notes.push(
        `node ${node.name} has the unknown role "${role}", which gets nothing from this plugin`,
      );
    return [];
  });
}

function ownDevices(section: Json, settings: Settings, faults: string[], name: string) {
  const devices = textOf(section['devices']);
  const takeover = textOf(section['takeover']);
  const { settings: read, faults: found } = readSettings({
    storage_pools: settings.pools.map((pool) => `${pool.name}:${pool.mediaType}`).join(','),
    device_paths: devices,
    takeover_devices: takeover === '' ? '' : `${name}: ${takeover}`,
  });
  for (const fault of found) faults.push(`node ${name}: ${fault}`);
  const own: readonly DeviceWish[] | null = devices === '' ? null : (read?.devices ?? []);
  return { devices: own, takeover: read?.takeover.get(name) ?? [] };
}

function vipOf(facts: Json, name: string): string {
  const vip = mapOf(mapOf(mapOf(facts['network_metadata'])['vips'])[name]);
  return (
    textOf(vip['ipaddr']) || textOf(facts[`${name}_vip`]) || textOf(mapOf(facts[name])['ipaddr'])
  );
}

function sectionOf(facts: Json, faults: string[]): Json {
  const section = facts[PLUGIN_NAME];
  if (!isMap(section)) {
    faults.push(
      `the section ${PLUGIN_NAME} is missing: the plugin is not part of this environment`,
    );
    return {};
  }
  const { metadata, ...settings } = section;
  if (mapOf(metadata)['enabled'] === false)
    faults.push(`the plugin is not enabled in this environment (${PLUGIN_NAME}.metadata.enabled)`);
  return settings;
}

function findSelf(facts: Json, nodes: readonly RawNode[], faults: string[]): RawNode | undefined {
  const uid = textOf(facts['uid']);
  const fqdn = textOf(facts['fqdn']);
  if (uid === '' && fqdn === '') {
    faults.push('neither `uid` nor `fqdn` says which node this is');
    return undefined;
  }
  const self =
    nodes.find((node) => node.uid === uid && uid !== '') ??
    nodes.find((node) => node.fqdn === fqdn || node.name === shortName(fqdn));
  if (self === undefined)
    faults.push(`this node (uid ${uid || '?'}, ${fqdn || 'no fqdn'}) is not among the nodes`);
  return self;
}

/**
 * Reads a node's facts.
 *
 * @param source - path, for messages
 * @param nodesText - /etc/hiera/nodes.yaml, which may know newer nodes than the facts; null: there is none
 * @throws EnvironmentError with everything that is wrong
 */
export function readFacts(
  source: string,
  text: string,
  nodesText: string | null = null,
): NodeFacts {
  const own = readYamlMap(source, text);
  const newer = nodesText === null ? {} : readYamlMap('nodes.yaml', nodesText);
  const facts: Json = { ...own, ...('nodes' in newer ? { nodes: newer['nodes'] } : {}) };
  const faults: string[] = [];
  const notes: string[] = [];
  const raw = rawNodes(facts, faults);
  const read = readSettings(sectionOf(facts, faults));
  faults.push(...read.faults);
  notes.push(...read.unknown);
  const rawSelf = findSelf(facts, raw, faults);
  const { settings } = read;
  if (settings === null || rawSelf === undefined) throw new EnvironmentError(source, faults);
  const nodes = raw.map((node): EnvironmentNode => ({
    name: node.name,
    fqdn: node.fqdn,
    roles: rolesOf(node, notes),
    managementAddress: node.management,
    storageAddress: node.storage || node.management,
    ...ownDevices(node.section, settings, faults, node.name),
  }));
  const environment: Environment = {
    source: 'fuel',
    label: `fuel-${textOf(facts['deployment_id']) || textOf(mapOf(facts['cluster'])['id']) || '0'}`,
    nodes,
    managementVip: vipOf(facts, 'management'),
    publicVip: vipOf(facts, 'public') || null,
    settings,
  };
  if (settings.existing === null && settings.environmentKey === '')
    faults.push('setting environment_key is empty; Fuel generates it when the environment is made');
  if (mapOf(facts['storage'])['volumes_ceph'] === true)
    notes.push('Ceph serves volumes in this environment too; both are offered side by side');
  faults.push(...environmentFaults(environment));
  const self = nodes[raw.indexOf(rawSelf)];
  if (faults.length > 0 || self === undefined) throw new EnvironmentError(source, faults);
  return { environment, self, notes };
}
