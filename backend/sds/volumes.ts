// What a data process knows of volumes and of who may use them. It owns the admission of clients by mapping (C1, C13) and
// the counters per volume; it must never admit by anything but what the MDM confirmed.

import type { ClusterMap, MapUpdate } from '../cluster-map/cluster-map.js';
import { ERR } from '../protocol/generated/constants.js';
import type { Counter, MapVolume } from '../protocol/generated/types.js';

/** The right of one client as of the map. */
export interface Grant {
  readonly generation: number;
  readonly readOnly: boolean;
}

/** Totals since the start of the process. */
export class Totals {
  readOps = 0;
  readBytes = 0;
  writeOps = 0;
  writeBytes = 0;
  trimOps = 0;
  trimBytes = 0;
  readMicros = 0;
  writeMicros = 0;
  cachedReadOps = 0;
  cachedReadBytes = 0;

  add(other: Totals): void {
    this.readOps += other.readOps;
    this.readBytes += other.readBytes;
    this.writeOps += other.writeOps;
    this.writeBytes += other.writeBytes;
    this.trimOps += other.trimOps;
    this.trimBytes += other.trimBytes;
    this.readMicros += other.readMicros;
    this.writeMicros += other.writeMicros;
    this.cachedReadOps += other.cachedReadOps;
    this.cachedReadBytes += other.cachedReadBytes;
  }

  asCounter(key: number): Counter {
    const { readOps, readBytes, writeOps, writeBytes, trimOps, trimBytes } = this;
    const { readMicros, writeMicros, cachedReadOps, cachedReadBytes } = this;
    return {
      key,
      readOps,
      readBytes,
      writeOps,
      writeBytes,
      trimOps,
      trimBytes,
      readMicros,
      writeMicros,
      cachedReadOps,
      cachedReadBytes,
      // Limits hold where requests begin: at the clients.
      ...{ throttledOps: 0, throttledMicros: 0 },
    };
  }
}

/** One volume. The object stays the same while the volume exists, so that operations can point to it. */
export class Volume {
  readonly key: number;
  readonly vtreeKey: number;
  epoch = 0;
  sizeSectors = 0;
  /** Its layers, the one that is written first. Another object whenever it changes. */
  layers: readonly number[];
  /** Cut that made the present top layer and is not decided yet, 0: none. */
  cut = 0;
  /** A group snapshot is being made: changes of clients wait. */
  held = false;
  /** False: no client is served. */
  active = true;
  /** Nothing is set aside for what it may come to hold. */
  thin = true;
  /** Its reads use the read cache where the pool does. */
  rmcache = false;
  readonly grants = new Map<number, Grant>();
  readonly totals = new Totals();

  constructor(key: number, vtreeKey: number) {
    this.key = key;
    this.vtreeKey = vtreeKey;
    this.layers = [key];
  }

  /** The layer that is written. */
  get layerKey(): number {
    return this.layers[0] ?? this.key;
  }
}

/** Bound on remembered revocations; beyond it a late client is told to wait instead of that it has no right. */
const REVOKED_MAX = 65536;

function pairKey(volumeKey: number, sdcKey: number): number {
  // Both are u32; keys of one system come from one counter and stay far below 2^26 together with 2^27.
  return volumeKey * 0x8000000 + sdcKey;
}

export class Volumes {
  private readonly volumes = new Map<number, Volume>();
  /** Highest generation that was revoked, by volume and client. */
  private readonly revoked = new Map<number, number>();
  private readonly removed = new Set<number>();
  private readonly freedLayers = new Set<number>();
  /** Layers that nobody writes for good. */
  private readonly frozenLayers = new Set<number>();

  find(key: number): Volume | undefined {
    return this.volumes.get(key);
  }

  /** Whether the MDM said that the layer is gone for good. */
  isFreed(layerKey: number): boolean {
    return this.freedLayers.has(layerKey);
  }

  /**
   * Whether the MDM said that clients write the layer no more. Not yet while the cut that froze it is undecided: a primary that
   * did not hold goes on until it hears of the new layers, and that point never becomes valid.
   */
  isFrozen(layerKey: number): boolean {
    return this.frozenLayers.has(layerKey);
  }

  /** Whether other layers may lie below this one: all but the only layer of a volume. */
  isLayered(layerKey: number): boolean {
    const volume = this.volumes.get(layerKey);
    return volume === undefined || volume.layers.length > 1 || volume.layerKey !== layerKey;
  }

  all(): Iterable<Volume> {
    return this.volumes.values();
  }

