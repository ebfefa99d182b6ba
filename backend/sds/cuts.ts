// Group snapshots as a data process takes part in them: while a cut is held, changes of clients to its volumes wait; when the map
// names the new layers, the process certifies that no change began in between. It owns the holds and their ends; it must
// never certify a hold that ran out, was given up, or belongs to an earlier life of the process.

import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import type { MdmClient } from '../mdm-client/mdm-client.js';
import { MSG } from '../protocol/generated/constants.js';
import type { ControlBodies } from '../protocol/generated/types.js';
import { OP_KIND } from './op.js';
import type { Shared } from './shared.js';

const MARKS = {
  held: mark('sds.cuts: every change that ran is done, and none begins'),
  drained: mark('sds.cuts: changes had to end before a cut was held'),
  expired: mark('sds.cuts: a hold ran out'),
  certified: mark('sds.cuts: the hold was unbroken until the volumes had new layers'),
  broken: mark('sds.cuts: the volumes have new layers, but the hold was broken'),
  dropped: mark('sds.cuts: a cut was called off'),
};

/** Cuts under way together: each lasts a moment. */
const HOLDS_MAX = 64;

type CutHold = ControlBodies[typeof MSG.CUT_HOLD];

interface Hold {
  readonly cut: number;
  readonly volumes: ReadonlySet<number>;
  readonly untilUs: Micros;
  /** Nothing runs any more. */
  isHeld: boolean;
  /** It ran out: it never certifies, however often it is asked for again. */
  isBroken: boolean;
}

export class Cuts {
  private readonly shared: Shared;
  private readonly mdm: Pick<MdmClient, 'tell'>;
  /** Waiting changes may go on. */
  private readonly released: () => void;
  private readonly holds = new Map<number, Hold>();
  /** Cuts that the map names, and whether their hold was unbroken. */
  private readonly switched = new Map<number, boolean>();

  constructor(shared: Shared, mdm: Pick<MdmClient, 'tell'>, released: () => void) {
    this.shared = shared;
    this.mdm = mdm;
    this.released = released;
  }

  /** CUT_HOLD, as often as the MDM sends it. */
  hold(nowUs: Micros, { cut, volumes, holdMs }: CutHold): void {
    this.tick(nowUs);
    const certified = this.switched.get(cut);
    if (certified !== undefined) {
      this.tellSwitched(cut, certified);
      return;
    }
    const known = this.holds.get(cut);
    if (known === undefined) this.begin(nowUs, cut, volumes, holdMs);
    else if (known.isBroken) this.tellHeld(cut, 'the hold ran out');
    else if (known.isHeld) this.tellHeld(cut, '');
  }

  /** CUT_DROP. */
  drop(cut: number): void {
    this.switched.delete(cut);
    if (!this.holds.delete(cut)) return;
    MARKS.dropped.hits++;
    this.release();
  }

  /** The map was applied: volumes may have the layers of a cut. */
  mapChanged(nowUs: Micros): void {
    this.tick(nowUs);
    const named = new Set<number>();
    for (const { cut } of this.shared.volumes.all()) if (cut !== 0) named.add(cut);
    for (const cut of this.switched.keys()) if (!named.has(cut)) this.switched.delete(cut);
    for (const cut of named) if (!this.switched.has(cut)) this.switch(cut);
    // Volumes that came anew are held like the others.
    this.release();
  }

  /** Operations ended: a hold may be complete. */
  pump(): void {
    for (const hold of this.holds.values())
      if (!hold.isHeld && !hold.isBroken && this.isDrained(hold)) this.complete(hold);
  }

  tick(nowUs: Micros): void {
    let any = false;
    for (const hold of this.holds.values()) {
      if (hold.isBroken || nowUs < hold.untilUs) continue;
      MARKS.expired.hits++;
      hold.isBroken = true;
      any = true;
    }
    if (any) this.release();
  }

  nextDeadlineUs(): Micros {
    let next = Infinity;
    for (const hold of this.holds.values()) if (!hold.isBroken) next = Math.min(next, hold.untilUs);
    return next;
  }

  private begin(nowUs: Micros, cut: number, volumes: readonly number[], holdMs: number): void {
    const unknown = volumes.find((key) => this.shared.volumes.find(key) === undefined);
    if (this.shared.stage !== 'serving' || unknown !== undefined) {
      this.tellHeld(cut, `volume ${unknown ?? 0} is not known here yet`);
      return;
    }
    this.forgetOldest();
    const untilUs = nowUs + holdMs * MICROS_PER_MS;
    const hold = { cut, volumes: new Set(volumes), untilUs, isHeld: false, isBroken: false };
    this.holds.set(cut, hold);
    for (const key of volumes) {
      const volume = this.shared.volumes.find(key);
      if (volume !== undefined) volume.held = true;
    }
    if (this.isDrained(hold)) this.complete(hold);
    else MARKS.drained.hits++;
  }

  /** A hold that nobody ended: broken ones are kept so that they do not begin anew. */
  private forgetOldest(): void {
    if (this.holds.size < HOLDS_MAX) return;
    const [oldest] = this.holds.keys();
    if (oldest !== undefined) this.holds.delete(oldest);
    this.release();
  }

  private isDrained({ volumes }: Hold): boolean {
    for (const { kind, volume } of this.shared.ops.inUse())
      if ((kind === OP_KIND.write || kind === OP_KIND.zero) && volumes.has(volume?.key ?? 0))
        return false;
    return true;
  }

  private complete(hold: Hold): void {
    MARKS.held.hits++;
    hold.isHeld = true;
    this.tellHeld(hold.cut, '');
  }

  private switch(cut: number): void {
    const hold = this.holds.get(cut);
    const isWhole = [...(hold?.volumes ?? [])].every(
      (key) => this.shared.volumes.find(key)?.cut === cut,
    );
    const certified = hold !== undefined && hold.isHeld && !hold.isBroken && isWhole;
    if (certified) MARKS.certified.hits++;
    else MARKS.broken.hits++;
    this.holds.delete(cut);
    this.switched.set(cut, certified);
    this.tellSwitched(cut, certified);
  }

  /** Says of every volume again whether a hold keeps it, and lets go on what no hold keeps any more. */
  private release(): void {
    for (const volume of this.shared.volumes.all()) volume.held = this.keeps(volume.key);
    this.released();
  }

  private keeps(volumeKey: number): boolean {
    for (const { volumes, isBroken } of this.holds.values())
      if (!isBroken && volumes.has(volumeKey)) return true;
    return false;
  }

  private tellHeld(cut: number, reason: string): void {
    const { deviceKey, incarnation } = this.shared;
    this.mdm.tell(MSG.CUT_HELD, { cut, deviceKey, incarnation, ok: reason === '', reason });
  }

  private tellSwitched(cut: number, certified: boolean): void {
    const { deviceKey, incarnation } = this.shared;
    this.mdm.tell(MSG.CUT_SWITCHED, { cut, deviceKey, incarnation, certified });
  }
}
