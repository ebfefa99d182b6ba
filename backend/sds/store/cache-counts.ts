// What a read cache tells of itself. It owns the shape only.

/** What became of a cache since the device was opened. */
export interface CacheCounts {
  readonly sizeBytes: number;
  readonly entries: number;
  readonly usedEntries: number;
  readonly hits: number;
  readonly misses: number;
  readonly inserts: number;
  readonly evictions: number;
  readonly rejects: number;
  readonly failed: boolean;
}
