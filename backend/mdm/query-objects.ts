// Objects as committed, in pages: what questions about them are answered with. It must never know a component.

import { LIMIT } from '../protocol/generated/constants.js';
import type { QueryBody, QueryReplyBody } from '../protocol/generated/types.js';
import type { State } from './state.js';

/** Items of a page whose items may be long: texts and addresses at their longest still fit into a frame. */
const LONG_ITEMS_MAX = 400;
const COMB_PAGES_MAX = 32;

const EMPTY: QueryReplyBody = {
  more: false,
  systems: [],
  domains: [],
  pools: [],
  faultSets: [],
  sds: [],
  devices: [],
  sdcs: [],
  volumes: [],
  mappings: [],
  users: [],
  approvedSdcs: [],
  combPages: [],
  attachments: [],
  layers: [],
  policies: [],
};

export interface Paged<T> {
  readonly items: T[];
  readonly more: boolean;
}

export function ascending(one: number, other: number): number {
  return one - other;
}

export function page<T>(
  table: { readonly get: (key: number) => T | undefined; readonly keys: () => Iterable<number> },
  { keys, after }: { readonly keys: readonly number[]; readonly after: number },
  itemsMax: number = LIMIT.queryItemsMax,
): Paged<T> {
  const wanted = [...new Set(keys.length > 0 ? keys : table.keys())]
    .filter((key) => key > after)
    .sort(ascending);
  const items: T[] = [];
  for (const key of wanted) {
    const object = table.get(key);
    if (object === undefined) continue;
    if (items.length === itemsMax) return { items, more: true };
    items.push(object);
  }
  return { items, more: false };
}

function named<K extends Exclude<keyof QueryReplyBody, 'more'>>(
  list: K,
  { items, more }: Paged<QueryReplyBody[K][number]>,
): QueryReplyBody {
  return { ...EMPTY, [list]: items, more };
}

/** Objects of one type; null: they cannot be queried. */
export function objectsOf(state: State, question: QueryBody): QueryReplyBody | null {
  switch (question.type) {
    case 'system':
      return { ...EMPTY, systems: [state.system] };
    case 'protectionDomain':
      return named('domains', page(state.domains, question));
    case 'storagePool':
      return named('pools', page(state.pools, question));
    case 'faultSet':
      return named('faultSets', page(state.faultSets, question));
    case 'sds':
      return named('sds', page(state.sds, question, LONG_ITEMS_MAX));
    case 'device':
      return named('devices', page(state.devices, question, LONG_ITEMS_MAX));
    case 'sdc':
      return named('sdcs', page(state.sdcs, question, LONG_ITEMS_MAX));
    case 'volume':
      return named('volumes', page(state.volumes, question));
    case 'mapping':
      return named('mappings', mappingsOf(state, question));
    case 'user':
      return named('users', page(state.users, question));
    case 'approvedSdc':
      return named('approvedSdcs', page(state.approvedSdcs, question));
    case 'combPage':
      return named('combPages', combPagesOf(state, question));
    case 'attachment':
      return named('attachments', page(state.attachments, question));
    case 'layer':
      return named('layers', page(state.layers, question));
    case 'snapshotPolicy':
      return named('policies', page(state.policies, question));
    default:
      return null;
  }
}

function mappingsOf(
  state: State,
  { keys, after }: QueryBody,
): Paged<QueryReplyBody['mappings'][number]> {
  const source = keys.length > 0 ? keys : [...state.mappings.volumes()];
  const volumeKeys = [...new Set(source)].filter((key) => key > after).sort(ascending);
  const items: QueryReplyBody['mappings'][number][] = [];
  for (const volumeKey of volumeKeys) {
    const ofVolume = [...state.mappings.ofVolume(volumeKey).values()];
    if (items.length > 0 && items.length + ofVolume.length > LIMIT.queryItemsMax)
      return { items, more: true };
    items.push(...ofVolume.sort((one, other) => one.sdcKey - other.sdcKey));
  }
  return { items, more: false };
}

function combPagesOf(
  state: State,
  { keys, after }: QueryBody,
): Paged<QueryReplyBody['combPages'][number]> {
  const [poolKey = 0] = keys;
  const combs = state.combs.ofPool(poolKey);
  const pageCount = Math.ceil(combs.length / LIMIT.combsPerPage);
  const first = after === 0 ? 0 : after + 1;
  const last = Math.min(pageCount, first + COMB_PAGES_MAX);
  const items = Array.from({ length: Math.max(0, last - first) }, (_, offset) => {
    const at = (first + offset) * LIMIT.combsPerPage;
    return { poolKey, page: first + offset, combs: combs.slice(at, at + LIMIT.combsPerPage) };
  });
  return { items, more: last < pageCount };
}
