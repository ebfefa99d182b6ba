// When a storage pool will be full if it goes on as it did: which samples of its use are kept, and what they say. It must
// never look further ahead than what it has seen bears.

import type { UsageSample } from '../protocol/generated/types.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

/** Samples of at most that age are kept one in so long; those that are older than all are dropped. */
const KEPT = [
  { ageMs: 2 * HOUR_MS, oneInMs: 10 * MINUTE_MS },
  { ageMs: 26 * HOUR_MS, oneInMs: HOUR_MS },
  { ageMs: 8 * DAY_MS, oneInMs: 6 * HOUR_MS },
] as const;

/** A pace that was seen for so long is believed for eight times as long. */
const WINDOWS_MS = [2 * HOUR_MS, DAY_MS, 7 * DAY_MS] as const;
const BELIEVED = 8;
/** Part of a window that has to be seen, and in how many samples. */
const SEEN_PART = 1 / 4;
const SAMPLES_MIN = 4;

/** What is to be expected of a pool. */
export interface Forecast {
  /** As over the longest time that was seen, at most a week; 0: it does not grow. */
  readonly growthBytesPerDay: number;
  /** Seconds until it is full at the pace of the last two hours, day or week, whichever is soonest; null: not in sight. */
  readonly fullInS: number | null;
}

/**
 * The samples to keep when one more was taken, ascending. In a span of time of which one is kept it is the oldest: those
 * that move to a longer span as they age find it kept already, whoever looks when.
 */
export function withSample(
  samples: readonly UsageSample[],
  sample: UsageSample,
): readonly UsageSample[] {
  const kept: UsageSample[] = [];
  let last = '';
  for (const one of samples) {
    const ageMs = sample.atMs - one.atMs;
    const rule = KEPT.find((each) => ageMs <= each.ageMs);
    // The clock may have been set back: what it says of later is not known any more.
    if (rule === undefined || ageMs <= 0) continue;
    const span = `${rule.oneInMs} ${Math.floor(one.atMs / rule.oneInMs)}`;
    if (span === last) continue;
    last = span;
    kept.push(one);
  }
  kept.push(sample);
  return kept;
}

/**
 * @param samples - ascending
 * @param now - what the pool holds at this moment
 * @param netBytes - what it can hold
 */
export function forecastOf(
  samples: readonly UsageSample[],
  now: UsageSample,
  netBytes: number,
): Forecast {
  const leftBytes = Math.max(0, netBytes - now.usedBytes);
  let growthBytesPerDay = 0;
  let fullInMs = Infinity;
  for (const windowMs of WINDOWS_MS) {
    const pace = paceOf(samples, now, windowMs);
    if (pace === null) continue;
    growthBytesPerDay = Math.max(0, Math.round(pace * DAY_MS));
    const inMs = pace > 0 ? leftBytes / pace : Infinity;
    if (inMs <= BELIEVED * windowMs) fullInMs = Math.min(fullInMs, inMs);
  }
  return {
    growthBytesPerDay,
    fullInS: fullInMs === Infinity ? null : Math.floor(fullInMs / 1000),
  };
}

/** Bytes a millisecond by least squares over a window that ends now; null: too little of it was seen. */
function paceOf(
  samples: readonly UsageSample[],
  now: UsageSample,
  windowMs: number,
): number | null {
  const seen = samples.filter(({ atMs }) => atMs < now.atMs && atMs >= now.atMs - windowMs);
  const points = [...seen, now];
  const [first] = points;
  if (first === undefined || points.length < SAMPLES_MIN) return null;
  if (now.atMs - first.atMs < windowMs * SEEN_PART) return null;
  let sumX = 0;
  let sumY = 0;
  for (const { atMs, usedBytes } of points) {
    sumX += atMs - first.atMs;
    sumY += usedBytes - first.usedBytes;
  }
  const meanX = sumX / points.length;
  const meanY = sumY / points.length;
  let above = 0;
  let below = 0;
  for (const { atMs, usedBytes } of points) {
    const x = atMs - first.atMs - meanX;
    above += x * (usedBytes - first.usedBytes - meanY);
    below += x * x;
  }
  return above / below;
}
