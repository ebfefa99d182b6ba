// THE table of object types of the REST interface: how each is listed, looked up by key or name, and shown, and which
// types are related to which. Generic endpoints work from it; it must never change anything.

import { normalizeGuid } from '../core/ids.js';
import type { ErrorName } from '../protocol/generated/errors.js';
import type { ObjectKind, Objects } from '../runtime/cluster.js';

import { ApiError } from './api-error.js';
import { textOf } from './body.js';
import type { Reader } from './reader.js';
import type { Body } from './route.js';
import { sdcView, userView } from './views/clients.js';
import { faultSetView, protectionDomainView } from './views/domains.js';
import type { Json } from './views/parts.js';
import { storagePoolView } from './views/pools.js';
import { deviceView, sdsView } from './views/servers.js';
import { snapshotPolicyViews } from './views/snapshot-policies.js';
import { systemView } from './views/system.js';
import { byTree, volumeViews, vtreeView } from './views/volumes.js';

type Views = Promise<readonly Json[]>;

export interface TypeRow {
  /** Name in paths. */
  readonly type: string;
  /** Key in the answer to `GET /api/instances`; null: not part of it. */
  readonly listKey: string | null;
  /** Error for an unknown id or name. */
  readonly notFound: ErrorName;
  all(reader: Reader): Views;
  /** In the order of `keys`; unknown ones are left out. */
  some(reader: Reader, keys: readonly number[]): Views;
  /** Key for a name or another key field; null: there is none. */
  keyBy(reader: Reader, fields: Body): Promise<number | null>;
  /** Related types by name. */
  readonly related: Readonly<Record<string, (reader: Reader, key: number) => Views>>;
}

type Keyed = Exclude<ObjectKind, 'mapping' | 'system' | 'approvedSdc' | 'attachment'>;
type Show<K extends Keyed> = (reader: Reader, objects: readonly Objects[K][]) => Views;

/** Objects whose fields pass, shown. */
async function chosen<K extends Keyed>(
  reader: Reader,
  kind: K,
  show: Show<K>,
  test: (object: Objects[K]) => boolean,
): Views {
  return show(reader, (await reader.all(kind)).filter(test));
}

const showDomains: Show<'protectionDomain'> = (reader, domains) =>
  Promise.resolve(domains.map((domain) => protectionDomainView(reader, domain)));
const showFaultSets: Show<'faultSet'> = (reader, sets) =>
  Promise.resolve(sets.map((set) => faultSetView(reader, set)));
const showPools: Show<'storagePool'> = async (reader, pools) => {
  const report = await reader.status('storagePool');
  const statuses = new Map(report.pools.map((status) => [status.poolKey, status]));
  return pools.map((pool) => storagePoolView(reader, pool, statuses.get(pool.key)));
};
const showUsers: Show<'user'> = (reader, users) =>
  Promise.resolve(users.map((user) => userView(reader, user)));

const showSds: Show<'sds'> = async (reader, list) => {
  const statuses = await reader.statusByKey('sds');
  const [devices, states] = await Promise.all([reader.all('device'), reader.statusByKey('device')]);
  const failed = new Set(
    devices
      .filter(({ key }) => states.get(key)?.usage?.cache?.failed === true)
      .map(({ sdsKey }) => sdsKey),
  );
  return list.map((sds) => sdsView(reader, sds, statuses.get(sds.key), failed.has(sds.key)));
};
const showSdcs: Show<'sdc'> = async (reader, list) => {
  const statuses = await reader.statusByKey('sdc');
  return list.map((sdc) => sdcView(reader, sdc, statuses.get(sdc.key)));
};
const showDevices: Show<'device'> = async (reader, devices) => {
  const pools = await reader.byKey('storagePool');
  return devices.map((device) =>
    deviceView(reader, device, pools.get(device.poolKey)?.mediaType ?? ''),
  );
};

async function vtrees(reader: Reader, test: (key: number, poolKey: number) => boolean): Views {
  const trees = [...byTree(await reader.all('volume'))];
  return trees
    .filter(([key, volumes]) => test(key, volumes[0]?.poolKey ?? 0))
    .map(([key, volumes]) => vtreeView(reader, key, volumes));
}

/** What a pool has on each SDS: clients follow `sdsId`. */
async function sdsOfPool(reader: Reader, poolKey: number): Views {
  const devices = await reader.all('device');
  const keys = new Set(
    devices.filter((device) => device.poolKey === poolKey).map(({ sdsKey }) => sdsKey),
  );
  const views = await chosen(reader, 'sds', showSds, ({ key }) => keys.has(key));
  return views.map((view) => ({ ...view, sdsId: view['id'], storagePoolId: reader.id(poolKey) }));
}

