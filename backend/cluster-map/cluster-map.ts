// What a subscriber knows of the cluster: an immutable view, replaced as a whole by `apply`. It owns how updates of the
// MDM, and newer entries that refusals carry (C1), become the next view. It must never guess: what it was not told is
// absent, and an entry of an older generation never replaces a newer one.

import type {
  CombEntry,
  ControlBodies,
  MapDevice,
  MapPool,
  MapVolume,
  Mapping,
  Merge,
} from '../protocol/generated/types.js';
import type { MSG } from '../protocol/generated/constants.js';
import { PoolMap } from './pool-map.js';

/** The body of MAP_UPDATE. */
export type MapUpdate = ControlBodies[typeof MSG.MAP_UPDATE];

interface Content {
  readonly term: number;
  readonly sequence: number;
  readonly pools: ReadonlyMap<number, PoolMap>;
  readonly devices: ReadonlyMap<number, MapDevice>;
  readonly volumes: ReadonlyMap<number, MapVolume>;
  /** By volume, then by SDC. */
  readonly mappings: ReadonlyMap<number, ReadonlyMap<number, Mapping>>;
  /** By the layer that goes. */
  readonly merges: ReadonlyMap<number, Merge>;
  /** Volumes that the last update named as removed. */
  readonly tombstones: readonly number[];
  /** Layers whose chunks the last update named as free. */
  readonly freedLayers: readonly number[];
}

export class ClusterMap {
  static readonly EMPTY = new ClusterMap({
    term: 0,
    sequence: 0,
    pools: new Map(),
    devices: new Map(),
    volumes: new Map(),
    mappings: new Map(),
    merges: new Map(),
    tombstones: [],
    freedLayers: [],
  });

  /** Term and sequence of the commit that this view reflects. */
  readonly term: number;
  readonly sequence: number;
  readonly pools: ReadonlyMap<number, PoolMap>;
  readonly devices: ReadonlyMap<number, MapDevice>;
  readonly volumes: ReadonlyMap<number, MapVolume>;
  /** By volume key, then by SDC key. */
  readonly mappings: ReadonlyMap<number, ReadonlyMap<number, Mapping>>;
  /** Keys of volumes that the update which made this view named as removed. */
  readonly tombstones: readonly number[];
  /** Layers whose chunks are freed, by that update: a volume of the same key may be there. */
  readonly freedLayers: readonly number[];
  /** Layers that their child takes over, by their key. */
  readonly merges: ReadonlyMap<number, Merge>;

  private constructor(content: Content) {
    this.term = content.term;
    this.sequence = content.sequence;
    this.pools = content.pools;
    this.devices = content.devices;
    this.volumes = content.volumes;
    this.mappings = content.mappings;
    this.tombstones = content.tombstones;
    this.freedLayers = content.freedLayers;
    this.merges = content.merges;
  }

  mapping(volumeKey: number, sdcKey: number): Mapping | undefined {
    return this.mappings.get(volumeKey)?.get(sdcKey);
  }

  /**
   * The view after an update.
   *
   * @param parts - all parts of one update in order; the last has `last`
   * @returns a new view. A full update forgets the combs that it does not name; where a newer entry than the update's
   *   is known, from a refusal, the newer one stays
   */
  apply(parts: readonly MapUpdate[]): ClusterMap {
    const draft = new Draft(this);
    for (const part of parts) draft.take(part);
    return new ClusterMap(draft.content());
  }

  /**
   * The view with an entry that a refusal carried, so that clients converge with all MDMs down.
   *
   * @returns this view itself when the pool is unknown or the entry is no news
   */
  withEntry(poolKey: number, entry: CombEntry): ClusterMap {
    const pool = this.pools.get(poolKey);
    const next = pool?.withEntries([entry]);
    if (pool === undefined || next === undefined || next === pool) return this;
    const { term, sequence, devices, volumes, mappings, merges, tombstones, freedLayers } = this;
    const pools = new Map(this.pools).set(poolKey, next);
    const known = { term, sequence, devices, volumes, mappings, merges, tombstones, freedLayers };
    return new ClusterMap({ ...known, pools });
  }
}

