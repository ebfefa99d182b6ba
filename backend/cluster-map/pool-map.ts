// One pool as a subscriber of the map knows it. Immutable for its users; the data path reads the typed arrays by comb
// number, without a lookup in a hash table and without allocation.

import { assert } from '../core/assert.js';
import type { CombEntry, MapPool } from '../protocol/generated/types.js';
import { combOf } from './comb.js';
import { compareGenerations, entryFault, primaryOf } from './entry.js';

export class PoolMap {
  readonly pool: MapPool;
  readonly combCount: number;
  /** Device key of the primary by comb, 0 where no entry is known. Read only. */
  readonly primaryKeys: Uint32Array;
  /** Incarnation of the primary's device by comb. Read only. */
  readonly primaryIncarnations: Uint32Array;
  /** Generation of the known entry by comb, (0, 0) where none is. Read only. */
  readonly generationEpochs: Uint32Array;
  readonly generationNumbers: Uint32Array;
  private readonly entries: (CombEntry | null)[];

  /** @param before - entries to start from; they are copied, and must have the same number of combs */
  constructor(pool: MapPool, before: PoolMap | null = null) {
    assert(
      before === null || before.pool.combCountLog2 === pool.combCountLog2,
      'a pool map keeps its number of combs',
    );
    this.pool = pool;
    this.combCount = 1 << pool.combCountLog2;
    const fresh = (): Uint32Array => new Uint32Array(this.combCount);
    this.primaryKeys = before?.primaryKeys.slice() ?? fresh();
    this.primaryIncarnations = before?.primaryIncarnations.slice() ?? fresh();
    this.generationEpochs = before?.generationEpochs.slice() ?? fresh();
    this.generationNumbers = before?.generationNumbers.slice() ?? fresh();
    this.entries =
      before?.entries.slice() ?? new Array<CombEntry | null>(this.combCount).fill(null);
  }

  /** Comb of a chunk of a volume of this pool. */
  combOf(vtreeKey: number, chunkIndex: number): number {
    return combOf(vtreeKey, chunkIndex, this.pool.combCountLog2);
  }

  /** The known entry, or null. */
  entry(comb: number): CombEntry | null {
    return this.entries[comb] ?? null;
  }

  /** Known entries in ascending order of comb. */
  *known(): Iterable<CombEntry> {
    for (const entry of this.entries) if (entry !== null) yield entry;
  }

  /** Whether `entry` is sound, of this pool's range, and newer than what is known. */
  isNews(entry: CombEntry): boolean {
    if (entry.index >= this.combCount || entryFault(entry) !== null) return false;
    const known = this.entries[entry.index] ?? null;
    return known === null || compareGenerations(entry.generation, known.generation) > 0;
  }

  /** A map with those of the entries that are news; this one when none is. */
  withEntries(entries: readonly CombEntry[]): PoolMap {
    const news = entries.filter((entry) => this.isNews(entry));
    if (news.length === 0) return this;
    const next = new PoolMap(this.pool, this);
    for (const entry of news) next.put(entry);
    return next;
  }

  private put(entry: CombEntry): void {
    // The same comb may stand twice in one update: the newer wins whatever the order.
    if (!this.isNews(entry)) return;
    const primary = primaryOf(entry);
    assert(primary !== undefined, 'a sound entry has its primary among its members');
    this.entries[entry.index] = entry;
    this.primaryKeys[entry.index] = primary.deviceKey;
    this.primaryIncarnations[entry.index] = primary.incarnation;
    this.generationEpochs[entry.index] = entry.generation.epoch;
    this.generationNumbers[entry.index] = entry.generation.number;
  }
}
