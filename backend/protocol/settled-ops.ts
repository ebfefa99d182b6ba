// What a client says with OPS_SETTLED about the operations whose outcome it knows (C10): all below an id, but for a few that
// still wait, as those do whose comb is paused for long. Without these exceptions one of them would keep data processes
// from forgetting whatever came after it, until their logs are full. It owns the shape; who forgets what is not known here.

import { LIMIT } from './generated/constants.js';

/** Version of the protocol from which on a receiver knows exceptions. */
export const OPEN_OPS_SINCE = 2;

const ID_BYTES = 8;
const TWO_32 = 0x100000000;

/** Ids are numbers below 2^48. */
export interface SettledOps {
  /** All below it are settled, but for those in `open`. */
  readonly belowId: number;
  /** Below `belowId`, ascending, at most `LIMIT.openOpsMax`. */
  readonly open: readonly number[];
}

export function opIdOf(opLow: number, opHigh: number): number {
  return opHigh * TWO_32 + opLow;
}

export function opLowOf(id: number): number {
  return id % TWO_32;
}

export function opHighOf(id: number): number {
  return Math.floor(id / TWO_32);
}

/** What a receiver can be told that knows no exceptions: less, and true. */
export function withoutOpen({ belowId, open }: SettledOps): SettledOps {
  return { belowId: open[0] ?? belowId, open: [] };
}

/**
 * @param openIds - of all operations that await their outcome, in any order
 * @param belowId - nothing at or above it is settled, as far as is said
 */
export function settledBelow(openIds: readonly number[], belowId: number): SettledOps {
  const open = openIds.filter((id) => id < belowId).sort((one, other) => one - other);
  const tooMany = open[LIMIT.openOpsMax];
  if (tooMany === undefined) return { belowId, open };
  return { belowId: tooMany, open: open.slice(0, LIMIT.openOpsMax) };
}

/** Whether it says more than what was said before. A client says less about nothing: ids go up, exceptions go away. */
export function isNews(said: SettledOps, before: SettledOps): boolean {
  if (said.belowId !== before.belowId) return said.belowId > before.belowId;
  return said.open.length < before.open.length;
}

export function isSettled({ belowId, open }: SettledOps, id: number): boolean {
  if (id >= belowId) return false;
  let low = 0;
  let high = open.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const there = open[middle] ?? Infinity;
    if (there === id) return false;
    if (there < id) low = middle + 1;
    else high = middle;
  }
  return true;
}

export function openOpsBytes({ open }: SettledOps): number {
  return open.length * ID_BYTES;
}

export function putOpenOps({ open }: SettledOps, view: DataView, bodyAt: number): void {
  let place = bodyAt;
  for (const id of open) {
    view.setUint32(place, opLowOf(id), true);
    view.setUint32(place + 4, opHighOf(id), true);
    place += ID_BYTES;
  }
}

/** @returns null: the body is malformed */
export function readSettledOps(
  opLow: number,
  opHigh: number,
  view: DataView,
  bodyAt: number,
  bodyBytes: number,
): SettledOps | null {
  if (bodyBytes % ID_BYTES !== 0 || bodyBytes > LIMIT.openOpsMax * ID_BYTES) return null;
  const belowId = opIdOf(opLow, opHigh);
  const open: number[] = [];
  let before = -1;
  for (let place = bodyAt; place < bodyAt + bodyBytes; place += ID_BYTES) {
    const id = opIdOf(view.getUint32(place, true), view.getUint32(place + 4, true));
    if (id <= before || id >= belowId) return null;
    open.push(id);
    before = id;
  }
  return { belowId, open };
}
