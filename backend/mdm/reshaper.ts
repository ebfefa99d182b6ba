// Makes the MDM cluster what was committed: looks at the nodes again and again, and has the next thing done. It owns the
// change that is under way and when it is given up. It must never act on what is not committed, or under a mastership that
// was not confirmed: every step is decided behind a commit or a confirmation.

import { mark } from '../core/marks.js';
import type { Micros, Token } from '../core/ports.js';
import type { ClusterJob, Mdm } from '../protocol/generated/types.js';
import { planJob, planRest } from './cluster-plan.js';
import type { NodeReport, Observation, Plan, PlanInput, Step } from './cluster-plan.js';
import { clusterOf, placeName, selfOf } from './cluster-state.js';
import type { ClusterPort } from './cluster-port.js';
import type { Engine } from './engine.js';

const MARKS = {
  done: mark('mdm: a change of the MDM cluster came about'),
  failed: mark('mdm: a change of the MDM cluster was given up'),
  handedOver: mark('mdm: a change of the MDM cluster was handed over to the MDM that stays'),
  inherited: mark('mdm: a new master went on with a change of the MDM cluster'),
  swept: mark('mdm: what was left of an earlier MDM cluster was removed'),
};

/** Between looks: while nothing is under way, and while it is. */
const IDLE_US = 2_000_000;
const BUSY_US = 300_000;
/** How long a change may wait for the same thing before it is given up. */
const PATIENCE_US = 60_000_000;
/** An observation older than this says nothing about now. */
const FRESH_US = 10_000_000;

type Report = NodeReport | string;

export class Reshaper {
  private readonly engine: Engine;
  private readonly port: ClusterPort | undefined;
  private readonly reports = new Map<number, { readonly atUs: Micros; readonly report: Report }>();
  private readonly probes = new Map<Token, (nowUs: Micros, observation: Observation) => void>();
  private observation: Observation | null = null;
  /** What is awaited: an observation or a step. */
  private awaited: Token = 0;
  private token: Token = 0;
  private dueUs: Micros = Infinity;
  private waitingSinceUs: Micros = 0;
  private waitingFor = '';
  private jobId = 0;

  constructor(engine: Engine, port: ClusterPort | undefined) {
    this.engine = engine;
    this.port = port;
  }

  /** Of the store that the content is in; empty: an own store. */
  get storeToken(): string {
    return this.port?.token ?? '';
  }

  /** The master's first commit is done. */
  start(nowUs: Micros): void {
    if (this.port === undefined) return;
    this.dueUs = nowUs;
    if (clusterOf(this.engine.state).job !== null) MARKS.inherited.hits++;
  }

  /** What an MDM said of itself lately, or why nothing is known. */
  report(nowUs: Micros, key: number): Report {
    const known = this.reports.get(key);
    if (known === undefined) return 'it was not asked yet';
    return nowUs - known.atUs > FRESH_US ? 'it was not asked lately' : known.report;
  }

  /** Asks a node that nobody knows yet. */
  probe(nowUs: Micros, node: Mdm, done: (nowUs: Micros, report: Report) => void): void {
    if (this.port === undefined) {
      done(nowUs, 'this MDM takes part in no cluster');
      return;
    }
    this.probes.set(++this.token, (at, { reports }) => {
      done(at, reports.get(node.key) ?? 'it was not asked');
    });
    this.port.observe(this.token, [node]);
  }

  /** Asks all nodes now: what is judged next must not rest on what they said before. */
  refresh(nowUs: Micros, done: (nowUs: Micros) => void): void {
    if (this.port === undefined) {
      done(nowUs);
      return;
    }
    this.probes.set(++this.token, (at, observation) => {
      this.note(at, observation);
      done(at);
    });
    this.port.observe(this.token, [...this.engine.state.mdms.values()]);
  }

  /** A node was asked apart, and has a key now. */
  noteReport(nowUs: Micros, key: number, report: Report): void {
    this.reports.set(key, { atUs: nowUs, report });
  }

  /** A change may have been committed: it is looked at once. */
  published(nowUs: Micros): void {
    if (this.port === undefined || this.dueUs === Infinity) return;
    const id = clusterOf(this.engine.state).job?.id ?? 0;
    if (id !== 0 && id !== this.jobId) this.dueUs = nowUs;
  }

  tick(nowUs: Micros): void {
    if (nowUs < this.dueUs || this.port === undefined) return;
    this.dueUs = Infinity;
    this.awaited = ++this.token;
    this.port.observe(this.awaited, [...this.engine.state.mdms.values()]);
  }

  nextDeadlineUs(): Micros {
    return this.dueUs;
  }

