// Watches what the MDM commits about snapshot policies: nothing that is secure goes before its time by the clock of the
// simulation, nothing that is locked, and nothing that its policy retains by what was committed before. It owns policies and
// volumes as they were committed last; it must never look at a machine.

import type { Change } from '../core/ports.js';
import { decodeKey } from '../mdm/keys.js';
import { decodeStored } from '../protocol/control.js';
import type { Cut, SnapshotPolicy, Volume } from '../protocol/generated/types.js';

import type { Simulation } from './simulation.js';

/** The secure clock gains a tenth at most, on a clock that is up to a twentieth fast. */
const SLOWEST = 0.86;

/** A run of a policy that made its snapshots. */
export interface PolicyRun {
  readonly startUs: number;
  readonly endUs: number;
  readonly made: readonly Volume[];
}

/** Runs that stay, looked at one by one. */
function keptOf(runs: readonly number[], retained: readonly number[]): ReadonlySet<number> {
  const kept = new Set<number>();
  let period = 1;
  let below = Infinity;
  for (const count of retained) {
    const start = (run: number): number => Math.floor(run / period);
    const firsts = runs.filter(
      (run) => run < below && !runs.some((other) => other < run && start(other) === start(run)),
    );
    const latest = [...firsts].sort((one, other) => other - one).slice(0, count);
    for (const run of latest) kept.add(run);
    below = Math.min(below, ...latest);
    period *= count;
  }
  return kept;
}

export class PolicyWatch {
  readonly volumes = new Map<number, Volume>();
  readonly policies = new Map<number, SnapshotPolicy>();
  /** Snapshots that the operator unlocks or removes himself. */
  readonly excused = new Set<number>();
  /** Hears of runs. */
  ran: (run: PolicyRun) => void = () => undefined;
  runs = 0;
  private readonly sim: Simulation;
  private clockMs = 0;
  private decidedUs = 0;
  /** By snapshot: until when it must be there, by the clock of the simulation. */
  private readonly secureUs = new Map<number, number>();
  private readonly startedUs = new Map<number, number>();

  constructor(sim: Simulation) {
    this.sim = sim;
  }

  /** Everything that was committed is what this says: a backup was restored. */
  restored(changes: readonly Change[]): void {
    this.volumes.clear();
    this.policies.clear();
    this.secureUs.clear();
    this.committed(changes, this.sim.nowUs);
  }

  /**
   * Changes that became durable together.
   *
   * @param decidedUs - when the MDM decided so: from then on its clock runs (seed 161101352)
   */
  committed(changes: readonly Change[], decidedUs: number): void {
    this.decidedUs = decidedUs;
    const { gone, put, policies } = this.sorted(changes);
    for (const { key, value } of changes)
      if (decodeKey(key)?.type === 'cut' && value !== null) this.begun(decodeStored('Cut', value));
    const left = new Set(put.filter((volume) => this.isLeft(volume)).map((one) => one.vtreeKey));
    for (const volume of gone) this.judge(volume, left);
    for (const volume of gone) this.volumes.delete(volume.key);
    const made = put.filter((one) => one.autoPolicyKey !== 0 && !this.volumes.has(one.key));
    for (const volume of put) this.note(volume);
    for (const [key, policy] of policies)
      if (policy === null) this.policies.delete(key);
      else this.policies.set(key, policy);
    this.tell(made);
  }

  private sorted(changes: readonly Change[]): {
    readonly gone: readonly Volume[];
    readonly put: readonly Volume[];
    readonly policies: ReadonlyMap<number, SnapshotPolicy | null>;
  } {
    const gone: Volume[] = [];
    const put: Volume[] = [];
    const policies = new Map<number, SnapshotPolicy | null>();
    for (const { key, value } of changes) {
      const { type, key: object } = decodeKey(key) ?? { type: 'tombstone', key: 0 };
      if (type === 'system' && value !== null)
        this.clockMs = decodeStored('System', value).secureClockMs;
      else if (type === 'snapshotPolicy')
        policies.set(object, value === null ? null : decodeStored('SnapshotPolicy', value));
      else if (type === 'volume' && value !== null) put.push(decodeStored('Volume', value));
      else if (type === 'volume') {
        const before = this.volumes.get(object);
        if (before !== undefined) gone.push(before);
      }
    }
    return { gone, put, policies };
  }

