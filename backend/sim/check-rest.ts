// Judges a cluster at rest: every comb has its copies in sync, the copies are equal, nothing is left over in the clients,
// nobody logged an error that no fault explains. It must never be asked while requests run.

import type { CombEntry } from '../protocol/generated/types.js';

import { SIM_GEOMETRY } from './client-node.js';
import type { SimCluster } from './cluster.js';
import type { DeviceContent } from './device.js';
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

/**
 * Where data is moved: combs that have no two copies although enough servers work, or on which something is still to be
 * done, in words; null: none.
 */
function unrested(cluster: SimCluster): string | null {
  const { serverWork } = cluster.operator;
  const used = cluster.servers.filter((server) => serverWork.isUsed(server) && !server.failed);
  for (const { number, data, deviceKey } of used)
    if (data?.alive === true && !isUp(cluster, deviceKey))
      return `server ${number} is not back yet`;
  const units = new Set(used.map(({ number }) => unitOf(cluster, number)));
  for (const entry of newestEntries(cluster).values()) {
    const { index, members, inSyncMask } = entry;
    const copies = members.filter((_, place) => ((inSyncMask >> place) & 1) === 1);
    const text = `comb ${index} (members ${members.map(({ deviceKey }) => deviceKey).join(' ')}, in sync ${inSyncMask})`;
    if (units.size < 2) continue;
    if (copies.length < 2) return `${text} lacks a copy`;
    if (members.length > 2) return `${text} is on its way`;
    if (!cluster.moveWatch.areApart(entry)) return `${text} has its copies in one unit`;
    for (const server of serverWork.leaving())
      if (members.some(({ deviceKey }) => deviceKey === server.deviceKey))
        return `${text} lies on a server that is to be removed`;
  }
  return unmoved(cluster, units.size);
}

/** A server that is still on its way to another protection domain although nothing keeps it, in words; null: none. */
function unmoved(cluster: SimCluster, unitCount: number): string | null {
  for (const { name, stage } of cluster.moveWatch.onTheWay()) {
    const server = cluster.servers.find(({ number }) => name === `server${number}`);
    // Its data has no other place, or its disk is broken.
    if (server?.failed !== false || (stage === 'leaving' && unitCount < 2)) continue;
    return `${name} is still on its way to another domain (${stage})`;
  }
  return null;
}

/** Whether the MDM sees a device, as far as clients know. */
function isUp({ clients }: SimCluster, deviceKey: number): boolean {
  return clients.some(({ sdc }) => sdc?.map.devices.get(deviceKey)?.up === true);
}

function unitOf({ swarm }: SimCluster, number: number): number {
  return swarm.moves.faultSets === 0 ? number : number % swarm.moves.faultSets;
}

/** What a device still holds of combs that it does not carry, in words; null: nothing. Data processes must have ended. */
function leftovers(
  cluster: SimCluster,
  entries: ReadonlyMap<number, CombEntry>,
  contents: ReadonlyMap<number, DeviceContent | null>,
  combOf: (volumeKey: number, chunk: number) => number,
): string | null {
  if (cluster.swarm.moves.combsMax === 0) return null;
  const layers = layersOf(cluster);
  for (const server of cluster.servers) {
    if (!cluster.operator.serverWork.isUsed(server) || !isUp(cluster, server.deviceKey)) continue;
    for (const place of contents.get(server.deviceKey)?.keys() ?? []) {
      const [volumeKey = 0, chunk = 0] = place.split(':').map(Number);
      const entry = entries.get(combOf(volumeKey, chunk));
      if (entry === undefined || !layers.has(volumeKey)) continue;
      if (!entry.members.some(({ deviceKey }) => deviceKey === server.deviceKey))
        return `device ${server.deviceKey} still holds chunk ${chunk} of volume ${volumeKey} of comb ${entry.index}`;
    }
  }
  return null;
}

/** Combs that lack a copy although its device works, in words; null: none. */
export function lackingCopies(cluster: SimCluster): string | null {
  if (cluster.swarm.moves.combsMax > 0) return unrested(cluster);
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

/** Where copies in sync differ, in words; null: nowhere. Ends the data processes. */
export function unequalCopies(cluster: SimCluster): string | null {
  const entries = newestEntries(cluster);
  for (const server of cluster.servers) server.killData();
  const contents = new Map(
    cluster.servers.map((server) => [server.deviceKey, server.device.content()]),
  );
  const pool = [...(cluster.clients[0]?.sdc?.map.pools.values() ?? [])][0];
  if (pool === undefined) return null;
  const layers = layersOf(cluster);
  const chunks = Math.max(0, ...cluster.operator.volumes.map((volume) => volume.chunks));
  for (const [layerKey, vtreeKey] of layers)
    for (let chunk = 0; chunk < chunks; chunk++) {
      const entry = entries.get(pool.combOf(vtreeKey, chunk));
      if (entry === undefined) continue;
      const fault = unequalChunk(entry, contents, layerKey, chunk);
      if (fault !== null) return fault;
    }
  return leftovers(cluster, entries, contents, (layerKey, chunk) =>
    pool.combOf(layers.get(layerKey) ?? 0, chunk),
  );
}

/** V-tree of each layer whose content is at rest: nothing is moved out of it or into it. */
function layersOf({ operator, moveWatch, history }: SimCluster): Map<number, number> {
  const layers = new Map<number, number>();
  for (const { key, vtreeKey } of moveWatch.layers.values()) layers.set(key, vtreeKey);
  const snapshotted = new Set(layers.values());
  for (const { key } of operator.volumes)
    if (!snapshotted.has(history.rootOf(key))) layers.set(key, key);
  for (const { key, mergeKey } of moveWatch.layers.values())
    if (mergeKey !== 0) {
      layers.delete(key);
      layers.delete(mergeKey);
    }
  return layers;
}

function unequalChunk(
  entry: CombEntry,
  contents: ReadonlyMap<number, DeviceContent | null>,
  volumeKey: number,
  chunk: number,
): string | null {
  const holders = entry.members.filter((_, index) => ((entry.inSyncMask >> index) & 1) === 1);
  const [first, ...others] = holders;
  if (first === undefined) return null;
  for (const { deviceKey } of holders)
    if (contents.get(deviceKey) === null) return `device ${deviceKey} cannot be opened any more`;
  for (let block = 0; block < SIM_GEOMETRY.chunkBlocks; block++) {
    const place = `${volumeKey}:${chunk}:${block}`;
    const one = contents.get(first.deviceKey)?.get(place);
    for (const { deviceKey } of others) {
      const other = contents.get(deviceKey)?.get(place);
      if (tagsOf(one) !== tagsOf(other))
        return `volume ${volumeKey} chunk ${chunk} block ${block} (comb ${entry.index}) differs between device ${first.deviceKey} (${tagsOf(one)}) and device ${deviceKey} (${tagsOf(other)})`;
    }
  }
  return null;
}

function tagsOf(block: Uint8Array | undefined): string {
  if (block === undefined) return 'zero';
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  const tags: string[] = [];
  for (let at = 0; at < block.length; at += 8)
    tags.push(`${view.getUint32(at, true)}/${view.getUint32(at + 4, true)}`);
  return tags.join(' ');
}
