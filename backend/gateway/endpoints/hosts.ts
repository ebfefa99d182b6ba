// Endpoints that change SDSs, devices, SDCs and users.

import { isIP } from 'node:net';

import { normalizeGuid } from '../../core/ids.js';
import { LIMIT } from '../../protocol/generated/constants.js';
import type {
  Address,
  AddressRole,
  DeviceSpec,
  DeviceTarget,
  Maintenance,
  UserRole,
} from '../../protocol/generated/types.js';
import { hashPassword, passwordFault } from '../../runtime/passwords.js';
import { action, ask, creation, objectOf, pathKey } from '../action.js';
import { ApiError } from '../api-error.js';
import {
  FLAG,
  TEXT,
  TEXTS,
  WHOLE,
  flagOf,
  listOf,
  object,
  oneOf,
  textIn,
  textOf,
  textsOf,
  wholeOf,
} from '../body.js';
import { TYPES } from '../object-types.js';
import type { Body, Call, Route } from '../route.js';

const PORT_MAX = 65_535;
const ROLES: Readonly<Record<string, AddressRole>> = {
  all: 'all',
  sdsonly: 'sdsOnly',
  sdconly: 'sdcOnly',
};
const USER_ROLES: Readonly<Record<string, UserRole>> = {
  Monitor: 'monitor',
  Configure: 'configure',
  Administrator: 'administrator',
  Security: 'security',
  FrontEndConfigure: 'frontendConfigure',
  FrontEndConfig: 'frontendConfigure',
  BackEndConfigure: 'backendConfigure',
  BackEndConfig: 'backendConfigure',
};
const ADDRESS = object({ ip: TEXT, role: TEXT });
const NO_FIELDS = object({});

/** An address and what it is for. @throws ApiError when it is none */
function address(ip: string, role: string): Address {
  if (isIP(ip) === 0) throw ApiError.invalid(`ip (${ip}) must be an IP address`);
  const known = ROLES[role.toLowerCase()];
  if (known === undefined) throw ApiError.invalid('role must be all, sdsOnly or sdcOnly');
  return { host: ip, role: known };
}

/** Addresses as clients send them: `{SdsIp: {ip, role}}` or without the wrapper. */
function addressesOf(body: Body): readonly Address[] {
  const list = body['sdsIpList'] as readonly Body[];
  if (list.length === 0) throw ApiError.invalid('sdsIpList must name at least one address');
  return list.map((item) => {
    const inner = (item['SdsIp'] ?? item) as Body;
    return address(textIn(inner, 'ip'), textOf(inner, 'role') ?? 'all');
  });
}

async function deviceSpec(
  call: Call,
  poolId: string,
  path: string,
  name: string,
  force: boolean,
): Promise<DeviceSpec> {
  const pool = await objectOf(call, 'storagePool', poolId, 'POOL_NOT_FOUND');
  return { poolKey: pool.key, path, name, force };
}

async function createSds(call: Call): Promise<{ readonly key: number }> {
  const { body } = call;
  const domainId = textIn(body, 'protectionDomainId');
  const domain = await objectOf(call, 'protectionDomain', domainId, 'DOMAIN_NOT_FOUND');
  const faultSetId = textOf(body, 'faultSetId');
  const faultSet =
    faultSetId === undefined
      ? null
      : await objectOf(call, 'faultSet', faultSetId, 'FAULT_SET_NOT_FOUND');
  const force = flagOf(body, 'forceClean') ?? false;
  const devices: DeviceSpec[] = [];
  for (const device of (body['deviceInfoList'] ?? []) as readonly Body[]) {
    const poolId = textIn(device, 'storagePoolId');
    const name = textOf(device, 'deviceName') ?? '';
    devices.push(await deviceSpec(call, poolId, textIn(device, 'devicePath'), name, force));
  }
  const port = wholeOf(body, 'sdsPort') ?? 0;
  if (port > PORT_MAX) throw ApiError.invalid(`sdsPort must be at most ${PORT_MAX}`);
  return ask(call, 'ADD_SDS', {
    domainKey: domain.key,
    faultSetKey: faultSet?.key ?? 0,
    name: textOf(body, 'name') ?? '',
    addresses: addressesOf(body),
    port,
    devices,
    forceClean: force,
    cacheEnabled: flagOf(body, 'rmcacheEnabled') ?? true,
    cacheMiB: Math.floor((wholeOf(body, 'rmcacheSizeInKb') ?? 0) / 1024),
  });
}