/** A view in the making. Maps are copied once per update, whatever its number of parts. */
class Draft {
  private readonly before: ClusterMap;
  private term: number;
  private sequence: number;
  private pools: Map<number, PoolMap>;
  private devices: Map<number, MapDevice>;
  private volumes: Map<number, MapVolume>;
  private mappings: Map<number, ReadonlyMap<number, Mapping>>;
  private merges: Map<number, Merge>;
  private readonly tombstones = new Set<number>();
  private readonly freedLayers = new Set<number>();
  private readonly ownMappings = new Set<number>();
  private full = false;

  constructor(before: ClusterMap) {
    this.before = before;
    this.term = before.term;
    this.sequence = before.sequence;
    this.pools = new Map(before.pools);
    this.devices = new Map(before.devices);
    this.volumes = new Map(before.volumes);
    this.mappings = new Map(before.mappings);
    this.merges = new Map(before.merges);
  }

  take(part: MapUpdate): void {
    if (part.full) this.forget();
    this.term = part.term;
    this.sequence = part.sequence;
    for (const pool of part.pools) this.pools.set(pool.key, this.poolMap(pool));
    for (const { poolKey, combs } of part.combs) {
      const pool = this.pools.get(poolKey);
      if (pool !== undefined) this.pools.set(poolKey, pool.withEntries(combs));
    }
    for (const device of part.devices) this.devices.set(device.key, device);
    for (const volume of part.volumes) this.volumes.set(volume.key, volume);
    for (const mapping of part.removedMappings) this.unmap(mapping);
    for (const mapping of part.mappings)
      this.mutable(mapping.volumeKey).set(mapping.sdcKey, mapping);
    for (const key of part.removedDevices) this.devices.delete(key);
    for (const merge of part.merges) this.merges.set(merge.parentKey, merge);
    for (const key of part.removedMerges) this.merges.delete(key);
    for (const key of [...part.removedVolumes, ...part.goneVolumes]) {
      this.volumes.delete(key);
      this.mappings.delete(key);
      this.tombstones.add(key);
    }
    for (const key of [...part.removedVolumes, ...part.removedLayers]) this.freedLayers.add(key);
  }

  content(): Content {
    if (this.full) this.keepNewer();
    const { term, sequence, pools, devices, volumes, mappings, merges } = this;
    return {
      ...{ term, sequence, pools, devices, volumes, mappings, merges },
      ...{ tombstones: [...this.tombstones], freedLayers: [...this.freedLayers] },
    };
  }

  private forget(): void {
    this.full = true;
    this.pools = new Map();
    this.devices = new Map();
    this.volumes = new Map();
    this.mappings = new Map();
    this.merges = new Map();
    this.ownMappings.clear();
  }

  /** Settings change, entries stay. */
  private poolMap(pool: MapPool): PoolMap {
    const known = this.pools.get(pool.key);
    return new PoolMap(pool, known?.pool.combCountLog2 === pool.combCountLog2 ? known : null);
  }

  /** Generations only ever go up, also across masters: a full update never takes one back. */
  private keepNewer(): void {
    for (const [key, pool] of this.pools) {
      const before = this.before.pools.get(key);
      if (before === undefined) continue;
      const named = [...before.known()].filter((entry) => pool.entry(entry.index) !== null);
      this.pools.set(key, pool.withEntries(named));
    }
  }

  /** A mapping is taken away only if the known one is not newer: a removal may be told again (C13). */
  private unmap(mapping: Mapping): void {
    const known = this.mappings.get(mapping.volumeKey)?.get(mapping.sdcKey);
    if (known === undefined || known.generation > mapping.generation) return;
    const ofVolume = this.mutable(mapping.volumeKey);
    ofVolume.delete(mapping.sdcKey);
    if (ofVolume.size > 0) return;
    this.mappings.delete(mapping.volumeKey);
    this.ownMappings.delete(mapping.volumeKey);
  }

  private mutable(volumeKey: number): Map<number, Mapping> {
    const known = this.mappings.get(volumeKey);
    if (known !== undefined && this.ownMappings.has(volumeKey))
      return known as Map<number, Mapping>;
    const own = new Map(known ?? []);
    this.mappings.set(volumeKey, own);
    this.ownMappings.add(volumeKey);
    return own;
  }
}
