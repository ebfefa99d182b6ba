// A store on a real file, as a process would hold it, with promises for tests. Blocks carry a tag each.

import { addressSeed, blockChecksum } from '../../backend/core/checksum.js';
import { openFileDisk } from '../../backend/runtime/disk-file.js';
import type { FileDisk } from '../../backend/runtime/disk-file.js';
import { createDeviceFile, probeDevice } from '../../backend/runtime/disk-probe.js';
import { Loop, monotonicUs } from '../../backend/runtime/loop.js';
import { DEFAULT_STORE_OPTIONS, PRODUCT_GEOMETRY } from '../../backend/sds/store/defaults.js';
import { DeviceStore } from '../../backend/sds/store/device-store.js';
import { Formatter } from '../../backend/sds/store/format.js';
import { ROOM } from '../../backend/sds/store/store.js';
import type { StoreHost, StoreIdentity, WriteContext } from '../../backend/sds/store/store.js';

const BYTES = PRODUCT_GEOMETRY.blockBytes;

export interface OpenOptions {
  readonly direct?: boolean;
  readonly bootId?: string;
}

/** Makes and formats a device file. */
export async function formatFile(path: string, sizeBytes: number): Promise<void> {
  createDeviceFile(path, sizeBytes);
  const loop = new Loop();
  const disk = openFileDisk(path, sizeBytes, false, false, loop);
  loop.addSource(disk);
  await new Promise<void>((resolve, reject) => {
    const formatter = new Formatter(
      disk,
      {
        geometry: PRODUCT_GEOMETRY,
        systemId: '00000000000000aa',
        deviceKey: 1,
        poolKey: 1,
        formatLow: 11,
        formatHigh: 22,
        sizeBytesMin: 0,
        entryRows: 64,
        allocate: (lengthBytes) => disk.allocate(lengthBytes),
      },
      {
        formatDone: (_nowUs, reason) => {
          if (reason === null) resolve();
          else reject(new Error(reason));
        },
      },
    );
    disk.attach(formatter);
    loop.begin();
    formatter.begin();
    loop.end();
  });
  disk.close();
}

interface Waiter {
  readonly done: () => boolean;
  readonly resolve: () => void;
}

export class FileStore implements StoreHost {
  readonly loop = new Loop();
  readonly disk: FileDisk;
  readonly store: DeviceStore;
  identity: StoreIdentity | null = null;
  /** Operations from this one on may still be asked for. */
  neededFrom = Infinity;
  private fault: string | null = null;
  private waiters: Waiter[] = [];
  private readonly reads = new Map<number, { status: number; bad: number }>();
  private token = 1;

  private constructor(path: string, options: OpenOptions) {
    const { sizeBytes, kind } = probeDevice(path);
    const block = kind !== 'file';
    this.disk = openFileDisk(path, sizeBytes, block, options.direct ?? false, this.loop);
    const storeOptions = {
      ...DEFAULT_STORE_OPTIONS,
      idleUs: 50_000,
      allocate: (lengthBytes: number) => this.disk.allocate(lengthBytes),
      release: (bytes: Uint8Array) => {
        this.disk.release(bytes);
      },
    };
    this.store = new DeviceStore(this.disk, PRODUCT_GEOMETRY, storeOptions, this);
    this.disk.attach(this.store);
    this.loop.addSource(this.disk);
    this.loop.attach(this.store);
  }

  static async open(path: string, options: OpenOptions = {}): Promise<FileStore> {
    const store = new FileStore(path, options);
    store.input(() => {
      store.store.start(monotonicUs(), options.bootId ?? 'boot');
    });
    await store.until(() => store.identity !== null);
    return store;
  }

  input<T>(run: () => T): T {
    this.loop.begin();
    const result = run();
    this.loop.end();
    this.wake();
    return result;
  }

  private wake(): void {
    const ready = this.waiters.filter((waiter) => this.fault !== null || waiter.done());
    this.waiters = this.waiters.filter((waiter) => !ready.includes(waiter));
    for (const waiter of ready) waiter.resolve();
  }

