// Which two devices hold each comb of a pool: pure functions of capacities and of what is placed already. They uphold that
// the two copies never share a fault unit (an SDS or, where it is in one, its fault set), that devices carry combs in
// proportion to their capacity, and that the partners of one device are spread over all others, so that all of them take
// part when it must be rebuilt. They must never know what a comb holds.

import { assert } from '../core/assert.js';

/** A device that can hold combs. */
export interface Place {
  readonly deviceKey: number;
  /** Devices of the same unit fail together: key of the fault set or SDS. */
  readonly unitKey: number;
  readonly capacityBytes: number;
}

/** Device keys of the preferred primary and of the other copy. */
export type Pair = readonly [primary: number, secondary: number];

/** Whether a pool can be placed at all: capacity in at least two units. */
export function canPlace(places: readonly Place[]): boolean {
  return new Set(usable(places).map(({ unitKey }) => unitKey)).size >= 2;
}

function usable(places: readonly Place[]): Place[] {
  return places
    .filter(({ capacityBytes }) => capacityBytes > 0)
    .sort((one, other) => one.deviceKey - other.deviceKey);
}

/**
 * Whole shares of a total in proportion to weights, by largest remainders.
 *
 * @param weights - at least one above 0
 * @returns one share per weight, which add up to `total`
 */
export function shares(weights: readonly number[], total: number): number[] {
  const sum = weights.reduce((left, right) => left + right, 0);
  const exact = weights.map((weight) => (weight / sum) * total);
  const whole = exact.map(Math.floor);
  let left = total - whole.reduce((one, other) => one + other, 0);
  const order = exact
    .map((value, index) => ({ index, rest: value - Math.floor(value) }))
    .sort((one, other) => other.rest - one.rest || one.index - other.index);
  for (const { index } of order) {
    if (left === 0) break;
    whole[index] = (whole[index] ?? 0) + 1;
    left--;
  }
  return whole;
}

/**
 * How many copies each device shall hold: in proportion to capacity, but never more than one per comb in a unit.
 *
 * @returns copies by device key, which add up to 2 * combCount
 */
export function quotas(places: readonly Place[], combCount: number): Map<number, number> {
  const units = new Map<number, Place[]>();
  for (const place of usable(places))
    units.set(place.unitKey, [...(units.get(place.unitKey) ?? []), place]);
  assert(units.size >= 2, 'copies are placed in two units or more');
  const copies = unitCopies(units, combCount);
  const result = new Map<number, number>();
  for (const [unitKey, members] of units) {
    const each = shares(
      members.map(({ capacityBytes }) => capacityBytes),
      copies.get(unitKey) ?? 0,
    );
    members.forEach(({ deviceKey }, index) => result.set(deviceKey, each[index] ?? 0));
  }
  return result;
}

/** Copies by unit; a unit with more than half of the capacity gets one copy of each comb, the others share the rest. */
function unitCopies(
  units: ReadonlyMap<number, readonly Place[]>,
  combCount: number,
): Map<number, number> {
  const weightOf = (unitKey: number): number =>
    (units.get(unitKey) ?? []).reduce((sum, { capacityBytes }) => sum + capacityBytes, 0);
  const keys = [...units.keys()];
  const biggest = keys.reduce((one, other) => (weightOf(other) > weightOf(one) ? other : one));
  const rest = keys.filter((unitKey) => unitKey !== biggest);
  const all = shares(keys.map(weightOf), 2 * combCount);
  const fits = all.every((copies) => copies <= combCount);
  if (fits) return new Map(keys.map((unitKey, index) => [unitKey, all[index] ?? 0]));
  const others = shares(rest.map(weightOf), combCount);
  return new Map([
    [biggest, combCount],
    ...rest.map((unitKey, index) => [unitKey, others[index] ?? 0] as const),
  ]);
}

/**
 * A pair for every comb.
 *
 * @param places - devices, in two units at least
 * @param combCount - power of two
 * @param present - pairs now, by comb; empty: nothing is placed. Of these as few copies as possible move
 */
export function place(
  places: readonly Place[],
  combCount: number,
  present: readonly Pair[] = [],
): Pair[] {
  assert(canPlace(places), 'copies are placed in two units or more');
  const plan = new Plan(usable(places), quotas(places, combCount), combCount);
  if (present.length === combCount) plan.adopt(present);
  else plan.fresh();
  plan.balancePrimaries();
  return plan.pairs();
}

