// Judges a cluster at rest: every comb has its copies in sync, the copies are equal, nothing is left over in the clients,
// nobody logged an error that no fault explains. It must never be asked while requests run.

import type { CombEntry } from '../protocol/generated/types.js';

import { SIM_GEOMETRY } from './client-node.js';
import type { SimCluster } from './cluster.js';
import type { ServerNode } from './server-node.js';

/** Newest known entry of every comb. */
export function newestEntries(cluster: SimCluster): Map<number, CombEntry> {
  const newest = new Map<number, CombEntry>();
  for (const client of cluster.clients)
    for (const pool of client.sdc?.map.pools.values() ?? [])
      for (const entry of pool.known()) {
        const known = newest.get(entry.index);
        const newer =
          known === undefined ||
          entry.generation.epoch > known.generation.epoch ||
          (entry.generation.epoch === known.generation.epoch &&
            entry.generation.number > known.generation.number);
        if (newer) newest.set(entry.index, entry);
      }
  return newest;
}

function serverOf(cluster: SimCluster, deviceKey: number): ServerNode | undefined {
  return cluster.servers.find((server) => server.deviceKey === deviceKey);
}

/** Combs that lack a copy although its device works, in words; null: none. */
export function lackingCopies(cluster: SimCluster): string | null {
  for (const entry of newestEntries(cluster).values()) {
    for (let index = 0; index < entry.members.length; index++) {
      const member = entry.members[index];
      if (member === undefined || ((entry.inSyncMask >> index) & 1) === 1) continue;
      const server = serverOf(cluster, member.deviceKey);
      if (server !== undefined && !server.failed)
        return `comb ${entry.index} lacks device ${member.deviceKey} (generation ${entry.generation.epoch}.${entry.generation.number}, in sync ${entry.inSyncMask}, targets ${entry.targetMask})`;
    }
  }
  return null;
}

/** Where copies in sync differ, in words; null: nowhere. */
export function unequalCopies(cluster: SimCluster): string | null {
  const entries = newestEntries(cluster);
  for (const volume of cluster.volumes) {
    const fault = unequalVolume(cluster, entries, volume.key, volume.chunks);
    if (fault !== null) return fault;
  }
  return null;
}

function unequalVolume(
  cluster: SimCluster,
  entries: ReadonlyMap<number, CombEntry>,
  volumeKey: number,
  chunks: number,
): string | null {
  const pool = [...(cluster.clients[0]?.sdc?.map.pools.values() ?? [])][0];
  if (pool === undefined) return null;
  for (let chunk = 0; chunk < chunks; chunk++) {
    // The V-tree of a volume that is no snapshot has the volume's own key.
    const entry = entries.get(pool.combOf(volumeKey, chunk));
    if (entry === undefined) continue;
    const holders: ServerNode[] = [];
    entry.members.forEach((member, index) => {
      const server = serverOf(cluster, member.deviceKey);
      if (((entry.inSyncMask >> index) & 1) === 1 && server !== undefined) holders.push(server);
    });
    const fault = unequalChunk(holders, volumeKey, chunk, entry.index);
    if (fault !== null) return fault;
  }
  return null;
}

function unequalChunk(
  holders: readonly ServerNode[],
  volumeKey: number,
  chunk: number,
  comb: number,
): string | null {
  const [first, ...others] = holders.filter(({ medium }) => medium.rotten.size === 0);
  if (first === undefined) return null;
  for (let block = 0; block < SIM_GEOMETRY.chunkBlocks; block++) {
    const one = first.store?.peekBlock(volumeKey, chunk, block) ?? null;
    for (const server of others) {
      const other = server.store?.peekBlock(volumeKey, chunk, block) ?? null;
      const equal =
        one === other ||
        (one !== null && other !== null && one.every((byte, index) => byte === other[index]));
      if (!equal)
        return `volume ${volumeKey} chunk ${chunk} block ${block} (comb ${comb}) differs between server ${first.number} (${tagOf(one)}) and server ${server.number} (${tagOf(other)})`;
    }
  }
  return null;
}

function tagOf(block: Uint8Array | null): string {
  if (block === null) return 'zero';
  return `tags ${Array.from(block)
    .filter((_, index) => index % 8 === 0)
    .join(' ')}`;
}
