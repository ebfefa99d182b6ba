// Registration of client hosts and of SDS processes. It must never give a right to anybody who is not approved.

import { normalizeGuid, parseId } from '../core/ids.js';
import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { LIMIT } from '../protocol/generated/constants.js';
import type {
  RegisterSdcBody,
  RegisterSdcReplyBody,
  RegisterSdsBody,
  Sdc,
} from '../protocol/generated/types.js';
import { systemId } from './additions.js';
import { CounterHistory } from './counters.js';
import type { Engine } from './engine.js';
import { refuse } from './refusal.js';
import type { Runs } from './runs.js';
import type { State } from './state.js';

const MARKS = {
  newSdc: mark('mdm: an SDC registered for the first time'),
  sameRun: mark('mdm: an SDC registered again in the same run'),
  laterRun: mark('mdm: an SDC presented a run of another life of the metadata'),
  foreignRun: mark('mdm: an SDC presented a run that was never given out'),
  waitingSds: mark('mdm: an SDS that nobody added registered'),
};

/** No system gives out so many runs: a higher one is not its own. */
const RUN_MAX = 2 ** 31;
/** SDS processes that may wait to be added. */
const WAITING_SDS_MAX = 2048;

/** Whether the approval mode lets an SDC in that nobody approved by key. */
function isApproved(state: State, guid: string, hosts: readonly string[]): boolean {
  switch (state.system.approval) {
    case 'none':
      return true;
    case 'guid':
      return state.approvedSdcs.find((row) => row.guid === guid) !== undefined;
    case 'ip':
      return state.approvedSdcs.find((row) => hosts.includes(row.host)) !== undefined;
  }
}

/**
 * A client host announces itself. Called as work.
 *
 * @throws Refusal INVALID_PARAMETER, TOO_MANY
 */
export function registerSdc(engine: Engine, body: RegisterSdcBody): RegisterSdcReplyBody {
  const { state } = engine;
  const guid = normalizeGuid(body.guid);
  if (guid === null) refuse('INVALID_PARAMETER', 'guid must have the form 8-4-4-4-12');
  const known = state.sdcs.find((sdc) => sdc.guid === guid);
  if (known === undefined && state.sdcs.size >= LIMIT.sdcMax)
    refuse('TOO_MANY', `at most ${LIMIT.sdcMax} SDCs`);
  const run = runFor(engine, body.run);
  const { addresses, zeroGuid } = body;
  const hosts = addresses.map(({ host }) => host);
  const approved = known?.approved === true || isApproved(state, guid, hosts);
  if (known === undefined) {
    MARKS.newSdc.hits++;
    const key = state.newKey();
    const name = freeName(state, body.name);
    state.sdcs.put(key, { key, name, guid, addresses, approved, run, zeroGuid });
    return { sdcKey: key, run, approved, systemId: systemId(engine) };
  }
  const next: Sdc = { ...known, addresses, approved, run, zeroGuid };
  if (JSON.stringify(next) !== JSON.stringify(known)) state.sdcs.put(known.key, next);
  return { sdcKey: known.key, run, approved, systemId: systemId(engine) };
}

/**
 * A run goes on in the same life of a client, even one that another life of the metadata gave out: what the client has under
 * way could not be told apart under a new one. Every other life gets a number that nobody had.
 */
function runFor({ state }: Engine, presented: number): number {
  if (presented === 0) return state.newRun();
  if (presented < state.system.nextRun) MARKS.sameRun.hits++;
  else if (presented > RUN_MAX) {
    MARKS.foreignRun.hits++;
    return state.newRun();
  } else {
    MARKS.laterRun.hits++;
    state.systems.put(state.system.key, { ...state.system, nextRun: presented + 1 });
  }
  return presented;
}

/** Host names are taken as names while they are free; names are for people only. */
function freeName(state: State, wanted: string): string {
  const isUsable = wanted.length > 0 && !/[\s\p{C}]/u.test(wanted);
  if (!isUsable || state.sdcs.find(({ name }) => name === wanted) !== undefined) return '';
  return wanted;
}

/**
 * An SDS process announces itself.
 *
 * @returns its key, 0: nobody added it yet
 * @throws Refusal INVALID_PARAMETER, TOO_MANY
 */
export function registerSds(
  engine: Engine,
  runs: Runs,
  nowUs: Micros,
  link: number,
  body: RegisterSdsBody,
): { readonly sdsKey: number; readonly guid: string } {
  const guid = normalizeGuid(body.guid);
  if (guid === null) refuse('INVALID_PARAMETER', 'guid must have the form 8-4-4-4-12');
  const sds = engine.state.sds.find((candidate) => candidate.guid === guid);
  if (sds === undefined) {
    MARKS.waitingSds.hits++;
    if (runs.sds.size >= WAITING_SDS_MAX) refuse('TOO_MANY', 'too many SDSs wait to be added');
  }
  const { addresses, port, version, systemId: ofSystem } = body;
  if (ofSystem !== '' && parseId(ofSystem) === null)
    refuse('INVALID_PARAMETER', 'systemId must have 16 hex digits, or be empty');
  const sinceMs = engine.wallMs(nowUs);
  const counters = new CounterHistory();
  const known = { guid, link, addresses, port, version, systemId: ofSystem };
  runs.sds.set(guid, { ...known, sinceMs, counters });
  return { sdsKey: sds?.key ?? 0, guid };
}
