// The cut of a group snapshot, or of the source of a revert: every data process of the pools holds changes of the volumes, the volumes are switched to new
// layers by one small commit, and every process certifies that its hold was unbroken. Only then the snapshots become
// visible; otherwise what was switched is merged back and the cut is tried again, a few times. It owns the cuts that are
// under way; it must never call a point valid on anything but certificates.

import { isInSync, isTarget } from '../cluster-map/entry.js';
import { assert } from '../core/assert.js';
import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import { MSG } from '../protocol/generated/constants.js';
import type { Cut, CutHeldBody, CutSwitchedBody } from '../protocol/generated/types.js';
import type { Engine } from './engine.js';
import { Refusal } from './refusal.js';
import { NO_LINK } from './runs.js';
import type { Runs } from './runs.js';
import type { Sessions } from './sessions.js';
import { discardCut, validateCut } from './cut-ends.js';

const MARKS = {
  valid: mark('mdm: the point of a cut became valid'),
  unheld: mark('mdm: a cut was called off because a device did not hold in time'),
  uncertified: mark('mdm: a cut was discarded because a device did not certify it'),
  left: mark('mdm: a cut of a former master was discarded'),
  failed: mark('mdm: a cut was given up'),
};

const RESEND_US = 50_000;
/** Of the time of a hold, what all devices together have to say that they hold; the rest is for the commit. */
const HELD_PERCENT = 60;
/** After a hold has certainly ended no certificate can come that was not on its way. */
const CERTIFY_US = 1_000_000;
const PAUSE_US = 100_000;
const TRIES_MAX = 8;

/** Called once: null, or why there is no point. */
export type CutEnded = (nowUs: Micros, refusal: Refusal | null) => void;

interface Running {
  key: number;
  stage: 'waiting' | 'holding' | 'switching' | 'switched' | 'ending';
  /** Lives of devices that hold, or have to, by device. */
  readonly holders: Map<number, number>;
  readonly held: Set<number>;
  readonly certified: Set<number>;
  resendUs: Micros;
  deadlineUs: Micros;
  tries: number;
  reason: string;
  readonly ended: CutEnded;
}

export class Cuts {
  private readonly engine: Engine;
  private readonly runs: Runs;
  private readonly sessions: Sessions;
  private readonly running = new Set<Running>();

  constructor(engine: Engine, runs: Runs, sessions: Sessions) {
    this.engine = engine;
    this.runs = runs;
    this.sessions = sessions;
  }

  /** What a former master left is discarded: nobody waits for its answer, and its holds end by themselves. */
  start(nowUs: Micros): void {
    // Those that are here by now: a command may begin another before this has its turn.
    const left = [...this.engine.state.cuts.keys()];
    if (left.length === 0) return;
    this.engine.run(nowUs, () => {
      const { state, nextSequence } = this.engine;
      for (const key of left) {
        const cut = state.cuts.get(key);
        if (cut === undefined) continue;
        MARKS.left.hits++;
        discardCut(state, cut, nextSequence);
        state.cuts.delete(cut.key);
      }
    });
  }

  /** Begins to pursue a cut that is committed; called as effect. */
  begin(nowUs: Micros, key: number, ended: CutEnded): void {
    const cut: Running = {
      ...{ key, stage: 'waiting', holders: new Map(), held: new Set(), certified: new Set() },
      ...{ resendUs: Infinity, deadlineUs: nowUs, tries: 0, reason: '', ended },
    };
    this.running.add(cut);
    this.hold(nowUs, cut);
  }

  held(nowUs: Micros, from: number, body: CutHeldBody): void {
    const { cut: key, deviceKey, incarnation, ok, reason } = body;
    const cut = this.find(key, 'holding');
    if (cut === null || deviceKey !== from || cut.holders.get(from) !== incarnation) return;
    if (!ok) {
      this.callOff(nowUs, cut, `device ${this.nameOf(from)}: ${reason}`);
      return;
    }
    cut.held.add(from);
    if (cut.held.size === cut.holders.size) this.switchOver(nowUs, cut);
  }

  switched(nowUs: Micros, from: number, body: CutSwitchedBody): void {
    const { cut: key, deviceKey, incarnation, certified } = body;
    const cut = this.find(key, 'switched') ?? this.find(key, 'switching');
    if (cut === null || deviceKey !== from || cut.holders.get(from) !== incarnation) return;
    if (!certified) {
      cut.reason = `device ${this.nameOf(from)} did not hold until the switch`;
      if (cut.stage === 'switched') this.discard(nowUs, cut);
      else cut.deadlineUs = nowUs;
      return;
    }
    cut.certified.add(from);
    this.validate(nowUs, cut);
  }

