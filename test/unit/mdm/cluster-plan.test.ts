// What is done next for a change of the MDM cluster, from what is seen.

import test from 'ava';

import { planJob, planRest } from '../../../backend/mdm/cluster-plan.js';
import type {
  MoveFailure,
  NodeReport,
  Observation,
  Plan,
  PlanInput,
  StoreMember,
} from '../../../backend/mdm/cluster-plan.js';
import type { ClusterJob, Mdm } from '../../../backend/protocol/generated/types.js';

const mdm = (key: number, member: boolean, role: Mdm['role'] = 'manager'): Mdm => ({
  ...{ key, name: `m${key}`, host: `10.0.0.${key}`, port: 6611, clientPort: 9012, peerPort: 9013 },
  ...{ role, member },
});

const job = (token: string, members: number[], allowFailed = false): ClusterJob => ({
  ...{ id: 7, token, members, allowFailed, startedAtMs: 0 },
});

const BLANK: NodeReport = {
  ...{ state: 'blank', token: '', storeUp: false, storeFault: '' },
  ...{ systemId: '', version: '1', protocolMax: 2 },
};
const member = (token: string, storeUp = true): NodeReport => ({
  ...BLANK,
  ...{ state: 'member', token, storeUp },
});
const alone = (token = '', storeUp = false): NodeReport => ({
  ...BLANK,
  ...{ state: 'alone', token, storeUp },
});
const seat = (key: number, changes: Partial<StoreMember> = {}): StoreMember => ({
  ...{ host: `10.0.0.${key}`, peerPort: 9013, isLearner: false, isStarted: true },
  ...changes,
});

function input(
  token: string,
  mdms: readonly Mdm[],
  reports: Readonly<Record<number, NodeReport | string>>,
  store: readonly StoreMember[] | null = null,
  moveFailure: MoveFailure | null = null,
): PlanInput {
  const [self] = mdms;
  if (self === undefined) throw new Error('an MDM');
  const seen = new Map(Object.entries(reports).map(([key, report]) => [Number(key), report]));
  const observation: Observation = { reports: seen, store, moveFailure };
  return { token, mdms, self, observation };
}

/** The plan in a word. */
function told(plan: Plan): string {
  if (plan.kind === 'wait' || plan.kind === 'fail') return `${plan.kind}: ${plan.reason}`;
  if (plan.kind === 'handOver') return `handOver ${plan.node.name}`;
  if (plan.kind === 'done') return 'done';
  const { step } = plan;
  if ('node' in step) return `${step.kind} ${step.node.name} ${step.token}`;
  return 'seat' in step ? `${step.kind} ${step.seat.host}` : `${step.kind} ${step.token}`;
}

test('one MDM becomes three: all begin the store, all answer, then the content moves', (t) => {
  const mdms = [mdm(1, true), mdm(2, false), mdm(3, false, 'tieBreaker')];
  const three = job('1-7', [1, 2, 3]);
  const plan = (
    reports: Readonly<Record<number, NodeReport | string>>,
    failure?: MoveFailure,
  ): string => told(planJob(three, input('', mdms, reports, null, failure)));
  t.is(plan({ 1: alone(), 2: 'no route', 3: BLANK }), 'form m1 1-7');
  t.is(plan({ 1: alone('1-7'), 2: 'no route', 3: BLANK }), 'wait: m2 does not answer (no route)');
  t.is(plan({ 1: alone('1-7'), 2: member('1-2'), 3: BLANK }), 'leave m2 1-2');
  t.is(plan({ 1: alone('1-7'), 2: BLANK, 3: BLANK }), 'form m2 1-7');
  t.is(plan({ 1: alone('1-7'), 2: member('1-7', false), 3: BLANK }), 'form m3 1-7');
  const begun = { 1: alone('1-7', true), 2: member('1-7', false), 3: member('1-7') };
  t.regex(plan(begun), /wait: the store of m2 does not answer/);
  const all = { ...begun, 2: member('1-7') };
  t.is(plan(all), 'move 1-7');
  t.is(plan(all, { job: 7, reason: 'the prefix is taken' }), 'fail: the prefix is taken');
  t.is(plan(all, { job: 6, reason: 'etcd did not answer' }), 'move 1-7', 'that was another change');
  const moved = { 1: member('1-7'), 2: member('1-7'), 3: member('1-7') };
  const seats = [seat(1), seat(2), seat(3)];
  t.is(told(planJob(three, input('1-7', mdms, moved, seats))), 'done');
});

