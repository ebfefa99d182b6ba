// What snapshot policies do by themselves: a run is one cut over all source volumes, and when its snapshots are there, those
// go that are no longer retained. It owns which runs are under way; it must never remove one before a later one is there.

import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { ERR, LIMIT } from '../protocol/generated/constants.js';
import { errorText } from '../protocol/error-text.js';
import type { SnapshotPolicy, Volume } from '../protocol/generated/types.js';
import type { Seen } from './commands/context.js';
import { putCut, removeVolumes } from './commands/snapshots.js';
import type { Cuts } from './cuts.js';
import type { Engine } from './engine.js';
import type { Touch } from './journal.js';
import { ranAt, soonest } from './policy-times.js';
import type { Refusal } from './refusal.js';
import { cadencesKept, retainedRuns } from './retention.js';
import type { SecureClock } from './secure-clock.js';
import { cutOf, isReverted } from './vtrees.js';

const MARKS = {
  ran: mark('mdm: a run of a snapshot policy made its snapshots'),
  failed: mark('mdm: a run of a snapshot policy failed'),
  late: mark('mdm: runs of a snapshot policy were missed'),
  expired: mark('mdm: a snapshot went that its policy no longer retains'),
  locked: mark('mdm: a locked snapshot stayed although its time was over'),
  held: mark('mdm: a snapshot stayed longer because it was secure or in use'),
};

/** Of all policies together: each cut holds writes. */
const RUNS_MAX = 4;
/** Somebody else makes a snapshot of one of the volumes: that takes no longer. */
const BUSY_US = 1_000_000;
const BUSY_TRIES_MAX = 30;
/** What could not be removed is looked at again. */
const AGAIN_US = 60_000_000;
const SWEEP_GAP_US = 100_000;
const REMOVALS_MAX = 1024;

export class Policies {
  private readonly engine: Engine;
  private readonly cuts: Cuts;
  private readonly clock: SecureClock;
  private readonly seen: Pick<Seen, 'layerUsedBytes' | 'poolThinUsedBytes'>;
  private readonly running = new Set<number>();
  /** Those that have nothing to do, as far as is known. */
  private readonly idle = new Set<number>();
  /** Those whose volumes were busy: when they are tried again, and how often they were. */
  private readonly busy = new Map<number, { readonly atUs: Micros; readonly tries: number }>();
  private sweepUs: Micros = Infinity;
  /** When the next run is due; null: to be looked up. */
  private runUs: Micros | null = null;

  constructor(engine: Engine, cuts: Cuts, clock: SecureClock, seen: Policies['seen']) {
    this.engine = engine;
    this.cuts = cuts;
    this.clock = clock;
    this.seen = seen;
  }

  /** A new master goes on. Where the clock was set back since the last one, nobody waits for more than one cadence. */
  start(nowUs: Micros): void {
    const { engine } = this;
    if (engine.state.policies.size === 0) return;
    this.sweepUs = nowUs;
    this.runUs = null;
    engine.run(nowUs, (at) => {
      const { state } = engine;
      for (const policy of [...state.policies.values()]) {
        const nextAtMs = soonest(policy, engine.wallMs(at), engine.options.minuteMs);
        if (nextAtMs < policy.nextAtMs) state.policies.put(policy.key, { ...policy, nextAtMs });
      }
    });
  }

  published(nowUs: Micros, touches: readonly Touch[]): void {
    for (const { kind, key } of touches)
      if (kind === 'snapshotPolicy') {
        this.idle.delete(key);
        this.runUs = null;
        this.sweepUs = Math.min(this.sweepUs, nowUs + SWEEP_GAP_US);
      }
  }

  tick(nowUs: Micros): void {
    if (nowUs >= this.sweepUs) this.sweep(nowUs);
    if (nowUs < this.nextRunUs()) return;
    for (const policy of this.engine.state.policies.values())
      if (nowUs >= this.dueUs(policy) && this.running.size < RUNS_MAX)
        this.begin(nowUs, policy.key);
  }

  nextDeadlineUs(): Micros {
    return Math.min(this.sweepUs, this.nextRunUs());
  }

  private nextRunUs(): Micros {
    // Whoever ends makes room for the next one.
    if (this.running.size >= RUNS_MAX) return Infinity;
    if (this.runUs !== null) return this.runUs;
    let next = Infinity;
    for (const policy of this.engine.state.policies.values())
      next = Math.min(next, this.dueUs(policy));
    this.runUs = next;
    return next;
  }

  private dueUs({ key, paused, nextAtMs }: SnapshotPolicy): Micros {
    if (paused || this.running.has(key) || this.idle.has(key)) return Infinity;
    const dueUs = (nextAtMs - this.engine.options.wallMsAtZero) * 1000;
    return Math.max(dueUs, this.busy.get(key)?.atUs ?? 0);
  }

  private begin(nowUs: Micros, key: number): void {
    this.running.add(key);
    this.runUs = null;
    this.engine.run(nowUs, (at) => {
      const { state } = this.engine;
      const policy = state.policies.get(key);
      // It may have been changed meanwhile.
      if (policy === undefined || policy.paused || this.engine.wallMs(at) < policy.nextAtMs) {
        this.stop(key);
        return;
      }
      const sources = state.volumes.filter(({ policyKey }) => policyKey === key);
      if (sources.length === 0) {
        this.idle.add(key);
        this.stop(key);
        return;
      }
      this.attempt(at, policy, sources);
    });
  }

