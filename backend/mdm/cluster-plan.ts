// What is done next so that the MDM cluster becomes what was committed: judged anew from what is seen each time, so that it
// goes on wherever an earlier master, or an earlier process, ended. A pure function; it must never do anything itself.
//
// One MDM keeps its content in a store of its own; a cluster in etcd, of which every manager and tie-breaker runs a
// member. From one to the other the content moves as a whole, and the seal of the old store is the moment of the change
// (`move`). Within etcd members enter one by one as learners, which do not count before they have everything, and leave
// one by one, those out of reach first: etcd adds nobody while a member is missing.

import type { ClusterJob, Mdm, MdmSeat } from '../protocol/generated/types.js';
import type { MdmState } from '../protocol/generated/types.js';

/** What an MDM process said of itself. */
export interface NodeReport {
  readonly state: MdmState;
  /** Of the store that it takes part in, or is about to; empty: none. */
  readonly token: string;
  readonly storeUp: boolean;
  /** Why its member of that store does not run, as far as it knows. */
  readonly storeFault: string;
  readonly systemId: string;
  readonly version: string;
  /** Highest protocol version that it speaks. */
  readonly protocolMax: number;
}

/** A member as etcd knows it. */
export interface StoreMember {
  readonly host: string;
  readonly peerPort: number;
  readonly isLearner: boolean;
  /** It was there once. */
  readonly isStarted: boolean;
}

/** The move of a change of the cluster was given up. */
export interface MoveFailure {
  readonly job: number;
  readonly reason: string;
}

export interface Observation {
  /** By key of the MDM: its report, or why there is none. */
  readonly reports: ReadonlyMap<number, NodeReport | string>;
  /** Members of the store that this master's content is in, or null: it did not say. */
  readonly store: readonly StoreMember[] | null;
  /** The last move that was given up in the life of this process: another change may fare better (seed 162204371). */
  readonly moveFailure: MoveFailure | null;
}

export type Step =
  /** A node begins the store together with all other seats. */
  | {
      readonly kind: 'form' | 'join';
      readonly node: Mdm;
      readonly token: string;
      readonly seats: readonly MdmSeat[];
    }
  /** A node forgets the store that it takes part in. */
  | { readonly kind: 'leave'; readonly node: Mdm; readonly token: string }
  /** Etcd takes a learner in, makes a learner a member, or strikes a member out. */
  | { readonly kind: 'add' | 'promote' | 'drop'; readonly seat: StoreMember }
  /** The content goes to the store of this token, empty: this MDM's own. */
  | {
      readonly kind: 'move';
      readonly job: number;
      readonly token: string;
      readonly seats: readonly MdmSeat[];
    };

export type Plan =
  | { readonly kind: 'step'; readonly step: Step }
  /** Only another MDM can go on: it is to be the master. */
  | { readonly kind: 'handOver'; readonly node: Mdm }
  /** Nothing can be done before what is missing is there. */
  | { readonly kind: 'wait'; readonly reason: string }
  /** It cannot come about. */
  | { readonly kind: 'fail'; readonly reason: string }
  | { readonly kind: 'done' };

export interface PlanInput {
  /** Of the store that the content is in; empty: an own store. */
  readonly token: string;
  readonly mdms: readonly Mdm[];
  readonly self: Mdm;
  readonly observation: Observation;
}

export function seatOf({ key, host, clientPort, peerPort, role }: Mdm): MdmSeat {
  return { key, host, clientPort, peerPort, role };
}

const isSeat = ({ host, peerPort }: StoreMember, mdm: Pick<Mdm, 'host' | 'peerPort'>): boolean =>
  mdm.host === host && mdm.peerPort === peerPort;

const step = (made: Step): Plan => ({ kind: 'step', step: made });
const wait = (reason: string): Plan => ({ kind: 'wait', reason });

/** The next thing to do for a change of the cluster. */
export function planJob(job: ClusterJob, input: PlanInput): Plan {
  const { token, mdms, observation } = input;
  const targets = mdms.filter(({ key }) => job.members.includes(key));
  if (job.token === token)
    return token === '' ? { kind: 'done' } : planMembers(job, targets, input);
  const { moveFailure } = observation;
  if (moveFailure?.job === job.id) return { kind: 'fail', reason: moveFailure.reason };
  if (job.token !== '') {
    const missing = gather(job, targets, input);
    if (missing !== null) return missing;
  } else {
    // The content goes into the own store of whoever stays, and only he can put it there.
    const [node] = targets;
    if (node !== undefined && node.key !== input.self.key)
      return isAnswering(node, input)
        ? { kind: 'handOver', node }
        : wait(`${node.name} does not answer`);
  }
  return step({ kind: 'move', job: job.id, token: job.token, seats: targets.map(seatOf) });
}

