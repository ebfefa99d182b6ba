// References of command lines: an object by id, name, address or GUID, and the options that name it. Not found is a
// refusal as the MDM's own, with the original's texts.

import { normalizeGuid, keyOfId } from '../core/ids.js';
import type { ErrorName } from '../protocol/generated/errors.js';
import type {
  Device,
  FaultSet,
  ProtectionDomain,
  Sdc,
  Sds,
  SnapshotPolicy,
  StoragePool,
  User,
  Volume,
} from '../protocol/generated/types.js';
import { ClusterError } from '../runtime/cluster.js';
import type { ClusterReader } from '../runtime/cluster-reader.js';

import type { Option, Values } from './option.js';
import { UsageError } from './parser.js';

function reference(
  kind: string,
  what: string,
  forms: readonly string[],
  required: boolean,
): readonly Option[] {
  return forms.map((form) => ({
    name: `${kind}_${form}`,
    value: form.toUpperCase(),
    about: `${what} by ${form === 'id' ? 'id' : form}`,
    group: kind,
    required,
  }));
}

export const DOMAIN_REF = reference('protection_domain', 'protection domain', ['id', 'name'], true);
/** Where a pool or fault set may be named by its own id instead. */
export const DOMAIN_REF_OPTIONAL = reference(
  'protection_domain',
  'protection domain',
  ['id', 'name'],
  false,
);
export const POOL_REF: readonly Option[] = [
  ...DOMAIN_REF_OPTIONAL,
  ...reference('storage_pool', 'storage pool', ['id', 'name'], true),
];
export const FAULT_SET_REF: readonly Option[] = [
  ...DOMAIN_REF_OPTIONAL,
  ...reference('fault_set', 'fault set', ['id', 'name'], true),
];
export const SDS_REF = reference('sds', 'SDS', ['id', 'name', 'ip'], true);
export const SDS_REF_OPTIONAL = reference('sds', 'SDS', ['id', 'name', 'ip'], false);
export const SDC_REF = reference('sdc', 'SDC', ['id', 'name', 'guid', 'ip'], true);
export const VOLUME_REF = reference('volume', 'volume', ['id', 'name'], true);
export const POLICY_REF = reference('snapshot_policy', 'snapshot policy', ['id', 'name'], true);
export const USER_REF: readonly Option[] = [
  { name: 'user_id', value: 'ID', about: 'user by id', group: 'user', required: true },
  { name: 'username', value: 'NAME', about: 'user by name', group: 'user', required: true },
];
export const DEVICE_REF: readonly Option[] = [
  ...SDS_REF_OPTIONAL,
  ...reference('device', 'device', ['id', 'name', 'path'], true),
];

type Finder<T> = (object: T, text: string) => boolean;

interface Kind<T> {
  readonly list: (reader: ClusterReader) => Promise<readonly T[]>;
  readonly prefix: string;
  readonly notFound: ErrorName;
  readonly finders: Readonly<Record<string, Finder<T>>>;
}

interface Keyed {
  readonly key: number;
}

/** The object that a command line names, or null when it names none. @throws ClusterError when it does not exist */
async function find<T extends Keyed>(
  kind: Kind<T>,
  reader: ClusterReader,
  values: Values,
  also: (object: T) => boolean = () => true,
): Promise<T | null> {
  const id = values.get(`${kind.prefix}_id`);
  const entries = Object.entries(kind.finders).flatMap(([option, finder]) => {
    const text = values.get(option);
    return text === undefined ? [] : [{ finder, text }];
  });
  if (id === undefined && entries.length === 0) return null;
  const key = id === undefined ? null : idKey(reader, id);
  const objects = await kind.list(reader);
  const [entry] = entries;
  const found =
    id === undefined
      ? objects.filter((object) => entry?.finder(object, entry.text) === true && also(object))
      : objects.filter((object) => object.key === key);
  if (found.length > 1)
    throw new UsageError(`${entry?.text ?? ''} is not unique: name the protection domain as well`);
  const [only] = found;
  if (only === undefined) throw ClusterError.named(kind.notFound);
  return only;
}

/** The key behind an id. @throws UsageError when it is not 16 hex digits */
export function idKey(reader: ClusterReader, id: string): number | null {
  const bare = id.trim().replace(/^0x/i, '');
  if (!/^[0-9a-f]{16}$/i.test(bare)) throw new UsageError(`${id} is not an id: 16 hex digits`);
  return keyOfId(reader.system.idPrefix, bare);
}

