// Endpoints that work alike for every type: lists, single objects, relations, look-ups by key.

import { ApiError } from '../api-error.js';
import { TEXTS, object, textsOf } from '../body.js';
import { EMPTY_TYPES, TYPES, typeRow } from '../object-types.js';
import type { TypeRow } from '../object-types.js';
import type { Call, Route } from '../route.js';
import { decodeOnce } from '../route.js';
import type { Json } from '../views/parts.js';

const IDS = object({ ids: TEXTS }, ['ids']);

/** The only object of the id in the path. @throws ApiError of its type when there is none */
export async function oneOf(row: TypeRow, call: Call): Promise<Json> {
  const key = call.reader.keyOf(call.params['id'] ?? '');
  const [view] = await row.some(call.reader, [key]);
  if (view === undefined) throw ApiError.named(row.notFound);
  return view;
}

async function allLists(call: Call): Promise<unknown> {
  const lists: Record<string, unknown> = {};
  for (const row of TYPES.values()) {
    if (row.listKey !== null) lists[row.listKey] = await row.all(call.reader);
  }
  const [system] = await typeRow('System').all(call.reader);
  return { System: system, ...lists, rfcacheDeviceList: [] };
}

async function list(call: Call): Promise<unknown> {
  const type = call.params['type'] ?? '';
  if (EMPTY_TYPES.includes(type)) return [];
  return typeRow(type).all(call.reader);
}

async function related(call: Call): Promise<unknown> {
  const row = typeRow(call.params['type'] ?? '');
  const relation = row.related[call.params['relation'] ?? ''];
  const view = await oneOf(row, call);
  if (relation === undefined) {
    if (EMPTY_TYPES.includes(call.params['relation'] ?? '')) return [];
    throw new ApiError(404, 0, `${row.type} ${String(view['id'])} has no such relation`);
  }
  return relation(call.reader, call.reader.keyOf(call.params['id'] ?? ''));
}

async function idByKey(call: Call): Promise<unknown> {
  const row = typeRow(call.params['type'] ?? '');
  const key = await row.keyBy(call.reader, call.body);
  if (key === null) throw ApiError.named(row.notFound);
  return call.reader.id(key);
}

async function bySelectedIds(call: Call): Promise<unknown> {
  const row = typeRow(call.params['type'] ?? '');
  const keys = (textsOf(call.body, 'ids') ?? []).map((id) => call.reader.keyOf(id));
  return row.some(call.reader, keys);
}

/** A name as the path carries it: clients encode it once or twice. Both readings, the plainer one first. */
function readings(name: string): readonly string[] {
  const again = decodeOnce(name);
  return again === name ? [name] : [name, again];
}

/** `getByName` of old clients; answers "Not found" whatever the type. */
function byName(alias: string, type: string): Route {
  return {
    method: 'GET',
    path: `/api/types/${alias}/instances/getByName::{name*}`,
    handle: async ({ params, reader }) => {
      for (const name of readings(params['name'] ?? '')) {
        const key = await typeRow(type).keyBy(reader, fieldsOfName(type, name));
        if (key !== null) return reader.id(key);
      }
      throw ApiError.named('NOT_FOUND');
    },
  };
}

/** Pools are named `domain id,pool name`. */
function fieldsOfName(type: string, name: string): Record<string, string> {
  const comma = name.indexOf(',');
  if (type !== 'StoragePool' || comma < 0) return { name };
  return { protectionDomainId: name.slice(0, comma), name: name.slice(comma + 1) };
}

export const GENERIC_ROUTES: readonly Route[] = [
  { method: 'GET', path: '/api/instances', handle: allLists },
  byName('Domain', 'ProtectionDomain'),
  byName('ProtectionDomain', 'ProtectionDomain'),
  byName('Pool', 'StoragePool'),
  byName('StoragePool', 'StoragePool'),
  byName('Volume', 'Volume'),
  {
    method: 'GET',
    path: '/api/types/Client/instances/getByIp::{ip*}',
    handle: async ({ params, reader }) => {
      const ip = (params['ip'] ?? '').replace(/\/+$/, '');
      const key = await typeRow('Sdc').keyBy(reader, { ip });
      if (key === null) throw ApiError.named('NOT_FOUND');
      return reader.id(key);
    },
  },
  { method: 'GET', path: '/api/types/{type}/instances', handle: list },
  {
    method: 'POST',
    path: '/api/types/{type}/instances/action/queryIdByKey',
    schema: object({}),
    handle: idByKey,
  },
  {
    method: 'POST',
    path: '/api/types/{type}/instances/action/queryBySelectedIds',
    schema: IDS,
    handle: bySelectedIds,
  },
  { method: 'GET', path: '/api/instances/{type}::{id}/relationships/{relation}', handle: related },
  {
    method: 'GET',
    path: '/api/instances/{type}::{id}',
    handle: (call) => oneOf(typeRow(call.params['type'] ?? ''), call),
  },
];
