// The order in which requests change the state, commits reach the store, and effects leave: one commit at a time, effects
// of a request only after its commit is flushed. While a commit is in flight, work waits; then all of it shares the next
// commit. So whatever runs, and whatever is sent, sees committed state only. It must never know what a request means.

import { assert } from '../core/assert.js';
import { mark } from '../core/marks.js';
import type { CommitOutcome, Micros, Token } from '../core/ports.js';
import type { Touch } from './journal.js';
import type { MdmOptions, MdmPorts } from './options.js';
import { Refusal } from './refusal.js';
import { State } from './state.js';

const MARKS = {
  shared: mark('mdm: several requests shared a commit'),
  rolledBack: mark('mdm: a refused request was taken back'),
  steppedDown: mark('mdm: stepped down'),
  confirmed: mark('mdm: answered under a mastership that was confirmed'),
  full: mark('mdm: the metadata store was full'),
};

/** Judges and changes the state. Refusals are thrown within {@link Engine.attempt} only. */
export type Work = (nowUs: Micros) => void;
/** Something to send or settle once the changes before it are durable. */
export type Effect = (nowUs: Micros) => void;

interface Waiting {
  readonly work: Work;
  /** Instead of all effects, when the store is full: nothing of the work happened. */
  readonly instead: Effect | null;
}

interface InFlight {
  /** Nothing is written: whether this is still the master is asked (reads of a shared store). */
  readonly isQuestion: boolean;
  readonly touches: readonly Touch[];
  readonly effects: readonly Effect[];
  readonly batch: readonly Waiting[];
}

/** Bounds how long one turn may take when much has waited. */
const WORK_PER_COMMIT_MAX = 512;

export class Engine {
  readonly state = new State();
  readonly ports: MdmPorts;
  readonly options: MdmOptions;
  readonly term: number;
  /** Of the last commit that is flushed. */
  sequence: number;
  /** Hears of every commit, before the effects of its requests. */
  published: (nowUs: Micros, touches: readonly Touch[]) => void = () => undefined;

  private readonly waiting: Waiting[] = [];
  private effects: Effect[] = [];
  /** What is done at the end of the running turn, by name. */
  private readonly closing = new Map<string, Work>();
  private inFlight: InFlight | null = null;
  private token: Token = 0;
  private started = false;
  private stopped = false;
  /** working: requests run; settling: what follows from a commit is sent. Both see committed state, plus their own. */
  private phase: 'idle' | 'working' | 'settling' = 'idle';

  constructor(ports: MdmPorts, options: MdmOptions, term: number, sequence: number) {
    this.ports = ports;
    this.options = options;
    this.term = term;
    this.sequence = sequence;
  }

  /** Nothing happens any more: the MDM stepped down. */
  isStopped(): boolean {
    return this.stopped;
  }

  /** Number of pieces of work that wait for the commit in flight. */
  get backlog(): number {
    return this.waiting.length;
  }

  /** A commit is in flight: its completion is the next thing that can happen. */
  isBusy(): boolean {
    return this.inFlight !== null;
  }

  /** The sequence that the changes of the running work will have. */
  get nextSequence(): number {
    return this.sequence + 1;
  }

  /** Wall clock in milliseconds. */
  wallMs(nowUs: Micros): number {
    return this.options.wallMsAtZero + Math.floor(nowUs / 1000);
  }

  /**
   * Runs work as soon as the state is committed and the term is ours: now, or after the commit in flight.
   *
   * @param instead - replaces the effects of the work when the store is full, after which this machine ends
   */
  run(nowUs: Micros, work: Work, instead: Effect | null = null): void {
    if (this.stopped) return;
    if (!this.started || this.inFlight !== null || this.phase !== 'idle') {
      this.waiting.push({ work, instead });
      return;
    }
    this.turn(nowUs, [{ work, instead }]);
    this.goOn(nowUs);
  }

  /** From inside work: does `effect` once everything changed so far is durable. */
  after(effect: Effect): void {
    assert(this.phase === 'working', 'effects belong to running work');
    this.effects.push(effect);
  }

  /**
   * From inside work: does something before the turn's changes are committed, once, however many requests of the turn
   * ask for it. Also if the request that asked is refused after that.
   *
   * @param name - of what is done
   */
  atEnd(name: string, work: Work): void {
    assert(this.phase === 'working', 'a turn that runs has an end');
    this.closing.set(name, work);
  }