/** As for the removal of an SDS, the answer says that it began: `maintenanceState` says how far it is. */
function enterMaintenance(name: string, maintenance: Maintenance): Route {
  return action('Sds', name, NO_FIELDS, (call) =>
    ask(call, 'ENTER_MAINTENANCE', { key: pathKey(call), maintenance }),
  );
}

function exitMaintenance(name: string, abort: boolean): Route {
  return action('Sds', name, object({ force: FLAG }), (call) =>
    ask(call, 'EXIT_MAINTENANCE', {
      ...{ key: pathKey(call), abort },
      force: flagOf(call.body, 'force') ?? false,
    }),
  );
}

/** As for the removal of an SDS, the answer says that it began: `moveState` says how far it is. */
async function moveSds(call: Call): Promise<object> {
  const { body } = call;
  const domainId = textIn(body, 'protectionDomainId');
  const domain = await objectOf(call, 'protectionDomain', domainId, 'DOMAIN_NOT_FOUND');
  const keyOf = async (
    type: 'faultSet' | 'storagePool',
    error: 'FAULT_SET_NOT_FOUND' | 'POOL_NOT_FOUND',
    id: string | undefined,
  ): Promise<number> => (id === undefined ? 0 : (await objectOf(call, type, id, error)).key);
  const devices: DeviceTarget[] = [];
  for (const item of (body['deviceInfoList'] ?? []) as readonly Body[]) {
    const device = await objectOf(call, 'device', textIn(item, 'deviceId'), 'DEVICE_NOT_FOUND');
    const pool = await keyOf('storagePool', 'POOL_NOT_FOUND', textIn(item, 'storagePoolId'));
    devices.push({ deviceKey: device.key, poolKey: pool });
  }
  return ask(call, 'MOVE_SDS', {
    ...{ key: pathKey(call), domainKey: domain.key, devices },
    faultSetKey: await keyOf('faultSet', 'FAULT_SET_NOT_FOUND', textOf(body, 'faultSetId')),
    poolKey: await keyOf('storagePool', 'POOL_NOT_FOUND', textOf(body, 'storagePoolId')),
    force: flagOf(body, 'force') ?? false,
  });
}

const MOVE_ROUTES: readonly Route[] = [
  action(
    'Sds',
    'moveSds',
    object(
      {
        protectionDomainId: TEXT,
        faultSetId: TEXT,
        storagePoolId: TEXT,
        deviceInfoList: listOf(
          object({ deviceId: TEXT, storagePoolId: TEXT }, ['deviceId', 'storagePoolId']),
          LIMIT.devicesPerSdsMax,
        ),
        force: FLAG,
      },
      ['protectionDomainId'],
    ),
    moveSds,
  ),
  action('Sds', 'abortMoveSds', NO_FIELDS, (call) =>
    ask(call, 'ABORT_MOVE_SDS', { key: pathKey(call) }),
  ),
];

const MAINTENANCE_ROUTES: readonly Route[] = [
  enterMaintenance('enterMaintenanceMode', 'instant'),
  enterMaintenance('enterProtectedMaintenanceMode', 'protected'),
  exitMaintenance('exitMaintenanceMode', false),
  exitMaintenance('exitProtectedMaintenanceMode', false),
  exitMaintenance('abortEnterMaintenanceMode', true),
  exitMaintenance('abortEnterProtectedMaintenanceMode', true),
];

