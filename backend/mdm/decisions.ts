// What follows for the combs of devices of which something changed (C2, C6, C8). It owns which combs these are, and which
// wait for a sign of life of a member; the decision about one comb is made in reconcile.ts. Work is in proportion to what
// changed: a heartbeat concerns nothing but the combs that wait for it. It must never decide about a comb twice in one commit.

import type { Micros } from '../core/ports.js';
import type { Engine } from './engine.js';
import type { GiveBack } from './give-back.js';
import { reconcile } from './reconcile.js';
import type { MemberView } from './reconcile.js';
import { restOf } from './rest.js';
import type { Runs } from './runs.js';

/** Signs of life that come together are answered by one commit: the first at once, others within this time. */
const GATHER_US = 50_000;

export class Decisions {
  private readonly engine: Engine;
  private readonly runs: Runs;
  private readonly giveBack: GiveBack;
  /** Devices of which something changed: all their combs are to be decided. */
  private readonly devices = new Set<number>();
  /** Combs that are to be decided by themselves, by pool. */
  private readonly combs = new Map<number, Set<number>>();
  /** Combs that cannot be decided before a member gives a sign of life, by the devices that may. */
  private readonly awaited = new Map<number, Set<number>>();
  /** When combs were last due by a sign of life. */
  private heardUs: Micros = -Infinity;
  private atUs: Micros = Infinity;

  constructor(engine: Engine, runs: Runs, giveBack: GiveBack) {
    this.engine = engine;
    this.runs = runs;
    this.giveBack = giveBack;
  }

  /** When combs whose sign of life came are to be decided; Infinity: none. */
  get dueUs(): Micros {
    return this.atUs;
  }

  /** Something of a device changed. */
  note(deviceKey: number): void {
    this.devices.add(deviceKey);
    this.awaited.delete(deviceKey);
  }

  /** Something of one comb changed. */
  noteComb(poolKey: number, index: number): void {
    const known = this.combs.get(poolKey);
    if (known === undefined) this.combs.set(poolKey, new Set([index]));
    else known.add(index);
  }

  /**
   * A device gave a sign of life.
   *
   * @returns whether combs that waited for it are to be decided now; false: none did, or they are due soon
   */
  heard(nowUs: Micros, deviceKey: number): boolean {
    const indexes = this.awaited.get(deviceKey);
    if (indexes === undefined) return false;
    this.awaited.delete(deviceKey);
    const poolKey = this.engine.state.devices.get(deviceKey)?.poolKey ?? 0;
    for (const index of indexes) this.noteComb(poolKey, index);
    const dueUs = this.heardUs + GATHER_US;
    if (nowUs < dueUs) this.atUs = dueUs;
    else this.heardUs = nowUs;
    return nowUs >= dueUs;
  }

  /** Decides every comb that was noted, and those of the devices that were; each changes at most once. */
  decide(nowUs: Micros): void {
    if (this.atUs !== Infinity) this.heardUs = nowUs;
    this.atUs = Infinity;
    if (this.devices.size === 0 && this.combs.size === 0) return;
    const { state } = this.engine;
    for (const key of this.devices) {
      const poolKey = state.devices.get(key)?.poolKey;
      if (poolKey === undefined) continue;
      for (const index of state.combs.numbersOf(key)) this.noteComb(poolKey, index);
      // Also a device without a comb: it may be the preferred primary that others waited for.
      if (!this.combs.has(poolKey)) this.combs.set(poolKey, new Set());
    }
    this.devices.clear();
    const noted = [...this.combs];
    this.combs.clear();
    for (const [poolKey, indexes] of noted) this.decidePool(nowUs, poolKey, indexes);
  }

  private decidePool(nowUs: Micros, poolKey: number, indexes: ReadonlySet<number>): void {
    const { state, ports } = this.engine;
    const loneReturn = state.pools.get(poolKey)?.loneReturn === true;
    const view = this.views(nowUs);
    const known = state.combs.ofPool(poolKey);
    let alone = 0;
    for (const index of [...indexes].sort((one, other) => one - other)) {
      const entry = known[index];
      if (entry === undefined) continue;
      const verdict = reconcile(entry, { view, loneReturn });
      if (verdict.kind === 'wait')
        for (const { deviceKey } of entry.members) this.wait(deviceKey, index);
      if (verdict.kind !== 'change') continue;
      state.combs.put(poolKey, verdict.entry);
      if (verdict.alone) alone++;
    }
    if (alone > 0)
      ports.log.event('warn', 'mdm.rolled-back-copy-serves', { pool: poolKey, combs: alone });
    this.giveBack.soon(nowUs);
  }

  private wait(deviceKey: number, index: number): void {
    const known = this.awaited.get(deviceKey);
    if (known === undefined) this.awaited.set(deviceKey, new Set([index]));
    else known.add(index);
  }

  /** What is known of devices at this moment, each looked at once. */
  private views(nowUs: Micros): (deviceKey: number) => MemberView | undefined {
    const seen = new Map<number, MemberView | undefined>();
    return (deviceKey) => {
      if (!seen.has(deviceKey)) seen.set(deviceKey, this.view(nowUs, deviceKey));
      return seen.get(deviceKey);
    };
  }

  private view(nowUs: Micros, deviceKey: number): MemberView | undefined {
    const run = this.runs.devices.get(deviceKey);
    const device = this.engine.state.devices.get(deviceKey);
    if (run === undefined || device === undefined) return undefined;
    const { status, incarnation, dataIncarnation, provenUs, sinceUs } = run;
    const { dataSince, rolledBackIncarnation } = device;
    const mayFill = nowUs >= run.excludedUntilUs;
    const { restingSinceUs, slowSinceUs } = this.runs;
    const isLeaving = device.slowStage === 'leaving';
    const sinceRestUs = isLeaving ? slowSinceUs.get(deviceKey) : restingSinceUs.get(device.sdsKey);
    return {
      ...{ status, incarnation, dataIncarnation, dataSince, rolledBackIncarnation },
      ...{ provenUs, sinceUs, mayFill },
      rest: isLeaving ? 'out' : restOf(this.engine.state, deviceKey),
      restingSinceUs: sinceRestUs ?? Infinity,
    };
  }
}