  async until(done: () => boolean): Promise<void> {
    if (!done() && this.fault === null)
      await new Promise<void>((resolve) => this.waiters.push({ done, resolve }));
    if (this.fault !== null) throw new Error(this.fault);
  }

  /** Writes blocks with a tag; the promise ends when there was room. Returns the LSN. */
  async write(chunk: number, first: number, count: number, tag: number, op = 0): Promise<number> {
    await this.until(() => this.store.room(1, chunk, first, count) === ROOM.ok);
    const bytes = new Uint8Array(count * (BYTES + 4));
    const view = new DataView(bytes.buffer);
    for (let index = 0; index < count; index++) {
      const at = 4 * count + index * BYTES;
      for (let word = 0; word < BYTES; word += 4) view.setUint32(at + word, tag, true);
      const seed = addressSeed(1, chunk, first + index);
      view.setUint32(4 * index, blockChecksum(bytes.subarray(at, at + BYTES), seed), true);
    }
    return this.input(() =>
      this.store.write(context(chunk, first, count, op), bytes, 0, 4 * count),
    );
  }

  discard(chunk: number, first: number, count: number, op = 0): number {
    return this.input(() => this.store.zero(context(chunk, first, count, op), true));
  }

  async flush(): Promise<void> {
    const lsn = this.store.lastLsn;
    this.input(() => {
      this.store.wantDurable(lsn);
    });
    await this.until(() => this.store.durableLsn >= lsn);
  }

  /** Tags of blocks; 0: zeroes, -1: bad or torn. */
  async readTags(chunk: number, first: number, count: number): Promise<number[]> {
    const token = this.token++;
    const bytes = new Uint8Array(count * (BYTES + 4));
    this.input(() => {
      this.store.read(token, 1, 1, chunk, first, count, bytes, 0);
    });
    await this.until(() => this.reads.has(token));
    const { status, bad } = this.reads.get(token) ?? { status: 0, bad: 0 };
    this.reads.delete(token);
    const view = new DataView(bytes.buffer);
    return Array.from({ length: count }, (_unused, index) => {
      if (status === 1) return 0;
      if ((bad & (1 << index)) !== 0) return -1;
      const at = 4 * count + index * BYTES;
      const tag = view.getUint32(at, true);
      for (let word = 0; word < BYTES; word += 4)
        if (view.getUint32(at + word, true) !== tag) return -1;
      return tag;
    });
  }

  async close(): Promise<void> {
    this.input(() => {
      this.store.close(this.loop.nowUs);
    });
    await this.until(() => this.store.closed);
    this.abandon();
  }

  /** Ends without any care, as if the process had died. */
  abandon(): void {
    this.loop.stop();
    this.disk.close();
  }

  storeOpened(_nowUs: number, identity: StoreIdentity): void {
    this.identity = identity;
    this.wakeSoon();
  }
  storeRefused(_nowUs: number, reason: string): void {
    this.fault = reason;
    this.wakeSoon();
  }
  storeProgress(): void {
    this.wakeSoon();
  }
  storeRead(_nowUs: number, token: number, status: number, bad: number): void {
    this.reads.set(token, { status, bad });
    this.wakeSoon();
  }
  storeDescribed(): void {
    throw new Error('nothing was described');
  }
  storeFailed(_nowUs: number, reason: string): void {
    this.fault = reason;
    this.wakeSoon();
  }
  opIdNeeded(_run: number, opLow: number): boolean {
    return opLow >= this.neededFrom;
  }

  private wakeSoon(): void {
    queueMicrotask(() => {
      this.wake();
    });
  }
}

function context(chunk: number, first: number, count: number, op: number): WriteContext {
  return {
    comb: 1,
    generationEpoch: 1,
    generationNumber: 1,
    volumeKey: 1,
    vtreeKey: 1,
    volumeEpoch: 1,
    masks: false,
    caches: false,
    chunkIndex: chunk,
    firstBlock: first,
    blockCount: count,
    run: op === 0 ? 0 : 1,
    opLow: op,
    opHigh: 0,
  };
}