async function volumesOfSdc(reader: Reader, sdcKey: number): Views {
  const mappings = await reader.all('mapping');
  const keys = mappings.filter((mapping) => mapping.sdcKey === sdcKey).map((m) => m.volumeKey);
  return volumeViews(reader, await reader.some('volume', keys));
}

interface RowParts<K extends Keyed> {
  readonly type: string;
  readonly kind: K;
  readonly listKey: string | null;
  readonly notFound: ErrorName;
  readonly show: Show<K>;
  readonly keyBy?: TypeRow['keyBy'];
  readonly related?: TypeRow['related'];
}

function row<K extends Keyed>(parts: RowParts<K>): TypeRow {
  const { type, kind, listKey, notFound, show } = parts;
  return {
    type,
    listKey,
    notFound,
    all: async (reader) => show(reader, await reader.all(kind)),
    some: async (reader, keys) => {
      const objects = await reader.byKey(kind, keys);
      const found = keys.map((key) => objects.get(key)).filter((object) => object !== undefined);
      return show(reader, found);
    },
    keyBy: parts.keyBy ?? ((reader, fields) => keyByName(reader, kind, fields)),
    related: parts.related ?? {},
  };
}

async function keyByName(reader: Reader, kind: Keyed, fields: Body): Promise<number | null> {
  const name = textOf(fields, 'name');
  if (name === undefined) throw missing('name');
  const object = (await reader.all(kind)).find((candidate) => candidate.name === name);
  return object?.key ?? null;
}

function missing(names: string): ApiError {
  return ApiError.invalid(`The following parameter(s) must be part of the request body: ${names}.`);
}

/** A protection domain by `protectionDomainId` or `protectionDomainName`; null: any. */
async function domainOf(reader: Reader, fields: Body): Promise<number | null> {
  const id = textOf(fields, 'protectionDomainId');
  if (id !== undefined) return reader.keyOf(id);
  const name = textOf(fields, 'protectionDomainName');
  if (name === undefined) return null;
  const domain = (await reader.all('protectionDomain')).find((one) => one.name === name);
  if (domain === undefined) throw ApiError.named('DOMAIN_NOT_FOUND');
  return domain.key;
}

const keyInDomain =
  (kind: 'storagePool' | 'faultSet'): TypeRow['keyBy'] =>
  async (reader, fields) => {
    const name = textOf(fields, 'name');
    if (name === undefined) throw missing('name');
    const domainKey = await domainOf(reader, fields);
    const found = (await reader.all(kind)).find(
      (object) => object.name === name && (domainKey === null || object.domainKey === domainKey),
    );
    return found?.key ?? null;
  };

const sdcKeyBy: TypeRow['keyBy'] = async (reader, fields) => {
  const sdcs = await reader.all('sdc');
  const guid = textOf(fields, 'guid');
  if (guid !== undefined) {
    const wanted = normalizeGuid(guid);
    return sdcs.find((sdc) => normalizeGuid(sdc.guid) === wanted)?.key ?? null;
  }
  const ip = textOf(fields, 'ip');
  if (ip !== undefined)
    return sdcs.find((sdc) => sdc.addresses.some(({ host }) => host === ip))?.key ?? null;
  const name = textOf(fields, 'name');
  if (name === undefined) throw missing('name, ip or guid');
  return sdcs.find((sdc) => sdc.name === name)?.key ?? null;
};

const SYSTEM: TypeRow = {
  type: 'System',
  listKey: null,
  notFound: 'NOT_FOUND',
  all: async (reader) => [await systemView(reader, Date.now())],
  some: async (reader, keys) =>
    keys.includes(reader.system.key) ? [await systemView(reader, Date.now())] : [],
  keyBy: (reader, fields) =>
    Promise.resolve(textOf(fields, 'name') === reader.system.name ? reader.system.key : null),
  related: {
    ProtectionDomain: (reader) => chosen(reader, 'protectionDomain', showDomains, () => true),
    Sdc: (reader) => chosen(reader, 'sdc', showSdcs, () => true),
    User: (reader) => chosen(reader, 'user', showUsers, () => true),
    Sds: (reader) => chosen(reader, 'sds', showSds, () => true),
    ScsiInitiator: () => Promise.resolve([]),
  },
};

