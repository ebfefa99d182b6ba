// A device of which only the store's contract is simulated: a list of records. It owns the faults that such a device can
// have; how records become content is model-store.ts.

import type { Geometry, Store, StoreHost } from '../sds/store/store.js';

import type { DeviceContent, DeviceFormat, SimDevice, Spoil } from './device.js';
import { ModelMedium } from './model-medium.js';
import { ModelStore } from './model-store.js';
import type { SimProcess } from './process.js';
import type { Simulation } from './simulation.js';

const PLENTY_BLOCKS = 4096;

export class ModelDevice implements SimDevice {
  readonly lied = false;
  private readonly medium: ModelMedium;
  private readonly geometry: Geometry;
  private store: ModelStore | null = null;

  /** @param capacityBlocks - room for data, 0: plenty */
  readonly cacheMemory = null;

  constructor(sim: Simulation, geometry: Geometry, capacityBlocks: number) {
    const blocks = capacityBlocks === 0 ? PLENTY_BLOCKS : capacityBlocks;
    this.medium = new ModelMedium(blocks, sim.prng.fork());
    this.geometry = geometry;
  }

  get format(): DeviceFormat | null {
    return this.medium.format;
  }

  get capacityBytes(): number {
    return this.medium.capacityBlocks * this.geometry.blockBytes;
  }

  write(format: DeviceFormat): string | null {
    this.medium.format = format;
    this.medium.incarnation = 0;
    this.medium.records = [];
    return null;
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

  spoil(way: Spoil): boolean {
    // Only blocks are modelled: everything else needs a disk with bytes.
    if (way !== 'rot' || !this.medium.rot()) return false;
    this.store?.content.noticeRot();
    return true;
  }

  holds(run: number, opLow: number, opHigh: number, durable: boolean): boolean {
    const { records, writtenLsn, durableLsn } = this.medium;
    const upTo = durable ? durableLsn : writtenLsn;
    for (let index = records.length - 1; index >= 0; index--) {
      const record = records[index];
      if (record?.kind !== 'write' || record.opLow !== opLow) continue;
      if (record.run === run && record.opHigh === opHigh) return record.lsn <= upTo;
    }
    return false;
  }

  stopLying(): void {
    // It never does.
  }

  content(): DeviceContent | null {
    return this.store?.content.allContent() ?? new Map();
  }
}
