// A volume that is mapped to this host, as the data path needs it: geometry, keys for the frames, flush debt, counters.
// It owns what is known of one volume; it must never send anything.

import type { MapVolume, Mapping } from '../protocol/generated/types.js';
import { limitsOf } from '../cluster-map/mapping-limits.js';
import type { PoolMap } from '../cluster-map/pool-map.js';

import type { BlockVolume } from './block-front.js';
import { Throttle } from './throttle.js';

/** Totals since the start of this process. */
export interface VolumeCounters {
  readOps: number;
  readBytes: number;
  writeOps: number;
  writeBytes: number;
  trimOps: number;
  trimBytes: number;
  readMicros: number;
  writeMicros: number;
  /** Requests that waited for a limit, and how long. */
  throttledOps: number;
  throttledMicros: number;
}

export class MappedVolume {
  readonly key: number;
  /** Current objects of the map, replaced at each change. */
  volume: MapVolume;
  mapping: Mapping;
  pool: PoolMap;
  sizeBytes: number;
  /** False: the mapping is gone; whatever is left of its I/O is answered with ESHUTDOWN. */
  mapped = true;
  /** What the front end was told last. */
  told: BlockVolume | null = null;
  /** Operations in all states, those of them that write, and those that write zeroes or discard. */
  ops = 0;
  writeOps = 0;
  zeroOps = 0;
  /** Combs that owe a flush: one bit each. */
  private owed = new Uint32Array(0);
  owedCount = 0;
  readonly throttle = new Throttle();
  readonly counters: VolumeCounters = {
    readOps: 0,
    readBytes: 0,
    writeOps: 0,
    writeBytes: 0,
    trimOps: 0,
    trimBytes: 0,
    readMicros: 0,
    writeMicros: 0,
    throttledOps: 0,
    throttledMicros: 0,
  };

  constructor(volume: MapVolume, mapping: Mapping, pool: PoolMap, sectorBytes: number) {
    this.key = volume.key;
    this.volume = volume;
    this.mapping = mapping;
    this.pool = pool;
    this.sizeBytes = volume.sizeSectors * sectorBytes;
    this.limit();
    // An earlier process of this host may have been killed with flushes owed: they are owed still (C11).
    if (pool.pool.durability !== 'media')
      for (let comb = 0; comb < pool.combCount; comb++) this.owe(comb);
  }

  /** Takes over the limits of the mapping, for the size that the volume has; true: they changed. */
  limit(): boolean {
    const { iops, kbps } = limitsOf(this.mapping, this.sizeBytes);
    return this.throttle.limit(iops, kbps);
  }

  /** A write of this comb was acknowledged from volatile memory. */
  owe(comb: number): void {
    const word = comb >>> 5;
    if (word >= this.owed.length) {
      const larger = new Uint32Array(Math.max(word + 1, this.pool.combCount >>> 5));
      larger.set(this.owed);
      this.owed = larger;
    }
    const bit = 1 << (comb & 31);
    const before = this.owed[word] ?? 0;
    if ((before & bit) !== 0) return;
    this.owed[word] = before | bit;
    this.owedCount += 1;
  }

  /** Moves all debt into a list of combs. */
  takeDebt(combs: number[]): void {
    if (this.owedCount === 0) return;
    for (let word = 0; word < this.owed.length; word++) {
      const bits = this.owed[word] ?? 0;
      if (bits === 0) continue;
      for (let bit = 0; bit < 32; bit++) if ((bits & (1 << bit)) !== 0) combs.push(word * 32 + bit);
      this.owed[word] = 0;
    }
    this.owedCount = 0;
  }

  /** What front ends are told. */
  describe(): BlockVolume {
    return {
      key: this.key,
      name: this.volume.name,
      sizeBytes: this.sizeBytes,
      readOnly: this.mapping.access === 'readOnly',
      volatileCache: this.pool.pool.durability !== 'media',
    };
  }
}
