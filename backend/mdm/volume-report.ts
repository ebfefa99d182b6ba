// How much of each volume a device holds, as it reports it: in parts when there are many. It owns what a part says about
// volumes that it does not name; it must never take a volume for freed before a whole round said so.

import { inRange } from '../core/key-range.js';
import type { KeyRange } from '../core/key-range.js';
import type { VolumeUsage } from '../protocol/generated/types.js';

export class VolumeReport {
  /** Latest word on each volume. */
  readonly bytes = new Map<number, number>();
  /** Map sequence that the device had applied when its latest whole round began; -1: no round yet. */
  wholeSinceSequence = -1;
  private roundSequence = -1;
  private expected = 0;

  /** Nothing of it is true of a new life. */
  clear(): void {
    this.bytes.clear();
    this.wholeSinceSequence = -1;
    this.roundSequence = -1;
    this.expected = 0;
  }

  /**
   * Takes one part.
   *
   * @param range - every volume in it that is not listed holds nothing
   * @param appliedSequence - what the device had applied when it said so
   * @param last - whether no key lies beyond the range
   */
  take(
    range: KeyRange,
    volumes: readonly VolumeUsage[],
    appliedSequence: number,
    last: boolean,
  ): void {
    for (const key of this.bytes.keys()) if (inRange(key, range)) this.bytes.delete(key);
    for (const { volumeKey, usedBytes } of volumes) this.bytes.set(volumeKey, usedBytes);
    if (range.after === 0) this.roundSequence = appliedSequence;
    else if (range.after !== this.expected) this.roundSequence = -1;
    this.expected = range.through;
    if (last && this.roundSequence >= 0) this.wholeSinceSequence = this.roundSequence;
  }

  /** Whether the device holds nothing of a volume, said after it had applied a commit. */
  hasFreed(volumeKey: number, sequence: number): boolean {
    return this.wholeSinceSequence >= sequence && !this.bytes.has(volumeKey);
  }
}
