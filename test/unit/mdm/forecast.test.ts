import test from 'ava';

import { DAY_MS, forecastOf, withSample } from '../../../backend/mdm/forecast.js';
import { GIB } from '../../../backend/core/units.js';
import { LIMIT } from '../../../backend/protocol/generated/constants.js';
import type { UsageSample } from '../../../backend/protocol/generated/types.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const NOON_MS = Date.UTC(2026, 0, 15, 12);

/** Samples as an MDM takes them, one in ten minutes and some seconds late, of a pool that holds what `used` says. */
function watched(forMs: number, used: (sinceMs: number) => number): readonly UsageSample[] {
  let samples: readonly UsageSample[] = [];
  const stepMs = 10 * MINUTE_MS;
  for (let sinceMs = 0; sinceMs <= forMs; sinceMs += stepMs + (sinceMs % 7) * 1000)
    samples = withSample(samples, { atMs: NOON_MS + sinceMs, usedBytes: used(sinceMs) });
  return samples;
}

function said(forMs: number, netBytes: number, used: (sinceMs: number) => number) {
  const now = { atMs: NOON_MS + forMs, usedBytes: used(forMs) };
  return forecastOf(watched(forMs, used), now, netBytes);
}

const steady = (sinceMs: number): number => 100 * GIB + (10 * GIB * sinceMs) / DAY_MS;

test('few samples say much: of two hours, a day and a week', (t) => {
  const samples = watched(30 * DAY_MS, steady);
  t.true(samples.length <= LIMIT.usageSamplesMax, `${samples.length} samples`);
  const ages = samples.map(({ atMs }) => (samples.at(-1)?.atMs ?? 0) - atMs);
  t.deepEqual(
    ages,
    [...ages].sort((one, other) => other - one),
    'ascending in time',
  );
  const within = (fromMs: number, toMs: number): number =>
    ages.filter((age) => age >= fromMs && age < toMs).length;
  t.true(within(0, 2 * HOUR_MS) >= 11);
  t.true(within(2 * HOUR_MS, 26 * HOUR_MS) >= 23);
  t.true(within(26 * HOUR_MS, 8 * DAY_MS) >= 26);
  t.is(within(8 * DAY_MS, Infinity), 0);
});

test('a pool that grows steadily is full when its growth says so', (t) => {
  const { growthBytesPerDay, fullInS } = said(8 * DAY_MS, 300 * GIB, steady);
  t.true(Math.abs(growthBytesPerDay - 10 * GIB) < GIB / 100);
  // 180 GiB are held, and 120 left.
  t.true(Math.abs((fullInS ?? 0) - 12 * 86_400) < 3600, `in ${fullInS} s`);
});

test('what was seen for an hour says nothing of next week', (t) => {
  const fast = (sinceMs: number): number => (GIB * sinceMs) / HOUR_MS;
  t.is(said(HOUR_MS, 100 * GIB, fast).fullInS, null, '99 hours are out of sight');
  t.true(Math.abs((said(HOUR_MS, 11 * GIB, fast).fullInS ?? 0) - 36_000) < 60, 'ten are not');
  t.is(said(20 * MINUTE_MS, 11 * GIB, fast).fullInS, null, 'nothing was seen yet');
});

test('a burst after a quiet week is foreseen by the hour', (t) => {
  const burst = (sinceMs: number): number =>
    50 * GIB + Math.max(0, sinceMs - 7 * DAY_MS) * ((10 * GIB) / HOUR_MS);
  const { fullInS } = said(7 * DAY_MS + 2 * HOUR_MS, 120 * GIB, burst);
  t.true(fullInS !== null && fullInS < 6 * 3600, `in ${fullInS} s, with 50 GiB left at 10 an hour`);
});

test('pools that shrink or stay are never full; one that is full is so now', (t) => {
  t.deepEqual(
    said(8 * DAY_MS, 300 * GIB, () => 7 * GIB),
    { growthBytesPerDay: 0, fullInS: null },
  );
  t.is(said(8 * DAY_MS, 300 * GIB, (ms) => 200 * GIB - steady(ms) / 10).fullInS, null);
  t.is(said(8 * DAY_MS, 150 * GIB, steady).fullInS, 0);
});

test('samples of a time that has not come are forgotten when the clock is set back', (t) => {
  const samples = watched(DAY_MS, steady);
  const back = withSample(samples, { atMs: NOON_MS + HOUR_MS, usedBytes: GIB });
  t.true(back.every(({ atMs }) => atMs <= NOON_MS + HOUR_MS));
  t.is(back.at(-1)?.usedBytes, GIB);
});
