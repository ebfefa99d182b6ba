// The jobs of a node's agent: one after the other, each once, and the truth about each after the agent or the node was
// started again in the middle. A job's program runs as a unit of its own, so that it goes on while the agent is replaced. It
// must never act: effects are calls on its port, which never calls back before the running input has returned.

import { assert } from '../core/assert.js';
import type { Job, JobRequest, UnitFacts } from '../protocol/lia.js';
import type { ErrorName } from '../protocol/generated/errors.js';
import { LIMITS } from '../protocol/tables/limits.js';
import { installFault, planInstall } from './install-plan.js';
import type { InstallFacts } from './install-plan.js';

/** State of a service of ours now. */
export interface ServiceFacts {
  readonly kind: 'service';
  /** Of systemd; `absent`: there is no such unit. */
  readonly state: string;
}

export type JobFacts = InstallFacts | ServiceFacts;

/** Everything that a job may do. */
export interface JobEffects {
  /** Keeps a job so that it survives a loss of power; has done so when it returns. */
  save(job: Job): void;
  forget(id: string): void;
  /** Asks what a job is about; answered by `facts` or `stuck`. */
  ask(job: Job): void;
  /** Runs a program as the unit of a job; answered by `looked` or `stuck`. */
  launch(job: Job, argv: readonly string[]): void;
  /** Asks for the unit of a job, after a while; answered by `looked`. */
  look(job: Job): void;
  /** The unit is not needed any more. */
  release(job: Job): void;
}

export interface Refusal {
  readonly error: ErrorName;
  readonly reason: string;
}

/** What the job that is under way waits for. */
type Phase = 'planning' | 'working' | 'judging' | 'judgingInterrupted';

const DPKG = ['dpkg', '--force-confdef', '--force-confold', '--install'];
const packageFile = (sha256: string): string => `${sha256}.deb`;

export class Jobs {
  readonly #effects: JobEffects;
  readonly #bootId: string;
  readonly #jobs = new Map<string, Job>();
  #current: Current | null = null;
  #number = 0;

  /** @param bootId - names this life of the node */
  constructor(effects: JobEffects, bootId: string) {
    this.#effects = effects;
    this.#bootId = bootId;
  }