  /** Takes over a view of the MDM. */
  apply(map: ClusterMap, parts: readonly MapUpdate[]): void {
    for (const key of map.freedLayers) {
      this.freedLayers.add(key);
      this.frozenLayers.delete(key);
    }
    for (const key of map.tombstones) {
      this.removed.add(key);
      this.volumes.delete(key);
    }
    if (parts.some((part) => part.full)) {
      this.applyAll(map);
      return;
    }
    for (const part of parts) {
      for (const volume of part.volumes) {
        this.put(volume);
        this.noteFrozen(volume);
      }
      for (const { volumeKey, sdcKey } of part.removedMappings) this.grant(map, volumeKey, sdcKey);
      for (const { volumeKey, sdcKey } of part.mappings) this.grant(map, volumeKey, sdcKey);
    }
  }

  /**
   * Judges a client's claim (C1).
   *
   * @param epoch - volume epoch that the client knows
   * @param generation - of the mapping that the client knows
   * @returns 0 or an error code
   */
  judge(volumeKey: number, sdcKey: number, epoch: number, generation: number): number {
    const volume = this.volumes.get(volumeKey);
    if (volume === undefined)
      return this.removed.has(volumeKey) ? ERR.UNKNOWN_VOLUME : ERR.NOT_READY;
    const grant = volume.grants.get(sdcKey);
    if (grant === undefined) {
      const revoked = this.revoked.get(pairKey(volumeKey, sdcKey)) ?? 0;
      return generation <= revoked ? ERR.MAPPING_REVOKED : ERR.NOT_READY;
    }
    // It has the right, by a mapping that it or this process does not know yet: whoever is behind learns of it. A client that
    // cannot ask the MDM must not take that for the loss of its right: restored metadata maps everything anew.
    if (grant.generation !== generation) return ERR.NOT_READY;
    if (!volume.active) return ERR.NOT_READY;
    if (volume.epoch !== epoch)
      return epoch < volume.epoch ? ERR.STALE_VOLUME_EPOCH : ERR.NOT_READY;
    return 0;
  }

  private applyAll(map: ClusterMap): void {
    for (const key of [...this.volumes.keys()])
      if (!map.volumes.has(key)) {
        this.revokeAll(key);
        this.volumes.delete(key);
      }
    // Restored metadata may know nothing of what was frozen.
    this.frozenLayers.clear();
    for (const { parentKey } of map.merges.values()) this.frozenLayers.add(parentKey);
    for (const volume of map.volumes.values()) {
      this.put(volume);
      this.noteFrozen(volume);
    }
    for (const volume of this.volumes.values()) {
      const mapped = map.mappings.get(volume.key);
      for (const sdcKey of [...volume.grants.keys()])
        if (mapped?.has(sdcKey) !== true) this.grant(map, volume.key, sdcKey);
      if (mapped === undefined) continue;
      for (const sdcKey of mapped.keys()) this.grant(map, volume.key, sdcKey);
    }
  }

  private put(told: MapVolume): void {
    let volume = this.volumes.get(told.key);
    if (volume === undefined) {
      volume = new Volume(told.key, told.vtreeKey);
      this.volumes.set(told.key, volume);
    }
    volume.epoch = told.epoch;
    volume.sizeSectors = told.sizeSectors;
    volume.thin = told.thin;
    volume.rmcache = told.rmcache;
    volume.cut = told.cut;
    volume.active = told.active;
    const layers = told.layers.length === 0 ? [told.key] : told.layers;
    const isSame =
      layers.length === volume.layers.length &&
      layers.every((key, depth) => key === volume.layers[depth]);
    if (!isSame) volume.layers = layers;
  }

  private noteFrozen({ layers, cut }: MapVolume): void {
    for (let depth = cut === 0 ? 1 : 2; depth < layers.length; depth++)
      this.frozenLayers.add(layers[depth] ?? 0);
  }

  private grant(map: ClusterMap, volumeKey: number, sdcKey: number): void {
    const volume = this.volumes.get(volumeKey);
    if (volume === undefined) return;
    const before = volume.grants.get(sdcKey);
    const mapping = map.mapping(volumeKey, sdcKey);
    if (before !== undefined && mapping?.generation !== before.generation)
      this.noteRevoked(volumeKey, sdcKey, before.generation);
    if (mapping === undefined) volume.grants.delete(sdcKey);
    else
      volume.grants.set(sdcKey, {
        generation: mapping.generation,
        readOnly: mapping.access === 'readOnly',
      });
  }

  private revokeAll(volumeKey: number): void {
    for (const [sdcKey, grant] of this.volumes.get(volumeKey)?.grants ?? [])
      this.noteRevoked(volumeKey, sdcKey, grant.generation);
  }

  private noteRevoked(volumeKey: number, sdcKey: number, generation: number): void {
    if (this.revoked.size >= REVOKED_MAX) this.revoked.clear();
    this.revoked.set(pairKey(volumeKey, sdcKey), generation);
  }
}
