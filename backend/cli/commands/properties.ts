// `--query_properties`: chosen properties of chosen objects, one per line. It owns the table of properties by type;
// exporters take the words behind a tab and 50 columns.

import { keyOfId } from '../../core/ids.js';
import type { ClusterReader } from '../../runtime/cluster-reader.js';
import { scannerOf } from '../../cluster-map/scanner-policy.js';
import type { StoragePool } from '../../protocol/generated/types.js';
import { REPORT_SCANNER_MODES } from '../../runtime/scanner-words.js';
import { readFacts, scopeOfDevices, scopeOfPools } from '../../runtime/statistics/facts.js';
import type { Facts } from '../../runtime/statistics/facts.js';
import { capacityValues, clientValues, deviceValues } from '../../runtime/statistics/values.js';
import type { Values } from '../../runtime/statistics/values.js';
import { bandwidthIn, numberIn } from '../capacity.js';
import { bandwidthText, connectionState, kbText, nameOrNone, sizeText } from '../format.js';
import { outcome } from '../option.js';
import type { Command, Outcome, Run } from '../option.js';
import { UsageError } from '../parser.js';

const NAME_COLUMNS = 50;
const NOT_SET = '<Not Set>';

/** Capacities that pools, SDSs, devices, protection domains and the system have alike. */
const CAPACITY_NAMES = [
  'MAX_CAPACITY_IN_KB',
  'CAPACITY_LIMIT_IN_KB',
  'CAPACITY_IN_USE_IN_KB',
  'SPARE_CAPACITY_IN_KB',
  'THIN_CAPACITY_ALLOCATED_IN_KB',
  'THIN_CAPACITY_IN_USE_IN_KB',
  'THICK_CAPACITY_IN_USE_IN_KB',
  'UNUSED_CAPACITY_IN_KB',
  'SNAP_CAPACITY_IN_USE_OCCUPIED_IN_KB',
  'UNREACHABLE_UNUSED_CAPACITY_IN_KB',
  'PROTECTED_CAPACITY_IN_KB',
  'DEGRADED_HEALTHY_CAPACITY_IN_KB',
  'DEGRADED_FAILED_CAPACITY_IN_KB',
  'FAILED_CAPACITY_IN_KB',
  'AVAILABLE_FOR_THICK_ALLOCATION_IN_KB',
];
const CLIENT_NAMES = ['USER_DATA_READ_BWC', 'USER_DATA_WRITE_BWC'];
const TRAFFIC_NAMES = [
  ...CLIENT_NAMES,
  'PRIMARY_READ_BWC',
  'PRIMARY_WRITE_BWC',
  'SECONDARY_READ_BWC',
  'SECONDARY_WRITE_BWC',
  'TOTAL_READ_BWC',
  'TOTAL_WRITE_BWC',
  'REBALANCE_READ_BWC',
  'REBALANCE_WRITE_BWC',
  'FWD_REBUILD_READ_BWC',
  'FWD_REBUILD_WRITE_BWC',
  'BCK_REBUILD_READ_BWC',
  'BCK_REBUILD_WRITE_BWC',
];

/** The name in the statistics for a name of the command line. */
function statisticOf(name: string): string {
  if (name === 'AVAILABLE_FOR_THICK_ALLOCATION_IN_KB')
    return 'capacityAvailableForVolumeAllocationInKb';
  return name.toLowerCase().replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function statisticsText(values: Values, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.map((name) => [
      name,
      name.endsWith('_BWC')
        ? bandwidthText(bandwidthIn(values, statisticOf(name)))
        : kbText(numberIn(values, statisticOf(name))),
    ]),
  );
}

interface Source {
  readonly reader: ClusterReader;
  readonly facts: Facts;
  /** Keys of components that are connected. */
  readonly connected: ReadonlySet<number>;
}

/** Properties of one object by name. */
interface Properties {
  readonly key: number;
  readonly texts: Readonly<Record<string, string>>;
}

type Lister = (source: Source) => readonly Properties[];

function poolsText(facts: Facts, pools: Facts['pools']): Record<string, string> {
  const scope = scopeOfPools(facts, pools);
  const rates = scope.volumes.flatMap(({ key }) => facts.ratesByVolume.get(key) ?? []);
  const values = {
    ...capacityValues(facts, scope),
    ...deviceValues(facts, scope.devices),
    ...clientValues(rates),
  };
  return statisticsText(values, [...CAPACITY_NAMES, ...TRAFFIC_NAMES]);
}

