// Endpoints that change protection domains, fault sets, storage pools and settings of the system.

import { LIMIT } from '../../protocol/generated/constants.js';
import type {
  Approval,
  Durability,
  FullPolicy,
  SetStoragePoolParams,
} from '../../protocol/generated/types.js';
import { action, ask, creation, objectOf, pathKey } from '../action.js';
import { ApiError } from '../api-error.js';
import { FLAG, TEXT, WHOLE, flagOf, object, oneOf, textIn, textOf, wholeOf } from '../body.js';
import type { Call, Route } from '../route.js';
import { CACHE_WRITES, cacheWritesOf } from './caching.js';
import { KEEP_POOL_SETTINGS } from '../../runtime/pool-settings.js';

const NAME = object({ name: TEXT }, ['name']);
const NEW_NAME = object({ newName: TEXT }, ['newName']);
const PERCENT_MAX = 100;
const SPARE_PERCENT_MAX = 90;
const GIB_PER_SECTOR = 2 ** -21;

const MEDIA = oneOf(['HDD', 'SSD', 'Transitional']);
const FULL_POLICIES: readonly FullPolicy[] = ['wait', 'error'];
const DURABILITIES: readonly Durability[] = ['media', 'device', 'memory'];
const APPROVALS: Readonly<Record<string, Approval>> = {
  None: 'none',
  Guid: 'guid',
  ApprovedIp: 'ip',
};

/** A percentage of a body. @throws ApiError above the most that it may be */
function percentOf(call: Call, key: string, max = PERCENT_MAX): number | null {
  const value = wholeOf(call.body, key);
  if (value !== undefined && value > max) throw ApiError.invalid(`${key} must be at most ${max}`);
  return value ?? null;
}

function setPool(
  name: string,
  schema: Route['schema'],
  change: (call: Call) => Partial<Omit<SetStoragePoolParams, 'key'>>,
): Route {
  return action('StoragePool', name, schema ?? object({}), (call) =>
    ask(call, 'SET_STORAGE_POOL', { ...KEEP_POOL_SETTINGS, ...change(call), key: pathKey(call) }),
  );
}

async function createPool(call: Call): Promise<{ readonly key: number }> {
  const { body } = call;
  const domain = await objectOf(
    call,
    'protectionDomain',
    textIn(body, 'protectionDomainId'),
    'DOMAIN_NOT_FOUND',
  );
  // In the other modes the system caches what is read anyway.
  const durability = (textOf(body, 'durability') ?? 'media') as Durability;
  return ask(call, 'ADD_STORAGE_POOL', {
    domainKey: domain.key,
    name: textOf(body, 'name') ?? '',
    mediaType: textOf(body, 'mediaType') ?? 'HDD',
    durability,
    zeroPadding: flagOf(body, 'zeroPaddingEnabled') ?? true,
    checksums: flagOf(body, 'checksumEnabled') ?? false,
    rmcache: flagOf(body, 'useRmcache') ?? durability === 'device',
    cacheWrites: cacheWritesOf(textOf(body, 'rmcacheWriteHandlingMode')) ?? 'cached',
    sparePercent: percentOf(call, 'sparePercentage', SPARE_PERCENT_MAX) ?? 10,
    combCountLog2: 0,
  });
}

