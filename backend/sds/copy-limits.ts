// How much copying a device may do: per kind of copy, by the policy of its pool and by what clients do with the device at the
// moment. It owns when the next copy may start; a copy that has begun is never held up, because it holds a lock. What
// clients wait for (equal copies after a change of primary) has no limit but its number.
//
// A bandwidth holds for what is read here as for what arrives here: whoever is filled tells those that fill it, with
// its acknowledgements, for how long what came so far is paid. One that comes later is told a longer time, so many
// sources take turns by themselves.

import { copiesAtATime, copyBandwidth } from '../cluster-map/copy-policy.js';
import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import type { CopyPolicy, MapPool } from '../protocol/generated/types.js';
import { COPY_KIND } from './copy-work.js';
import type { ArrivingKind, CopyKind, CopyWorks } from './copy-work.js';
import { Totals } from './volumes.js';

const MARKS = {
  waited: mark('sds.copy-limits: a copy waited for others of its kind'),
  paced: mark('sds.copy-limits: a copy waited for its bandwidth'),
  target: mark('sds.copy-limits: a copy waited because its target gets enough'),
  off: mark('sds.copy-limits: a copy waited because rebuilds are switched off'),
  idle: mark('sds.copy-limits: clients left the device alone'),
};

/** How often it is looked whether clients are at work. */
const LOOK_US = 100 * MICROS_PER_MS;
const SECOND_US = 1_000_000;
/** Nobody is told to wait for longer: what the other end knows gets old. */
const WAIT_US_MAX = 5 * SECOND_US;

/** What of a data process copying depends on. */
export interface CopySite {
  readonly copies: CopyWorks;
  readonly options: { readonly resyncChunksMax: number };
  readonly pool: { readonly pool: MapPool } | null;
  readonly volumes: { all(): Iterable<{ readonly totals: Totals }> };
}

/** How far one kind has come with what it may. */
class Allowance {
  /** When what was copied so far is paid for. */
  paidUs: Micros = 0;
  /** Until when the device counts as busy. */
  busyUntilUs: Micros = 0;

  /** @param bytesPerS - null: no limit */
  take(nowUs: Micros, bytes: number, bytesPerS: number | null): void {
    if (bytesPerS === null) return;
    this.paidUs = Math.max(this.paidUs, nowUs) + Math.ceil((bytes / bytesPerS) * SECOND_US);
  }
}

export class CopyLimits {
  private readonly site: CopySite;
  private readonly allowances = [
    new Allowance(),
    new Allowance(),
    new Allowance(),
    new Allowance(),
    new Allowance(),
  ] as const;
  /** The same for what arrives. */
  private readonly arrivals = [new Allowance(), new Allowance(), new Allowance()] as const;
  private lookedUs: Micros = -LOOK_US;
  private clientOps = 0;
  private clientBytes = 0;
  /** What clients did when last looked, per second. */
  private opsPerS = 0;
  private bytesPerS = 0;
  /** When a copy that had to wait may start, Infinity: when another one ends, or none waits. */
  private retryUs: Micros = Infinity;

  constructor(site: CopySite) {
    this.site = site;
  }

  /**
   * Whether another copy of a kind may start now.
   *
   * @param afterUs - until when the target asked to be spared of that kind
   */
  mayStart(nowUs: Micros, kind: CopyKind, afterUs: Micros): boolean {
    const { running } = this.site.copies.of(kind);
    const { resyncChunksMax } = this.site.options;
    const policy = this.policy(kind);
    if (policy === null) return running < resyncChunksMax;
    if (kind !== COPY_KIND.rebalance && this.site.pool?.pool.rebuildEnabled === false) {
      MARKS.off.hits++;
      return false;
    }
    if (nowUs < afterUs) {
      MARKS.target.hits++;
      this.retryUs = Math.min(this.retryUs, afterUs);
      return false;
    }
    const allowance = this.allowances[kind];
    const busy = this.isBusy(nowUs, allowance, policy);
    if (running >= (copiesAtATime(policy, busy) ?? resyncChunksMax)) {
      MARKS.waited.hits++;
      return false;
    }
    if (copyBandwidth(policy, busy) === null || nowUs >= allowance.paidUs) return true;
    MARKS.paced.hits++;
    // The device may become idle before that.
    this.retryUs = Math.min(this.retryUs, allowance.paidUs, nowUs + LOOK_US);
    return false;
  }

  /** Content was read here and sent to a member. */
  copied(nowUs: Micros, kind: CopyKind, bytes: number): void {
    this.site.copies.of(kind).read(bytes);
    const policy = this.policy(kind);
    if (policy === null) return;
    const allowance = this.allowances[kind];
    allowance.take(nowUs, bytes, copyBandwidth(policy, nowUs < allowance.busyUntilUs));
  }

  /** Content of another device arrived here, for a copy that is being filled. */
  arrived(nowUs: Micros, kind: ArrivingKind, bytes: number): void {
    const policy = this.policy(kind);
    if (policy === null) return;
    const allowance = this.arrivals[kind];
    allowance.take(nowUs, bytes, copyBandwidth(policy, this.isBusy(nowUs, allowance, policy)));
    allowance.paidUs = Math.min(allowance.paidUs, nowUs + WAIT_US_MAX);
  }

  /** How many ms from now on no further copy of a kind is to be begun to this device. */
  waitMs(nowUs: Micros, kind: ArrivingKind): number {
    return Math.max(0, Math.ceil((this.arrivals[kind].paidUs - nowUs) / MICROS_PER_MS));
  }

  /** Whether that is so for any kind. */
  isSated(nowUs: Micros): boolean {
    const [one, two, three] = this.arrivals;
    return one.paidUs > nowUs || two.paidUs > nowUs || three.paidUs > nowUs;
  }

  tick(nowUs: Micros): void {
    if (nowUs >= this.retryUs) this.retryUs = Infinity;
  }

  nextDeadlineUs(): Micros {
    return this.retryUs;
  }

  private policy(kind: CopyKind): CopyPolicy | null {
    const pool = this.site.pool?.pool;
    if (pool === undefined || kind >= COPY_KIND.awaited) return null;
    return kind === COPY_KIND.rebalance ? pool.rebalance : pool.rebuild;
  }

  /** Whether clients kept this device busy within the quiet period of a policy. */
  private isBusy(nowUs: Micros, allowance: Allowance, policy: CopyPolicy): boolean {
    if (policy.policy !== 'dynamicBandwidth') return false;
    this.look(nowUs);
    if (this.opsPerS > policy.appIops || this.bytesPerS > policy.appKbps * 1024)
      allowance.busyUntilUs = this.lookedUs + policy.quietMs * MICROS_PER_MS + 1;
    if (allowance.busyUntilUs > nowUs) return true;
    if (allowance.busyUntilUs > 0) MARKS.idle.hits++;
    allowance.busyUntilUs = 0;
    return false;
  }

  private look(nowUs: Micros): void {
    const sinceUs = nowUs - this.lookedUs;
    if (sinceUs < LOOK_US) return;
    const sum = new Totals();
    for (const { totals } of this.site.volumes.all()) sum.add(totals);
    const ops = sum.readOps + sum.writeOps + sum.trimOps;
    const bytes = sum.readBytes + sum.writeBytes;
    // After a pause it is not known what happened when: all of it counts as if it had just been.
    const seconds = Math.min(sinceUs, 2 * LOOK_US) / SECOND_US;
    this.opsPerS = (ops - this.clientOps) / seconds;
    this.bytesPerS = (bytes - this.clientBytes) / seconds;
    this.clientOps = ops;
    this.clientBytes = bytes;
    this.lookedUs = nowUs;
  }
}
