// Volumes as the dashboard lists them: found by name or id, a page at a time, so that a system with thousands of them
// costs a browser no more than one with ten.

import { readFacts } from '../../runtime/statistics/facts.js';
import type { Reader } from '../reader.js';

import { loadOf } from './overview.js';
import type { VolumeList, VolumeRow } from './shapes.js';

/** Rows of a page. */
export const VOLUME_ROWS_MAX = 200;

/**
 * @param search - part of a name or id, in any case; empty: all
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
  const found = facts.volumes
    .filter(
      ({ key, name }) => name.toLowerCase().includes(wanted) || reader.id(key).includes(wanted),
    )
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.key - b.key));
  const shown = found.slice(offset, offset + limit);
  const pools = new Map(facts.pools.map(({ key, name }) => [key, name]));
  const sdcs = new Map(facts.sdcs.map(({ key, name, guid }) => [key, name === '' ? guid : name]));
  const { volumes } = await reader.status('volume');
  const netBytes = new Map(volumes.map((use) => [use.volumeKey, use.netBytes]));
  const rows = shown.map<VolumeRow>((volume) => ({
    id: reader.id(volume.key),
    name: volume.name,
    pool: pools.get(volume.poolKey) ?? '',
    provisioning: volume.provisioning,
    sizeBytes: volume.sizeSectors * 512,
    usedBytes: netBytes.get(volume.key) ?? 0,
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