const POOL_ROUTES: readonly Route[] = [
  creation(
    'StoragePool',
    object(
      {
        protectionDomainId: TEXT,
        name: TEXT,
        mediaType: MEDIA,
        durability: oneOf(DURABILITIES),
        zeroPaddingEnabled: FLAG,
        checksumEnabled: FLAG,
        useRmcache: FLAG,
        rmcacheWriteHandlingMode: CACHE_WRITES,
        useRfcache: FLAG,
        sparePercentage: WHOLE,
      },
      ['protectionDomainId'],
    ),
    createPool,
  ),
  action('StoragePool', 'removeStoragePool', object({}), (call) =>
    ask(call, 'REMOVE_STORAGE_POOL', { key: pathKey(call) }),
  ),
  action('StoragePool', 'setStoragePoolName', NAME, (call) =>
    ask(call, 'RENAME_STORAGE_POOL', { key: pathKey(call), name: textIn(call.body, 'name') }),
  ),
  action('StoragePool', 'renameStoragePool', NEW_NAME, (call) =>
    ask(call, 'RENAME_STORAGE_POOL', { key: pathKey(call), name: textIn(call.body, 'newName') }),
  ),
  setPool('setZeroPaddingPolicy', object({ zeroPadEnabled: FLAG }, ['zeroPadEnabled']), (call) => ({
    zeroPadding: flagOf(call.body, 'zeroPadEnabled') ?? null,
  })),
  setPool('setChecksumEnabled', object({ checksumEnabled: FLAG }, ['checksumEnabled']), (call) => ({
    checksums: flagOf(call.body, 'checksumEnabled') ?? null,
  })),
  setPool('setUseRmcache', object({ useRmcache: FLAG }, ['useRmcache']), (call) => ({
    rmcache: flagOf(call.body, 'useRmcache') ?? null,
  })),
  setPool(
    'setSparePercentage',
    object({ sparePercentage: WHOLE, force: FLAG }, ['sparePercentage']),
    (call) => ({
      sparePercent: percentOf(call, 'sparePercentage', SPARE_PERCENT_MAX),
      force: flagOf(call.body, 'force') ?? false,
    }),
  ),
  setPool('setMediaType', object({ mediaType: MEDIA }, ['mediaType']), (call) => ({
    mediaType: textIn(call.body, 'mediaType'),
  })),
  setPool(
    'setCapacityAlertThresholds',
    object({
      capacityAlertHighThresholdPercent: WHOLE,
      capacityAlertCriticalThresholdPercent: WHOLE,
    }),
    (call) => ({
      capacityAlertHighPercent: percentOf(call, 'capacityAlertHighThresholdPercent'),
      capacityAlertCriticalPercent: percentOf(call, 'capacityAlertCriticalThresholdPercent'),
    }),
  ),
  setPool('setDurability', object({ durability: oneOf(DURABILITIES) }, ['durability']), (call) => ({
    durability: textIn(call.body, 'durability') as Durability,
  })),
  setPool(
    'setFullPolicy',
    object({ fullPolicy: oneOf(FULL_POLICIES) }, ['fullPolicy']),
    (call) => ({
      fullPolicy: textIn(call.body, 'fullPolicy') as FullPolicy,
    }),
  ),
];

async function createFaultSet(call: Call): Promise<{ readonly key: number }> {
  const domainId = textIn(call.body, 'protectionDomainId');
  const domain = await objectOf(call, 'protectionDomain', domainId, 'DOMAIN_NOT_FOUND');
  return ask(call, 'ADD_FAULT_SET', {
    domainKey: domain.key,
    name: textOf(call.body, 'name') ?? '',
  });
}

function setActive(name: string, active: boolean): Route {
  const forceKey = active ? 'forceActivate' : 'forceShutdown';
  return action('ProtectionDomain', name, object({ [forceKey]: FLAG }), (call) =>
    ask(call, 'SET_PROTECTION_DOMAIN_ACTIVE', {
      ...{ key: pathKey(call), active },
      force: flagOf(call.body, forceKey) ?? false,
    }),
  );
}

