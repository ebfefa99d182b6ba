// A placement in the making: which devices hold the two copies of each comb, and how far each device is from its quota. Counts
// and pairs lie in typed arrays, because a pool has up to a million combs and is planned at every change of its devices.
// It must never move a copy that is pinned, or put both copies of a comb into one unit.

import { assert } from '../core/assert.js';
import { Partnerships } from './partnerships.js';

/** A device that can hold combs. */
export interface Place {
  readonly deviceKey: number;
  /** Devices of the same unit fail together: key of the fault set or SDS. */
  readonly unitKey: number;
  readonly capacityBytes: number;
  /** It keeps what it has, and gets nothing more where another device can have it. */
  readonly closed?: boolean;
}

/** Device keys of the preferred primary and of the other copy. */
export type Pair = readonly [primary: number, secondary: number];

/** Position of no device. */
export const NOBODY = -1;
/** Ways through a third device that are tried for one copy, at most: nothing else may wait for the rest. */
const DETOURS_MAX = 20_000;
/**
 * Where data has to be copied, two copies are not moved to even out one: done one after the other, the first step would relieve
 * nobody, and be taken back.
 */
const DETOUR_GAIN_MIN = 2;

export class Plan {
  readonly combCount: number;
  private readonly keys: Float64Array;
  private readonly positions: ReadonlyMap<number, number>;
  private readonly units: Float64Array;
  private readonly quota: Int32Array;
  private readonly closed: Uint8Array;
  private readonly held: Int32Array;
  private readonly partners: Partnerships;
  private readonly first: Int32Array;
  private readonly second: Int32Array;
  private readonly pinned: Uint8Array;
  /** Combs by device, once copies move. */
  private lists: number[][] | null = null;

  /**
   * @param places - devices with capacity, in ascending order of key
   * @param quota - copies by device key
   */
  constructor(places: readonly Place[], quota: ReadonlyMap<number, number>, combCount: number) {
    this.combCount = combCount;
    this.keys = Float64Array.from(places, ({ deviceKey }) => deviceKey);
    this.positions = new Map(places.map(({ deviceKey }, at) => [deviceKey, at]));
    this.units = Float64Array.from(places, ({ unitKey }) => unitKey);
    this.quota = Int32Array.from(places, ({ deviceKey }) => quota.get(deviceKey) ?? 0);
    this.closed = Uint8Array.from(places, ({ closed }) => (closed === true ? 1 : 0));
    this.held = new Int32Array(places.length);
    this.partners = new Partnerships(places.length);
    this.first = new Int32Array(combCount).fill(NOBODY);
    this.second = new Int32Array(combCount).fill(NOBODY);
    this.pinned = new Uint8Array(combCount);
  }

  get deviceCount(): number {
    return this.keys.length;
  }

  /** Position of a device, NOBODY: it is none of the places. */
  positionOf(deviceKey: number): number {
    return this.positions.get(deviceKey) ?? NOBODY;
  }

  keyAt(position: number): number {
    return position === NOBODY ? 0 : (this.keys[position] ?? 0);
  }

  /** Whether two devices exist and fail apart. */
  areApart(one: number, other: number): boolean {
    return one !== NOBODY && other !== NOBODY && this.units[one] !== this.units[other];
  }

  quotaOf(position: number): number {
    return this.quota[position] ?? 0;
  }

  /** Where a comb lies now; nothing is counted before `adopt`. */
  set(comb: number, first: number, second: number): void {
    this.first[comb] = first;
    this.second[comb] = second;
  }

  firstOf(comb: number): number {
    return this.first[comb] ?? NOBODY;
  }

  secondOf(comb: number): number {
    return this.second[comb] ?? NOBODY;
  }

  /** The pair of a comb stays as it is while its devices are there. */
  pin(comb: number): void {
    this.pinned[comb] = 1;
  }

  pair(comb: number): Pair {
    return [this.keyAt(this.firstOf(comb)), this.keyAt(this.secondOf(comb))];
  }

  /** Whether a comb shall lie on these two devices, in whatever order. */
  isOn(comb: number, one: number, other: number): boolean {
    const first = this.keyAt(this.firstOf(comb));
    const second = this.keyAt(this.secondOf(comb));
    return first === one ? second === other : first === other && second === one;
  }