const byName = (object: { readonly name: string }, text: string): boolean => object.name === text;
const byAddress: Finder<Sds | Sdc> = ({ addresses }, text) =>
  addresses.some(({ host }) => text.split(',').includes(host));

export async function domainOf(
  reader: ClusterReader,
  values: Values,
): Promise<ProtectionDomain | null> {
  const kind: Kind<ProtectionDomain> = {
    list: (from) => from.all('protectionDomain'),
    prefix: 'protection_domain',
    notFound: 'DOMAIN_NOT_FOUND',
    finders: { protection_domain_name: byName },
  };
  return find(kind, reader, values);
}

async function inDomain(
  reader: ClusterReader,
  values: Values,
): Promise<(object: { readonly domainKey: number }) => boolean> {
  const domain = await domainOf(reader, values);
  return ({ domainKey }) => domain === null || domain.key === domainKey;
}

export async function poolOf(reader: ClusterReader, values: Values): Promise<StoragePool | null> {
  const kind: Kind<StoragePool> = {
    list: (from) => from.all('storagePool'),
    prefix: 'storage_pool',
    notFound: 'POOL_NOT_FOUND',
    finders: { storage_pool_name: byName },
  };
  return find(kind, reader, values, await inDomain(reader, values));
}

export async function faultSetOf(reader: ClusterReader, values: Values): Promise<FaultSet | null> {
  const kind: Kind<FaultSet> = {
    list: (from) => from.all('faultSet'),
    prefix: 'fault_set',
    notFound: 'FAULT_SET_NOT_FOUND',
    finders: { fault_set_name: byName },
  };
  return find(kind, reader, values, await inDomain(reader, values));
}

export async function sdsOf(reader: ClusterReader, values: Values): Promise<Sds | null> {
  const kind: Kind<Sds> = {
    list: (from) => from.all('sds'),
    prefix: 'sds',
    notFound: 'SDS_NOT_FOUND',
    finders: { sds_name: byName, sds_ip: byAddress },
  };
  return find(kind, reader, values);
}

export async function sdcOf(reader: ClusterReader, values: Values): Promise<Sdc | null> {
  const wanted = values.get('sdc_guid');
  if (wanted !== undefined && normalizeGuid(wanted) === null)
    throw new UsageError(`--sdc_guid must have the form 8-4-4-4-12 in hex digits, is "${wanted}"`);
  const kind: Kind<Sdc> = {
    list: (from) => from.all('sdc'),
    prefix: 'sdc',
    notFound: 'SDC_NOT_FOUND',
    finders: {
      sdc_name: byName,
      sdc_ip: byAddress,
      sdc_guid: ({ guid }, text) => normalizeGuid(guid) === normalizeGuid(text),
    },
  };
  return find(kind, reader, values);
}

export async function volumeOf(reader: ClusterReader, values: Values): Promise<Volume | null> {
  const kind: Kind<Volume> = {
    list: (from) => from.all('volume'),
    prefix: 'volume',
    notFound: 'VOLUME_NOT_FOUND',
    finders: { volume_name: byName },
  };
  return find(kind, reader, values);
}

export async function policyOf(
  reader: ClusterReader,
  values: Values,
): Promise<SnapshotPolicy | null> {
  const kind: Kind<SnapshotPolicy> = {
    list: (from) => from.all('snapshotPolicy'),
    prefix: 'snapshot_policy',
    notFound: 'POLICY_NOT_FOUND',
    finders: { snapshot_policy_name: byName },
  };
  return find(kind, reader, values);
}

export async function userOf(reader: ClusterReader, values: Values): Promise<User | null> {
  const kind: Kind<User> = {
    list: (from) => from.all('user'),
    prefix: 'user',
    notFound: 'USER_NOT_FOUND',
    finders: { username: byName },
  };
  return find(kind, reader, values);
}

export async function deviceOf(reader: ClusterReader, values: Values): Promise<Device | null> {
  const sds = await sdsOf(reader, values);
  const kind: Kind<Device> = {
    list: (from) => from.all('device'),
    prefix: 'device',
    notFound: 'DEVICE_NOT_FOUND',
    finders: { device_name: byName, device_path: ({ path }, text) => path === text },
  };
  return find(kind, reader, values, ({ sdsKey }) => sds === null || sds.key === sdsKey);
}

/** What a reference that the table requires gave; the parser made sure that it was there. */
export function needed<T>(object: T | null, what: string): T {
  if (object === null) throw new UsageError(`Name the ${what}`);
  return object;
}
