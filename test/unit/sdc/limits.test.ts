// Limits of mappings: how much begins within a second, who waits, and that waiting is never an error.

import test from 'ava';

import { limitsOf } from '../../../backend/cluster-map/mapping-limits.js';
import type { BlockFront, Errno } from '../../../backend/sdc/block-front.js';
import { ERRNO, IO } from '../../../backend/sdc/block-front.js';
import type { Sdc } from '../../../backend/sdc/sdc.js';
import type { ClientOptions } from '../../../backend/sdc/options.js';
import type { SimProcess } from '../../../backend/sim/process.js';
import { ModelCluster } from './model-cluster.js';

const SECOND_US = 1_000_000;
const GIB = 2 ** 30;
const BLOCK = 64;
const FLUSH = 1000;

/** A user that always keeps as many requests going as it may, and notes when each ended. */
class Busy implements BlockFront {
  readonly ended: number[] = [];
  readonly errors: Errno[] = [];
  sdc: Sdc | null = null;
  flushed = 0;
  private readonly bytes = new Uint8Array(8 * BLOCK);
  private readonly depth: number;
  private readonly blocks: number;
  private readonly kind: typeof IO.read | typeof IO.zero;

  constructor(depth: number, blocks: number, kind: typeof IO.read | typeof IO.zero = IO.read) {
    this.depth = depth;
    this.blocks = blocks;
    this.kind = kind;
  }

  volumeAdded(nowUs: number): void {
    for (let token = 0; token < this.depth; token++) this.ask(nowUs, token);
  }
  volumeChanged(): void {
    // Nothing depends on it here.
  }
  volumeRemoved(): void {
    this.sdc = null;
  }
  ioDone(nowUs: number, token: number, errno: Errno): void {
    if (token === FLUSH) {
      this.flushed += 1;
      return;
    }
    if (errno === ERRNO.ok) this.ended.push(nowUs);
    else this.errors.push(errno);
    this.ask(nowUs, token);
  }
  roomAgain(): void {
    // There is always room.
  }

  /** Ends within a stretch of time. */
  within(fromUs: number, toUs: number): number {
    return this.ended.filter((atUs) => atUs > fromUs && atUs <= toUs).length;
  }

  flush(nowUs: number): void {
    this.sdc?.submit(nowUs, 5, IO.flush, 0, 0, false, this.bytes, 0, FLUSH);
  }

  private ask(nowUs: number, token: number): void {
    const length = this.blocks * BLOCK;
    this.sdc?.submit(nowUs, 5, this.kind, 0, length, false, this.bytes, 0, token);
  }
}

interface Bench {
  readonly cluster: ModelCluster;
  readonly sdc: Sdc;
  readonly input: (act: (nowUs: number) => void) => void;
  readonly limit: (iopsLimit: number, bandwidthLimitKbps: number) => void;
}

function bench(front: Busy, iops: number, kbps: number, more: Partial<ClientOptions> = {}): Bench {
  const cluster = new ModelCluster(1);
  cluster.addVolume(5, 512, [1]);
  const limit = (iopsLimit: number, bandwidthLimitKbps: number): void => {
    for (const [index, mapping] of cluster.mappings.entries())
      cluster.mappings[index] = { ...mapping, iopsLimit, bandwidthLimitKbps };
  };
  limit(iops, kbps);
  const made: { process: SimProcess | null } = { process: null };
  const sdc = cluster.addClient(
    1,
    (process) => {
      made.process = process;
      return front;
    },
    more,
  );
  front.sdc = sdc;
  cluster.until(() => front.ended.length > 0);
  const input = (act: (nowUs: number) => void): void => {
    made.process?.input(act);
  };
  return { cluster, sdc, input, limit };
}

/** Whole seconds of a run, each with what ended in it. */
function perSecond(front: Busy, { cluster }: Bench, seconds: number): number[] {
  const fromUs = cluster.sim.nowUs;
  cluster.run(seconds * SECOND_US);
  return Array.from({ length: seconds }, (_, second) =>
    front.within(fromUs + second * SECOND_US, fromUs + (second + 1) * SECOND_US),
  );
}

