// Volumes as the dashboard lists them: found by name or id, a page at a time, so that a system with thousands of them
// costs a browser no more than one with ten.

import type { Volume, VolumeStatus } from '../../protocol/generated/types.js';
import { readFacts } from '../../runtime/statistics/facts.js';
import type { Facts } from '../../runtime/statistics/facts.js';
import { isSnapshot } from '../../runtime/statistics/trees.js';
import type { Reader } from '../reader.js';

import { loadOf } from './overview.js';
import type { VolumeList, VolumeRow } from './shapes.js';

/** Rows of a page. */
export const VOLUME_ROWS_MAX = 200;

interface Place {
  readonly volume: Volume;
  readonly depth: number;
}

/** All volumes: those without a source in order of name, below each what is a snapshot of it, oldest first. */
function outline({ volumesByAncestor }: Facts): readonly Place[] {
  const byName = [...(volumesByAncestor.get(0) ?? [])].sort((a, b) =>
    a.name < b.name ? -1 : a.name > b.name ? 1 : a.key - b.key,
  );
  const places: Place[] = [];
  const open: Place[] = byName.map((volume) => ({ volume, depth: 0 })).reverse();
  for (let place = open.pop(); place !== undefined; place = open.pop()) {
    places.push(place);
    const below = volumesByAncestor.get(place.volume.key) ?? [];
    for (const volume of [...below].reverse()) open.push({ volume, depth: place.depth + 1 });
  }
  return places;
}

/** What no other volume reads. */
function ownBytes(held: VolumeStatus | undefined): number {
  return held === undefined ? 0 : Math.max(0, held.netBytes - held.sharedNetBytes);
}

/**
 * @param search - part of a name, of an id or of the id of a V-tree, in any case; empty: all
 * @param offset - matching volumes to leave out before the first row
 * @param limit - rows wanted, 1 to VOLUME_ROWS_MAX
 */
export async function volumeListOf(
  reader: Reader,
  search: string,
  offset: number,
  limit: number,
): Promise<VolumeList> {
  const facts = await readFacts(reader);
  const wanted = search.trim().toLowerCase();
  const found = outline(facts).filter(({ volume: { key, vtreeKey, name } }) =>
    [name.toLowerCase(), reader.id(key), reader.id(vtreeKey)].some((text) => text.includes(wanted)),
  );
  const shown = found.slice(offset, offset + limit);
  const names = new Map(facts.volumes.map(({ key, name }) => [key, name]));
  const pools = new Map(facts.pools.map(({ key, name }) => [key, name]));
  const sdcs = new Map(facts.sdcs.map(({ key, name, guid }) => [key, name === '' ? guid : name]));
  const { volumes } = await reader.status('volume');
  const held = new Map(volumes.map((use) => [use.volumeKey, use]));
  const rows = shown.map<VolumeRow>(({ volume, depth }) => ({
    id: reader.id(volume.key),
    name: volume.name,
    pool: pools.get(volume.poolKey) ?? '',
    provisioning: volume.provisioning,
    sizeBytes: volume.sizeSectors * 512,
    usedBytes: held.get(volume.key)?.netBytes ?? 0,
    ownBytes: ownBytes(held.get(volume.key)),
    vtreeId: reader.id(volume.vtreeKey),
    ancestor: names.get(volume.ancestorKey) ?? '',
    isSnapshot: isSnapshot(volume),
    depth,
    createdAtMs: volume.createdAtMs,
    mappings: (facts.mappingsByVolume.get(volume.key) ?? []).map((mapping) => ({
      sdcId: reader.id(mapping.sdcKey),
      sdc: sdcs.get(mapping.sdcKey) ?? '',
      generation: mapping.generation,
      access: mapping.access,
    })),
    load: loadOf(facts.ratesByVolume.get(volume.key) ?? []),
  }));
  return { total: found.length, offset, rows };
}
