// A store on a simulated disk, driven by hand in virtual time. It owns the loop; what is written and expected is the
// model's (store-model.ts).

import { addressSeed, blockChecksum } from '../../backend/core/checksum.js';
import { Prng } from '../../backend/core/prng.js';
import { DeviceStore } from '../../backend/sds/store/device-store.js';
import { Formatter, formatFault } from '../../backend/sds/store/format.js';
import type { FormatOptions } from '../../backend/sds/store/format.js';
import type { Parts } from '../../backend/sds/store/parts.js';
import type { StoreOptions } from '../../backend/sds/store/store-options.js';
import type {
  Geometry,
  StoreHost,
  StoreIdentity,
  StoreStatus,
} from '../../backend/sds/store/store.js';
import { SimDisk } from '../../backend/sim/disk.js';
import { SimMedium } from '../../backend/sim/medium.js';
import { EventQueue } from '../../backend/sim/event-queue.js';

export const GEOMETRY: Geometry = { sectorBytes: 8, blockBytes: 64, chunkBlocks: 8, unitBlocks: 2 };
export const BYTES = GEOMETRY.blockBytes;

export function optionsOf(changes: Partial<StoreOptions> = {}): StoreOptions {
  return {
    windowSegments: 8,
    cacheChunks: 16,
    ringRecords: 512,
    directBytesMax: 2048,
    idleUs: 50_000,
    allocate: (lengthBytes) => new Uint8Array(lengthBytes),
    release: () => undefined,
    ...changes,
  };
}

export function formatOptionsOf(seed: number): FormatOptions {
  return {
    geometry: GEOMETRY,
    systemId: '00000000000000aa',
    deviceKey: 7,
    poolKey: 3,
    formatLow: seed + 1,
    formatHigh: 99,
    sizeBytesMin: 0,
    entryRows: 16,
    allocate: (lengthBytes) => new Uint8Array(lengthBytes),
  };
}

