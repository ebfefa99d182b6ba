// Whether a device is slower than its peers: what its data process says of its requests, cut into samples, and compared with
// the samples of the other devices of its pool. Pure numbers; what follows from them is decided in slow-devices.ts.
//
// A device is compared kind by kind: reads, writes that need not be durable, and flushes. It counts as slow only against at
// least two others, by their median, beyond a floor in microseconds, and while it gets no more requests than they do: a
// device may also take long because it has much to do.

import type { DiskTimes } from '../core/disk-meter.js';
import type { Micros } from '../core/ports.js';

const KINDS = [
  { name: 'read', ops: 'readOps', micros: 'readMicros' },
  { name: 'write', ops: 'writeOps', micros: 'writeMicros' },
  { name: 'flush', ops: 'flushOps', micros: 'flushMicros' },
] as const;

/** Requests that a sample has at least, unless the device was at work for half of its time. */
const SAMPLE_OPS_MIN = 8;
/** A sample for which there are too few requests begins anew after so many times its usual length. */
const SAMPLE_LENGTHS_MAX = 30;
/** So long after its end a sample still says something about a peer, in usual lengths. */
const FRESH_LENGTHS = 15;
/** Peers without which nothing is judged. */
const PEERS_MIN = 2;
/** A device that gets more than so many times the requests of its peers is busy, not slow. */
const BUSY_FACTOR = 4;

export interface SlowRules {
  /** Times as long as the peers. */
  readonly factor: number;
  readonly microsMin: number;
  readonly sampleUs: Micros;
}

interface Sample {
  readonly meanMicros: number;
  readonly opsPerS: number;
  readonly endUs: Micros;
}

/** One kind of request of one device. */
class KindSamples {
  last: Sample | null = null;
  /** The last sample ended with the last look. */
  isNew = false;
  /** Samples in which the device was slow, less those in which it was not. */
  score = 0;
  private startUs: Micros = -1;
  private startOps = 0;
  private startMicros = 0;

  look(nowUs: Micros, ops: number, micros: number, sampleUs: Micros): void {
    this.isNew = false;
    const isAnother = this.startUs < 0 || ops < this.startOps || micros < this.startMicros;
    if (isAnother) {
      this.begin(nowUs, ops, micros);
      return;
    }
    const elapsedUs = nowUs - this.startUs;
    if (elapsedUs < sampleUs) return;
    const done = ops - this.startOps;
    const took = micros - this.startMicros;
    if (done >= SAMPLE_OPS_MIN || took >= elapsedUs / 2) {
      const opsPerS = (done * 1e6) / elapsedUs;
      this.last = { meanMicros: took / Math.max(1, done), opsPerS, endUs: nowUs };
      this.isNew = true;
    } else if (elapsedUs < sampleUs * SAMPLE_LENGTHS_MAX) return;
    this.begin(nowUs, ops, micros);
  }

  private begin(nowUs: Micros, ops: number, micros: number): void {
    this.startUs = nowUs;
    this.startOps = ops;
    this.startMicros = micros;
  }
}

/** What one life of a device said. */
export class DeviceSamples {
  readonly kinds = KINDS.map(() => new KindSamples());
  private times: DiskTimes | null = null;
  private saidUs: Micros = 0;

  /** @param nowUs - when the MDM heard it */
  say(nowUs: Micros, times: DiskTimes): void {
    this.times = times;
    this.saidUs = nowUs;
  }

  /** Cuts what was said into samples. */
  look(sampleUs: Micros): void {
    const { times } = this;
    if (times === null) return;
    KINDS.forEach(({ ops, micros }, index) => {
      this.kinds[index]?.look(this.saidUs, times[ops], times[micros], sampleUs);
    });
  }

  /** How sure it is that the device is slow: in samples. */
  get score(): number {
    return Math.max(...this.kinds.map(({ score }) => score));
  }

  forgive(): void {
    for (const kind of this.kinds) kind.score = 0;
  }
}

/** A device in a sample in which it was slow. */
export interface SlowSample {
  /** Such as `flush`. */
  readonly kind: string;
  readonly micros: number;
  readonly peerMicros: number;
  /** How many times as long as its peers. */
  readonly times: number;
}

interface Measured {
  readonly kind: KindSamples;
  readonly sample: Sample;
}

/** The upper median of all but one; the values are sorted. */
function medianOfOthers(sorted: readonly number[], own: number): number {
  const middle = Math.floor((sorted.length - 1) / 2);
  return sorted[middle < sorted.indexOf(own) ? middle : middle + 1] ?? 0;
}

/**
 * Compares the devices of a pool by the samples that ended, and counts for each whether it was slow.
 *
 * @param devices - all of them that work
 * @param factorOf - times as long as its peers that make this device slow
 * @returns those that were slow now, each with its worst kind
 */
export function compare<T extends { readonly samples: DeviceSamples }>(
  nowUs: Micros,
  devices: readonly T[],
  rules: SlowRules,
  factorOf: (device: T) => number,
): ReadonlyMap<T, SlowSample> {
  const slow = new Map<T, SlowSample>();
  for (const { samples } of devices) samples.look(rules.sampleUs);
  KINDS.forEach(({ name }, index) => {
    const measured = new Map<T, Measured>();
    for (const device of devices) {
      const kind = device.samples.kinds[index];
      const sample = kind?.last ?? null;
      if (kind === undefined || sample === null) continue;
      if (nowUs - sample.endUs <= rules.sampleUs * FRESH_LENGTHS)
        measured.set(device, { kind, sample });
    }
    if (measured.size <= PEERS_MIN) return;
    const all = [...measured.values()];
    const means = all.map(({ sample }) => sample.meanMicros).sort((one, other) => one - other);
    const rates = all.map(({ sample }) => sample.opsPerS).sort((one, other) => one - other);
    for (const [device, { kind, sample }] of measured) {
      if (!kind.isNew) continue;
      const peerMicros = medianOfOthers(means, sample.meanMicros);
      const isBusy = sample.opsPerS > BUSY_FACTOR * medianOfOthers(rates, sample.opsPerS);
      const times = sample.meanMicros / Math.max(1, peerMicros);
      const isSlow = !isBusy && sample.meanMicros >= rules.microsMin && times >= factorOf(device);
      kind.score = Math.max(0, kind.score + (isSlow ? 1 : -1));
      const found = { kind: name, micros: sample.meanMicros, peerMicros, times };
      if (isSlow && times > (slow.get(device)?.times ?? 0)) slow.set(device, found);
    }
  });
  return slow;
}