function devicesText(facts: Facts, devices: Facts['devices']): Record<string, string> {
  const scope = scopeOfDevices(facts, devices);
  const values = { ...capacityValues(facts, scope), ...deviceValues(facts, devices) };
  return statisticsText(values, [...CAPACITY_NAMES, ...TRAFFIC_NAMES]);
}

function scannerTexts(pool: StoragePool): Readonly<Record<string, string>> {
  const { mode, bandwidthKbps } = scannerOf(pool);
  return {
    DI_SCANNER_MODE: REPORT_SCANNER_MODES[mode],
    DI_SCANNER_BANDWIDTH_LIMIT: mode === 'disabled' ? '0 Bytes' : kbText(bandwidthKbps),
  };
}

const idList = (reader: ClusterReader, keys: readonly number[]): string =>
  keys.length === 0 ? NOT_SET : keys.map((key) => reader.id(key)).join(',');
const yesNo = (value: boolean): string => (value ? 'Yes' : 'No');

const LISTERS: Readonly<Record<string, Lister>> = {
  SYSTEM: ({ reader, facts }) => [
    {
      key: reader.system.key,
      texts: { NAME: nameOrNone(reader.system.name), ...poolsText(facts, facts.pools) },
    },
  ],
  PROTECTION_DOMAIN: ({ facts }) =>
    facts.domains.map(({ key, name, active }) => ({
      key,
      texts: {
        NAME: name,
        STATE: active ? 'PROTECTION_DOMAIN_ACTIVE' : 'PROTECTION_DOMAIN_INACTIVE',
        ...poolsText(
          facts,
          facts.pools.filter(({ domainKey }) => domainKey === key),
        ),
      },
    })),
  STORAGE_POOL: ({ reader, facts }) =>
    facts.pools.map((pool) => ({
      key: pool.key,
      texts: {
        NAME: pool.name,
        PROTECTION_DOMAIN_ID: reader.id(pool.domainKey),
        SPARE_PERCENT: `${pool.sparePercent}%`,
        USE_RMCACHE: yesNo(pool.rmcache),
        USE_RFCACHE: 'No',
        ZERO_PAD_ENABLED: yesNo(pool.zeroPadding),
        ...scannerTexts(pool),
        ...poolsText(facts, [pool]),
      },
    })),
  FAULT_SET: ({ reader, facts }) =>
    facts.faultSets.map(({ key, name, domainKey }) => ({
      key,
      texts: { NAME: name, PROTECTION_DOMAIN_ID: reader.id(domainKey) },
    })),
  SDS: ({ reader, facts, connected }) =>
    facts.sds.map((sds) => {
      const devices = facts.devices.filter(({ sdsKey }) => sdsKey === sds.key);
      return {
        key: sds.key,
        texts: {
          NAME: sds.name,
          PROTECTION_DOMAIN_ID: reader.id(sds.domainKey),
          FAULT_SET_ID: sds.faultSetKey === 0 ? NOT_SET : reader.id(sds.faultSetKey),
          IPS: sds.addresses.map(({ host }) => host).join(','),
          PORT: String(sds.port),
          STATE: connected.has(sds.key) ? 'Connected' : 'Disconnected',
          DEVICE_ID_LIST: idList(
            reader,
            devices.map(({ key }) => key),
          ),
          RMCACHE_ENABLED: yesNo(sds.cacheEnabled),
          RMCACHE_SIZE: kbText(sds.cacheMiB * 1024),
          RFCACHE_ENABLED: 'No',
          ...devicesText(facts, devices),
        },
      };
    }),
  DEVICE: ({ reader, facts }) =>
    facts.devices.map((device) => ({
      key: device.key,
      texts: {
        NAME: nameOrNone(device.name),
        SDS_ID: reader.id(device.sdsKey),
        STORAGE_POOL_ID: reader.id(device.poolKey),
        ORIGINAL_PATH: device.path,
        CURRENT_PATH: device.path,
        STATE: device.state.toUpperCase(),
        ...devicesText(facts, [device]),
      },
    })),
  SDC: ({ facts, connected }) =>
    facts.sdcs.map((sdc) => ({
      key: sdc.key,
      texts: {
        NAME: nameOrNone(sdc.name),
        IP: sdc.addresses[0]?.host ?? NOT_SET,
        GUID: sdc.guid,
        APPROVED: yesNo(sdc.approved),
        STATE: connectionState(connected.has(sdc.key) ? 'connected' : 'disconnected'),
        ...statisticsText(clientValues(facts.ratesBySdc.get(sdc.key) ?? []), CLIENT_NAMES),
      },
    })),
  VOLUME: ({ reader, facts }) =>
    facts.volumes.map((volume) => ({
      key: volume.key,
      texts: {
        NAME: volume.name,
        STORAGE_POOL_ID: reader.id(volume.poolKey),
        SIZE: sizeText(volume.sizeSectors * 512),
        TYPE: volume.provisioning === 'thick' ? 'THICK_PROVISIONED' : 'THIN_PROVISIONED',
        MAPPED_SDC_ID_LIST: idList(
          reader,
          (facts.mappingsByVolume.get(volume.key) ?? []).map(({ sdcKey }) => sdcKey),
        ),
        ...statisticsText(clientValues(facts.ratesByVolume.get(volume.key) ?? []), CLIENT_NAMES),
      },
    })),
  RFCACHE_DEVICE: () => [],
};