/** The bytes of a block that carries a tag; tag 0: zeroes. */
export function blockOf(tag: number, bytes: Uint8Array, at: number): void {
  if (tag === 0) {
    bytes.fill(0, at, at + BYTES);
    return;
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (let index = 0; index < BYTES; index += 4)
    view.setUint32(at + index, Math.imul(tag, 0x9e3779b1) + index, true);
  view.setUint32(at, tag, true);
}

export function tagOf(bytes: Uint8Array, at: number): number {
  const tag = new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
  const expected = new Uint8Array(BYTES);
  blockOf(tag, expected, 0);
  for (let index = 0; index < BYTES; index++) if (bytes[at + index] !== expected[index]) return -1;
  return tag;
}

/** Of writes that no flush covers, when the power goes. */
export type Survival = 'none' | 'all' | 'some';

export interface ReadResult {
  readonly status: StoreStatus;
  readonly bad: number;
}

export class Rig implements StoreHost {
  readonly queue = new EventQueue();
  readonly prng: Prng;
  readonly medium: SimMedium;
  readonly options: StoreOptions;
  nowUs = 0;
  disk: SimDisk;
  store: DeviceStore;
  identity: StoreIdentity | null = null;
  refused: string | null = null;
  broken: string | null = null;
  progress = 0;
  /** Newest record that survived, at the last open. */
  openedLsn = 0;
  onOpened: (lsn: number) => void = () => undefined;
  boots = 1;
  readonly neededOps = new Set<string>();
  /** Memory of the read cache, which reads use and writes fill; 0: there is none. */
  cacheBytes = 0;
  private readonly reads = new Map<number, ReadResult>();
  private readonly begun = new Map<number, Uint8Array>();
  private nextToken = 1;

  constructor(seed: number, sizeBytes: number, options: StoreOptions = optionsOf()) {
    this.prng = new Prng(seed, 17);
    this.options = options;
    this.medium = new SimMedium(sizeBytes, GEOMETRY.sectorBytes, this.prng.fork());
    this.disk = new SimDisk(this.medium, this);
    this.store = new DeviceStore(this.disk, GEOMETRY, options, this);
  }

  push(timeUs: number, target: Parameters<EventQueue['push']>[1], what: number, arg: number): void {
    this.queue.push(timeUs, target, what, arg);
  }

  format(options: FormatOptions = formatOptionsOf(1)): void {
    if (!this.formatSome(options, Infinity)) throw new Error('the format did not end');
  }

  /** Formats for so many completions of the disk. Returns whether it ended. */
  formatSome(options: FormatOptions, stepsMax: number): boolean {
    this.disk = new SimDisk(this.medium, this);
    const fault = formatFault(this.medium.sizeBytes, options);
    if (fault !== null) throw new Error(fault);
    let outcome: string | null | undefined;
    const formatter = new Formatter(this.disk, options, {
      formatDone: (_nowUs, reason) => {
        outcome = reason;
      },
    });
    this.disk.attach({
      diskDone: (token, ok) => {
        formatter.diskDone(this.nowUs, token, ok);
      },
    });
    formatter.begin();
    for (let steps = 0; outcome === undefined && steps < stepsMax; steps++) this.step();
    if (typeof outcome === 'string') throw new Error(outcome);
    return outcome === null;
  }

  /** Opens the medium with a new store, as a new process. */
  open(): void {
    this.queue.clear();
    this.identity = null;
    this.refused = null;
    this.broken = null;
    this.reads.clear();
    this.disk = new SimDisk(this.medium, this);
    this.store = new DeviceStore(this.disk, GEOMETRY, this.options, this);
    const { store } = this;
    this.disk.attach({
      diskDone: (token, ok) => {
        store.diskDone(this.nowUs, token, ok);
      },
    });
    if (this.cacheBytes > 0) store.setCacheSize(this.cacheBytes);
    store.start(this.nowUs, `boot-${this.boots}`);
  }

  openFully(): void {
    this.open();
    this.runUntil(() => this.identity !== null || this.refused !== null || this.broken !== null);
  }

  /** Why the store is not open, or null. */
  fault(): string | null {
    return this.identity === null ? (this.refused ?? this.broken ?? 'not open') : null;
  }

  /** Fires the next event. Returns false when there is none. */
  step(): boolean {
    if (this.queue.length === 0) return false;
    this.nowUs = Math.max(this.nowUs, this.queue.nextTimeUs());
    this.queue.fireNext();
    this.endBatch();
    return true;
  }

  endBatch(): void {
    if (this.store.nextDeadlineUs() <= this.nowUs) this.store.tick(this.nowUs);
    this.store.endBatch(this.nowUs);
  }

  runUntil(done: () => boolean, eventsMax = 1_000_000): void {
    for (let count = 0; !done(); count++) {
      if (count > eventsMax) throw new Error('the store did not get there');
      if (this.step()) continue;
      const deadlineUs = this.store.nextDeadlineUs();
      if (deadlineUs === Infinity) throw new Error('the store waits for nothing');
      this.nowUs = Math.max(this.nowUs, deadlineUs);
      this.endBatch();
    }
  }

  /** Until nothing is left to do. */
  runIdle(): void {
    for (let count = 0; count < 1_000_000; count++) {
      if (this.step()) continue;
      const deadlineUs = this.store.nextDeadlineUs();
      if (deadlineUs === Infinity) return;
      this.nowUs = Math.max(this.nowUs, deadlineUs);
      this.endBatch();
    }
    throw new Error('the store never rests');
  }

  /** The process is killed: the host's cache survives. */
  kill(): void {
    this.disk.detach();
    this.queue.clear();
  }

  /**
   * @param survival - what of the writes that ended, but are not flushed, is on the medium
   * @returns how many writes were not flushed
   */
  powerLoss(survival: Survival = 'some'): number {
    const { medium } = this;
    this.kill();
    const unflushed = medium.unflushedCount();
    if (survival === 'all') medium.copyFrom(medium);
    if (survival === 'none') medium.dropFlush(medium.beginFlush());
    medium.powerLoss();
    this.boots++;
    return unflushed;
  }

  flush(): void {
    const lsn = this.store.lastLsn;
    this.store.wantDurable(lsn);
    this.endBatch();
    this.runUntil(() => this.store.durableLsn >= lsn || this.broken !== null);
  }

  /** Reads blocks to the end; returns tags (0: zeroes, -1: garbage, -2: reported as bad). */
  readTags(
    volumeKey: number,
    chunk: number,
    first: number,
    count: number,
    vtreeKey = volumeKey,
  ): number[] {
    const token = this.nextToken++;
    const bytes = new Uint8Array(count * (BYTES + 4));
    this.store.read(token, volumeKey, vtreeKey, chunk, first, count, bytes, 0, this.cacheBytes > 0);
    this.endBatch();
    this.runUntil(() => this.reads.has(token));
    const result = this.reads.get(token);
    const tags: number[] = [];
    for (let index = 0; index < count; index++) {
      if (result?.status === 1) tags.push(0);
      else if (((result?.bad ?? 0) & (1 << index)) !== 0) tags.push(-2);
      else tags.push(this.checkedTag(vtreeKey, chunk, first + index, bytes, index, count));
    }
    return tags;
  }

  private checkedTag(
    vtreeKey: number,
    chunk: number,
    block: number,
    bytes: Uint8Array,
    index: number,
    count: number,
  ): number {
    const at = 4 * count + index * BYTES;
    const crc = new DataView(bytes.buffer).getUint32(4 * index, true);
    const real = blockChecksum(bytes.subarray(at, at + BYTES), addressSeed(vtreeKey, chunk, block));
    return crc === real ? tagOf(bytes, at) : -1;
  }

  /** Begins a read through a chain; `takeThrough` has what it found. */
  beginThrough(
    layers: readonly number[],
    vtreeKey: number,
    chunk: number,
    first: number,
    count: number,
  ): number {
    const token = this.nextToken++;
    const bytes = new Uint8Array(count * (BYTES + 4));
    this.begun.set(token, bytes);
    const caches = this.cacheBytes > 0;
    this.store.readLayers(token, layers, vtreeKey, chunk, first, count, bytes, 0, caches);
    return token;
  }

  hasRead(token: number): boolean {
    return this.reads.has(token);
  }

  takeThrough(
    token: number,
    vtreeKey: number,
    chunk: number,
    first: number,
    count: number,
  ): number[] {
    const bytes = this.begun.get(token) ?? new Uint8Array(0);
    this.begun.delete(token);
    const result = this.reads.get(token);
    return Array.from({ length: count }, (_, index) => {
      if (result?.status === 1) return 0;
      if (((result?.bad ?? 0) & (1 << index)) !== 0) return -2;
      return this.checkedTag(vtreeKey, chunk, first + index, bytes, index, count);
    });
  }

  readThrough(
    layers: readonly number[],
    vtreeKey: number,
    chunk: number,
    first: number,
    count: number,
  ): number[] {
    const token = this.beginThrough(layers, vtreeKey, chunk, first, count);
    this.endBatch();
    this.runUntil(() => this.reads.has(token));
    return this.takeThrough(token, vtreeKey, chunk, first, count);
  }

  /** Units by all counts; what is wrong, or null. Volumes that are being freed change the counts while they are counted. */
  checkUnits(): string | null {
    const running = (this.store as unknown as { running: { parts: Parts } }).running;
    this.runUntil(() => running.parts.dying.size === 0);
    const { bitmap, directory, descriptors, doubles } = this.audit();
    if (doubles === 0 && bitmap === directory && directory === descriptors) return null;
    return `units: ${JSON.stringify({ bitmap, directory, descriptors, doubles })}`;
  }

  describe(volumeKey: number, chunk: number): Uint8Array {
    const token = this.nextToken++;
    const states = new Uint8Array(GEOMETRY.chunkBlocks);
    this.store.describe(token, volumeKey, chunk, states);
    this.endBatch();
    this.runUntil(() => this.reads.has(token));
    return states;
  }

  /** Counts units by the bitmap, by the directory, by all descriptors, and doubly owned ones. */
  audit(): { bitmap: number; directory: number; descriptors: number; doubles: number } {
    const { parts, loader } = (
      this.store as unknown as {
        running: { parts: Parts; loader: { entryOf: (row: number) => number } };
      }
    ).running;
    const { directory, cache, units, layout } = parts;
    const owned = new Set<number>();
    let inDirectory = 0;
    let descriptors = 0;
    let doubles = 0;
    for (let row = 0; row < directory.capacity; row++) {
      if (directory.volumeKeys[row] === 0) continue;
      const entry = loader.entryOf(row);
      this.endBatch();
      this.runUntil(() => cache.loaded[entry] === 1);
      for (let unit = 0; unit < layout.unitsPerChunk; unit++) {
        if (((directory.unitMasks[row] ?? 0) & (1 << unit)) !== 0) inDirectory++;
        const address = cache.units[entry * layout.unitsPerChunk + unit] ?? 0;
        if (address === 0) continue;
        descriptors++;
        if (owned.has(address) || !units.isUsed(address - 1)) doubles++;
        owned.add(address);
      }
    }
    return { bitmap: units.usedCount, directory: inDirectory, descriptors, doubles };
  }

  // The store's host.
  storeOpened(_nowUs: number, identity: StoreIdentity): void {
    this.identity = identity;
    this.openedLsn = this.store.lastLsn;
    this.onOpened(this.openedLsn);
  }
  storeRefused(_nowUs: number, reason: string): void {
    this.refused = reason;
  }
  storeProgress(): void {
    this.progress++;
  }
  storeRead(_nowUs: number, token: number, status: StoreStatus, badLow: number): void {
    this.reads.set(token, { status, bad: badLow });
  }
  storeDescribed(_nowUs: number, token: number, status: StoreStatus): void {
    this.reads.set(token, { status, bad: 0 });
  }
  storeFailed(_nowUs: number, reason: string): void {
    this.broken = reason;
  }
  opIdNeeded(run: number, opLow: number, opHigh: number): boolean {
    return this.neededOps.has(`${run}/${opLow}/${opHigh}`);
  }
}
