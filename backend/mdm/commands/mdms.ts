// Commands about MDMs and their cluster. A change of the cluster is only begun here: it is a committed job, which the
// master of the moment pursues (reshaper.ts).

import { LIMIT } from '../../protocol/generated/constants.js';
import type { Mdm, MdmRole } from '../../protocol/generated/types.js';
import type { NodeReport } from '../cluster-plan.js';
import { clusterOf, membersOf, placeName, selfOf } from '../cluster-state.js';
import { isIp, validName } from '../names.js';
import { found, refuse } from '../refusal.js';
import type { State } from '../state.js';
import { NOTHING } from './context.js';
import type { CommandContext, Handlers } from './context.js';

/** Managers and tie-breakers of each mode, as in the original. */
const SHAPES: ReadonlyMap<number, readonly [managers: number, tieBreakers: number]> = new Map([
  [1, [1, 0]],
  [3, [2, 1]],
  [5, [3, 2]],
]);

/** After this long, a change that does not come about may be replaced by another. */
const REPLACEABLE_MS = 120_000;

function checkName(state: State, key: number, name: string): void {
  validName(name);
  const other = state.mdms.find((mdm) => mdm.name === name);
  if (other !== undefined && other.key !== key) refuse('MDM_EXISTS', `its name is ${name}`);
}

/** @throws Refusal MDM_NOT_CONNECTED, MDM_ELSEWHERE */
function checkBlank(host: string, report: NodeReport | string, clean: boolean): NodeReport {
  if (typeof report === 'string') refuse('MDM_NOT_CONNECTED', `${host}: ${report}`);
  if (report.state === 'alone')
    refuse('MDM_ELSEWHERE', `it is the MDM of a system of its own (${report.systemId})`);
  if (report.state === 'member' && !clean)
    refuse(
      'MDM_ELSEWHERE',
      'it takes part in a cluster; if that is no more, add it with force_clean',
    );
  return report;
}

const numberOf = (mdms: readonly Mdm[], wanted: MdmRole): number =>
  mdms.filter(({ role }) => role === wanted).length;

/** @throws Refusal when these cannot be the members of a cluster in this mode */
function checkShape(mode: number, after: readonly Mdm[]): void {
  const shape = SHAPES.get(mode);
  if (shape === undefined) refuse('INVALID_PARAMETER', 'the mode must be 1, 3 or 5');
  const [managers, tieBreakers] = shape;
  const [manager, tieBreaker] = [numberOf(after, 'manager'), numberOf(after, 'tieBreaker')];
  if (manager !== managers || tieBreaker !== tieBreakers)
    refuse(
      'MDM_COUNT_WRONG',
      `${mode}_node has ${managers} managers and ${tieBreakers} tie-breakers, this would make ${manager} and ${tieBreaker}`,
    );
}

interface Leavers {
  readonly staying: readonly Mdm[];
  readonly leaving: readonly Mdm[];
  readonly entering: readonly Mdm[];
}

/** @throws Refusal when one that is needed does not answer */
function checkReach(
  { seen, nowUs }: CommandContext,
  { staying, leaving, entering }: Leavers,
  allowFailed: boolean,
): void {
  for (const { key, name } of entering) {
    const report = seen.mdm(nowUs, key);
    if (typeof report === 'string') refuse('MDM_NOT_CONNECTED', `${name}: ${report}`);
    if (report.state === 'alone')
      refuse('MDM_ELSEWHERE', `${name} is the MDM of a system of its own (${report.systemId})`);
  }
  const isUp = (key: number): boolean => {
    const report = seen.mdm(nowUs, key);
    return typeof report === 'object' && (report.state === 'alone' || report.storeUp);
  };
  for (const { key, name } of staying)
    if (!isUp(key)) refuse('CLUSTER_DEGRADED', `${name} does not answer, and would stay a member`);
  for (const { key, name } of leaving)
    if (!isUp(key) && !allowFailed)
      refuse('MDM_NOT_CONNECTED', `${name}; with allow_leave_failed it leaves all the same`);
}

export const MDM_COMMANDS: Handlers<
  | 'ADD_STANDBY_MDM'
  | 'REMOVE_STANDBY_MDM'
  | 'SWITCH_CLUSTER'
  | 'SWITCH_MDM_OWNERSHIP'
  | 'RENAME_MDM'
