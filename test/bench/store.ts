// Micro benchmark of the store alone on a file: CPU per 4 KiB write and read at a given depth, by durability. Run:
//   node dist/test/bench/store.js FILE [seconds]
// The file is made anew (2 GiB, sparse) and removed.

import { rmSync } from 'node:fs';

import { addressSeed, blockChecksum } from '../../backend/core/checksum.js';
import { Prng } from '../../backend/core/prng.js';
import { openFileDisk } from '../../backend/runtime/disk-file.js';
import type { FileDisk } from '../../backend/runtime/disk-file.js';
import { createDeviceFile } from '../../backend/runtime/disk-probe.js';
import { Loop, monotonicUs } from '../../backend/runtime/loop.js';
import { DeviceStore } from '../../backend/sds/store/device-store.js';
import { Formatter } from '../../backend/sds/store/format.js';
import { DEFAULT_STORE_OPTIONS, PRODUCT_GEOMETRY } from '../../backend/sds/store/defaults.js';
import { ROOM } from '../../backend/sds/store/store.js';
import type { StoreHost, WriteContext } from '../../backend/sds/store/store.js';

const SIZE_BYTES = 4 * 2 ** 30;
const CHUNKS = 1400;
const BLOCK = 4096;
const CONTEXT: WriteContext = {
  comb: 1,
  generationEpoch: 1,
  generationNumber: 1,
  volumeKey: 1,
  vtreeKey: 1,
  volumeEpoch: 1,
  masks: false,
  caches: false,
  chunkIndex: 0,
  firstBlock: 0,
  blockCount: 1,
  run: 1,
  opLow: 0,
  opHigh: 0,
};

class Bench implements StoreHost {
  readonly loop = new Loop();
  readonly disk: FileDisk;
  readonly store: DeviceStore;
  readonly prng = new Prng(1);
  readonly payload: Uint8Array;
  opened = false;
  depth = 32;
  durable = false;
  reading = false;
  running = false;
  submitted = 0;
  completed = 0;
  blocked = false;
  private inFlight = 0;
  private readonly lsns: number[] = [];
  private readonly readBuffer = new Uint8Array(BLOCK + 4);
  resolve: () => void = () => undefined;

  constructor(disk: FileDisk, loop: Loop) {
    this.loop = loop;
    this.disk = disk;
    const options = {
      ...DEFAULT_STORE_OPTIONS,
      allocate: (lengthBytes: number) => disk.allocate(lengthBytes),
      release: (bytes: Uint8Array) => {
        disk.release(bytes);
      },
    };
    this.store = new DeviceStore(disk, PRODUCT_GEOMETRY, options, this);
    this.payload = new Uint8Array(4 + BLOCK).fill(7);
  }

  private submitWrite(): boolean {
    const { store, payload, prng } = this;
    CONTEXT.chunkIndex = prng.below(CHUNKS);
    CONTEXT.firstBlock = prng.below(256);
    CONTEXT.opLow = this.submitted;
    if (store.room(1, CONTEXT.chunkIndex, CONTEXT.firstBlock, 1) !== ROOM.ok) {
      this.blocked = true;
      return false;
    }
    const seed = addressSeed(1, CONTEXT.chunkIndex, CONTEXT.firstBlock);
    const crc = blockChecksum(payload.subarray(4), seed);
    new DataView(payload.buffer).setUint32(0, crc, true);
    const lsn = store.write(CONTEXT, payload, 0, 4);
    this.lsns.push(lsn);
    if (this.durable) store.wantDurable(lsn);
    return true;
  }

  private fill(): void {
    while (this.running && this.inFlight < this.depth) {
      if (this.reading) {
        const chunk = this.prng.below(CHUNKS);
        this.store.read(1, 1, 1, chunk, this.prng.below(256), 1, this.readBuffer, 0);
      } else if (!this.submitWrite()) return;
      this.inFlight++;
      this.submitted++;
    }
  }

  private done(count: number): void {
    this.completed += count;
    this.inFlight -= count;
    if (this.running) this.fill();
    else if (this.inFlight === 0) this.resolve();
  }

