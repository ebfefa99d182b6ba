// What is known of each comb while restored metadata is made true: the newest entry that anybody remembers. It must never
// take an entry of a comb that the metadata does not know.

import { compareGenerations, isInSync, isTarget } from '../cluster-map/entry.js';
import type { CombEntry, CombMemory } from '../protocol/generated/types.js';

export class NewestCombs {
  /** By pool, then by index of the comb. */
  readonly pools = new Map<number, Map<number, CombEntry>>();

  /** @param pooled - entries of the metadata, by pool */
  constructor(pooled: Iterable<readonly [number, readonly CombEntry[]]>) {
    for (const [poolKey, entries] of pooled)
      this.pools.set(poolKey, new Map(entries.map((entry) => [entry.index, entry])));
  }

  take(poolKey: number, memories: readonly CombMemory[]): void {
    const pool = this.pools.get(poolKey);
    if (pool === undefined) return;
    for (const { entry } of memories) {
      const known = pool.get(entry.index);
      if (known !== undefined && compareGenerations(entry.generation, known.generation) > 0)
        pool.set(entry.index, entry);
    }
  }

  count(): number {
    return [...this.pools.values()].reduce((sum, pool) => sum + pool.size, 0);
  }

  /** Members in sync or targets that are asked for, and of how many combs: one of them wrote down what came later. */
  actedOnBy(isWanted: (deviceKey: number) => boolean): Map<number, number> {
    const combs = new Map<number, number>();
    for (const pool of this.pools.values())
      for (const entry of pool.values())
        entry.members.forEach(({ deviceKey }, index) => {
          if (!isInSync(entry, index) && !isTarget(entry, index)) return;
          if (isWanted(deviceKey)) combs.set(deviceKey, (combs.get(deviceKey) ?? 0) + 1);
        });
    return combs;
  }
}
