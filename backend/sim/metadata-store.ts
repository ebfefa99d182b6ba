// The metadata store in virtual time: what a commit wrote is durable after a while, and an MDM that is killed meanwhile
// never learns whether it was. It owns the durable content; it must never know what a key means.

import type { Change, CommitOutcome, MetadataStore, Token } from '../core/ports.js';
import type { Prng } from '../core/prng.js';

import type { EventTarget } from './event-queue.js';
import type { SimProcess } from './process.js';
import type { Simulation } from './simulation.js';
import { TRACE } from './trace.js';

/** Latency of a commit, and how often its outcome stays unknown. */
export interface StoreTiming {
  readonly commitUsMin: number;
  readonly commitUsMax: number;
  /** Of a thousand commits, how many report 'unknown'; half of them are done all the same. */
  unknownPermille: number;
  /** What every commit takes longer. */
  slowUs: number;
}

interface Entry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** What survives the MDM's processes. */
export class SimMetadata {
  private readonly content = new Map<string, Entry>();
  /** Is told what became durable, and when it was decided. */
  watcher: (changes: readonly Change[], decidedUs: number) => void = () => undefined;
  /** Of the last commit. */
  term = 0;
  sequence = 0;

  /** Whether a commit builds on what is there. */
  fits(term: number, previousSequence: number): boolean {
    return term >= this.term && previousSequence === this.sequence;
  }

  apply(
    term: number,
    previousSequence: number,
    changes: readonly Change[],
    decidedUs: number,
  ): void {
    this.term = term;
    this.sequence = previousSequence + 1;
    for (const { key, value } of changes) {
      const name = Buffer.from(key).toString('latin1');
      if (value === null) this.content.delete(name);
      else this.content.set(name, { key: key.slice(), value: value.slice() });
    }
    this.watcher(changes, decidedUs);
  }

  /** Becomes a copy of another. */
  replace(other: SimMetadata): void {
    this.content.clear();
    for (const [name, entry] of other.content) this.content.set(name, entry);
    this.term = other.term;
    this.sequence = other.sequence;
  }

  /** Becomes what a backup holds, or what became of it. */
  load(term: number, sequence: number, entries: Iterable<Entry>): void {
    this.content.clear();
    for (const { key, value } of entries)
      this.content.set(Buffer.from(key).toString('latin1'), {
        key: key.slice(),
        value: value.slice(),
      });
    this.term = term;
    this.sequence = sequence;
  }

  /** Keys and values in order of key, as the shell gives them to a starting MDM. */
  entries(): readonly Entry[] {
    return [...this.content]
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([, { key, value }]) => ({ key: key.slice(), value: value.slice() }));
  }
}

interface Pending {
  readonly token: Token;
  readonly term: number;
  readonly previousSequence: number;
  readonly changes: readonly Change[];
  readonly outcome: CommitOutcome;
  readonly applied: boolean;
  readonly decidedUs: number;
}

/** Gives the outcome of a commit to the machine. */
export type CommitListener = (nowUs: number, token: Token, outcome: CommitOutcome) => void;

/** The store as one process of the MDM has it open. */
export class SimMetadataStore implements MetadataStore, EventTarget {
  private readonly sim: Simulation;
  private readonly process: SimProcess;
  private readonly metadata: SimMetadata;
  private readonly timing: StoreTiming;
  private readonly prng: Prng;
  private readonly listener: CommitListener;
  private readonly pending: Pending[] = [];
  private lastUs = 0;

  constructor(
    sim: Simulation,
    process: SimProcess,
    metadata: SimMetadata,
    timing: StoreTiming,
    listener: CommitListener,
  ) {
    this.sim = sim;
    this.process = process;
    this.metadata = metadata;
    this.timing = timing;
    this.listener = listener;
    this.prng = sim.prng.fork();
  }

  commit(token: Token, term: number, previousSequence: number, changes: readonly Change[]): void {
    const unknown = this.prng.chance(this.timing.unknownPermille, 1000);
    const copied = changes.map(({ key, value }) => ({
      key: key.slice(),
      value: value?.slice() ?? null,
    }));
    this.pending.push({
      token,
      term,
      previousSequence,
      changes: copied,
      outcome: unknown ? 'unknown' : 'done',
      applied: !unknown || this.prng.chance(1, 2),
      decidedUs: this.sim.nowUs,
    });
    const { commitUsMin, commitUsMax, slowUs } = this.timing;
    const takesUs = this.prng.between(commitUsMin, commitUsMax) + slowUs;
    this.lastUs = Math.max(this.lastUs, this.sim.nowUs + takesUs);
    this.sim.queue.push(this.lastUs, this, 0, 0);
  }

  /** The process was killed: of its running commits, in order, any number is durable. Nothing follows later. */
  processDied(): void {
    for (const { term, previousSequence, changes, decidedUs } of this.pending.splice(0)) {
      if (this.prng.chance(1, 2)) return;
      if (this.metadata.fits(term, previousSequence))
        this.metadata.apply(term, previousSequence, changes, decidedUs);
    }
  }

  /** Nothing is under way any more, all of it is durable; nobody hears of it. */
  settle(): void {
    for (const { term, previousSequence, changes, decidedUs } of this.pending.splice(0))
      if (this.metadata.fits(term, previousSequence))
        this.metadata.apply(term, previousSequence, changes, decidedUs);
  }

  fire(timeUs: number): void {
    const commit = this.pending.shift();
    if (commit === undefined) return;
    const { token, term, previousSequence, changes, decidedUs } = commit;
    const fits = this.metadata.fits(term, previousSequence);
    if (fits && commit.applied) this.metadata.apply(term, previousSequence, changes, decidedUs);
    this.sim.trace.mix(TRACE.commit, timeUs, this.process.node, token);
    this.process.input((nowUs) => {
      this.listener(nowUs, token, fits ? commit.outcome : 'conflict');
    });
  }
}