  /** What policies do not retain and nobody holds back, in words; null: nothing. */
  overdue(): string | null {
    for (const volume of this.volumes.values()) {
      const { key, autoPolicyKey, locked, secureUntilMs } = volume;
      const policy = this.policies.get(autoPolicyKey);
      if (policy?.paused !== false || locked || secureUntilMs > 0) continue;
      if (!this.isRetained(volume, policy))
        return `snapshot ${key} of run ${volume.autoRun} is still there, which policy ${autoPolicyKey} does not retain`;
    }
    return null;
  }

  private begun({ items, stage, secureUntilMs }: Cut): void {
    if (stage !== 'holding') return;
    for (const { snapshotKey } of items) {
      if (secureUntilMs > 0 && !this.startedUs.has(snapshotKey))
        this.promise(snapshotKey, secureUntilMs);
      this.startedUs.set(snapshotKey, this.sim.nowUs);
    }
  }

  private promise(key: number, untilMs: number): void {
    const us = this.decidedUs + (untilMs - this.clockMs) * 1000 * SLOWEST;
    this.secureUs.set(key, Math.max(us, this.secureUs.get(key) ?? 0));
  }

  /** A source volume that its policy makes no snapshots of any more, with what it made. */
  private isLeft({ key, policyKey }: Volume): boolean {
    return policyKey === 0 && (this.volumes.get(key)?.policyKey ?? 0) !== 0;
  }

  private note(volume: Volume): void {
    const { key, secureUntilMs } = volume;
    const before = this.volumes.get(key)?.secureUntilMs ?? null;
    if (before !== null && secureUntilMs < before)
      this.sim.fail(`snapshot ${key} is secure until ${secureUntilMs}, it was until ${before}`);
    if (before !== null && secureUntilMs > before) this.promise(key, secureUntilMs);
    this.volumes.set(key, volume);
  }

  private judge(volume: Volume, left: ReadonlySet<number>): void {
    const { key, vtreeKey, autoPolicyKey, locked } = volume;
    const { sim } = this;
    const secureUs = this.secureUs.get(key) ?? 0;
    if (sim.nowUs < secureUs)
      sim.fail(`snapshot ${key} went ${secureUs - sim.nowUs} us before its time, it was secure`);
    if (this.excused.has(key)) return;
    if (locked) sim.fail(`snapshot ${key} went, it was locked`);
    const policy = this.policies.get(autoPolicyKey);
    if (policy === undefined || left.has(vtreeKey)) return;
    if (this.isRetained(volume, policy))
      sim.fail(
        `snapshot ${key} of run ${volume.autoRun} went, which policy ${autoPolicyKey} retains (${policy.retained.join(' ')}) of ${this.runsOf(volume).join(' ')}`,
      );
  }

  private runsOf({ vtreeKey, autoPolicyKey }: Volume): readonly number[] {
    return [...this.volumes.values()]
      .filter((one) => one.vtreeKey === vtreeKey && one.autoPolicyKey === autoPolicyKey)
      .map(({ autoRun }) => autoRun);
  }

  private isRetained(volume: Volume, { retained }: SnapshotPolicy): boolean {
    return keptOf(this.runsOf(volume), retained).has(volume.autoRun);
  }

  private tell(made: readonly Volume[]): void {
    const groups = new Map<number, Volume[]>();
    for (const volume of made) {
      const group = groups.get(volume.groupKey);
      if (group === undefined) groups.set(volume.groupKey, [volume]);
      else group.push(volume);
    }
    for (const group of groups.values()) {
      this.runs += 1;
      const startUs = this.startedUs.get(group[0]?.key ?? 0) ?? 0;
      this.ran({ startUs, endUs: this.sim.nowUs, made: group });
    }
  }
}