const SDS_ROUTES: readonly Route[] = [
  creation(
    'Sds',
    object(
      {
        protectionDomainId: TEXT,
        sdsIpList: listOf(object({ ip: TEXT, role: TEXT, SdsIp: ADDRESS }), LIMIT.addressesMax),
        name: TEXT,
        sdsPort: WHOLE,
        faultSetId: TEXT,
        forceClean: FLAG,
        deviceInfoList: listOf(
          object({ devicePath: TEXT, storagePoolId: TEXT, deviceName: TEXT }, [
            'devicePath',
            'storagePoolId',
          ]),
          LIMIT.devicesPerSdsMax,
        ),
      },
      ['protectionDomainId', 'sdsIpList'],
    ),
    createSds,
  ),
  action('Sds', 'removeSds', object({ force: FLAG }), (call) =>
    ask(call, 'REMOVE_SDS', { key: pathKey(call), force: flagOf(call.body, 'force') ?? false }),
  ),
  action('Sds', 'abortRemoveSds', object({}), (call) =>
    ask(call, 'ABORT_REMOVE_SDS', { key: pathKey(call) }),
  ),
  ...MOVE_ROUTES,
  ...MAINTENANCE_ROUTES,
  action('Sds', 'setSdsName', object({ name: TEXT }, ['name']), (call) =>
    ask(call, 'RENAME_SDS', { key: pathKey(call), name: textIn(call.body, 'name') }),
  ),
  action('Sds', 'addSdsIp', object({ ip: TEXT, role: TEXT }, ['ip']), (call) =>
    ask(call, 'ADD_SDS_ADDRESS', {
      key: pathKey(call),
      address: address(textIn(call.body, 'ip'), textOf(call.body, 'role') ?? 'all'),
    }),
  ),
  action('Sds', 'removeSdsIp', object({ ip: TEXT }, ['ip']), (call) =>
    ask(call, 'REMOVE_SDS_ADDRESS', { key: pathKey(call), host: textIn(call.body, 'ip') }),
  ),
  action(
    'Sds',
    'setSdsIpRole',
    object({ sdsIpToSet: TEXT, newRole: TEXT }, ['sdsIpToSet', 'newRole']),
    (call) =>
      ask(call, 'SET_SDS_ADDRESS_ROLE', {
        key: pathKey(call),
        address: address(textIn(call.body, 'sdsIpToSet'), textIn(call.body, 'newRole')),
      }),
  ),
];

async function createDevice(call: Call): Promise<{ readonly key: number }> {
  const { body } = call;
  const sds = await objectOf(call, 'sds', textIn(body, 'sdsId'), 'SDS_NOT_FOUND');
  const path = textOf(body, 'deviceCurrentPathname') ?? textOf(body, 'deviceCurrentPathName');
  if (path === undefined)
    throw ApiError.invalid(
      'The following parameter(s) must be part of the request body: deviceCurrentPathname.',
    );
  const force = flagOf(body, 'forceDeviceTakeover') ?? false;
  const name = textOf(body, 'name') ?? '';
  const device = await deviceSpec(call, textIn(body, 'storagePoolId'), path, name, force);
  return ask(call, 'ADD_DEVICE', { sdsKey: sds.key, device });
}

const DEVICE_ROUTES: readonly Route[] = [
  creation(
    'Device',
    object(
      {
        sdsId: TEXT,
        storagePoolId: TEXT,
        deviceCurrentPathname: TEXT,
        deviceCurrentPathName: TEXT,
        name: TEXT,
        forceDeviceTakeover: FLAG,
      },
      ['sdsId', 'storagePoolId'],
    ),
    createDevice,
  ),
  action('Device', 'removeDevice', object({ forceRemove: FLAG }), (call) =>
    ask(call, 'REMOVE_DEVICE', {
      key: pathKey(call),
      force: flagOf(call.body, 'forceRemove') ?? false,
    }),
  ),
  action('Device', 'abortRemoveDevice', object({}), (call) =>
    ask(call, 'ABORT_REMOVE_DEVICE', { key: pathKey(call) }),
  ),
  action(
    'Device',
    'setMediaType',
    object({ mediaType: oneOf(['HDD', 'SSD']) }, ['mediaType']),
    (call) =>
      ask(call, 'SET_DEVICE_MEDIA', {
        key: pathKey(call),
        mediaType: textIn(call.body, 'mediaType'),
      }),
  ),
  action('Device', 'clearDeviceError', NO_FIELDS, (call) =>
    ask(call, 'CLEAR_DEVICE_ERROR', { key: pathKey(call) }),
  ),
];

