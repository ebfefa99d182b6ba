// What the limits of a mapping come to for a volume of a size. It owns that arithmetic, so that clients enforce what operators
// are shown.

import { GIB } from '../core/units.js';
import type { Mapping } from '../protocol/generated/types.js';

export interface Limits {
  /** Requests a second, 0: no limit. */
  readonly iops: number;
  /** KiB a second, 0: no limit. */
  readonly kbps: number;
}

/** The smaller one of what is said for the volume and for each GiB of it. */
export function limitsOf(
  mapping: Pick<Mapping, 'iopsLimit' | 'bandwidthLimitKbps' | 'iopsPerGib' | 'kbpsPerGib'>,
  sizeBytes: number,
): Limits {
  const { iopsLimit, bandwidthLimitKbps, iopsPerGib, kbpsPerGib } = mapping;
  return {
    iops: smaller(iopsLimit, iopsPerGib, sizeBytes),
    kbps: smaller(bandwidthLimitKbps, kbpsPerGib, sizeBytes),
  };
}

function smaller(limit: number, perGib: number, sizeBytes: number): number {
  if (perGib === 0) return limit;
  // A small volume is limited too, never stopped.
  const scaled = Math.max(1, Math.floor((perGib * sizeBytes) / GIB));
  return limit === 0 ? scaled : Math.min(limit, scaled);
}
