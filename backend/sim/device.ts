// The device of a simulated server, in one of two forms: the store's contract on a list of records (model-store.ts), many
// times faster, or the real device format on a disk with bytes (disk.ts). It owns what survives processes and power, and
// what is broken; whoever runs the data process gives it the ends of processes.

import { Prng } from '../core/prng.js';
import type { Micros, Token } from '../core/ports.js';
import { DeviceStore } from '../sds/store/device-store.js';
import { Formatter } from '../sds/store/format.js';
import type { StoreOptions } from '../sds/store/store-options.js';
import { BLOCK_STATE, STORE_STATUS } from '../sds/store/store.js';
import type { Geometry, Store, StoreHost, StoreStatus } from '../sds/store/store.js';

import { SimDisk, SimMedium } from './disk.js';
import { EventQueue } from './event-queue.js';
import { ModelMedium } from './model-medium.js';
import { ModelStore } from './model-store.js';
import type { SimProcess } from './process.js';
import type { Simulation } from './simulation.js';

export interface DeviceFormat {
  readonly systemId: string;
  readonly deviceKey: number;
  readonly poolKey: number;
}

/** Content of blocks, by `volume:chunk:block`; what is zero or absent is not listed. */
export type DeviceContent = ReadonlyMap<string, Uint8Array>;

export interface SimDevice {
  format: DeviceFormat | null;
  readonly capacityBytes: number;
  /** Writes what a format writes; takes no virtual time. */
  write(format: DeviceFormat): void;
  /** The incarnation that a scan would find. */
  incarnation(): number;
  /** The store for a new process; disk completions go to `diskDone`. */
  open(
    process: SimProcess,
    host: StoreHost,
    diskDone: (nowUs: Micros, token: Token, ok: boolean) => void,
  ): Store;
  processDied(): void;
  powerLoss(): void;
  setSlow(factor: number): void;
  fail(way: 'writes' | 'flushes' | 'reads'): void;
  /** Flips a bit of something written; false: nothing is. */
  rot(): boolean;
  /** Everything that an open of the device would show; null: it cannot be opened. The process must have ended. */
  content(): DeviceContent | null;
}

const MODEL_BLOCKS = 4096;

export class ModelDevice implements SimDevice {
  private readonly medium: ModelMedium;
  private readonly geometry: Geometry;
  private store: ModelStore | null = null;

  constructor(sim: Simulation, geometry: Geometry) {
    this.medium = new ModelMedium(MODEL_BLOCKS, sim.prng.fork());
    this.geometry = geometry;
  }

  get format(): DeviceFormat | null {
    return this.medium.format;
  }

  get capacityBytes(): number {
    return this.medium.capacityBlocks * this.geometry.blockBytes;
  }

  write(format: DeviceFormat): void {
    this.medium.format = format;
    this.medium.incarnation = 0;
    this.medium.records = [];
  }

  incarnation(): number {
    return this.medium.incarnation;
  }

  open(process: SimProcess, host: StoreHost): Store {
    this.store = new ModelStore(this.medium, process, host, this.geometry);
    return this.store;
  }

  processDied(): void {
    this.medium.processDied();
  }

  powerLoss(): void {
    this.medium.powerLoss();
  }

  setSlow(factor: number): void {
    this.medium.faults.slowFactor = factor;
  }

  fail(way: 'writes' | 'flushes' | 'reads'): void {
    if (way === 'writes') this.medium.faults.failWrites = true;
    else if (way === 'flushes') this.medium.faults.failFlushes = true;
    else this.medium.faults.failReads = true;
  }

  rot(): boolean {
    if (!this.medium.rot()) return false;
    this.store?.noticeRot();
    return true;
  }

  content(): DeviceContent | null {
    return this.store?.allContent() ?? new Map();
  }
}

const REAL_BYTES = 256 * 1024;
const ROT_TRIES = 64;

/** Small enough that windows and caches overflow. */
function storeOptions(prng: Prng): StoreOptions {
  return {
    windowSegments: prng.pick([8, 16]),
    cacheChunks: prng.pick([4, 16, 64]),
    ringRecords: 512,
    directBytesMax: 2048,
    idleUs: 50_000,
    allocate: (lengthBytes) => new Uint8Array(lengthBytes),
  };
}

/** Time that only passes for one device: formats and looks inside while the simulation stands still. */
class OwnTime {
  readonly queue = new EventQueue();
  nowUs = 0;

  push(timeUs: number, target: Parameters<EventQueue['push']>[1], what: number, arg: number): void {
    this.queue.push(timeUs, target, what, arg);
  }

  /** Fires the next event; false: there is none. */
  step(): boolean {
    if (this.queue.length === 0) return false;
    this.nowUs = Math.max(this.nowUs, this.queue.nextTimeUs());
    this.queue.fireNext();
    return true;
  }
}

export class RealDevice implements SimDevice {
  format: DeviceFormat | null = null;
  capacityBytes = 0;
  private readonly sim: Simulation;
  private readonly medium: SimMedium;
  private readonly geometry: Geometry;
  private readonly options: StoreOptions;
  private disk: SimDisk | null = null;
  private lastIncarnation = 0;

  constructor(sim: Simulation, geometry: Geometry) {
    const prng = sim.prng.fork();
    this.sim = sim;
    this.geometry = geometry;
    this.options = storeOptions(prng);
    this.medium = new SimMedium(REAL_BYTES, geometry.sectorBytes, prng.fork());
  }

