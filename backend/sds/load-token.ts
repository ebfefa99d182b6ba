// Tokens of reads from the store: who asked and for which part. Operations of clients name their slot; everybody else
// counts from a number behind all slots. It must never be used across a restart.

/** Which read of an operation. */
export const LOAD = { range: 0, first: 1, last: 2 } as const;
const PARTS = 4;
/** Tokens of copies and of other readers begin here, beyond any slot. */
export const COPY_TOKENS = 1 << 20;
export const PEER_READ_TOKENS = 1 << 22;
/** Of the background scanner: its own reads, those of its checks, and what it tells others. */
export const SCAN_TOKENS = 1 << 23;
export const SCAN_CHECK_TOKENS = SCAN_TOKENS + 16;
export const SCAN_ANSWER_TOKENS = SCAN_TOKENS + 64;

export function loadToken(slot: number, part: number): number {
  return slot * PARTS + part;
}

export function tokenSlot(token: number): number {
  return Math.floor(token / PARTS);
}

export function tokenPart(token: number): number {
  return token % PARTS;
}