  private attempt(nowUs: Micros, policy: SnapshotPolicy, sources: readonly Volume[]): void {
    const { engine, seen } = this;
    const { key, accessLimit } = policy;
    const { state, options } = engine;
    const wallMs = engine.wallMs(nowUs);
    const ran = ranAt(policy, wallMs, options.minuteMs);
    const outcome = engine.attempt(() => {
      const items = sources.map(({ key: volumeKey }) => ({ volumeKey, name: '' }));
      const secureUntilMs = this.secureUntil(nowUs, policy, ran.run, wallMs - ran.plannedMs);
      const run = { policyKey: key, policyRun: ran.run, policyNextMs: ran.nextAtMs };
      return putCut({ state, options, seen, wallMs }, items, {
        ...{ accessLimit, ...run, secureUntilMs },
      }).key;
    });
    if ('done' in outcome) {
      if (ran.run > policy.nextRun) MARKS.late.hits++;
      this.busy.delete(key);
      engine.after((at) => {
        this.cuts.begin(at, outcome.done, (endUs, refusal) => {
          this.ended(endUs, key, refusal);
        });
      });
      return;
    }
    const tries = (this.busy.get(key)?.tries ?? 0) + 1;
    this.stop(key);
    if (outcome.refusal.status === ERR.VOLUME_BUSY && tries < BUSY_TRIES_MAX)
      this.busy.set(key, { atUs: nowUs + BUSY_US, tries });
    else this.fail(nowUs, policy, outcome.refusal);
  }

  /** Snapshots of a secure policy are so until it removes them by itself. */
  private secureUntil(nowUs: Micros, policy: SnapshotPolicy, run: number, lateMs: number): number {
    if (!policy.secure) return 0;
    const { cadenceMin, retained, lastRunAtMs, lastRun } = policy;
    const previous = lastRunAtMs === 0 ? null : lastRun;
    const minutes = cadencesKept(run, previous, retained) * cadenceMin;
    const untilMs = this.clock.untilMs(nowUs, Math.min(minutes, LIMIT.secureMinutesMax));
    return untilMs - Math.max(0, lateMs);
  }

  private stop(key: number): void {
    this.running.delete(key);
    this.runUs = null;
  }

  private ended(nowUs: Micros, key: number, refusal: Refusal | null): void {
    if (refusal === null) {
      MARKS.ran.hits++;
      this.stop(key);
      this.sweepUs = nowUs;
      return;
    }
    this.engine.run(nowUs, (at) => {
      this.stop(key);
      const policy = this.engine.state.policies.get(key);
      if (policy !== undefined) this.fail(at, policy, refusal);
    });
  }

  /** It goes on with the next run. Called as work. */
  private fail(nowUs: Micros, policy: SnapshotPolicy, { status, details }: Refusal): void {
    MARKS.failed.hits++;
    const { engine } = this;
    const { key, name, failures } = policy;
    const wallMs = engine.wallMs(nowUs);
    const { run, nextAtMs } = ranAt(policy, wallMs, engine.options.minuteMs);
    const lastFailure = errorText(status, details).slice(0, 160);
    this.busy.delete(key);
    engine.state.policies.put(key, {
      ...{ ...policy, nextAtMs, nextRun: run + 1 },
      ...{ lastFailedAtMs: wallMs, lastFailedRun: run, lastFailure },
      failures: Math.min(failures + 1, 0xffffffff),
    });
    engine.ports.log.event('warn', 'mdm.snapshot-policy-failed', {
      ...{ policy: name, run, reason: lastFailure },
    });
  }

  /** What policies no longer retain goes, unless somebody relies on it. */
  private sweep(nowUs: Micros): void {
    this.sweepUs = Infinity;
    this.engine.run(nowUs, (at) => {
      const { state, nextSequence: sequence } = this.engine;
      const secureNowMs = this.clock.nowMs(at);
      const going: Volume[] = [];
      let isLeft = false;
      for (const volume of this.expired()) {
        if (volume.locked) {
          MARKS.locked.hits++;
          if (!volume.lockedExpired)
            state.volumes.put(volume.key, { ...volume, lockedExpired: true });
          continue;
        }
        if (this.isHeld(volume, secureNowMs)) {
          MARKS.held.hits++;
          isLeft = true;
        } else if (going.length < REMOVALS_MAX) going.push(volume);
      }
      MARKS.expired.hits += going.length;
      if (going.length > 0)
        removeVolumes({ state, sequence, secureNowMs, waitFor: () => undefined }, going);
      if (going.length === REMOVALS_MAX) this.sweepUs = at + SWEEP_GAP_US;
      else if (isLeft) this.sweepUs = Math.min(this.sweepUs, at + AGAIN_US);
    });
  }

  private isHeld({ key, secureUntilMs }: Volume, secureNowMs: number): boolean {
    const { state } = this.engine;
    if (secureUntilMs > secureNowMs || state.mappings.ofVolume(key).size > 0) return true;
    return cutOf(state, key) !== null || isReverted(state, key);
  }

  /** Snapshots of policies that run, of which later ones are there that count. */
  private expired(): readonly Volume[] {
    const { state } = this.engine;
    const byTree = new Map<string, Volume[]>();
    for (const volume of state.volumes.values()) {
      const { autoPolicyKey, vtreeKey } = volume;
      if (autoPolicyKey === 0 || state.policies.get(autoPolicyKey)?.paused !== false) continue;
      const tree = `${autoPolicyKey} ${vtreeKey}`;
      const made = byTree.get(tree);
      if (made === undefined) byTree.set(tree, [volume]);
      else made.push(volume);
    }
    return [...byTree.values()].flatMap((made) => {
      const retained = state.policies.get(made[0]?.autoPolicyKey ?? 0)?.retained ?? [];
      const kept = retainedRuns(
        made.map(({ autoRun }) => autoRun),
        retained,
      );
      return made.filter(({ autoRun }) => !kept.has(autoRun));
    });
  }
}
