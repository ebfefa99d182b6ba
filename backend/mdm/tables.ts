// Objects by key, with every change noted in the journal. It must never judge a change.

import { assert } from '../core/assert.js';
import { entryFault } from '../cluster-map/entry.js';
import { decodeStored, encodeStored } from '../protocol/control.js';
import { LIMIT } from '../protocol/generated/constants.js';
import type { CombEntry, Layer, Mapping, StructTypes } from '../protocol/generated/types.js';
import type { Journal, Kind, Kinds, Touch } from './journal.js';
import type { StoreKey } from './keys.js';

type KeyedKind = Exclude<Kind, 'mapping' | 'comb'>;

/** How objects of a kind are stored. */
export interface Codec<T> {
  encode(object: T, version: number): Uint8Array;
  decode(bytes: Uint8Array): T;
}

/** Objects stored as one structure of the protocol tables. */
export function codec<N extends keyof StructTypes>(struct: N): Codec<StructTypes[N]> {
  return {
    encode: (object, version) => encodeStored(struct, object, version),
    decode: (bytes) => decodeStored(struct, bytes),
  };
}

/** How a table meets the store. */
export interface StoredTable {
  /**
   * Takes what was read from the store.
   *
   * @throws ProtocolError, or Error with the reason, when it cannot be understood
   */
  loadStored(key: StoreKey, value: Uint8Array): void;
  /** Keys of everything that the store holds of it, in the store's order. */
  storedKeys(): Iterable<Pick<StoreKey, 'key' | 'second'>>;
  /** What the store shall hold now; null: nothing. */
  stored(key: StoreKey, version: number): Uint8Array | null;
}

/** Objects of one kind by their key. */
export class Table<K extends KeyedKind> implements StoredTable {
  private readonly kind: K;
  private readonly codec: Codec<Kinds[K]>;
  private readonly journal: Journal;
  private readonly objects = new Map<number, Kinds[K]>();

  constructor(kind: K, codec: Codec<Kinds[K]>, journal: Journal) {
    this.kind = kind;
    this.codec = codec;
    this.journal = journal;
  }

  loadStored({ key }: StoreKey, value: Uint8Array): void {
    this.set(key, this.codec.decode(value));
  }

  stored({ key }: StoreKey, version: number): Uint8Array | null {
    const object = this.objects.get(key);
    return object === undefined ? null : this.codec.encode(object, version);
  }

  storedKeys(): Iterable<Pick<StoreKey, 'key' | 'second'>> {
    return [...this.objects.keys()].sort(ascending).map((key) => ({ key, second: 0 }));
  }

  has(key: number): boolean {
    return this.objects.has(key);
  }

  get size(): number {
    return this.objects.size;
  }

  get(key: number): Kinds[K] | undefined {
    return this.objects.get(key);
  }

  values(): Iterable<Kinds[K]> {
    return this.objects.values();
  }

  keys(): Iterable<number> {
    return this.objects.keys();
  }

  put(key: number, object: Kinds[K]): void {
    this.note(key);
    this.set(key, object);
  }

  delete(key: number): void {
    this.note(key);
    this.set(key, undefined);
  }

  find(matches: (object: Kinds[K]) => boolean): Kinds[K] | undefined {
    for (const object of this.objects.values()) if (matches(object)) return object;
    return undefined;
  }

  filter(matches: (object: Kinds[K]) => boolean): Kinds[K][] {
    const found: Kinds[K][] = [];
    for (const object of this.objects.values()) if (matches(object)) found.push(object);
    return found;
  }

  /** An object came, went or changed, also by taking that back: for indexes. */
  protected follow?(before: Kinds[K] | undefined, after: Kinds[K] | undefined): void;

  private set(key: number, object: Kinds[K] | undefined): void {
    this.follow?.(this.objects.get(key), object);
    if (object === undefined) this.objects.delete(key);
    else this.objects.set(key, object);
  }

  private note(key: number): void {
    const before = this.objects.get(key) ?? null;
    const undo = (): void => {
      this.set(key, before ?? undefined);
    };
    this.journal.note({ kind: this.kind, key, second: 0, before, undo } as unknown as Touch);
  }
}

const ascending = (one: number, other: number): number => one - other;

/** Layers, and who stands on whom. */
export class Layers extends Table<'layer'> {
  private readonly byParent = new Map<number, Set<number>>();

  /** Layers that stand on one: what is absent in them is read from it. */
  childrenOf(key: number): ReadonlySet<number> {
    return this.byParent.get(key) ?? NO_KEYS;
  }

