// How much more a cluster can do with one server more: the MDM places the combs, uniform random I/O of full volumes is spread
// over them by the hash that clients use, and the busiest server is the ceiling. Reads cost their primary, writes all copies.

import { combOf } from '../../cluster-map/comb.js';
import type { CombEntry } from '../../protocol/generated/types.js';
import { ScaleCluster } from './cluster.js';

export interface Ceiling {
  readonly servers: number;
  /** I/O per second of the whole cluster, where one server alone could do 1. */
  readonly reads: number;
  readonly writes: number;
}

export interface Growth extends Ceiling {
  /** Of what one server more could add, by the law of proportion. */
  readonly readsShare: number;
  readonly writesShare: number;
}

const VOLUMES = 16;
const CHUNKS_PER_VOLUME = 65_536;

function ceilingOf(entries: readonly (CombEntry | undefined)[], combCountLog2: number): Ceiling {
  const reads = new Map<number, number>();
  const writes = new Map<number, number>();
  for (let vtree = 1; vtree <= VOLUMES; vtree++)
    for (let chunk = 0; chunk < CHUNKS_PER_VOLUME; chunk++) {
      const entry = entries[combOf(vtree, chunk, combCountLog2)];
      if (entry === undefined) throw new Error('every comb has a place');
      entry.members.forEach(({ deviceKey }, at) => {
        writes.set(deviceKey, (writes.get(deviceKey) ?? 0) + 1);
        if (at === entry.primary) reads.set(deviceKey, (reads.get(deviceKey) ?? 0) + 1);
      });
    }
  const all = VOLUMES * CHUNKS_PER_VOLUME;
  return {
    servers: writes.size,
    reads: all / Math.max(...reads.values()),
    writes: all / Math.max(...writes.values()),
  };
}

/** The ceilings of clusters of these sizes and of one server more each. */
export function measureGrowth(sizes: readonly number[], combCountLog2: number): Growth[] {
  const ceiling = (servers: number): Ceiling => {
    const size = { servers, combCountLog2, combsPerPair: 0, clients: 0 };
    const disks = { diskBytesPerSecond: 1e9, serverBytes: 1 };
    return ceilingOf(
      new ScaleCluster({ ...size, ...disks }, () => undefined).entries,
      combCountLog2,
    );
  };
  return sizes.map((servers) => {
    const before = ceiling(servers);
    const after = ceiling(servers + 1);
    const share = (one: number, other: number): number => (other / one) * (servers / (servers + 1));
    return {
      ...after,
      readsShare: share(before.reads, after.reads),
      writesShare: share(before.writes, after.writes),
    };
  });
}