/** Every node of a new store runs its member, and that answers; null: so it is. */
function gather(job: ClusterJob, targets: readonly Mdm[], { observation }: PlanInput): Plan | null {
  const seats = targets.map(seatOf);
  for (const node of targets) {
    const report = observation.reports.get(node.key);
    if (typeof report !== 'object')
      return wait(`${node.name} does not answer (${report ?? 'not asked yet'})`);
    if (report.token === job.token) continue;
    if (report.state === 'member') return step({ kind: 'leave', node, token: report.token });
    return step({ kind: 'form', node, token: job.token, seats });
  }
  for (const { key, name } of targets) {
    const report = observation.reports.get(key);
    if (typeof report !== 'object' || !report.storeUp)
      return wait(`the store of ${name} does not answer: its ports may be closed or taken`);
  }
  return null;
}

/** The members of etcd become those of the job. */
function planMembers(job: ClusterJob, targets: readonly Mdm[], input: PlanInput): Plan {
  const { observation, mdms, token } = input;
  const { store } = observation;
  if (store === null) return wait('the store does not say who its members are');
  const leaving = store.filter((seat) => !targets.some((mdm) => isSeat(seat, mdm)));
  const stray = leaving.find((seat) => !mdms.some((mdm) => isSeat(seat, mdm)));
  if (stray !== undefined) return step({ kind: 'drop', seat: stray });
  const lost = leaving.find((seat) => !isUp(seat, input));
  if (lost !== undefined && (job.allowFailed || !lost.isStarted))
    return step({ kind: 'drop', seat: lost });
  const entered = enter(targets, store, input);
  if (entered !== null) return entered;
  const [gone] = leaving;
  if (gone !== undefined) return step({ kind: 'drop', seat: gone });
  for (const { key, name } of targets) {
    const report = observation.reports.get(key);
    const isThere = typeof report === 'object' && report.token === token && report.storeUp;
    if (!isThere) return wait(`the store of ${name} does not answer`);
  }
  return { kind: 'done' };
}

/** Whoever is no member yet becomes one, one after the other; null: all are. All of the store are among the MDMs. */
function enter(
  targets: readonly Mdm[],
  store: readonly StoreMember[],
  { token, mdms, observation: { reports } }: PlanInput,
): Plan | null {
  for (const node of targets) {
    const seat = store.find((each) => isSeat(each, node));
    if (seat !== undefined && !seat.isLearner) continue;
    const report = reports.get(node.key);
    if (typeof report !== 'object')
      return wait(`${node.name} does not answer (${report ?? 'not asked yet'})`);
    // One that was struck out and not told yet has files of a member that is no more.
    if (report.state === 'member' && (report.token !== token || seat === undefined))
      return step({ kind: 'leave', node, token: report.token });
    if (seat === undefined) {
      const { host, peerPort } = node;
      return step({ kind: 'add', seat: { host, peerPort, isLearner: true, isStarted: false } });
    }
    if (report.token === token) return step({ kind: 'promote', seat });
    // Etcd starts no learner that was told of fewer members, or of more: those that are to leave count as well.
    const seats = mdms
      .filter((each) => each === node || store.some((other) => isSeat(other, each)))
      .map(seatOf);
    return step({ kind: 'join', node, token, seats });
  }
  return null;
}

function isUp(seat: StoreMember, { mdms, observation }: PlanInput): boolean {
  const mdm = mdms.find((each) => isSeat(seat, each));
  const report = mdm === undefined ? undefined : observation.reports.get(mdm.key);
  return typeof report === 'object' && report.storeUp;
}

function isAnswering({ key }: Mdm, { observation }: PlanInput): boolean {
  const report = observation.reports.get(key);
  return typeof report === 'object' && report.storeUp;
}

/** While no change is under way: what is left of changes that failed, or of nodes that were away; null: nothing. */
export function planRest({ token, mdms, observation }: PlanInput): Step | null {
  const members = mdms.filter(({ member }) => member);
  const stray = observation.store?.find((seat) => !members.some((mdm) => isSeat(seat, mdm)));
  if (token !== '' && stray !== undefined) return { kind: 'drop', seat: stray };
  for (const node of mdms) {
    const report = observation.reports.get(node.key);
    if (typeof report !== 'object' || report.token === '') continue;
    const belongs = node.member && report.token === token;
    if (!belongs) return { kind: 'leave', node, token: report.token };
  }
  return null;
}