  protected override follow(before: Layer | undefined, after: Layer | undefined): void {
    if (before !== undefined && before.parentKey !== 0) {
      const siblings = this.byParent.get(before.parentKey);
      siblings?.delete(before.key);
      if (siblings?.size === 0) this.byParent.delete(before.parentKey);
    }
    if (after === undefined || after.parentKey === 0) return;
    const siblings = this.byParent.get(after.parentKey) ?? new Set();
    this.byParent.set(after.parentKey, siblings.add(after.key));
  }
}

const NO_MAPPINGS: ReadonlyMap<number, Mapping> = new Map();
const NO_KEYS: ReadonlySet<number> = new Set();

/** Mappings by volume and by SDC. */
export class Mappings implements StoredTable {
  private readonly journal: Journal;
  private readonly byVolume = new Map<number, Map<number, Mapping>>();
  private readonly bySdc = new Map<number, Set<number>>();

  constructor(journal: Journal) {
    this.journal = journal;
  }

  get(volumeKey: number, sdcKey: number): Mapping | undefined {
    return this.byVolume.get(volumeKey)?.get(sdcKey);
  }

  /** Mappings of a volume by SDC. */
  ofVolume(volumeKey: number): ReadonlyMap<number, Mapping> {
    return this.byVolume.get(volumeKey) ?? NO_MAPPINGS;
  }

  /** Volumes that are mapped to an SDC. */
  volumesOf(sdcKey: number): ReadonlySet<number> {
    return this.bySdc.get(sdcKey) ?? NO_KEYS;
  }

  /** Volumes that are mapped at all. */
  volumes(): Iterable<number> {
    return this.byVolume.keys();
  }

  *storedKeys(): Iterable<Pick<StoreKey, 'key' | 'second'>> {
    for (const key of [...this.byVolume.keys()].sort(ascending))
      for (const second of [...this.ofVolume(key).keys()].sort(ascending)) yield { key, second };
  }

  loadStored(_key: StoreKey, value: Uint8Array): void {
    const mapping = decodeStored('Mapping', value);
    this.set(mapping.volumeKey, mapping.sdcKey, mapping);
  }

  stored({ key, second }: StoreKey, version: number): Uint8Array | null {
    const mapping = this.get(key, second);
    return mapping === undefined ? null : encodeStored('Mapping', mapping, version);
  }

  put(mapping: Mapping): void {
    this.note(mapping.volumeKey, mapping.sdcKey);
    this.set(mapping.volumeKey, mapping.sdcKey, mapping);
  }

  delete(volumeKey: number, sdcKey: number): void {
    this.note(volumeKey, sdcKey);
    this.set(volumeKey, sdcKey, null);
  }

  private note(volumeKey: number, sdcKey: number): void {
    const before = this.get(volumeKey, sdcKey) ?? null;
    const undo = (): void => {
      this.set(volumeKey, sdcKey, before);
    };
    this.journal.note({ kind: 'mapping', key: volumeKey, second: sdcKey, before, undo });
  }

  private set(volumeKey: number, sdcKey: number, mapping: Mapping | null): void {
    const sdcs = this.byVolume.get(volumeKey) ?? new Map<number, Mapping>();
    const volumes = this.bySdc.get(sdcKey) ?? new Set<number>();
    if (mapping === null) {
      sdcs.delete(sdcKey);
      volumes.delete(volumeKey);
    } else {
      sdcs.set(sdcKey, mapping);
      volumes.add(volumeKey);
    }
    if (sdcs.size === 0) this.byVolume.delete(volumeKey);
    else this.byVolume.set(volumeKey, sdcs);
    if (volumes.size === 0) this.bySdc.delete(sdcKey);
    else this.bySdc.set(sdcKey, volumes);
  }
}

const NO_COMBS: readonly CombEntry[] = [];

const NO_PLACES: ReadonlySet<number> = new Set();

/** Comb entries of pools: all of them or, before a pool's first placement, none. */
export class Combs implements StoredTable {
  private readonly journal: Journal;
  private readonly pools = new Map<number, CombEntry[]>();
  /** Numbers of the combs that a device is a member of; a device is of one pool for life. */
  private readonly byDevice = new Map<number, Set<number>>();

  constructor(journal: Journal) {
    this.journal = journal;
  }

  /** Entries of a pool by comb number; empty: the pool has no placement. */
  ofPool(poolKey: number): readonly CombEntry[] {
    return this.pools.get(poolKey) ?? NO_COMBS;
  }

