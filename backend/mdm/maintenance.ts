// Maintenance of SDSs: how far it is entered or left. It owns the stage that is committed with an SDS and that the combs of a
// resting device are decided anew; it must never take a copy away itself: that is decided in reconcile.ts and moves.ts.

import { isInSync, isTarget, memberIndex } from '../cluster-map/entry.js';
import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import type { CombEntry, Sds } from '../protocol/generated/types.js';
import type { Engine } from './engine.js';
import type { Touch } from './journal.js';
import type { Membership } from './membership.js';
import type { Runs } from './runs.js';

const MARKS = {
  instant: mark('mdm: an SDS rests, with its data'),
  protected: mark('mdm: an SDS rests, its data is elsewhere'),
  left: mark('mdm: an SDS has left maintenance'),
};

/** A stage that waits for copies is looked at again after this, beside every commit. */
const AGAIN_US = 500_000;
/** How long the devices of a connected SDS may take to be there after maintenance. */
const RETURN_US = 60_000_000;

export class Maintenance {
  private readonly engine: Engine;
  private readonly runs: Runs;
  private readonly membership: Membership;
  private checkUs: Micros = Infinity;
  /** Since when SDSs leave maintenance, as this master knows. */
  private readonly exitingSinceUs = new Map<number, Micros>();

  constructor(engine: Engine, runs: Runs, membership: Membership) {
    this.engine = engine;
    this.runs = runs;
    this.membership = membership;
  }

  /** A new master goes on with what the last one began. */
  start(nowUs: Micros): void {
    this.follow(nowUs);
  }

  /** A commit may have brought a stage to its end. */
  published(nowUs: Micros, touches: readonly Touch[]): void {
    const isConcerned = touches.some(({ kind }) => kind === 'sds');
    if (isConcerned) this.follow(nowUs);
    if (this.checkUs !== Infinity) this.check(nowUs, isConcerned);
  }

  tick(nowUs: Micros): void {
    if (nowUs < this.checkUs) return;
    this.check(nowUs, true);
    this.checkUs = nowUs + AGAIN_US;
  }

  nextDeadlineUs(): Micros {
    return this.checkUs;
  }

  /** Since when SDSs rest, as this master knows. */
  private follow(nowUs: Micros): void {
    const { restingSinceUs } = this.runs;
    let isMoving = false;
    for (const { key, maintenance, maintenanceStage } of this.engine.state.sds.values()) {
      if (maintenance === 'none') restingSinceUs.delete(key);
      else if (!restingSinceUs.has(key)) restingSinceUs.set(key, nowUs);
      if (maintenanceStage !== 'exiting') this.exitingSinceUs.delete(key);
      else if (!this.exitingSinceUs.has(key)) this.exitingSinceUs.set(key, nowUs);
      if (maintenanceStage === 'entering' || maintenanceStage === 'exiting') isMoving = true;
    }
    for (const key of restingSinceUs.keys())
      if (this.engine.state.sds.get(key) === undefined) restingSinceUs.delete(key);
    for (const key of this.exitingSinceUs.keys())
      if (this.engine.state.sds.get(key) === undefined) this.exitingSinceUs.delete(key);
    if (!isMoving) this.checkUs = Infinity;
    else if (this.checkUs === Infinity) this.checkUs = nowUs + AGAIN_US;
  }

  /** @param decides - also decides the combs of their pools anew */
  private check(nowUs: Micros, decides: boolean): void {
    this.engine.run(nowUs, (at) => {
      const { state } = this.engine;
      for (const sds of [...state.sds.values()]) {
        const { maintenanceStage: stage } = sds;
        if (stage !== 'entering' && stage !== 'exiting') continue;
        if (decides) this.membership.reconsiderSds(at, sds.key);
        if (stage === 'entering' && this.isOut(sds)) {
          MARKS[sds.maintenance === 'instant' ? 'instant' : 'protected'].hits++;
          state.sds.put(sds.key, { ...sds, maintenanceStage: 'active' });
        } else if (stage === 'exiting' && this.isBack(at, sds)) {
          MARKS.left.hits++;
          state.sds.put(sds.key, { ...sds, maintenance: 'none', maintenanceStage: 'none' });
        }
      }
    });
  }

  private poolsOf({ key }: Sds): number[] {
    const devices = this.engine.state.devices.filter(({ sdsKey }) => sdsKey === key);
    return [...new Set(devices.map(({ poolKey }) => poolKey))];
  }

  /** No copy of the SDS counts or is about to; in protected mode there are two of everything elsewhere. */
  private isOut(sds: Sds): boolean {
    const isIdle = this.everyCopy(
      sds,
      (entry, index) => !isInSync(entry, index) && !isTarget(entry, index),
    );
    if (!isIdle || sds.maintenance === 'instant') return isIdle;
    const { combs } = this.engine.state;
    return this.poolsOf(sds).every((poolKey) =>
      combs.ofPool(poolKey).every((entry) => copiesOf(entry) >= 2),
    );
  }

  /** Every copy of the SDS counts again, or is on a device that does not come back: that is no maintenance any more. */
  private isBack(nowUs: Micros, sds: Sds): boolean {
    const isAwaited =
      this.runs.sds.has(sds.guid) && nowUs < (this.exitingSinceUs.get(sds.key) ?? 0) + RETURN_US;
    return this.everyCopy(sds, (entry, index) => {
      if (isInSync(entry, index)) return true;
      const deviceKey = entry.members[index]?.deviceKey ?? 0;
      if (this.runs.devices.get(deviceKey)?.status === 'alive') return false;
      return !isAwaited || this.engine.state.devices.get(deviceKey)?.state === 'failed';
    });
  }

  /** Whether something holds for every comb that names a device of an SDS. */
  private everyCopy({ key }: Sds, holds: (entry: CombEntry, index: number) => boolean): boolean {
    const { state } = this.engine;
    return state.devices
      .filter(({ sdsKey }) => sdsKey === key)
      .every((device) =>
        state.combs
          .ofDevices(device.poolKey, [device.key])
          .every((entry) => holds(entry, memberIndex(entry, device.key))),
      );
  }
}

function copiesOf(entry: CombEntry): number {
  return entry.members.filter((_, index) => isInSync(entry, index)).length;
}
