// Files as disks: what is written is read back, completions come in batches, errors are reported, direct access works.

import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';

import { FileDisk, openFileDisk } from '../../../backend/runtime/disk-file.js';
import { createDeviceFile } from '../../../backend/runtime/disk-probe.js';
import { Loop } from '../../../backend/runtime/loop.js';
import { FileStore, formatFile } from '../../power/file-store.js';

const folder = mkdtempSync(join(tmpdir(), 'meshsan-disk-'));

test.after.always(() => {
  rmSync(folder, { recursive: true, force: true });
});

class Client {
  readonly outcomes = new Map<number, boolean>();
  inside = false;
  private waiting: (() => void)[] = [];

  diskDone(_nowUs: number, token: number, ok: boolean): void {
    this.outcomes.set(token, ok);
    for (const wake of this.waiting.splice(0)) wake();
  }

  async outcome(token: number): Promise<boolean | undefined> {
    while (!this.outcomes.has(token)) await new Promise<void>((wake) => this.waiting.push(wake));
    return this.outcomes.get(token);
  }
}

function opened(name: string, direct = false): { disk: FileDisk; client: Client; loop: Loop } {
  const path = join(folder, name);
  createDeviceFile(path, 4 * 2 ** 20);
  const loop = new Loop();
  const disk = openFileDisk(path, 4 * 2 ** 20, false, direct, loop);
  const client = new Client();
  disk.attach(client);
  loop.addSource(disk);
  return { disk, client, loop };
}

test.serial('after a slow read others go through the pool only if it came from the medium', (t) => {
  const real = {
    now: performance.now.bind(performance),
    usage: process.resourceUsage.bind(process),
  };
  const usage = process.resourceUsage();
  let nowMs = 0;
  let fsRead = 8;
  // Every read takes long by this clock.
  performance.now = () => (nowMs += 5);
  process.resourceUsage = () => ({ ...usage, fsRead });
  try {
    const { disk, client } = opened('slow');
    const isDoneAtOnce = (token: number): boolean => {
      disk.read(token, 4096, new Uint8Array(4096), 0, 4096);
      disk.drain(0);
      return client.outcomes.has(token);
    };
    t.true(isDoneAtOnce(1));
    t.true(isDoneAtOnce(2), 'it only waited for the processor');
    fsRead = 16;
    t.true(isDoneAtOnce(3));
    t.false(isDoneAtOnce(4), 'the medium was read');
    for (let token = 5; token < 5 + 63; token++) t.false(isDoneAtOnce(token));
    t.true(isDoneAtOnce(68), 'tried again');
    t.true(isDoneAtOnce(69));
    disk.close();
  } finally {
    performance.now = real.now;
    process.resourceUsage = real.usage;
  }
});

for (const direct of [false, true])
  test(`what is written is read back, small and large, ${direct ? 'direct' : 'cached'}`, async (t) => {
    const { disk, client, loop } = opened(`file-${String(direct)}`, direct);
    const data = new Uint8Array(300_000).map((_byte, index) => index * 7);
    const back = new Uint8Array(300_000);
    // An odd place in memory: the caller need not care for alignment.
    loop.begin();
    disk.write(1, 4096, data, 13, 4096);
    disk.write(2, 65_536, data, 4109, 294_912);
    t.is(client.outcomes.size, 0, 'nothing is called back from inside an operation');
    loop.end();
    t.true(await client.outcome(1));
    t.true(await client.outcome(2));
    loop.begin();
    disk.flush(3);
    loop.end();
    t.true(await client.outcome(3));
    loop.begin();
    disk.read(4, 4096, back, 13, 4096);
    disk.read(5, 65_536, back, 4109, 294_912);
    loop.end();
    t.true(await client.outcome(4));
    t.true(await client.outcome(5));
    t.deepEqual(back.subarray(13, 4109 + 294_912), data.subarray(13, 4109 + 294_912));
    disk.close();
  });

test('memory from allocate is taken as it is by direct access', async (t) => {
  const { disk, client, loop } = opened('aligned', true);
  const bytes = disk.allocate(8192).fill(9);
  loop.begin();
  disk.write(1, 8192, bytes, 4096, 4096);
  loop.end();
  t.true(await client.outcome(1));
  disk.close();
});

test('a file system without room is told apart from a device that fails', async (t) => {
  const loop = new Loop();
  const disk = new FileDisk(openSync('/dev/full', 'r+'), 4 * 2 ** 20, false, loop);
  const client = new Client();
  disk.attach(client);
  loop.addSource(disk);
  loop.begin();
  disk.write(1, 8192, new Uint8Array(4096), 0, 4096);
  disk.writeDurable(2, 8192, new Uint8Array(4096), 0, 4096);
  loop.end();
  t.false(await client.outcome(1));
  t.false(await client.outcome(2));
  t.regex(disk.failure ?? '', /^write at 8192: .*ENOSPC/);
  t.true(disk.outOfRoom);
  disk.close();

  const broken = opened('broken');
  broken.loop.begin();
  broken.disk.read(3, 64 * 2 ** 20, new Uint8Array(4096), 0, 4096);
  broken.loop.end();
  t.false(await broken.client.outcome(3));
  t.false(broken.disk.outOfRoom);
  broken.disk.close();
});

test('errors are reported with their place and never thrown', async (t) => {
  const path = join(folder, 'read-only');
  createDeviceFile(path, 524_288);
  const fd = openSync(path, 'r');
  const loop = new Loop();
  const disk = new FileDisk(fd, 524_288, false, loop);
  const client = new Client();
  disk.attach(client);
  loop.addSource(disk);
  loop.begin();
  disk.write(1, 0, new Uint8Array(4096), 0, 4096);
  disk.read(2, 1 << 20, new Uint8Array(4096), 0, 4096);
  disk.write(3, 0, new Uint8Array(524_288), 0, 524_288);
  loop.end();
  t.false(await client.outcome(1));
  t.false(await client.outcome(2));
  t.false(await client.outcome(3));
  t.regex(disk.failure ?? '', /write at 0: EBADF/);
  disk.close();
  t.throws(() => {
    closeSync(fd);
  });
});

for (const direct of [false, true])
  test(`a store works on a file, ${direct ? 'direct' : 'cached'}`, async (t) => {
    const path = join(folder, `store-${String(direct)}`);
    await formatFile(path, 96 * 2 ** 20);
    const store = await FileStore.open(path, { direct });
    for (let tag = 1; tag <= 40; tag++)
      await store.write(tag % 5, (tag * 3) % 64, 1 + (tag % 40), tag);
    await store.flush();
    const before = await store.readTags(3, 0, 64);
    t.true(before.some((tag) => tag > 0));
    await store.close();
    const again = await FileStore.open(path, { direct });
    t.deepEqual(await again.readTags(3, 0, 64), before);
    t.like(again.identity, { incarnation: 2, rolledBack: false });
    await again.close();
  });