  /** Takes up what an earlier agent left; before any other input, once. */
  resume(kept: readonly Job[]): void {
    assert(this.#jobs.size === 0, 'jobs are resumed once, first');
    const order = [...kept].sort((one, other) => one.number - other.number);
    for (const job of order) {
      this.#jobs.set(job.id, job);
      this.#number = Math.max(this.#number, job.number);
    }
    const running = order.find(({ state }) => state === 'running');
    if (running === undefined) this.#next();
    else {
      this.#current = { id: running.id, phase: 'working', end: null, isLaunched: false };
      this.#effects.look(running);
    }
  }

  /** All jobs, the newest first. */
  list(): Job[] {
    return [...this.#jobs.values()].reverse();
  }

  get(id: string): Job | null {
    return this.#jobs.get(id) ?? null;
  }

  /** Takes a job; the same request under the same id again is the same job, however that ended. */
  submit(nowMs: number, id: string, request: JobRequest): Job | Refusal {
    const known = this.#jobs.get(id);
    if (known !== undefined) {
      if (sameRequest(known.request, request)) return known;
      return { error: 'JOB_DIFFERS', reason: `${id} was ${describe(known.request)}` };
    }
    const all = [...this.#jobs.values()];
    const waiting = all.filter(({ state }) => state === 'waiting').length;
    if (waiting >= LIMITS.liaJobsWaitingMax.value) return { error: 'JOBS_FULL', reason: '' };
    this.#forgetOldest(all);
    this.#number += 1;
    const job: Job = {
      ...{ id, number: this.#number, request, state: 'waiting', createdMs: nowMs },
      ...{ startedMs: null, endedMs: null, bootId: '', message: 'waiting', output: '' },
    };
    this.#keep(job);
    this.#next();
    return this.#jobs.get(id) ?? job;
  }

  /** What `ask` found. */
  facts(nowMs: number, id: string, facts: JobFacts): void {
    const job = this.#underWay(id);
    if (job === null || this.#current === null) return;
    const { phase, end } = this.#current;
    if (phase === 'planning') this.#begin(nowMs, job, facts);
    else if (phase === 'judging') this.#judge(nowMs, job, end, faultOf(job.request, facts));
    else if (phase === 'judgingInterrupted')
      this.#judgeInterrupted(nowMs, job, faultOf(job.request, facts));
  }

  /** Done is what ended well and left everything as it was asked for. */
  #judge(nowMs: number, job: Job, end: EndedUnit | null, fault: string | null): void {
    assert(end !== null, 'a job is judged after its unit has ended');
    const faults = [...(end.ok ? [] : [end.why]), ...(fault === null ? [] : [fault])];
    if (faults.length === 0)
      this.#end(nowMs, job, 'done', `${describe(job.request)}: done`, end.output);
    else this.#end(nowMs, job, 'failed', faults.join('; '), end.output);
  }

  #judgeInterrupted(nowMs: number, job: Job, fault: string | null): void {
    const what = 'interrupted by a start of the node';
    if (fault === null)
      this.#end(nowMs, job, 'done', `${what}; everything is as it was asked for`, '');
    else this.#end(nowMs, job, 'failed', `${what}: ${fault}`, '');
  }

  /** What `ask` could not find out, or why `launch` did not work. */
  stuck(nowMs: number, id: string, reason: string): void {
    const job = this.#underWay(id);
    if (job !== null) this.#end(nowMs, job, 'failed', reason, '');
  }

  /** What `look` and `launch` found. */
  looked(nowMs: number, id: string, unit: UnitFacts): void {
    const job = this.#underWay(id);
    if (job === null || this.#current?.phase !== 'working') return;
    if (unit.state === 'running') {
      this.#current.isLaunched = true;
      this.#effects.look(job);
    } else if (unit.state === 'ended') {
      this.#current = { id, phase: 'judging', end: unit, isLaunched: true };
      this.#effects.ask(job);
    } else {
      this.#missing(job);
    }
  }

  /** A unit of this life is kept until it is released; one of an earlier life went with that. */
  #missing(job: Job): void {
    const { id } = job;
    if (job.bootId !== this.#bootId)
      this.#current = { id, phase: 'judgingInterrupted', end: null, isLaunched: false };
    else if (this.#current?.isLaunched === true) {
      const end = {
        state: 'ended',
        ok: false,
        why: 'its unit was taken away',
        output: '',
      } as const;
      this.#current = { id, phase: 'judging', end, isLaunched: true };
    } else this.#current = { id, phase: 'planning', end: null, isLaunched: false };
    this.#effects.ask(job);
  }

  #begin(nowMs: number, job: Job, facts: JobFacts): void {
    const plan = planOf(job.request, facts);
    if ('refused' in plan) this.#end(nowMs, job, 'failed', plan.refused, '');
    else if (plan.argv === null) this.#end(nowMs, job, 'done', plan.about, '');
    else {
      const running: Job = {
        ...job,
        ...{ state: 'running', startedMs: nowMs, bootId: this.#bootId, message: plan.about },
      };
      // Known as running before it is: whoever starts next looks for its unit.
      this.#keep(running);
      this.#current = { id: job.id, phase: 'working', end: null, isLaunched: true };
      this.#effects.launch(running, plan.argv);
    }
  }

  #end(nowMs: number, job: Job, state: 'done' | 'failed', message: string, output: string): void {
    const ended: Job = {
      ...job,
      ...{ state, message, output: output.slice(-LIMITS.liaJobOutputCharsMax.value) },
      ...{ endedMs: nowMs },
    };
    this.#keep(ended);
    if (job.state === 'running') this.#effects.release(ended);
    this.#current = null;
    this.#next();
  }

  #next(): void {
    if (this.#current !== null) return;
    const next = [...this.#jobs.values()].find(({ state }) => state === 'waiting');
    if (next === undefined) return;
    this.#current = { id: next.id, phase: 'planning', end: null, isLaunched: false };
    this.#effects.ask(next);
  }

  #underWay(id: string): Job | null {
    return this.#current?.id === id ? (this.#jobs.get(id) ?? null) : null;
  }

  #keep(job: Job): void {
    this.#effects.save(job);
    this.#jobs.set(job.id, job);
  }

  #forgetOldest(all: readonly Job[]): void {
    if (all.length < LIMITS.liaJobsMax.value) return;
    const oldest = all.find(({ state }) => state === 'done' || state === 'failed');
    assert(oldest !== undefined, 'fewer jobs wait than are kept');
    this.#effects.forget(oldest.id);
    this.#jobs.delete(oldest.id);
  }
}

/** The job that is under way. */
interface Current {
  readonly id: string;
  phase: Phase;
  end: EndedUnit | null;
  /** Its unit was seen, or made by this agent. */
  isLaunched: boolean;
}

type EndedUnit = Extract<UnitFacts, { readonly state: 'ended' }>;

function sameRequest(one: JobRequest, other: JobRequest): boolean {
  if (one.kind === 'service' && other.kind === 'service')
    return one.unit === other.unit && one.action === other.action;
  if (one.kind !== 'install' || other.kind !== 'install') return false;
  return (
    one.allowDowngrade === other.allowDowngrade &&
    one.packages.length === other.packages.length &&
    one.packages.every((sha256) => other.packages.includes(sha256))
  );
}

function describe(request: JobRequest): string {
  if (request.kind === 'service') return `${request.action} ${request.unit}`;
  return `installation of ${request.packages.length} package files`;
}

type JobPlan =
  | { readonly refused: string }
  | { readonly argv: readonly string[] | null; readonly about: string };

function planOf(request: JobRequest, facts: JobFacts): JobPlan {
  if (request.kind === 'service') {
    assert(facts.kind === 'service', 'facts of a service');
    const { unit, action } = request;
    if (facts.state === 'absent') return { refused: `${unit} is not installed on this node` };
    const isSo =
      (action === 'start' && facts.state === 'active') ||
      (action === 'stop' && facts.state === 'inactive');
    if (isSo) return { argv: null, about: `${unit} is ${facts.state} already` };
    return { argv: ['systemctl', action, `${unit}.service`], about: `${action} ${unit}` };
  }
  assert(facts.kind === 'install', 'facts of packages');
  const plan = planInstall(facts, request.allowDowngrade);
  if ('refused' in plan) return plan;
  if (plan.missing.length === 0) return { argv: null, about: 'all of it is installed already' };
  const listed = plan.missing.map(({ name, version }) => `${name} ${version}`).join(', ');
  const files = plan.missing.map(({ sha256 }) => packageFile(sha256));
  return { argv: [...DPKG, ...files], about: `installs ${listed}` };
}

/** What is not as the job wanted it, or null. */
function faultOf(request: JobRequest, facts: JobFacts): string | null {
  if (facts.kind === 'install') return facts.fault ?? installFault(facts);
  assert(request.kind === 'service', 'facts of a service');
  const { unit, action } = request;
  const { state } = facts;
  const isRight = action === 'stop' ? state === 'inactive' : state === 'active';
  return isRight ? null : `${unit} is ${state}`;
}
