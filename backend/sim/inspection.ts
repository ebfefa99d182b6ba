// Looks into a device that nobody has open: opens it as a data process would and reads everything. It owns the time in
// which that happens, which is not the simulation's; it must never be used on a device in use.

import type { Micros, Token } from '../core/ports.js';
import { DeviceStore } from '../sds/store/device-store.js';
import type { StoreOptions } from '../sds/store/store-options.js';
import { BLOCK_STATE, STORE_STATUS } from '../sds/store/store.js';
import type { Geometry, Store, StoreHost, StoreStatus } from '../sds/store/store.js';

import type { DeviceContent } from './device.js';
import { SimDisk } from './disk.js';
import { EventQueue } from './event-queue.js';
import type { SimMedium } from './medium.js';

/** Time that only passes for one device: formats and looks inside while the simulation stands still. */
export class OwnTime {
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

const INSPECTION_STEPS_MAX = 1_000_000;

/** Opens a device that nobody has open and reads everything. */
export class Inspection implements StoreHost {
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