test('members enter as learners, one by one, and leave one by one', (t) => {
  const mdms = [mdm(1, true), mdm(2, true), mdm(3, true), mdm(4, false), mdm(5, false)];
  const up = { 1: member('t'), 2: member('t'), 3: member('t'), 4: BLANK, 5: BLANK };
  const three = [seat(1), seat(2), seat(3)];
  const plan = (
    change: ClusterJob,
    reports: Readonly<Record<number, NodeReport | string>>,
    store: readonly StoreMember[],
  ): string => told(planJob(change, input('t', mdms, reports, store)));
  const five = job('t', [1, 2, 3, 4, 5]);
  t.is(plan(five, up, three), 'add 10.0.0.4');
  t.is(plan(five, { ...up, 4: member('t', false) }, three), 'leave m4 t', 'it was struck out');
  const learner = seat(4, { isLearner: true, isStarted: false });
  t.is(plan(five, up, [...three, learner]), 'join m4 t');
  t.is(plan(five, { ...up, 4: member('t', false) }, [...three, learner]), 'promote 10.0.0.4');
  t.is(plan(five, { ...up, 4: member('t') }, [...three, seat(4)]), 'add 10.0.0.5');
  const back = job('t', [1, 4, 5]);
  const all = { ...up, 4: member('t'), 5: member('t') };
  const seats = [...three, seat(4), seat(5)];
  t.is(plan(back, all, seats), 'drop 10.0.0.2');
  t.is(plan(back, all, [seat(1), seat(3), seat(4), seat(5)]), 'drop 10.0.0.3');
  t.is(plan(back, all, [seat(1), seat(4), seat(5)]), 'done');
  t.is(
    plan(back, { ...all, 5: 'gone' }, [seat(1), seat(4), seat(5)]),
    'wait: the store of m5 does not answer',
  );
});

test('a learner is told of all members, also of those that are to leave', (t) => {
  const mdms = [mdm(1, true), mdm(2, true), mdm(3, true), mdm(4, false), mdm(5, false)];
  const reports = { 1: member('t'), 2: member('t'), 3: member('t'), 4: BLANK, 5: BLANK };
  const store = [1, 2, 3].map((key) => seat(key));
  const learner = seat(4, { isLearner: true, isStarted: false });
  const exchange = job('t', [1, 2, 4]);
  const plan = planJob(exchange, input('t', mdms, reports, [...store, learner]));
  t.is(told(plan), 'join m4 t');
  const seats = plan.kind === 'step' && plan.step.kind === 'join' ? plan.step.seats : [];
  t.deepEqual(
    seats.map(({ key }) => key),
    [1, 2, 3, 4],
  );
  // Whoever is no MDM any more could not be told of.
  const stray = input('t', mdms, reports, [...store, seat(9), learner]);
  t.is(told(planJob(exchange, stray)), 'drop 10.0.0.9');
});

test('a member that is out of reach leaves first, and only where that was allowed', (t) => {
  const mdms = [mdm(1, true), mdm(2, true), mdm(3, true), mdm(4, false)];
  const reports = { 1: member('t'), 2: 'gone', 3: member('t'), 4: BLANK };
  const store = [seat(1), seat(2), seat(3)];
  const plan = (allowFailed: boolean): string =>
    told(planJob(job('t', [1, 3, 4], allowFailed), input('t', mdms, reports, store)));
  t.is(plan(true), 'drop 10.0.0.2');
  t.is(plan(false), 'add 10.0.0.4');
});

test('only the MDM that stays takes the content home', (t) => {
  const mdms = [mdm(1, true), mdm(2, true), mdm(3, true, 'tieBreaker')];
  const up = { 1: member('t'), 2: member('t'), 3: member('t') };
  t.is(told(planJob(job('', [1]), input('t', mdms, up))), 'move ');
  t.is(told(planJob(job('', [2]), input('t', mdms, up))), 'handOver m2');
  t.is(
    told(planJob(job('', [2]), input('t', mdms, { ...up, 2: 'gone' }))),
    'wait: m2 does not answer',
  );
});

test('what is left of earlier changes is removed, and nothing else', (t) => {
  const mdms = [mdm(1, true), mdm(2, true), mdm(3, false)];
  const reports = { 1: member('t'), 2: member('t'), 3: member('t') };
  const seats = [seat(1), seat(2)];
  const rest = (
    token: string,
    seen: Readonly<Record<number, NodeReport | string>>,
    store: readonly StoreMember[] | null,
  ): string => {
    const step = planRest(input(token, mdms, seen, store));
    return step === null ? 'nothing' : told({ kind: 'step', step });
  };
  t.is(rest('t', reports, [...seats, seat(9, { isLearner: true })]), 'drop 10.0.0.9');
  t.is(rest('t', reports, seats), 'leave m3 t');
  t.is(rest('t', { ...reports, 3: BLANK }, seats), 'nothing');
  t.is(rest('t', { 1: member('t'), 2: 'gone', 3: 'gone' }, seats), 'nothing');
  t.is(rest('', { 1: alone('old'), 2: BLANK, 3: BLANK }, null), 'leave m1 old');
});
