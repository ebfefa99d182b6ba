// What follows for the combs of devices of which something changed (C2, C6, C8). It owns which devices these are; the
// decision about one comb is made in reconcile.ts. It must never decide about a comb twice in one commit.

import type { Micros } from '../core/ports.js';
import type { Engine } from './engine.js';
import type { GiveBack } from './give-back.js';
import { reconcile } from './reconcile.js';
import type { MemberView } from './reconcile.js';
import { restOf } from './rest.js';
import type { Runs } from './runs.js';

export class Decisions {
  private readonly engine: Engine;
  private readonly runs: Runs;
  private readonly giveBack: GiveBack;
  /** Devices whose combs are not decided yet. */
  private dirty = new Set<number>();

  constructor(engine: Engine, runs: Runs, giveBack: GiveBack) {
    this.engine = engine;
    this.runs = runs;
    this.giveBack = giveBack;
  }

  /** Whether something waits to be decided: for more to be known, or for its turn. */
  get isPending(): boolean {
    return this.dirty.size > 0;
  }

  /** Something of a device changed. */
  note(deviceKey: number): void {
    this.dirty.add(deviceKey);
  }

  /** Decides every comb of the devices of which something changed; each comb changes at most once. */
  decide(nowUs: Micros): void {
    if (this.dirty.size === 0) return;
    const dirty = this.dirty;
    this.dirty = new Set();
    const { state } = this.engine;
    const byPool = new Map<number, Set<number>>();
    for (const key of dirty) {
      const device = state.devices.get(key);
      if (device === undefined) continue;
      const keys = byPool.get(device.poolKey);
      if (keys === undefined) byPool.set(device.poolKey, new Set([key]));
      else keys.add(key);
    }
    for (const [poolKey, keys] of byPool) this.decidePool(nowUs, poolKey, keys);
  }

  private decidePool(nowUs: Micros, poolKey: number, dirty: ReadonlySet<number>): void {
    const { state, ports } = this.engine;
    const loneReturn = state.pools.get(poolKey)?.loneReturn === true;
    const view = (deviceKey: number): MemberView | undefined => this.view(nowUs, deviceKey);
    let alone = 0;
    for (const entry of state.combs.ofDevices(poolKey, dirty)) {
      const ours = entry.members.filter(({ deviceKey }) => dirty.has(deviceKey));
      const verdict = reconcile(entry, { view, loneReturn });
      if (verdict.kind === 'wait') for (const { deviceKey } of ours) this.dirty.add(deviceKey);
      if (verdict.kind !== 'change') continue;
      state.combs.put(poolKey, verdict.entry);
      if (verdict.alone) alone++;
    }
    if (alone > 0)
      ports.log.event('warn', 'mdm.rolled-back-copy-serves', { pool: poolKey, combs: alone });
    this.giveBack.soon(nowUs);
  }

  private view(nowUs: Micros, deviceKey: number): MemberView | undefined {
    const run = this.runs.devices.get(deviceKey);
    const device = this.engine.state.devices.get(deviceKey);
    if (run === undefined || device === undefined) return undefined;
    const { status, incarnation, dataIncarnation, provenUs, sinceUs } = run;
    const { dataSince, rolledBackIncarnation } = device;
    const mayFill = nowUs >= run.excludedUntilUs;
    const rest = restOf(this.engine.state, deviceKey);
    return {
      ...{ status, incarnation, dataIncarnation, dataSince, rolledBackIncarnation },
      ...{ provenUs, sinceUs, mayFill, rest },
      restingSinceUs: this.runs.restingSinceUs.get(device.sdsKey) ?? Infinity,
    };
  }
}