> = {
  ADD_STANDBY_MDM({ state, options, probed, noteProbed }, params) {
    const { host, role, clean } = params;
    if (!isIp(host)) refuse('INVALID_PARAMETER', 'the address of an MDM must be an IP address');
    if (state.mdms.size >= LIMIT.mdmsMax) refuse('TOO_MANY', `at most ${LIMIT.mdmsMax} MDMs`);
    const port = params.port === 0 ? options.port : params.port;
    const clientPort = params.clientPort === 0 ? options.clientPort : params.clientPort;
    const peerPort = params.peerPort === 0 ? options.peerPort : params.peerPort;
    const same = state.mdms.find((mdm) => mdm.host === host);
    if (same !== undefined) refuse('MDM_EXISTS', `${same.name} has the address ${host}`);
    checkBlank(host, probed, clean);
    const key = state.newKey();
    const name = params.name === '' ? `mdm${key}` : params.name;
    checkName(state, key, name);
    state.mdms.put(key, { key, name, host, port, clientPort, peerPort, role, member: false });
    noteProbed(key);
    return { key };
  },

  REMOVE_STANDBY_MDM({ state }, { key }) {
    const mdm = found(state.mdms.get(key), 'MDM_NOT_FOUND');
    if (mdm.member) refuse('MDM_IN_CLUSTER', mdm.name);
    if (clusterOf(state).job?.members.includes(key) === true) refuse('CLUSTER_BUSY');
    state.mdms.delete(key);
    return NOTHING;
  },

  SWITCH_CLUSTER(context, { mode, add, remove, allowFailed }) {
    const { state, options, sequence, wallMs, storeToken } = context;
    const cluster = clusterOf(state);
    // A job that began later than now was begun before the clock was set back.
    const ageMs = cluster.job === null ? Infinity : wallMs - cluster.job.startedAtMs;
    if (ageMs >= 0 && ageMs < REPLACEABLE_MS) refuse('CLUSTER_BUSY');
    const members = membersOf(state);
    const entering = add.map((key) => found(state.mdms.get(key), 'MDM_NOT_FOUND'));
    const leaving = remove.map((key) => found(state.mdms.get(key), 'MDM_NOT_FOUND'));
    for (const { member, name } of entering) if (member) refuse('MDM_IN_CLUSTER', name);
    for (const { member } of leaving) if (!member) refuse('MDM_NOT_IN_CLUSTER');
    if (entering.length + leaving.length === 0 && mode === members.length)
      refuse('CLUSTER_MODE_SAME');
    const self = selfOf(state, options);
    if (leaving.some(({ key }) => key === self?.key)) refuse('MASTER_STAYS');
    const staying = members.filter((mdm) => !leaving.includes(mdm));
    const after = [...staying, ...entering];
    checkShape(mode, after);
    checkReach(context, { staying, leaving, entering }, allowFailed);
    const fresh = `${state.system.clusterEpoch}-${sequence}`;
    const many = storeToken === '' ? fresh : storeToken;
    state.clusters.put(cluster.key, {
      ...cluster,
      job: {
        ...{ id: sequence, token: after.length === 1 ? '' : many, allowFailed },
        ...{ members: after.map(({ key }) => key), startedAtMs: wallMs },
      },
    });
    return { job: sequence };
  },

  SWITCH_MDM_OWNERSHIP({ nowUs, state, options, seen, waitFor }, { key }) {
    const mdm = found(state.mdms.get(key), 'MDM_NOT_FOUND');
    if (!mdm.member) refuse('MDM_NOT_IN_CLUSTER');
    if (mdm.role !== 'manager') refuse('MDM_ROLE_WRONG', `${mdm.name} is a tie-breaker`);
    if (selfOf(state, options)?.key === key) refuse('ALREADY_MASTER');
    if (clusterOf(state).job !== null) refuse('CLUSTER_BUSY');
    const report = seen.mdm(nowUs, key);
    if (typeof report === 'string') refuse('MDM_NOT_CONNECTED', `${mdm.name}: ${report}`);
    waitFor({ kind: 'handOver', heir: placeName(mdm) });
    return NOTHING;
  },

  RENAME_MDM({ state }, { key, name }) {
    const mdm = found(state.mdms.get(key), 'MDM_NOT_FOUND');
    checkName(state, key, name);
    state.mdms.put(key, { ...mdm, name });
    return NOTHING;
  },
};
