// Answers that wait until no device can act on an older state any more (C13). A device is through when it applied the
// commit; or when its process is known to have ended; or when it is in no in-sync set, every device that is has applied
// that, and the grants that it may hold have run out. It must never answer success on hope: in doubt it says PENDING.

import { isInSync } from '../cluster-map/entry.js';
import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import type { Device } from '../protocol/generated/types.js';
import type { Engine } from './engine.js';
import type { Touch } from './journal.js';
import type { Runs } from './runs.js';

const MARKS = {
  applied: mark('mdm: a drain ended because all devices applied it'),
  ranOut: mark('mdm: a drain ended because the grants of a lost device ran out'),
  pending: mark('mdm: a drain was answered as pending'),
};

export interface Drain {
  /** Commit that all must have applied. */
  readonly sequence: number;
  readonly poolKey: number;
  /** SDC that should know of it too while it is connected, 0: none. */
  readonly sdcKey: number;
  /** Called once: everything is through, or not in time. */
  readonly ended: (nowUs: Micros, isThrough: boolean) => void;
}

interface Waiting extends Drain {
  /** Key of a device or SDC without whose word, or time, it cannot end. */
  blocker: number;
  /** 0 once it is not waited for any more. */
  sdcKey: number;
  readonly deadlineUs: Micros;
  /** Not asked of an SDC for longer. */
  readonly sdcUntilUs: Micros;
}

/** When the grants that a device held have run out, once that can be told. */
interface RunningOut {
  /** Commit that took it out of its last in-sync set. */
  readonly outSince: number;
  readonly untilUs: Micros;
  isOver: boolean;
}

const SDC_PATIENCE_US = 5_000_000;

export class Drains {
  private readonly engine: Engine;
  private readonly runs: Runs;
  private readonly waiting = new Set<Waiting>();
  /** Commit that last took a right away, by pool; a new master assumes its first one. */
  private readonly revoked = new Map<number, number>();
  /** Commit that last changed a volume, or whether I/O is allowed, by pool. */
  private readonly changed = new Map<number, number>();
  private firstSequence = 0;
  /** Tells a device how far it knows everything, unless it was told that far: commits that do not concern it are not sent to it. */
  remind: (deviceKey: number, sequence: number) => void = () => undefined;
  /** Commit that last took a device out of its last in-sync set, by device. */
  private readonly outSince = new Map<number, number>();
  /** By device. Kept for later drains: who waits a shorter time than a grant lasts would never hear the end of one. */
  private readonly runningOut = new Map<number, RunningOut>();

  constructor(engine: Engine, runs: Runs) {
    this.engine = engine;
    this.runs = runs;
  }

  /** The first commit of this master is done. */
  start(): void {
    this.firstSequence = this.engine.sequence;
  }

  /** Commit that all devices of a pool must have applied before "not mapped" is true. */
  revokedSequence(poolKey: number): number {
    return this.revoked.get(poolKey) ?? this.firstSequence;
  }

  /** Commit of which all devices of a pool must have heard before the sizes of its volumes are true everywhere. */
  changedSequence(poolKey: number): number {
    return this.changed.get(poolKey) ?? this.firstSequence;
  }

  /** Notes what a commit took away or changed. */
  published(touches: readonly Touch[]): void {
    const { state, sequence } = this.engine;
    for (const touch of touches) {
      if (touch.kind === 'mapping' && touch.before !== null) {
        const poolKey = state.volumes.get(touch.key)?.poolKey;
        if (poolKey !== undefined) this.revoked.set(poolKey, sequence);
      }
      if (touch.kind === 'protectionDomain')
        for (const pool of state.pools.filter(({ domainKey }) => domainKey === touch.key))
          this.changed.set(pool.key, sequence);
      if (touch.kind === 'volume' && touch.before !== null)
        this.changed.set(touch.before.poolKey, sequence);
      if (touch.kind === 'comb' && touch.before !== null)
        for (const { deviceKey } of touch.before.members) this.outSince.set(deviceKey, sequence);
      if (touch.kind === 'device' && state.devices.get(touch.key) === undefined) {
        this.outSince.delete(touch.key);
        this.runningOut.delete(touch.key);
      }
    }
  }