async function sourceOf(reader: ClusterReader): Promise<Source> {
  const [facts, sds, sdcs] = await Promise.all([
    readFacts(reader),
    reader.statusByKey('sds'),
    reader.statusByKey('sdc'),
  ]);
  const connected = [...sds.values(), ...sdcs.values()].filter(
    ({ liveness }) => liveness === 'connected',
  );
  return { reader, facts, connected: new Set(connected.map(({ key }) => key)) };
}

/** Names that are asked for. @throws UsageError for one that the type does not have */
function chosenNames(run: Run, type: string, known: readonly string[]): readonly string[] {
  const text = run.values.get('properties');
  if (text === undefined) return known;
  const names = text.split(',').map((name) => name.trim().toUpperCase());
  const wrong = names.find((name) => !known.includes(name));
  if (wrong !== undefined && known.length > 0)
    throw new UsageError(`${type} has no property ${wrong}; it has ${known.join(', ')}`);
  return names;
}

async function queryProperties(run: Run): Promise<Outcome> {
  const type = (run.values.get('object_type') ?? '').toUpperCase();
  const lister = LISTERS[type];
  if (lister === undefined)
    throw new UsageError(`--object_type must be one of ${Object.keys(LISTERS).join(', ')}`);
  const all = lister(await sourceOf(run.reader));
  const ids = run.values.get('object_id')?.split(',');
  const keys = ids?.map((id) => keyOfId(run.reader.system.idPrefix, id.trim()));
  const objects = keys === undefined ? all : all.filter(({ key }) => keys.includes(key));
  if (objects.length === 0) return outcome('No objects returned', []);
  const names = chosenNames(run, type, ['ID', ...Object.keys(objects[0]?.texts ?? {})]);
  const records = objects.map(({ key, texts }) => {
    const id = run.reader.id(key);
    return { id, values: names.map((name) => (name === 'ID' ? id : (texts[name] ?? NOT_SET))) };
  });
  return outcome(
    records.flatMap(({ id, values }) => [
      `${type} ${id}:`,
      ...names.map((name, index) => `\t${name.padEnd(NAME_COLUMNS)}${values[index] ?? ''}`),
      '',
    ]),
    records.map(({ id, values }) => ({
      id,
      ...Object.fromEntries(names.map((name, index) => [name, values[index]])),
    })),
  );
}

export const PROPERTY_COMMANDS: readonly Command[] = [
  {
    name: 'query_properties',
    topic: 'System',
    about: 'chosen properties of objects, one per line',
    options: [
      {
        name: 'object_type',
        value: 'TYPE',
        about: Object.keys(LISTERS).join(', '),
        required: true,
      },
      { name: 'all_objects', about: 'of the type', group: 'objects', required: true },
      {
        name: 'object_id',
        aliases: ['object_ids'],
        value: 'ID[,ID]',
        about: 'only these',
        group: 'objects',
        required: true,
      },
      {
        name: 'properties',
        value: 'NAME[,NAME]',
        about: 'which',
        group: 'properties',
        required: true,
      },
      { name: 'preset', value: 'ALL', about: 'all of them', group: 'properties', required: true },
    ],
    run: queryProperties,
  },
];
