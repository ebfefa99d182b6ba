// Endpoints of statistics: by relation, by type with chosen properties, and mixed. One unknown property fails the call.

import { ApiError } from '../api-error.js';
import { PRESENT, TEXT, TEXTS, listOf, object, textIn, textsOf } from '../body.js';
import { typeRow } from '../object-types.js';
import type { Reader } from '../reader.js';
import type { Body, Call, Route } from '../route.js';
import { readFacts } from '../../runtime/statistics/facts.js';
import type { Facts } from '../../runtime/statistics/facts.js';
import { STATISTICS } from '../statistics/types.js';
import type { StatisticsRow } from '../statistics/types.js';
import type { Value } from '../../runtime/statistics/values.js';

const SELECTIONS_MAX = 64;

type Properties = Readonly<Record<string, Value>>;

function statisticsRow(type: string): StatisticsRow {
  const row = STATISTICS.get(type);
  if (row === undefined) throw new ApiError(404, 0, `There are no statistics of type "${type}"`);
  return row;
}

/** Chosen properties of one object; none chosen: all of its type. */
function properties(
  row: StatisticsRow,
  reader: Reader,
  facts: Facts,
  key: number,
  chosen: readonly string[] | undefined,
): Properties {
  const values = row.values(reader, facts, key);
  const names = chosen ?? [...row.defaults.keys()];
  return Object.fromEntries(
    names.map((name) => [name, values[name] ?? row.defaults.get(name) ?? 0]),
  );
}

/** Refuses names that the type does not have, also when no object is selected. */
function checkNames(type: string, row: StatisticsRow, chosen: readonly string[] = []): void {
  const unknown = chosen.filter((name) => !row.defaults.has(name));
  if (unknown.length > 0)
    throw ApiError.invalid(
      `there is no property "${unknown.join('", "')}" in the statistics of ${type}`,
    );
}

/** Statistics by id of the objects that a body selects with `ids` or `allIds`. */
function selected(
  type: string,
  reader: Reader,
  facts: Facts,
  body: Body,
): Readonly<Record<string, Properties>> {
  const row = statisticsRow(type);
  const known = row.keys(reader, facts);
  const ids = textsOf(body, 'ids');
  if (ids === undefined && !('allIds' in body) && type !== 'System')
    throw ApiError.invalid(
      'The following parameter(s) must be part of the request body: ids or allIds.',
    );
  const keys = selectsAll(body) ? known : (ids ?? []).map((id) => reader.keyOf(id));
  const present = new Set(known);
  const chosen = textsOf(body, 'properties');
  checkNames(type, row, chosen);
  return Object.fromEntries(
    keys.map((key) => {
      if (!present.has(key)) throw ApiError.named(typeRow(type).notFound);
      return [reader.id(key), properties(row, reader, facts, key, chosen)];
    }),
  );
}

/** No id given: all objects of the type. */
function selectsAll(body: Body): boolean {
  return (textsOf(body, 'ids') ?? []).length === 0;
}

/** The system is one object: unless asked for by id its statistics stand without an id around them. */
function unwrapped(
  type: string,
  body: Body,
  byId: Readonly<Record<string, Properties>>,
): Properties | Readonly<Record<string, Properties>> {
  if (type !== 'System' || !selectsAll(body)) return byId;
  return Object.values(byId)[0] ?? {};
}

async function ofType(call: Call): Promise<unknown> {
  const type = call.params['type'] ?? '';
  const byId = selected(type, call.reader, await readFacts(call.reader), call.body);
  return unwrapped(type, call.body, byId);
}

async function mixed(call: Call): Promise<unknown> {
  const facts = await readFacts(call.reader);
  const answer: Record<string, unknown> = {};
  for (const selection of call.body['selectedStatisticsList'] as readonly Body[]) {
    const type = textIn(selection, 'type');
    answer[type] =
      type === 'RfcacheDevice'
        ? {}
        : unwrapped(type, selection, selected(type, call.reader, facts, selection));
  }
  return answer;
}

async function ofObject(call: Call): Promise<unknown> {
  const type = call.params['type'] ?? '';
  const row = statisticsRow(type);
  const key = call.reader.keyOf(call.params['id'] ?? '');
  const facts = await readFacts(call.reader);
  if (!row.keys(call.reader, facts).includes(key)) throw ApiError.named(typeRow(type).notFound);
  return properties(row, call.reader, facts, key, undefined);
}

const SELECTION = { ids: TEXTS, allIds: PRESENT, properties: TEXTS };

export const STATISTICS_ROUTES: readonly Route[] = [
  {
    method: 'POST',
    path: '/api/instances/querySelectedStatistics',
    schema: object(
      {
        selectedStatisticsList: listOf(
          object({ type: TEXT, ...SELECTION }, ['type']),
          SELECTIONS_MAX,
        ),
      },
      ['selectedStatisticsList'],
    ),
    handle: mixed,
  },
  {
    method: 'POST',
    path: '/api/types/{type}/instances/action/querySelectedStatistics',
    schema: object(SELECTION),
    handle: ofType,
  },
  {
    method: 'GET',
    path: '/api/instances/{type}::{id}/relationships/Statistics',
    handle: ofObject,
  },
];