  /** Begins to wait; called as effect, when the commit is done. */
  add(nowUs: Micros, drain: Drain): void {
    const deadlineUs = nowUs + this.engine.options.drainTimeoutMs * MICROS_PER_MS;
    const sdcUntilUs = nowUs + SDC_PATIENCE_US;
    this.waiting.add({ ...drain, deadlineUs, sdcUntilUs, blocker: 0 });
    this.check(nowUs);
  }

  /** Whether the word of a device or an SDC may be what is waited for. */
  awaits(key: number): boolean {
    for (const { blocker } of this.waiting) if (blocker === key) return true;
    return false;
  }

  /** Whether anything is waited for. */
  get areWaiting(): boolean {
    return this.waiting.size > 0;
  }

  /** Looks whether anything that is waited for came about. */
  check(nowUs: Micros): void {
    for (const drain of [...this.waiting]) {
      const isThrough = this.isThrough(nowUs, drain);
      if (!isThrough && nowUs < drain.deadlineUs) continue;
      this.waiting.delete(drain);
      if (isThrough) MARKS.applied.hits++;
      else MARKS.pending.hits++;
      drain.ended(nowUs, isThrough);
    }
    // What is in the past must not be waited for again.
    for (const one of this.runningOut.values()) if (one.untilUs <= nowUs) one.isOver = true;
  }

  nextDeadlineUs(): Micros {
    let next = Infinity;
    if (this.waiting.size > 0)
      for (const { untilUs, isOver } of this.runningOut.values())
        if (!isOver) next = Math.min(next, untilUs);
    for (const { deadlineUs, sdcUntilUs, sdcKey } of this.waiting) {
      next = Math.min(next, deadlineUs);
      if (sdcKey !== 0) next = Math.min(next, sdcUntilUs);
    }
    return next;
  }

  private isThrough(nowUs: Micros, drain: Waiting): boolean {
    const { state } = this.engine;
    const { poolKey, sequence } = drain;
    let all = this.sdcKnows(nowUs, drain);
    for (const device of state.devices.values()) {
      if (device.poolKey !== poolKey || device.incarnation === 0) continue;
      if (this.hasApplied(device.key, sequence)) continue;
      this.remind(device.key, sequence);
      const blocker = this.carries(device) ? device.key : this.grantBlocker(nowUs, device);
      if (blocker === 0) continue;
      all = false;
      drain.blocker = blocker;
    }
    return all;
  }

  private sdcKnows(nowUs: Micros, drain: Waiting): boolean {
    if (nowUs >= drain.sdcUntilUs) drain.sdcKey = 0;
    const run = drain.sdcKey === 0 ? undefined : this.runs.sdcs.get(drain.sdcKey);
    if (run === undefined || run.appliedSequence >= drain.sequence) return true;
    drain.blocker = run.key;
    return false;
  }

  /** Whether nothing of a device can act on a state before a commit. */
  private hasApplied(deviceKey: number, sequence: number): boolean {
    const run = this.runs.devices.get(deviceKey);
    return run !== undefined && (run.appliedSequence >= sequence || run.ended);
  }

  /** Whether a device is in an in-sync set. */
  private carries({ key, poolKey }: Device): boolean {
    return this.engine.state.combs.someOfDevice(poolKey, key, isInSync);
  }

  /**
   * A device outside of all in-sync sets can hold no grant any more when everybody who could give it one has known for long
   * enough that it is out, whatever else was committed since.
   *
   * @returns 0: so it is; else the key of a device that does not know yet, or of this one while time is waited for
   */
  private grantBlocker(nowUs: Micros, { key, poolKey }: Device): number {
    const outSince = this.outSince.get(key) ?? this.firstSequence;
    const known = this.runningOut.get(key);
    if (known?.outSince === outSince) {
      if (nowUs < known.untilUs) return key;
      MARKS.ranOut.hits++;
      return 0;
    }
    // Devices that have not applied that are few, and looked at first: there may be many combs.
    let blocker = 0;
    for (const device of this.engine.state.devices.values()) {
      if (device.poolKey !== poolKey || this.hasApplied(device.key, outSince)) continue;
      if (!this.carries(device)) continue;
      this.remind(device.key, outSince);
      blocker = device.key;
    }
    if (blocker !== 0) return blocker;
    const { leaseMs, driftPercent } = this.engine.options;
    const grantUs = Math.ceil((leaseMs * MICROS_PER_MS * (100 + driftPercent)) / 100);
    this.runningOut.set(key, { outSince, untilUs: nowUs + grantUs, isOver: false });
    return key;
  }
}