const VTREE: TypeRow = {
  type: 'VTree',
  listKey: 'vTreeList',
  notFound: 'NOT_FOUND',
  all: (reader) => vtrees(reader, () => true),
  some: async (reader, keys) => vtrees(reader, (key) => keys.includes(key)),
  keyBy: async (reader, fields) => {
    const key = await keyByName(reader, 'volume', fields);
    return key === null ? null : ((await reader.byKey('volume')).get(key)?.vtreeKey ?? null);
  },
  related: {
    Volume: (reader, tree) => chosen(reader, 'volume', volumeViews, (v) => v.vtreeKey === tree),
  },
};

const ROWS: readonly TypeRow[] = [
  SYSTEM,
  row({
    type: 'ProtectionDomain',
    kind: 'protectionDomain',
    listKey: 'protectionDomainList',
    notFound: 'DOMAIN_NOT_FOUND',
    show: showDomains,
    related: {
      StoragePool: (reader, key) =>
        chosen(reader, 'storagePool', showPools, (pool) => pool.domainKey === key),
      Sds: (reader, key) => chosen(reader, 'sds', showSds, (sds) => sds.domainKey === key),
      FaultSet: (reader, key) =>
        chosen(reader, 'faultSet', showFaultSets, (set) => set.domainKey === key),
    },
  }),
  row({
    type: 'FaultSet',
    kind: 'faultSet',
    listKey: 'faultSetList',
    notFound: 'FAULT_SET_NOT_FOUND',
    show: showFaultSets,
    keyBy: keyInDomain('faultSet'),
    related: {
      Sds: (reader, key) => chosen(reader, 'sds', showSds, (sds) => sds.faultSetKey === key),
    },
  }),
  row({
    type: 'StoragePool',
    kind: 'storagePool',
    listKey: 'storagePoolList',
    notFound: 'POOL_NOT_FOUND',
    show: showPools,
    keyBy: keyInDomain('storagePool'),
    related: {
      Volume: (reader, key) => chosen(reader, 'volume', volumeViews, (v) => v.poolKey === key),
      Device: (reader, key) => chosen(reader, 'device', showDevices, (d) => d.poolKey === key),
      VTree: (reader, key) => vtrees(reader, (_, poolKey) => poolKey === key),
      SpSds: sdsOfPool,
    },
  }),
  row({
    type: 'Sds',
    kind: 'sds',
    listKey: 'sdsList',
    notFound: 'SDS_NOT_FOUND',
    show: showSds,
    related: {
      Device: (reader, key) => chosen(reader, 'device', showDevices, (d) => d.sdsKey === key),
      SpSds: (reader, key) => chosen(reader, 'sds', showSds, (sds) => sds.key === key),
    },
  }),
  row({
    type: 'Device',
    kind: 'device',
    listKey: 'deviceList',
    notFound: 'DEVICE_NOT_FOUND',
    show: showDevices,
  }),
  row({
    type: 'Sdc',
    kind: 'sdc',
    listKey: 'sdcList',
    notFound: 'SDC_NOT_FOUND',
    show: showSdcs,
    keyBy: sdcKeyBy,
    related: { Volume: volumesOfSdc },
  }),
  row({
    type: 'Volume',
    kind: 'volume',
    listKey: 'volumeList',
    notFound: 'VOLUME_NOT_FOUND',
    show: volumeViews,
  }),
  VTREE,
  row({
    type: 'SnapshotPolicy',
    kind: 'snapshotPolicy',
    listKey: null,
    notFound: 'POLICY_NOT_FOUND',
    show: snapshotPolicyViews,
    related: {
      SourceVolume: (reader, key) =>
        chosen(reader, 'volume', volumeViews, ({ policyKey }) => policyKey === key),
      AutoSnapshotVolume: (reader, key) =>
        chosen(reader, 'volume', volumeViews, ({ autoPolicyKey }) => autoPolicyKey === key),
    },
  }),
  row({
    type: 'User',
    kind: 'user',
    listKey: null,
    notFound: 'USER_NOT_FOUND',
    show: showUsers,
  }),
];

/** Types of the original that clients list and that have no members here. */
export const EMPTY_TYPES: readonly string[] = [
  'AccelerationPool',
  'Host',
  'PeerMdm',
  'ReplicationConsistencyGroup',
  'ReplicationPair',
  'RfcacheDevice',
  'ScsiInitiator',
  'Sdr',
  'Sdt',
];

export const TYPES: ReadonlyMap<string, TypeRow> = new Map(ROWS.map((one) => [one.type, one]));

/** The row of a type that requests name. @throws ApiError for an unknown type */
export function typeRow(type: string): TypeRow {
  const found = TYPES.get(type);
  if (found === undefined)
    throw new ApiError(404, 0, `There is no object type "${type.slice(0, 64)}"`);
  return found;
}