  storeOpened(): void {
    this.opened = true;
    this.resolve();
  }
  storeRefused(_nowUs: number, reason: string): void {
    throw new Error(reason);
  }
  storeProgress(): void {
    const lsn = this.durable ? this.store.durableLsn : this.store.writtenLsn;
    let count = 0;
    while (count < this.lsns.length && (this.lsns[count] ?? 0) <= lsn) count++;
    if (count > 0) this.lsns.splice(0, count);
    this.store.settle(lsn);
    if (count > 0 || this.blocked) {
      this.blocked = false;
      this.done(count);
    }
  }
  storeRead(): void {
    this.done(1);
  }
  storeDescribed(): void {
    throw new Error('nothing was described');
  }
  storeFailed(_nowUs: number, reason: string): void {
    throw new Error(reason);
  }
  opIdNeeded(): boolean {
    return false;
  }

  private wait(start: () => void): Promise<void> {
    return new Promise((resolve) => {
      this.resolve = resolve;
      this.loop.begin();
      start();
      this.loop.end();
    });
  }

  async open(): Promise<void> {
    this.disk.attach(this.store);
    this.loop.addSource(this.disk);
    this.loop.attach(this.store);
    await this.wait(() => {
      this.store.start(monotonicUs(), 'boot');
    });
  }

  async run(name: string, seconds: number): Promise<void> {
    this.running = true;
    const before = this.completed;
    const cpu = process.cpuUsage();
    const startMs = performance.now();
    const stop = setInterval(() => {
      if (performance.now() - startMs < seconds * 1000) return;
      this.running = false;
    }, 50);
    await this.wait(() => {
      this.fill();
    });
    clearInterval(stop);
    const used = process.cpuUsage(cpu);
    const count = this.completed - before;
    const wallS = (performance.now() - startMs) / 1000;
    const user = used.user / count;
    const system = used.system / count;
    process.stdout.write(
      `${name.padEnd(28)} ${Math.round(count / wallS)
        .toString()
        .padStart(
          8,
        )} /s  ${(user + system).toFixed(1)} us CPU (user ${user.toFixed(1)}, system ${system.toFixed(1)})  rss ${Math.round(process.memoryUsage.rss() / 2 ** 20)} MiB\n`,
    );
  }
}

async function format(disk: FileDisk, loop: Loop): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const options = {
      geometry: PRODUCT_GEOMETRY,
      systemId: '0000000000000001',
      deviceKey: 1,
      poolKey: 1,
      formatLow: 1,
      formatHigh: 2,
      sizeBytesMin: 0,
      allocate: (lengthBytes: number) => disk.allocate(lengthBytes),
    };
    const formatter = new Formatter(disk, options, {
      formatDone: (_nowUs, reason) => {
        if (reason === null) resolve();
        else reject(new Error(reason));
      },
    });
    disk.attach(formatter);
    loop.begin();
    formatter.begin();
    loop.end();
  });
}

async function main(path: string, seconds: number, direct: boolean): Promise<void> {
  rmSync(path, { force: true });
  createDeviceFile(path, SIZE_BYTES);
  const loop = new Loop();
  const disk = openFileDisk(path, SIZE_BYTES, false, direct, loop);
  const source = { drain: (nowUs: number): boolean => disk.drain(nowUs) };
  loop.addSource(source);
  await format(disk, loop);
  const bench = new Bench(disk, loop);
  await bench.open();
  await bench.run('fill, written, depth 128', seconds);
  bench.depth = 32;
  await bench.run('4k write, written, depth 32', seconds);
  bench.depth = 1;
  await bench.run('4k write, written, depth 1', seconds / 2);
  bench.depth = 32;
  bench.durable = true;
  await bench.run('4k write, durable, depth 32', seconds);
  bench.durable = false;
  bench.reading = true;
  await bench.run('4k read, depth 32', seconds);
  process.stdout.write(`log in use ${bench.store.lastLsn}\n`);
  rmSync(path);
  process.exit(0);
}

await main(
  process.argv[2] ?? '/tmp/store-bench.dev',
  Number(process.argv[3] ?? 4),
  process.argv[4] === 'direct',
);
