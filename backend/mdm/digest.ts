// What a commit changed, in the terms of subscribers: each object once, with what it was before where that matters. It
// must never know a subscriber.

import type {
  CombEntry,
  Device,
  Layer,
  Mapping,
  Merge,
  Tombstone,
  Volume,
} from '../protocol/generated/types.js';
import type { Touch } from './journal.js';
import type { State } from './state.js';
import { mergeOf, volumesOf } from './vtrees.js';

export interface Digest {
  /** Pools whose settings, or whose domain's, changed. */
  readonly pools: ReadonlySet<number>;
  /** By pool, each comb once; `before`: its entry before the commit. */
  readonly combs: ReadonlyMap<
    number,
    readonly { readonly entry: CombEntry; readonly before: CombEntry | null }[]
  >;
  readonly devices: readonly Device[];
  readonly removedDevices: readonly Device[];
  /** Changed themselves, or read other layers than before. */
  readonly volumes: readonly Volume[];
  readonly removedVolumes: readonly Volume[];
  readonly mappings: readonly { readonly mapping: Mapping; readonly poolKey: number }[];
  readonly removedMappings: readonly { readonly mapping: Mapping; readonly poolKey: number }[];
  /** Whether chunks of a layer with this key are freed. */
  readonly isFreed: (key: number) => boolean;
  /** Layers and volumes that are freed. */
  readonly freed: readonly Tombstone[];
  readonly merges: readonly Merge[];
  /** Layers that were merged, or are gone. */
  readonly removedMerges: readonly Layer[];
  /** SDCs whose approval changed. */
  readonly approvedSdcs: ReadonlySet<number>;
  /** SDSs whose devices are wanted otherwise than before. */
  readonly wantedSds: ReadonlySet<number>;
  /** The cluster version went up. */
  readonly isRaised: boolean;
}

/** The first touch of each object: only that knows what was there before the commit. */
function firsts(touches: readonly Touch[]): Touch[] {
  const seen = new Map<string, Touch>();
  for (const touch of touches) {
    const id = `${touch.kind} ${touch.key} ${touch.second}`;
    if (!seen.has(id)) seen.set(id, touch);
  }
  return [...seen.values()];
}

class DigestBuilder {
  readonly pools = new Set<number>();
  readonly combs = new Map<number, { entry: CombEntry; before: CombEntry | null }[]>();
  readonly deviceKeys = new Set<number>();
  readonly removedDevices: Device[] = [];
  readonly volumes = new Map<number, Volume>();
  readonly freed: Tombstone[] = [];
  readonly merges: Merge[] = [];
  readonly removedMerges: Layer[] = [];
  /** Whose layers changed. */
  readonly vtreeKeys = new Set<number>();
  readonly removedVolumes: Volume[] = [];
  readonly mappings: { mapping: Mapping; poolKey: number }[] = [];
  readonly removedMappings: { mapping: Mapping; poolKey: number }[] = [];
  readonly approvedSdcs = new Set<number>();
  readonly wantedSds = new Set<number>();
  isRaised = false;
  private readonly state: State;
  /** Pools of volumes that the same commit removed. */
  private readonly poolOfRemoved = new Map<number, number>();

  constructor(state: State, touches: readonly Touch[]) {
    this.state = state;
    for (const touch of touches)
      if (touch.kind === 'volume' && touch.before !== null)
        this.poolOfRemoved.set(touch.key, touch.before.poolKey);
  }

  take(touch: Touch): void {
    const { state } = this;
    switch (touch.kind) {
      case 'protectionDomain':
        for (const { key } of state.pools.filter(({ domainKey }) => domainKey === touch.key))
          this.pools.add(key);
        return;
      case 'storagePool':
        this.pools.add(touch.key);
        for (const { sdsKey } of state.devices.filter(({ poolKey }) => poolKey === touch.key))
          this.wantedSds.add(sdsKey);
        return;
      case 'sds':
        this.wantedSds.add(touch.key);
        for (const { key } of state.devices.filter(({ sdsKey }) => sdsKey === touch.key))
          this.deviceKeys.add(key);
        return;
      case 'device':
        this.device(touch);
        return;
      case 'comb':
        this.comb(touch);
        return;
      case 'volume':
        this.volume(touch);
        return;
      case 'mapping':
        this.mapping(touch);
        return;
      case 'system':
        if (touch.before?.clusterVersion !== state.system.clusterVersion) this.isRaised = true;
        return;
      case 'sdc':
        if (touch.before?.approved !== state.sdcs.get(touch.key)?.approved)
          this.approvedSdcs.add(touch.key);
        return;
      default:
        this.takeLayers(touch);
    }
  }