  /**
   * From inside work: a request that may be refused.
   *
   * @returns what `request` returned, or its refusal; the changes of a refused request are taken back
   */
  attempt<T>(request: () => T): { readonly done: T } | { readonly refusal: Refusal } {
    const mark = this.state.journal.size;
    const effects = this.effects.length;
    try {
      return { done: request() };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (this.state.journal.size > mark) MARKS.rolledBack.hits++;
      this.state.journal.rollback(mark);
      this.effects.length = effects;
      return { refusal: error };
    }
  }

  /** Runs a question that may be refused; null: it was not. */
  judge(question: () => void): Refusal | null {
    try {
      question();
      return null;
    } catch (error) {
      if (error instanceof Refusal) return error;
      throw error;
    }
  }

  committed(nowUs: Micros, token: Token, outcome: CommitOutcome): void {
    if (this.stopped) return;
    assert(this.inFlight !== null && token === this.token, 'the commit in flight is reported');
    if (outcome === 'full') this.refuseAll(nowUs, this.inFlight);
    if (outcome !== 'done') {
      this.stepDown(
        nowUs,
        outcome === 'full' ? 'the metadata store is full' : `a commit ended as ${outcome}`,
      );
      return;
    }
    const { touches, effects, isQuestion } = this.inFlight;
    this.inFlight = null;
    this.phase = 'settling';
    if (isQuestion) MARKS.confirmed.hits++;
    else {
      this.sequence++;
      this.published(nowUs, touches);
    }
    for (const effect of effects) effect(nowUs);
    this.phase = 'idle';
    this.goOn(nowUs);
  }

  /** Commits nothing but the term: the first act of a master, before it believes anything. */
  commitTerm(nowUs: Micros, work: Work): void {
    this.started = true;
    this.phase = 'working';
    work(nowUs);
    this.phase = 'idle';
    this.commit([]);
  }

  private goOn(nowUs: Micros): void {
    while (this.waiting.length > 0 && this.inFlight === null && !this.stopped) {
      const batch = this.waiting.splice(0, WORK_PER_COMMIT_MAX);
      if (batch.length > 1) MARKS.shared.hits++;
      this.turn(nowUs, batch);
    }
  }

  private close(nowUs: Micros): void {
    for (const [name, work] of this.closing) {
      this.closing.delete(name);
      work(nowUs);
    }
  }

  private turn(nowUs: Micros, batch: readonly Waiting[]): void {
    this.phase = 'working';
    for (const { work } of batch) work(nowUs);
    this.close(nowUs);
    this.phase = 'idle';
    if (this.state.journal.size > 0) {
      this.commit(batch);
      return;
    }
    if (this.effects.length > 0 && this.ports.store.confirm !== undefined) {
      this.confirm(batch);
      return;
    }
    const effects = this.effects;
    this.effects = [];
    this.phase = 'settling';
    for (const effect of effects) effect(nowUs);
    this.phase = 'idle';
  }

  private commit(batch: readonly Waiting[]): void {
    const touches = this.state.journal.take();
    this.inFlight = { isQuestion: false, touches, effects: this.effects, batch };
    this.effects = [];
    this.token++;
    this.ports.store.commit(this.token, this.term, this.sequence, this.state.changes(touches));
  }

  /**
   * What changes nothing is answered only when this was the master after it was asked: what another master committed
   * meanwhile is not in this state.
   */
  private confirm(batch: readonly Waiting[]): void {
    this.inFlight = { isQuestion: true, touches: [], effects: this.effects, batch };
    this.effects = [];
    this.token++;
    this.ports.store.confirm?.(this.token);
  }

  /** Nothing of what is in flight or waits was done, and nobody has heard of it. */
  private refuseAll(nowUs: Micros, { batch }: InFlight): void {
    MARKS.full.hits++;
    this.phase = 'settling';
    for (const { instead } of [...batch, ...this.waiting]) instead?.(nowUs);
    this.phase = 'idle';
  }

  private stepDown(nowUs: Micros, reason: string): void {
    MARKS.steppedDown.hits++;
    this.stopped = true;
    this.waiting.length = 0;
    this.ports.log.event('error', 'mdm.stepped-down', { reason, term: this.term });
    this.ports.host.steppedDown(nowUs, reason);
  }
}