  /** Numbers of the combs that a device is a member of. */
  numbersOf(deviceKey: number): ReadonlySet<number> {
    return this.byDevice.get(deviceKey) ?? NO_PLACES;
  }

  /** Entries of a pool that have a member among these devices, all of that pool, by comb number. */
  ofDevices(poolKey: number, deviceKeys: Iterable<number>): CombEntry[] {
    const known = this.ofPool(poolKey);
    const numbers = new Set<number>();
    for (const deviceKey of deviceKeys)
      for (const index of this.byDevice.get(deviceKey) ?? NO_PLACES) numbers.add(index);
    return [...numbers].sort((one, other) => one - other).flatMap((index) => known[index] ?? []);
  }

  /** Whether any entry with a device of the pool is so; `place` is where the device stands among the members. */
  someOfDevice(
    poolKey: number,
    deviceKey: number,
    isSo: (entry: CombEntry, place: number) => boolean,
  ): boolean {
    const known = this.ofPool(poolKey);
    for (const index of this.byDevice.get(deviceKey) ?? NO_PLACES) {
      const entry = known[index];
      const place = entry?.members.findIndex((member) => member.deviceKey === deviceKey) ?? -1;
      if (entry !== undefined && place >= 0 && isSo(entry, place)) return true;
    }
    return false;
  }

  pooled(): Iterable<readonly [number, readonly CombEntry[]]> {
    return this.pools.entries();
  }

  *storedKeys(): Iterable<Pick<StoreKey, 'key' | 'second'>> {
    for (const key of [...this.pools.keys()].sort(ascending))
      for (let at = 0; at < this.ofPool(key).length; at += LIMIT.combsPerPage)
        yield { key, second: at / LIMIT.combsPerPage };
  }

  loadStored({ key, second }: StoreKey, value: Uint8Array): void {
    const { combs } = decodeStored('CombPage', value);
    const known = this.pools.get(key) ?? [];
    if (known.length !== second * LIMIT.combsPerPage)
      throw new Error('a page before it is missing');
    combs.forEach((entry) => {
      const fault = entry.index === known.length ? entryFault(entry) : 'stands at a wrong place';
      if (fault !== null) throw new Error(`comb ${entry.index} ${fault}`);
      known.push(entry);
      this.index(null, entry);
    });
    this.pools.set(key, known);
  }

  stored({ key, second }: StoreKey, version: number): Uint8Array | null {
    const first = second * LIMIT.combsPerPage;
    const combs = this.ofPool(key).slice(first, first + LIMIT.combsPerPage);
    if (combs.length === 0) return null;
    return encodeStored('CombPage', { poolKey: key, page: second, combs }, version);
  }

  put(poolKey: number, entry: CombEntry): void {
    const known = this.pools.get(poolKey) ?? [];
    const before = known[entry.index] ?? null;
    assert(entry.index <= known.length, 'combs are put without gaps');
    const undo = (): void => {
      this.index(entry, before);
      if (before === null) known.length = entry.index;
      else known[entry.index] = before;
      if (known.length === 0) this.pools.delete(poolKey);
      else this.pools.set(poolKey, known);
    };
    this.journal.note({ kind: 'comb', key: poolKey, second: entry.index, before, undo });
    known[entry.index] = entry;
    this.pools.set(poolKey, known);
    this.index(before, entry);
  }

  /** Removes the placement of a pool. */
  clear(poolKey: number): void {
    const known = this.pools.get(poolKey);
    if (known === undefined) return;
    known.forEach((before, index) => {
      const undo = (): void => {
        this.pools.set(poolKey, known);
        this.index(null, before);
      };
      this.journal.note({ kind: 'comb', key: poolKey, second: index, before, undo });
      this.index(before, null);
    });
    this.pools.delete(poolKey);
  }

  /** An entry took the place of another one. */
  private index(before: CombEntry | null, after: CombEntry | null): void {
    if (before !== null)
      for (const { deviceKey } of before.members) {
        const numbers = this.byDevice.get(deviceKey);
        numbers?.delete(before.index);
        if (numbers?.size === 0) this.byDevice.delete(deviceKey);
      }
    if (after !== null)
      for (const { deviceKey } of after.members) {
        const numbers = this.byDevice.get(deviceKey);
        if (numbers === undefined) this.byDevice.set(deviceKey, new Set([after.index]));
        else numbers.add(after.index);
      }
  }
}