  private takeLayers(touch: Touch): void {
    if (touch.kind === 'layer') this.layer(touch);
    else if (touch.kind === 'cut') this.cut(touch);
    else if (touch.kind === 'tombstone') {
      const tombstone = this.state.tombstones.get(touch.key);
      if (tombstone !== undefined) this.freed.push(tombstone);
    }
    // The others are of no concern to subscribers.
  }

  private device({ key, before }: Extract<Touch, { kind: 'device' }>): void {
    const device = this.state.devices.get(key);
    const sdsKey = device?.sdsKey ?? before?.sdsKey;
    if (sdsKey !== undefined) this.wantedSds.add(sdsKey);
    if (device !== undefined) this.deviceKeys.add(key);
    else if (before !== null) this.removedDevices.push(before);
  }

  private comb({ key, second, before }: Extract<Touch, { kind: 'comb' }>): void {
    const entry = this.state.combs.ofPool(key)[second];
    if (entry === undefined) return;
    const list = this.combs.get(key) ?? [];
    list.push({ entry, before });
    this.combs.set(key, list);
  }

  private volume({ key, before }: Extract<Touch, { kind: 'volume' }>): void {
    const volume = this.state.volumes.get(key);
    if (volume !== undefined) this.volumes.set(key, volume);
    else if (before !== null) this.removedVolumes.push(before);
  }

  private layer({ key, before }: Extract<Touch, { kind: 'layer' }>): void {
    const layer = this.state.layers.get(key);
    const vtreeKey = layer?.vtreeKey ?? before?.vtreeKey;
    if (vtreeKey !== undefined) this.vtreeKeys.add(vtreeKey);
    const merge = layer === undefined ? null : mergeOf(layer);
    if (merge !== null) this.merges.push(merge);
    else if (before !== null && before.mergeKey !== 0) this.removedMerges.push(before);
  }

  /** What its volumes are written in may have changed. */
  private cut({ key, before }: Extract<Touch, { kind: 'cut' }>): void {
    const cut = this.state.cuts.get(key);
    if (cut?.stage !== 'switched' && before?.stage !== 'switched') return;
    for (const { volumeKey } of cut?.items ?? before?.items ?? []) {
      const volume = this.state.volumes.get(volumeKey);
      if (volume !== undefined) this.volumes.set(volumeKey, volume);
    }
  }

  private mapping({ key, second, before }: Extract<Touch, { kind: 'mapping' }>): void {
    const poolKey = this.state.volumes.get(key)?.poolKey ?? this.poolOfRemoved.get(key) ?? 0;
    const mapping = this.state.mappings.get(key, second);
    if (mapping !== undefined) this.mappings.push({ mapping, poolKey });
    if (before !== null && mapping?.generation !== before.generation)
      this.removedMappings.push({ mapping: before, poolKey });
  }
}

/** Combs that lie on other devices than before a commit, by pool. */
export function movedCombs({ combs }: Digest): ReadonlyMap<number, readonly number[]> {
  const moved = new Map<number, readonly number[]>();
  for (const [poolKey, list] of combs) {
    const indexes = list.flatMap(({ entry, before }) =>
      isOnSameDevices(entry, before) ? [] : [entry.index],
    );
    if (indexes.length > 0) moved.set(poolKey, indexes);
  }
  return moved;
}

function isOnSameDevices({ members }: CombEntry, before: CombEntry | null): boolean {
  return (
    before?.members.length === members.length &&
    before.members.every(({ deviceKey }, index) => members[index]?.deviceKey === deviceKey)
  );
}

/** Sums up a commit; the state is the one after it. */
export function digest(state: State, touches: readonly Touch[]): Digest {
  const builder = new DigestBuilder(state, touches);
  for (const touch of firsts(touches)) builder.take(touch);
  for (const volumes of volumesOf(state, builder.vtreeKeys).values())
    for (const volume of volumes) builder.volumes.set(volume.key, volume);
  const devices = [...builder.deviceKeys]
    .map((key) => state.devices.get(key))
    .filter((device) => device !== undefined);
  const isFreed = (key: number): boolean => state.tombstones.get(key)?.layerOnly === false;
  return { ...pick(builder), devices, isFreed };
}

function pick(builder: DigestBuilder): Omit<Digest, 'devices' | 'isFreed'> {
  const { pools, combs, removedDevices, removedVolumes } = builder;
  const { freed, merges, removedMerges } = builder;
  const volumes = [...builder.volumes.values()];
  const { mappings, removedMappings, approvedSdcs, wantedSds, isRaised } = builder;
  return {
    ...{ pools, combs, removedDevices, volumes, removedVolumes },
    ...{ mappings, removedMappings, approvedSdcs, wantedSds, isRaised },
    ...{ freed, merges, removedMerges },
  };
}