  tick(nowUs: Micros): void {
    for (const cut of [...this.running]) {
      if (cut.stage === 'waiting' && nowUs >= cut.deadlineUs) this.hold(nowUs, cut);
      else if (cut.stage === 'holding') this.drive(nowUs, cut);
      else if (cut.stage === 'switched') this.await(nowUs, cut);
    }
  }

  nextDeadlineUs(): Micros {
    let next = Infinity;
    for (const { stage, resendUs, deadlineUs } of this.running) {
      if (stage === 'switching' || stage === 'ending') continue;
      next = Math.min(next, deadlineUs, stage === 'waiting' ? Infinity : resendUs);
    }
    return next;
  }

  private find(key: number, stage: Running['stage']): Running | null {
    for (const cut of this.running) if (cut.key === key && cut.stage === stage) return cut;
    return null;
  }

  private nameOf(deviceKey: number): string {
    const { state } = this.engine;
    const device = state.devices.get(deviceKey);
    const sds = state.sds.get(device?.sdsKey ?? 0)?.name ?? '';
    return `${device?.name === '' ? device.path : (device?.name ?? '')} of SDS ${sds}`;
  }

  private poolsOf(cut: Cut): ReadonlySet<number> {
    const { volumes } = this.engine.state;
    return new Set(cut.items.map(({ volumeKey }) => volumes.get(volumeKey)?.poolKey ?? 0));
  }

  /**
   * Lives of the devices that have to hold: who has a copy in sync, and who is being filled and may be in sync any moment.
   *
   * @returns or the name of one that cannot be asked
   */
  private holdersOf(cut: Cut): ReadonlyMap<number, number> | string {
    const { state } = this.engine;
    const pools = this.poolsOf(cut);
    const holders = new Map<number, number>();
    for (const { key, poolKey } of state.devices.values()) {
      if (!pools.has(poolKey)) continue;
      const run = this.runs.devices.get(key);
      const isThere = run?.status === 'alive' && run.link !== NO_LINK;
      if (isThere && state.combs.someOfDevice(poolKey, key, counts))
        holders.set(key, run.incarnation);
      else if (!isThere && state.combs.someOfDevice(poolKey, key, isInSync))
        return this.nameOf(key);
    }
    return holders;
  }

  private hold(nowUs: Micros, running: Running): void {
    const cut = this.engine.state.cuts.get(running.key);
    assert(cut !== undefined, 'a cut that is pursued is discarded by nobody else');
    running.tries += 1;
    // What the try before failed for says nothing about this one.
    running.reason = '';
    const holders = this.holdersOf(cut);
    if (typeof holders === 'string') {
      running.stage = 'holding';
      this.callOff(nowUs, running, `device ${holders} is not there`);
      return;
    }
    running.stage = 'holding';
    running.holders.clear();
    running.held.clear();
    running.certified.clear();
    for (const [key, incarnation] of holders) running.holders.set(key, incarnation);
    const { cutHoldMs } = this.engine.options;
    running.deadlineUs = nowUs + (cutHoldMs * MICROS_PER_MS * HELD_PERCENT) / 100;
    running.resendUs = nowUs;
    this.drive(nowUs, running);
  }

  /** Asks those again who did not answer; gives up when the time is over. */
  private drive(nowUs: Micros, running: Running): void {
    if (nowUs >= running.deadlineUs) {
      const silent = [...running.holders.keys()].find((key) => !running.held.has(key)) ?? 0;
      this.callOff(nowUs, running, `device ${this.nameOf(silent)} did not hold in time`);
      return;
    }
    if (nowUs < running.resendUs) return;
    running.resendUs = nowUs + RESEND_US;
    const cut = this.engine.state.cuts.get(running.key);
    if (cut !== undefined) this.ask(running, cut, running.held);
  }

  private ask(running: Running, cut: Cut, told: ReadonlySet<number>): void {
    const { state, options } = this.engine;
    const byPool = new Map<number, number[]>();
    for (const { volumeKey } of cut.items) {
      const poolKey = state.volumes.get(volumeKey)?.poolKey ?? 0;
      byPool.set(poolKey, [...(byPool.get(poolKey) ?? []), volumeKey]);
    }
    for (const key of running.holders.keys()) {
      const link = this.runs.devices.get(key)?.link ?? NO_LINK;
      const volumes = byPool.get(state.devices.get(key)?.poolKey ?? 0) ?? [];
      if (told.has(key) || link === NO_LINK) continue;
      const body = { cut: running.key, volumes, holdMs: options.cutHoldMs };
      this.sessions.send(link, MSG.CUT_HOLD, 0, body);
    }
  }

