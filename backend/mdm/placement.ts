// Which two devices hold each comb of a pool: pure functions of capacities and of what is placed already. They uphold that
// the two copies never share a fault unit (an SDS or, where it is in one, its fault set), that devices carry combs in
// proportion to their capacity, and that the partners of one device are spread over all others, so that all of them take
// part when it must be rebuilt. They must never know what a comb holds.

import { assert } from '../core/assert.js';
import { Plan } from './placement-plan.js';
import type { Pair, Place } from './placement-plan.js';

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
 * A plan without pairs.
 *
 * @param places - devices, in two units at least
 * @param combCount - power of two
 */
export function emptyPlan(places: readonly Place[], combCount: number): Plan {
  assert(canPlace(places), 'copies are placed in two units or more');
  return new Plan(usable(places), quotas(places, combCount), combCount);
}

/**
 * Places what is missing, moves as few copies as possible towards all quotas, and spreads the primaries.
 *
 * @param movesMax - copies that are moved only to meet the quotas, at most
 */
export function complete(plan: Plan, places: readonly Place[], movesMax: number): void {
  plan.adopt(movesMax);
  spreadPrimaries(plan, places);
}

function spreadPrimaries(plan: Plan, places: readonly Place[]): void {
  const weights = usable(places).map((_, position) => plan.quotaOf(position));
  plan.balancePrimaries(shares(weights, plan.combCount));
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
  const plan = emptyPlan(places, combCount);
  if (present.length === combCount) {
    present.forEach(([primary, secondary], comb) => {
      plan.set(comb, plan.positionOf(primary), plan.positionOf(secondary));
    });
    plan.adopt(Infinity);
  } else plan.fresh();
  spreadPrimaries(plan, places);
  return Array.from({ length: combCount }, (_, comb) => plan.pair(comb));
}