  /**
   * Places everything: the device that lacks most gets the next comb, its partner is the one that lacks most relative to
   * how often the two are partners already. A unit that must be in every comb that is left is never passed over.
   */
  fresh(): void {
    const lacks = this.unitLacks();
    for (let comb = 0; comb < this.combCount; comb++) {
      const tight = tightUnits(lacks, this.combCount - comb);
      const first = this.pick(NOBODY, tight[0] ?? null);
      const other = tight.find((unit) => unit !== this.units[first]) ?? null;
      const second = this.pick(first, other);
      this.set(comb, first, second);
      this.count(first, second, 1);
      for (const at of [first, second]) {
        const unit = this.units[at] ?? 0;
        lacks.set(unit, (lacks.get(unit) ?? 0) - 1);
      }
    }
  }

  /**
   * Keeps pairs where they are valid, replaces devices that are gone, and moves copies until all quotas are met.
   *
   * @param movesMax - copies that are moved only to meet the quotas, at most
   */
  adopt(movesMax: number): void {
    const open: number[] = [];
    for (let comb = 0; comb < this.combCount; comb++) {
      const first = this.firstOf(comb);
      const second = this.secondOf(comb);
      if (this.areApart(first, second)) this.count(first, second, 1);
      else open.push(comb);
    }
    for (const comb of open) this.refill(comb);
    this.level(movesMax);
  }

  /** Makes each device primary of about its part of the combs. Swapping roles moves no data. */
  balancePrimaries(want: readonly number[]): void {
    const excess = Int32Array.from(want, (share) => -share);
    for (const position of this.first) excess[position] = (excess[position] ?? 0) + 1;
    for (let swapped = true; swapped;) {
      swapped = false;
      for (let comb = 0; comb < this.combCount; comb++) {
        const primary = this.firstOf(comb);
        const secondary = this.secondOf(comb);
        const more = excess[primary] ?? 0;
        const less = excess[secondary] ?? 0;
        if (more - less < 2) continue;
        this.set(comb, secondary, primary);
        excess[primary] = more - 1;
        excess[secondary] = less + 1;
        swapped = true;
      }
    }
  }

  private lack(position: number): number {
    return (this.quota[position] ?? 0) - (this.held[position] ?? 0);
  }

  /** What the devices of each unit lack together. */
  private unitLacks(): Map<number, number> {
    const lacks = new Map<number, number>();
    for (let at = 0; at < this.keys.length; at++) {
      const unit = this.units[at] ?? 0;
      lacks.set(unit, (lacks.get(unit) ?? 0) + this.lack(at));
    }
    return lacks;
  }

  /**
   * The best device for a copy.
   *
   * @param partner - the other copy, or NOBODY
   * @param unit - the device must be of this unit; null: of any
   */
  private pick(partner: number, unit: number | null): number {
    let best = NOBODY;
    let bestScore = -Infinity;
    for (let at = 0; at < this.keys.length; at++) {
      if (unit !== null && this.units[at] !== unit) continue;
      if (partner !== NOBODY && this.units[at] === this.units[partner]) continue;
      const quota = this.quotaOf(at);
      const lack = this.lack(at);
      if (lack <= 0) continue;
      // A partner that had less than its part of this device's combs so far comes first.
      const score =
        partner === NOBODY
          ? lack / quota
          : -(this.partners.of(at, partner) + 1) / quota + lack / (quota * 1e6);
      if (score > bestScore) {
        best = at;
        bestScore = score;
      }
    }
    assert(best !== NOBODY, 'a device with room is left for every copy');
    return best;
  }

  private count(one: number, other: number, by: number): void {
    this.held[one] = (this.held[one] ?? 0) + by;
    this.held[other] = (this.held[other] ?? 0) + by;
    this.partners.add(one, other, by);
  }

  /** A comb with a copy on a device that is gone, or with both in one unit: keeps what it can. */
  private refill(comb: number): void {
    const first = this.firstOf(comb);
    const present = first === NOBODY ? this.secondOf(comb) : first;
    const kept = present === NOBODY ? this.mostLacking(NOBODY) : present;
    const other = this.mostLacking(kept);
    this.set(comb, kept, other);
    this.count(kept, other, 1);
  }

  /** The device that lacks most, though it may be full: level() evens that out. */
  private mostLacking(partner: number): number {
    let best = NOBODY;
    for (let at = 0; at < this.keys.length; at++) {
      if (partner !== NOBODY && this.units[at] === this.units[partner]) continue;
      if (best === NOBODY || this.isBetter(at, best)) best = at;
    }
    assert(best !== NOBODY, 'a device in another unit exists');
    return best;
  }

  /** Open devices before closed ones, then by what they lack. */
  private isBetter(one: number, other: number): boolean {
    if (this.closed[one] !== this.closed[other]) return this.closed[one] === 0;
    return this.lack(one) > this.lack(other);
  }