  observed(nowUs: Micros, token: Token, observation: Observation): void {
    const probe = this.probes.get(token);
    if (probe !== undefined) {
      this.probes.delete(token);
      probe(nowUs, observation);
      return;
    }
    if (token !== this.awaited) return;
    this.note(nowUs, observation);
    this.observation = observation;
    // Behind what is being committed, and only while this is the master.
    this.engine.run(nowUs, () => {
      this.engine.after((at) => {
        this.decide(at, observation);
      });
    });
  }

  performed(nowUs: Micros, token: Token, failure: string | null): void {
    if (token !== this.awaited) return;
    if (failure === null) {
      this.waitingFor = '';
      this.dueUs = nowUs;
      return;
    }
    this.engine.ports.log.event('warn', 'mdm-cluster.step-failed', { reason: failure });
    this.engine.run(nowUs, () => {
      this.engine.after((at) => {
        this.wait(at, failure);
      });
    });
  }

  private note(nowUs: Micros, { reports }: Observation): void {
    for (const [key, report] of reports) this.reports.set(key, { atUs: nowUs, report });
  }

  private decide(nowUs: Micros, observation: Observation): void {
    const { state } = this.engine;
    const self = selfOf(state, this.engine.options);
    if (self === undefined) {
      this.dueUs = nowUs + IDLE_US;
      return;
    }
    const input: PlanInput = {
      ...{ token: this.storeToken, mdms: [...state.mdms.values()], self, observation },
    };
    const { job } = clusterOf(state);
    if (job === null) this.rest(nowUs, input);
    else this.pursue(nowUs, job, planJob(job, input));
  }

  private rest(nowUs: Micros, input: PlanInput): void {
    this.waitingFor = '';
    const step = planRest(input);
    if (step === null) {
      this.dueUs = nowUs + IDLE_US;
      return;
    }
    MARKS.swept.hits++;
    this.perform(step);
  }

  private pursue(nowUs: Micros, job: ClusterJob, plan: Plan): void {
    if (job.id !== this.jobId) {
      this.jobId = job.id;
      this.waitingFor = '';
      this.engine.ports.log.event('info', 'mdm-cluster.change', {
        ...{ job: job.id, members: job.members.length, token: job.token },
      });
    }
    switch (plan.kind) {
      case 'step':
        this.perform(plan.step);
        return;
      case 'handOver':
        MARKS.handedOver.hits++;
        this.wait(nowUs, `${plan.node.name} does not become the master`);
        this.engine.ports.host.handOver?.(nowUs, placeName(plan.node));
        return;
      case 'wait':
        this.wait(nowUs, plan.reason);
        return;
      case 'fail':
        this.end(nowUs, job, plan.reason);
        return;
      case 'done':
        this.end(nowUs, job, null);
    }
  }

  private perform(step: Step): void {
    this.engine.ports.log.event('info', 'mdm-cluster.step', { kind: step.kind });
    this.awaited = ++this.token;
    this.port?.perform(this.awaited, step, this.engine.term);
  }

  private wait(nowUs: Micros, reason: string): void {
    this.dueUs = nowUs + BUSY_US;
    if (this.waitingFor !== reason) {
      this.waitingFor = reason;
      this.waitingSinceUs = nowUs;
    }
    const { job } = clusterOf(this.engine.state);
    const isLate = nowUs - this.waitingSinceUs >= PATIENCE_US;
    if (job !== null && isLate && this.isAsBefore()) this.end(nowUs, job, reason);
  }

  /** Whether nothing that counts was changed, so that the change can be given up. */
  private isAsBefore(): boolean {
    const { store } = this.observation ?? { store: null };
    if (this.storeToken === '') return true;
    if (store === null) return false;
    const members = this.engine.state.mdms.filter(({ member }) => member);
    const voting = store.filter(({ isLearner }) => !isLearner);
    return (
      voting.length === members.length &&
      voting.every((seat) =>
        members.some(({ host, peerPort }) => seat.host === host && seat.peerPort === peerPort),
      )
    );
  }

  /** @param failure - null: it came about */
  private end(nowUs: Micros, job: ClusterJob, failure: string | null): void {
    const { state } = this.engine;
    if (failure === null) MARKS.done.hits++;
    else MARKS.failed.hits++;
    this.waitingFor = '';
    this.engine.run(nowUs, () => {
      const cluster = clusterOf(state);
      // Another change took its place meanwhile.
      if (cluster.job?.id !== job.id) return;
      state.clusters.put(cluster.key, {
        ...{ key: cluster.key, job: null, lastJob: job.id, lastReason: failure ?? '' },
      });
      if (failure === null)
        for (const mdm of state.mdms.values()) {
          const member = job.members.includes(mdm.key);
          if (member !== mdm.member) state.mdms.put(mdm.key, { ...mdm, member });
        }
      this.engine.after((at) => {
        this.dueUs = at;
        const level = failure === null ? 'info' : 'error';
        const reason = failure ?? '';
        this.engine.ports.log.event(level, 'mdm-cluster.changed', { job: job.id, reason });
      });
    });
  }
}