/** A placement in the making: which device has which copy, and how far each is from its quota. */
class Plan {
  private readonly units = new Map<number, number>();
  private readonly quota: ReadonlyMap<number, number>;
  private readonly combCount: number;
  private readonly keys: readonly number[];
  private readonly held = new Map<number, number>();
  /** How often two devices are partners, by `low * 2^20 + high` of their positions. */
  private readonly partners = new Map<number, number>();
  private readonly position = new Map<number, number>();
  private copies: [number, number][] = [];

  constructor(places: readonly Place[], quota: ReadonlyMap<number, number>, combCount: number) {
    this.quota = quota;
    this.combCount = combCount;
    this.keys = places.map(({ deviceKey }) => deviceKey);
    places.forEach(({ deviceKey, unitKey }, index) => {
      this.units.set(deviceKey, unitKey);
      this.held.set(deviceKey, 0);
      this.position.set(deviceKey, index);
    });
  }

  pairs(): Pair[] {
    return this.copies.map(([primary, secondary]) => [primary, secondary]);
  }

  /**
   * Places everything: the device that lacks most gets the next comb, its partner is the one that lacks most relative to
   * how often the two are partners already. A unit that must be in every comb that is left is never passed over.
   */
  fresh(): void {
    this.copies = [];
    for (let comb = 0; comb < this.combCount; comb++) {
      const left = this.combCount - comb;
      const tight = this.tightUnits(left);
      const first = this.pick(null, tight[0] ?? null);
      const other = tight.find((unit) => unit !== this.units.get(first)) ?? null;
      const second = this.pick(first, other);
      this.copies.push([first, second]);
      this.count(first, second, 1);
    }
  }

  /** Keeps pairs where they are valid, replaces devices that are gone, and moves copies until all quotas are met. */
  adopt(present: readonly Pair[]): void {
    const open = new Set<number>();
    this.copies = present.map(([primary, secondary], comb) => {
      const isValid =
        this.units.has(primary) &&
        this.units.has(secondary) &&
        this.units.get(primary) !== this.units.get(secondary);
      if (!isValid) open.add(comb);
      return [primary, secondary];
    });
    this.copies.forEach(([primary, secondary], comb) => {
      if (!open.has(comb)) this.count(primary, secondary, 1);
    });
    for (const comb of open) this.refill(comb);
    this.level();
  }

  /** Makes each device primary of about half of its combs. Swapping roles moves no data. */
  balancePrimaries(): void {
    const want = this.primaryQuotas();
    const have = new Map<number, number>(this.keys.map((key) => [key, 0]));
    for (const [primary] of this.copies) have.set(primary, (have.get(primary) ?? 0) + 1);
    const excess = (key: number): number => (have.get(key) ?? 0) - (want.get(key) ?? 0);
    for (let swapped = true; swapped;) {
      swapped = false;
      for (const copy of this.copies) {
        const [primary, secondary] = copy;
        if (excess(primary) - excess(secondary) < 2) continue;
        copy[0] = secondary;
        copy[1] = primary;
        have.set(primary, (have.get(primary) ?? 0) - 1);
        have.set(secondary, (have.get(secondary) ?? 0) + 1);
        swapped = true;
      }
    }
  }

  private primaryQuotas(): Map<number, number> {
    const each = shares(
      this.keys.map((key) => this.quota.get(key) ?? 0),
      this.combCount,
    );
    return new Map(this.keys.map((key, index) => [key, each[index] ?? 0]));
  }

  private lack(key: number): number {
    return (this.quota.get(key) ?? 0) - (this.held.get(key) ?? 0);
  }

  /** Units whose lack equals the number of combs that are left: each of these combs needs one of their devices. */
  private tightUnits(left: number): number[] {
    const lacks = new Map<number, number>();
    for (const key of this.keys) {
      const unit = this.units.get(key) ?? 0;
      lacks.set(unit, (lacks.get(unit) ?? 0) + this.lack(key));
    }
    return [...lacks].filter(([, lack]) => lack >= left).map(([unit]) => unit);
  }