/** Approves by GUID or address; a name is given where the SDC is known already. */
async function approve(
  call: Call,
  guid: string | undefined,
  host: string | undefined,
  name: string | undefined,
): Promise<{ readonly key: number }> {
  const wanted = guid === undefined ? '' : normalizeGuid(guid);
  if (wanted === null) throw ApiError.invalid('sdcGuid must be a GUID');
  if (host !== undefined && isIP(host) === 0) throw ApiError.invalid('sdcIp must be an IP address');
  if (wanted === '' && host === undefined)
    throw ApiError.invalid(
      'The following parameter(s) must be part of the request body: sdcGuid or sdcIp.',
    );
  const approved = await ask(call, 'APPROVE_SDC', { key: 0, guid: wanted, host: host ?? '' });
  if (name === undefined || name === '') return approved;
  const sdcs = await call.cluster.query('sdc', [approved.key]);
  if (sdcs.length > 0) await ask(call, 'RENAME_SDC', { key: approved.key, name });
  return approved;
}

const SDC_ROUTES: readonly Route[] = [
  creation('Sdc', object({ sdcIp: TEXT, sdcName: TEXT }, ['sdcIp']), (call) =>
    approve(call, undefined, textIn(call.body, 'sdcIp'), textOf(call.body, 'sdcName')),
  ),
  {
    method: 'POST',
    path: '/api/types/Sdc/instances/action/queryAllApprovedSdc',
    handle: async ({ reader }) => {
      const keys = (await reader.all('sdc')).filter(({ approved }) => approved);
      return TYPES.get('Sdc')?.some(
        reader,
        keys.map(({ key }) => key),
      );
    },
  },
  action('Sdc', 'setSdcName', object({ sdcName: TEXT }, ['sdcName']), (call) =>
    ask(call, 'RENAME_SDC', { key: pathKey(call), name: textIn(call.body, 'sdcName') }),
  ),
  action('Sdc', 'removeSdc', NO_FIELDS, (call) => ask(call, 'REMOVE_SDC', { key: pathKey(call) })),
  {
    method: 'POST',
    path: '/api/instances/System::{id}/action/approveSdc',
    schema: object({ sdcGuid: TEXT, sdcIp: TEXT, sdcIps: TEXTS, name: TEXT }),
    handle: async (call) => {
      const { body } = call;
      const host = textOf(body, 'sdcIp') ?? textsOf(body, 'sdcIps')?.[0];
      const { key } = await approve(call, textOf(body, 'sdcGuid'), host, textOf(body, 'name'));
      return { id: call.reader.id(key) };
    },
  },
];

async function createUser(call: Call): Promise<{ readonly key: number }> {
  const password = call.body['password'];
  if (typeof password !== 'string') throw ApiError.invalid('password must be a string');
  const fault = passwordFault(password);
  if (fault !== null) throw ApiError.named('PASSWORD_REJECTED', fault);
  return ask(call, 'ADD_USER', {
    name: textIn(call.body, 'name'),
    role: USER_ROLES[textIn(call.body, 'userRole')] ?? 'monitor',
    ...(await hashPassword(password)),
  });
}

const USER_ROLE = oneOf(Object.keys(USER_ROLES));

const USER_ROUTES: readonly Route[] = [
  creation(
    'User',
    object({ name: TEXT, userRole: USER_ROLE, password: TEXT }, ['name', 'userRole', 'password']),
    createUser,
  ),
  action('User', 'removeUser', NO_FIELDS, (call) =>
    ask(call, 'REMOVE_USER', { key: pathKey(call) }),
  ),
  action('User', 'setUserRole', object({ userRole: USER_ROLE }, ['userRole']), (call) =>
    ask(call, 'SET_USER_ROLE', {
      key: pathKey(call),
      role: USER_ROLES[textIn(call.body, 'userRole')] ?? 'monitor',
    }),
  ),
];

export const HOST_ROUTES: readonly Route[] = [
  ...SDS_ROUTES,
  ...DEVICE_ROUTES,
  ...SDC_ROUTES,
  ...USER_ROUTES,
];
