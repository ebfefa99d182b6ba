// A device with the real format on a disk with bytes. It owns the disk, its faults, and the store's sizes; it must never
// know what the bytes mean.

import type { Prng } from '../core/prng.js';
import type { Micros, Token } from '../core/ports.js';
import { DeviceStore } from '../sds/store/device-store.js';
import { Formatter } from '../sds/store/format.js';
import type { StoreOptions } from '../sds/store/store-options.js';
import type { Geometry, Store, StoreHost } from '../sds/store/store.js';

import { SimCacheMemory } from './cache-memory.js';
import type { DeviceContent, DeviceFormat, SimDevice, Spoil } from './device.js';
import { SimDisk } from './disk.js';
import { Inspection, OwnTime } from './inspection.js';
import { SimMedium } from './medium.js';
import type { SimProcess } from './process.js';
import type { Simulation } from './simulation.js';

const PLENTY_BYTES = 384 * 1024;
/** Of the log: batches are mostly heads here, because blocks are small. */
const SEGMENTS = 32;
const ROT_TRIES = 64;
/** What the log and the tables of a small device take, and what a block of room for data adds. */
const FIXED_BYTES = 140 * 1024;
const BYTES_PER_BLOCK = 112;

/** Small enough that windows and caches overflow. */
function storeOptions(prng: Prng, cacheMemory: SimCacheMemory): StoreOptions {
  return {
    windowSegments: prng.pick([8, 16]),
    cacheChunks: prng.pick([4, 16, 64]),
    ringRecords: 512,
    directBytesMax: 2048,
    idleUs: 50_000,
    allocate: (lengthBytes) => new Uint8Array(lengthBytes),
    cacheMemory,
  };
}

export class RealDevice implements SimDevice {
  format: DeviceFormat | null = null;
  capacityBytes = 0;
  readonly cacheMemory = new SimCacheMemory();
  private readonly sim: Simulation;
  private readonly medium: SimMedium;
  private readonly geometry: Geometry;
  private readonly options: StoreOptions;
  private disk: SimDisk | null = null;
  private lastIncarnation = 0;

  /** @param capacityBlocks - room for data, about; 0: plenty */
  constructor(sim: Simulation, geometry: Geometry, capacityBlocks: number) {
    const prng = sim.prng.fork();
    this.sim = sim;
    this.geometry = geometry;
    this.options = storeOptions(prng, this.cacheMemory);
    const wanted = FIXED_BYTES + capacityBlocks * BYTES_PER_BLOCK;
    const sizeBytes = capacityBlocks === 0 ? PLENTY_BYTES : wanted - (wanted % geometry.blockBytes);
    this.medium = new SimMedium(sizeBytes, geometry.sectorBytes, prng.fork());
  }

  get lied(): boolean {
    return this.medium.lied;
  }

  write(format: DeviceFormat): string | null {
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
        segments: SEGMENTS,
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
    if (outcome.fault !== null) return outcome.fault;
    this.format = format;
    return null;
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
    this.cacheMemory.clear();
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

  spoil(way: Spoil): boolean {
    const { faults } = this.medium;
    if (way === 'rot') return this.rot();
    if (way === 'lost') faults.loseWrites += 1;
    else if (way === 'misdirected') faults.misdirectWrites += 1;
    else if (way === 'torn') faults.tearWrites += 1;
    else faults.lyingFlush = true;
    return true;
  }

  holds(): null {
    return null;
  }

  stopLying(): void {
    this.medium.faults.lyingFlush = false;
  }

  private rot(): boolean {
    for (let tried = 0; tried < ROT_TRIES; tried++) {
      const { medium } = this;
      const offset = tried % 2 === 0 ? medium.recentSector() : medium.randomSector();
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