test('a limit of requests holds to 5 % in every second, and is used up', (t) => {
  for (const iops of [11, 500, 2000, 5000]) {
    const front = new Busy(16, 1);
    const counts = perSecond(front, bench(front, iops, 0), 5);
    const most = iops * 1.05 + 1;
    for (const count of counts) t.true(count <= most && count >= iops * 0.95 - 1, counts.join(' '));
    t.deepEqual(front.errors, []);
  }
});

test('a limit of bytes holds to 5 %, whatever the size of the requests', (t) => {
  for (const blocks of [1, 8]) {
    const front = new Busy(16, blocks);
    const counts = perSecond(front, bench(front, 0, 64), 5);
    for (const count of counts) {
      const kb = (count * blocks * BLOCK) / 1024;
      t.true(kb <= 64 * 1.05 + blocks / 16 && kb >= 64 * 0.95 - blocks / 16, `${kb} KiB`);
    }
  }
});

test('the smaller one of two limits holds; zeroes count as requests, flushes not at all', (t) => {
  const both = new Busy(8, 8);
  // 64 KiB a second are 128 requests of 512 bytes.
  for (const count of perSecond(both, bench(both, 100, 64), 2)) t.true(count <= 106 && count > 94);
  const zeroes = new Busy(8, 8, IO.zero);
  for (const count of perSecond(zeroes, bench(zeroes, 400, 64), 2)) t.true(count > 370);
  const slow = new Busy(8, 1);
  const made = bench(slow, 11, 0);
  made.cluster.run(SECOND_US);
  made.input((nowUs) => {
    slow.flush(nowUs);
  });
  made.cluster.run(10_000);
  t.is(slow.flushed, 1, 'at once, before those that wait');
});

test('a limit that changes or goes away holds at once for whoever waits', (t) => {
  const front = new Busy(16, 1);
  const made = bench(front, 20, 0);
  t.true((perSecond(front, made, 1)[0] ?? 0) <= 22);
  made.limit(2000, 0);
  made.cluster.mdm.pushAll();
  made.cluster.run(300_000);
  const [faster] = perSecond(front, made, 1);
  t.true(faster !== undefined && faster > 1900 && faster <= 2101, String(faster));
  made.limit(0, 0);
  made.cluster.mdm.pushAll();
  made.cluster.run(300_000);
  t.true((perSecond(front, made, 1)[0] ?? 0) > 5000, 'no limit');
});

test('waiting for a limit is counted, is no latency, and never an error', (t) => {
  const front = new Busy(16, 1);
  const { cluster, sdc } = bench(front, 11, 0, { ioTimeoutUs: 300_000 });
  cluster.run(4 * SECOND_US);
  t.deepEqual(front.errors, []);
  const [counter] = sdc.heartbeat().counters;
  if (counter === undefined) throw new Error('a counter');
  t.true(counter.throttledOps > 20);
  t.true(counter.throttledMicros / counter.throttledOps > SECOND_US, '16 requests at 11 a second');
  t.true(counter.readMicros / counter.readOps < 100_000);
});

test('limits by size follow the size, and the smaller limit holds', (t) => {
  const none = { iopsLimit: 0, bandwidthLimitKbps: 0, iopsPerGib: 0, kbpsPerGib: 0 };
  t.deepEqual(limitsOf(none, 8 * GIB), { iops: 0, kbps: 0 });
  // 500 requests a second, and a quarter of a MiB a second for each GiB.
  const croc = { ...none, iopsLimit: 500, kbpsPerGib: 256 };
  t.deepEqual(limitsOf(croc, 104 * GIB), { iops: 500, kbps: 26 * 1024 });
  t.deepEqual(limitsOf(croc, 128 * GIB), { iops: 500, kbps: 32 * 1024 });
  t.deepEqual(limitsOf({ ...none, iopsLimit: 500, iopsPerGib: 10 }, 8 * GIB).iops, 80);
  t.deepEqual(limitsOf({ ...none, iopsPerGib: 1 }, GIB / 2).iops, 1, 'never stopped');
});