  /**
   * Moves single copies from devices above their quota to devices below it, from the fullest to the emptiest first, so that
   * many devices take part whenever the moves run out.
   */
  private level(movesMax: number): void {
    // From whom nothing can go to whom: that changes only when copies come by way of a third.
    const vain = new Set<number>();
    const goes = (from: number, to: number): boolean => {
      const pair = from * this.keys.length + to;
      if (vain.has(pair)) return false;
      if (this.move(from, to)) return true;
      vain.add(pair);
      return false;
    };
    for (let moves = 0; moves < movesMax; moves++) {
      const { over, under } = this.unlevel();
      const [fullest] = over;
      const [emptiest] = under;
      if (fullest === undefined || emptiest === undefined) return;
      if (goes(fullest, emptiest)) continue;
      if (over.some((from) => under.some((to) => goes(from, to)))) continue;
      if (!this.moveThrough(over, under, movesMax === Infinity ? 1 : DETOUR_GAIN_MIN)) return;
      vain.clear();
    }
  }

  /** Devices above and, if open, below their quota; the one that is farthest from it is the first of each. */
  private unlevel(): { readonly over: number[]; readonly under: number[] } {
    const over: number[] = [];
    const under: number[] = [];
    for (let at = 0; at < this.keys.length; at++) {
      const lack = this.lack(at);
      if (lack < 0) pushFirst(over, at, lack < this.lack(over[0] ?? at));
      else if (lack > 0 && this.closed[at] === 0)
        pushFirst(under, at, lack > this.lack(under[0] ?? at));
    }
    return { over, under };
  }

  /** Combs of a device. */
  private combsOf(position: number): number[] {
    if (this.lists === null) {
      const lists = Array.from(this.keys, (): number[] => []);
      for (let comb = 0; comb < this.combCount; comb++) {
        lists[this.firstOf(comb)]?.push(comb);
        lists[this.secondOf(comb)]?.push(comb);
      }
      this.lists = lists;
    }
    return this.lists[position] ?? [];
  }

  /** Moves the copy whose new partnership is rarest; false: there is none to move. */
  private move(from: number, to: number): boolean {
    const combs = this.combsOf(from);
    let best = -1;
    let bestCount = Infinity;
    for (let at = 0; at < combs.length; at++) {
      const partner = this.partnerToMove(combs[at] ?? 0, from, to);
      if (partner === NOBODY) continue;
      const count = this.partners.of(partner, to) - this.partners.of(partner, from);
      if (count >= bestCount) continue;
      best = at;
      bestCount = count;
    }
    if (best < 0) return false;
    const comb = combs[best] ?? 0;
    const first = this.firstOf(comb);
    const second = this.secondOf(comb);
    const partner = first === from ? second : first;
    this.count(first, second, -1);
    this.count(partner, to, 1);
    if (first === from) this.first[comb] = to;
    else this.second[comb] = to;
    combs[best] = combs.at(-1) ?? 0;
    combs.pop();
    this.combsOf(to).push(comb);
    return true;
  }

  /** The other device of a comb, or NOBODY where the copy cannot go from one device to another. */
  private partnerToMove(comb: number, from: number, to: number): number {
    if (this.pinned[comb] === 1) return NOBODY;
    const first = this.firstOf(comb);
    const partner = first === from ? this.secondOf(comb) : first;
    return this.units[partner] === this.units[to] ? NOBODY : partner;
  }

  /**
   * Where no copy can go straight: by way of a third device, two copies move.
   *
   * @param gainMin - how far one of the two ends has to be from its quota
   */
  private moveThrough(over: readonly number[], under: readonly number[], gainMin: number): boolean {
    let tries = 0;
    for (const from of over)
      for (const to of under) {
        if (Math.max(-this.lack(from), this.lack(to)) < gainMin) continue;
        for (let via = 0; via < this.keys.length; via++) {
          if (this.closed[via] === 1 || via === from || via === to) continue;
          if (++tries > DETOURS_MAX) return false;
          if (!this.canMove(from, via) || !this.canMove(via, to)) continue;
          return this.move(via, to) && this.move(from, via);
        }
      }
    return false;
  }

  private canMove(from: number, to: number): boolean {
    return this.combsOf(from).some((comb) => this.partnerToMove(comb, from, to) !== NOBODY);
  }
}

function pushFirst(list: number[], value: number, isFirst: boolean): void {
  const [first] = list;
  if (!isFirst || first === undefined) list.push(value);
  else {
    list[0] = value;
    list.push(first);
  }
}

/** Units whose lack equals the number of combs that are left: each of these combs needs one of their devices. */
function tightUnits(lacks: ReadonlyMap<number, number>, left: number): number[] {
  const tight: number[] = [];
  for (const [unit, lack] of lacks) if (lack >= left) tight.push(unit);
  return tight;
}