  private drop({ key, holders }: Running): void {
    for (const deviceKey of holders.keys()) {
      const link = this.runs.devices.get(deviceKey)?.link ?? NO_LINK;
      if (link !== NO_LINK) this.sessions.send(link, MSG.CUT_DROP, 0, { cut: key });
    }
  }

  /** All hold: one small commit switches all volumes. */
  private switchOver(nowUs: Micros, running: Running): void {
    running.stage = 'switching';
    this.engine.run(nowUs, (at) => {
      const { state } = this.engine;
      const cut = state.cuts.get(running.key);
      if (cut === undefined) return;
      const holders = this.holdersOf(cut);
      if (typeof holders === 'string' || !isSubset(holders, running.holders)) {
        running.stage = 'holding';
        this.callOff(at, running, 'devices changed meanwhile');
        return;
      }
      state.cuts.put(cut.key, { ...cut, stage: 'switched' });
      this.engine.after((done) => {
        running.stage = 'switched';
        const isRefused = running.reason !== '';
        running.deadlineUs = isRefused
          ? done
          : done + this.engine.options.cutHoldMs * MICROS_PER_MS + CERTIFY_US;
        running.resendUs = done + RESEND_US;
        this.validate(done, running);
      });
    });
  }

  private await(nowUs: Micros, running: Running): void {
    if (nowUs >= running.deadlineUs) {
      if (running.reason === '') {
        const silent = [...running.holders.keys()].find((key) => !running.certified.has(key)) ?? 0;
        running.reason = `device ${this.nameOf(silent)} did not certify the switch`;
      }
      this.discard(nowUs, running);
      return;
    }
    if (nowUs < running.resendUs) return;
    running.resendUs = nowUs + RESEND_US;
    const cut = this.engine.state.cuts.get(running.key);
    if (cut !== undefined) this.ask(running, cut, running.certified);
  }

  private validate(nowUs: Micros, running: Running): void {
    const { certified, holders } = running;
    if (running.stage !== 'switched' || certified.size < holders.size) return;
    running.stage = 'ending';
    this.engine.run(nowUs, () => {
      const { state, nextSequence } = this.engine;
      const cut = state.cuts.get(running.key);
      if (cut === undefined) return;
      validateCut(state, cut, nextSequence);
      state.cuts.delete(cut.key);
      this.engine.after((done) => {
        MARKS.valid.hits++;
        this.running.delete(running);
        running.ended(done, null);
      });
    });
  }

  /** Nothing was switched: holds end, and it is tried again. */
  private callOff(nowUs: Micros, running: Running, reason: string): void {
    MARKS.unheld.hits++;
    running.reason = reason;
    this.drop(running);
    this.again(nowUs, running);
  }

  private discard(nowUs: Micros, running: Running): void {
    MARKS.uncertified.hits++;
    this.drop(running);
    this.again(nowUs, running);
  }

  /** A new cut of the same volumes takes the place of one that failed; after some, none does. */
  private again(nowUs: Micros, running: Running): void {
    running.stage = 'ending';
    this.engine.ports.log.event('info', 'mdm.cut-failed', { reason: running.reason });
    this.engine.run(nowUs, () => {
      const { state, nextSequence } = this.engine;
      const cut = state.cuts.get(running.key);
      if (cut === undefined) return;
      discardCut(state, cut, nextSequence);
      state.cuts.delete(cut.key);
      const isLast = running.tries >= TRIES_MAX;
      const key = isLast ? 0 : state.newKey();
      if (!isLast) {
        const items =
          cut.stage === 'holding'
            ? cut.items
            : cut.items.map((item) => ({ ...item, layerKey: state.newKey() }));
        state.cuts.put(key, { ...cut, key, stage: 'holding', items });
      }
      this.engine.after((done) => {
        if (isLast) this.giveUp(done, running);
        else {
          running.key = key;
          running.stage = 'waiting';
          running.deadlineUs = done + PAUSE_US * running.tries;
        }
      });
    });
  }

  private giveUp(nowUs: Micros, running: Running): void {
    MARKS.failed.hits++;
    this.running.delete(running);
    const detail = { name: 'reason', value: running.reason };
    running.ended(nowUs, new Refusal('SNAPSHOT_FAILED', [detail]));
  }
}

function counts(entry: Parameters<typeof isInSync>[0], index: number): boolean {
  return isInSync(entry, index) || isTarget(entry, index);
}

/** Whether everybody of `some` is in `all`, in the same life. */
function isSubset(some: ReadonlyMap<number, number>, all: ReadonlyMap<number, number>): boolean {
  for (const [key, incarnation] of some) if (all.get(key) !== incarnation) return false;
  return true;
}