  /**
   * The best device for a copy.
   *
   * @param partner - the other copy, or null
   * @param unit - the device must be of this unit; null: of any
   */
  private pick(partner: number | null, unit: number | null): number {
    let best = -1;
    let bestScore = -Infinity;
    for (const key of this.keys) {
      if (unit !== null && this.units.get(key) !== unit) continue;
      if (partner !== null && this.units.get(key) === this.units.get(partner)) continue;
      const quota = this.quota.get(key) ?? 0;
      const lack = this.lack(key);
      if (lack <= 0) continue;
      // A partner that had less than its part of this device's combs so far comes first.
      const score =
        partner === null
          ? lack / quota
          : -(this.partnership(key, partner) + 1) / quota + lack / (quota * 1e6);
      if (score > bestScore) {
        best = key;
        bestScore = score;
      }
    }
    assert(best >= 0, 'a device with room is left for every copy');
    return best;
  }

  private partnership(one: number, other: number): number {
    return this.partners.get(this.pairKey(one, other)) ?? 0;
  }

  private pairKey(one: number, other: number): number {
    const left = this.position.get(one) ?? 0;
    const right = this.position.get(other) ?? 0;
    return Math.min(left, right) * (1 << 20) + Math.max(left, right);
  }

  private count(one: number, other: number, by: number): void {
    this.held.set(one, (this.held.get(one) ?? 0) + by);
    this.held.set(other, (this.held.get(other) ?? 0) + by);
    const key = this.pairKey(one, other);
    this.partners.set(key, (this.partners.get(key) ?? 0) + by);
  }

  /** A comb with a copy on a device that is gone, or with both in one unit: keeps what it can. */
  private refill(comb: number): void {
    const copy = this.copies[comb];
    if (copy === undefined) return;
    const kept = copy.find((key) => this.units.has(key)) ?? this.mostLacking(null);
    const other = this.mostLacking(kept);
    copy[0] = kept;
    copy[1] = other;
    this.count(kept, other, 1);
  }

  /** The device that lacks most, though it may be full: level() evens that out. */
  private mostLacking(partner: number | null): number {
    let best = -1;
    for (const key of this.keys) {
      if (partner !== null && this.units.get(key) === this.units.get(partner)) continue;
      if (best < 0 || this.lack(key) > this.lack(best)) best = key;
    }
    assert(best >= 0, 'a device in another unit exists');
    return best;
  }

  /** Moves single copies from devices above their quota to devices below it. */
  private level(): void {
    for (;;) {
      const over = this.keys.filter((key) => this.lack(key) < 0);
      const under = this.keys.filter((key) => this.lack(key) > 0);
      if (
        !over.some((from) => under.some((to) => this.move(from, to))) &&
        !this.moveThrough(over, under)
      )
        return;
    }
  }

  /** Moves the copy whose new partnership is rarest; false: there is none to move. */
  private move(from: number, to: number): boolean {
    let best: [number, number] | null = null;
    let bestCount = Infinity;
    for (const copy of this.copies) {
      const partner = copy[0] === from ? copy[1] : copy[1] === from ? copy[0] : null;
      if (partner === null || this.units.get(partner) === this.units.get(to)) continue;
      const count = this.partnership(partner, to) - this.partnership(partner, from);
      if (count >= bestCount) continue;
      best = copy;
      bestCount = count;
    }
    if (best === null) return false;
    const [primary, secondary] = best;
    const partner = primary === from ? secondary : primary;
    this.count(primary, secondary, -1);
    this.count(partner, to, 1);
    if (primary === from) best[0] = to;
    else best[1] = to;
    return true;
  }

  /** Where no copy can go straight: by way of a third device, two copies move. */
  private moveThrough(over: readonly number[], under: readonly number[]): boolean {
    for (const from of over)
      for (const to of under)
        for (const via of this.keys) {
          if (via === from || via === to || !this.canMove(from, via) || !this.canMove(via, to))
            continue;
          return this.move(via, to) && this.move(from, via);
        }
    return false;
  }

  private canMove(from: number, to: number): boolean {
    return this.copies.some(([primary, secondary]) => {
      const partner = primary === from ? secondary : secondary === from ? primary : null;
      return partner !== null && this.units.get(partner) !== this.units.get(to);
    });
  }
}