const DOMAIN_ROUTES: readonly Route[] = [
  creation('ProtectionDomain', NAME, (call) =>
    ask(call, 'ADD_PROTECTION_DOMAIN', { name: textIn(call.body, 'name') }),
  ),
  action('ProtectionDomain', 'removeProtectionDomain', object({}), (call) =>
    ask(call, 'REMOVE_PROTECTION_DOMAIN', { key: pathKey(call) }),
  ),
  action('ProtectionDomain', 'setProtectionDomainName', NAME, (call) =>
    ask(call, 'RENAME_PROTECTION_DOMAIN', { key: pathKey(call), name: textIn(call.body, 'name') }),
  ),
  setActive('activateProtectionDomain', true),
  setActive('inactivateProtectionDomain', false),
  creation(
    'FaultSet',
    object({ protectionDomainId: TEXT, name: TEXT }, ['protectionDomainId']),
    createFaultSet,
  ),
  action('FaultSet', 'removeFaultSet', object({}), (call) =>
    ask(call, 'REMOVE_FAULT_SET', { key: pathKey(call) }),
  ),
  action('FaultSet', 'clearFaultSet', object({}), (call) =>
    ask(call, 'CLEAR_FAULT_SET', { key: pathKey(call) }),
  ),
  action('FaultSet', 'setFaultSetName', NEW_NAME, (call) =>
    ask(call, 'RENAME_FAULT_SET', { key: pathKey(call), name: textIn(call.body, 'newName') }),
  ),
];

interface SystemLimit {
  readonly type: string;
  readonly description: string;
  readonly maxVal: string;
  readonly minVal?: string;
}

function limit(type: string, description: string, max: number, min?: number): SystemLimit {
  const entry = { type, description, maxVal: String(max) };
  return min === undefined ? entry : { ...entry, minVal: String(min) };
}

const SYSTEM_LIMITS: readonly SystemLimit[] = [
  limit('protectionDomains', 'Protection domains', LIMIT.domainsMax),
  limit('storagePools', 'Storage pools', LIMIT.poolsMax),
  limit('faultSetsPerProtectionDomain', 'Fault sets of a domain', LIMIT.faultSetsPerDomainMax),
  limit('sdss', 'SDSs', LIMIT.sdsMax),
  limit('sdssPerFaultSet', 'SDSs of a fault set', LIMIT.sdsPerFaultSetMax),
  limit('sdcs', 'SDCs', LIMIT.sdcMax),
  limit('volumes', 'Volumes', LIMIT.volumesMax),
  limit('users', 'Users', LIMIT.usersMax),
  limit('devicesPerSds', 'Devices of an SDS', LIMIT.devicesPerSdsMax),
  limit('ipPerHost', 'Addresses of a component', LIMIT.addressesMax, 1),
  limit(
    'volumeSizeGb',
    'Volume size in GB',
    Math.floor(LIMIT.volumeSectorsMax * GIB_PER_SECTOR),
    8,
  ),
];

const SYSTEM_ROUTES: readonly Route[] = [
  {
    method: 'POST',
    path: '/api/instances/System/action/querySystemLimits',
    handle: () => Promise.resolve({ systemLimitEntryList: SYSTEM_LIMITS }),
  },
  {
    method: 'GET',
    path: '/api/Configuration',
    handle: async ({ reader }) => {
      const { addresses, members } = await reader.clusterState();
      const hosts = addresses.map(({ host }) => host);
      // Whoever is master next is one of these.
      const managers = members.filter(({ member, role }) => member && role === 'manager');
      const others = managers.map(({ host }) => host).filter((host) => !hosts.includes(host));
      return { mdmAddresses: [...hosts, ...others], systemId: reader.systemId };
    },
  },
  action('System', 'setSystemName', NEW_NAME, (call) =>
    ask(call, 'SET_SYSTEM', {
      name: textIn(call.body, 'newName'),
      capacityAlertHighPercent: null,
      capacityAlertCriticalPercent: null,
    }),
  ),
  action(
    'System',
    'setRestrictedSdcMode',
    object({ restrictedSdcMode: oneOf(Object.keys(APPROVALS)) }, ['restrictedSdcMode']),
    (call) =>
      ask(call, 'SET_APPROVAL', {
        approval: APPROVALS[textIn(call.body, 'restrictedSdcMode')] ?? 'none',
      }),
  ),
];

export const CONFIGURATION_ROUTES: readonly Route[] = [
  ...DOMAIN_ROUTES,
  ...POOL_ROUTES,
  ...SYSTEM_ROUTES,
];