  write(format: DeviceFormat): void {
    const time = new OwnTime();
    const disk = new SimDisk(this.medium, time);
    const outcome: { fault: string | null } = { fault: 'it did not end' };
    const formatter = new Formatter(
      disk,
      {
        ...format,
        geometry: this.geometry,
        formatLow: format.deviceKey + 1,
        formatHigh: 99,
        sizeBytesMin: 0,
        entryRows: 16,
        allocate: (lengthBytes) => new Uint8Array(lengthBytes),
      },
      {
        formatDone: (_nowUs, reason, capacityBytes) => {
          outcome.fault = reason;
          this.capacityBytes = capacityBytes;
        },
      },
    );
    disk.attach({
      diskDone: (token, ok) => {
        formatter.diskDone(time.nowUs, token, ok);
      },
    });
    formatter.begin();
    while (time.step());
    if (outcome.fault !== null) this.sim.fail(`a device could not be formatted: ${outcome.fault}`);
    this.format = format;
  }

  incarnation(): number {
    return this.lastIncarnation;
  }

  open(
    process: SimProcess,
    host: StoreHost,
    diskDone: (nowUs: Micros, token: Token, ok: boolean) => void,
  ): Store {
    const { sim } = this;
    const disk = new SimDisk(this.medium, {
      get nowUs() {
        return sim.nowUs;
      },
      push: (timeUs, target, what, argument) => {
        sim.queue.push(timeUs, target, what, argument);
      },
    });
    disk.attach({
      diskDone: (token, ok) => {
        process.input((nowUs) => {
          diskDone(nowUs, token, ok);
        });
      },
    });
    this.disk = disk;
    this.lastIncarnation += 1;
    return new DeviceStore(disk, this.geometry, this.options, host);
  }

  processDied(): void {
    this.disk?.detach();
    this.disk = null;
  }

  powerLoss(): void {
    this.medium.powerLoss();
  }

  setSlow(factor: number): void {
    this.medium.faults.slowFactor = factor;
  }

  fail(way: 'writes' | 'flushes' | 'reads'): void {
    if (way === 'writes') this.medium.faults.failWrites = Infinity;
    else if (way === 'flushes') this.medium.faults.failFlushes = Infinity;
    else this.medium.faults.failReads = Infinity;
  }

  rot(): boolean {
    for (let tried = 0; tried < ROT_TRIES; tried++) {
      const offset = this.medium.randomSector();
      const sector = this.medium.snapshot(offset, this.geometry.sectorBytes);
      if (sector.every((byte) => byte === 0)) continue;
      this.medium.rot(offset + 3, 2);
      return true;
    }
    return false;
  }

  content(): DeviceContent | null {
    return new Inspection(this.medium, this.geometry, this.options).run();
  }
}

const INSPECTION_STEPS_MAX = 1_000_000;

/** Opens a device that nobody has open and reads everything. */
class Inspection implements StoreHost {
  private readonly time = new OwnTime();
  private readonly store: Store;
  private readonly disk: SimDisk;
  private readonly geometry: Geometry;
  private opened = false;
  private ended = false;
  private readonly answers: StoreStatus[] = [];

  constructor(medium: SimMedium, geometry: Geometry, options: StoreOptions) {
    this.geometry = geometry;
    this.disk = new SimDisk(medium, this.time);
    this.store = new DeviceStore(this.disk, geometry, options, this);
    this.disk.attach({
      diskDone: (token, ok) => {
        this.store.diskDone(this.time.nowUs, token, ok);
      },
    });
  }

  run(): DeviceContent | null {
    this.store.start(this.time.nowUs, 'inspection');
    this.until(() => this.opened || this.ended);
    if (this.ended) return null;
    const content = new Map<string, Uint8Array>();
    const { chunkBlocks, blockBytes } = this.geometry;
    const bytes = new Uint8Array(chunkBlocks * (4 + blockBytes));
    const states = new Uint8Array(chunkBlocks);
    for (let comb = 0; comb < 16; comb++)
      for (const { volumeKey, vtreeKey, chunkIndex } of [
        ...this.store.chunksStampedAfter(comb, 0, 0),
      ]) {
        this.wait(() => {
          this.store.describe(1, volumeKey, chunkIndex, states);
        });
        for (let block = 0; block < chunkBlocks; block++) {
          if (states[block] !== BLOCK_STATE.data) continue;
          const status = this.wait(() => {
            this.store.read(1, volumeKey, vtreeKey, chunkIndex, block, 1, bytes, 0);
          });
          const data = bytes.slice(4, 4 + blockBytes);
          if (status === STORE_STATUS.ok && data.some((byte) => byte !== 0))
            content.set(`${volumeKey}:${chunkIndex}:${block}`, data);
        }
      }
    this.disk.detach();
    return content;
  }

  private wait(ask: () => void): StoreStatus {
    this.answers.length = 0;
    ask();
    this.until(() => this.answers.length > 0);
    return this.answers[0] ?? STORE_STATUS.failed;
  }

  private until(done: () => boolean): void {
    for (let step = 0; !done(); step++) {
      if (step > INSPECTION_STEPS_MAX) throw new Error('the inspection of a device does not end');
      this.store.endBatch(this.time.nowUs);
      if (done()) return;
      if (this.time.step()) continue;
      this.time.nowUs = Math.max(this.time.nowUs, this.store.nextDeadlineUs());
      this.store.tick(this.time.nowUs);
    }
  }

  storeOpened(): void {
    this.opened = true;
  }

  storeRefused(): void {
    this.ended = true;
  }

  storeFailed(): void {
    this.ended = true;
  }

  storeProgress(): void {
    // Nothing waits for it here.
  }

  storeRead(_nowUs: Micros, _token: Token, status: StoreStatus): void {
    this.answers.push(status);
  }

  storeDescribed(_nowUs: Micros, _token: Token, status: StoreStatus): void {
    this.answers.push(status);
  }

  opIdNeeded(): boolean {
    return true;
  }
}
