// Attaching by the kernel's nbd driver, through the product's own holder: names, size, a file system under which the client
// process and the holder are killed while somebody writes, growth, every way of detaching. Runs inside the guest.

import { existsSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { DeviceFacts } from '../../backend/bin/holder-attachment.js';
import { nbdOf } from '../../backend/runtime/kernel-nbd.js';
import { IO } from '../../backend/sdc/block-front.js';
import { Bench, SYSTEM, VOLUME } from '../attach/bench.js';
import { lvmRule, udevRule } from './rules.js';
import {
  busybox,
  check,
  digest,
  failed,
  isTrue,
  run,
  running,
  same,
  say,
  until,
} from './checks.js';

const MIB = 1048576;
const SIZE_BYTES = 48 * MIB;
const CONTENT = '/tmp/content';
const CONTENT_MIB = 8;
const KILLS = 3;

const sysfs = (device: DeviceFacts, file: string): string =>
  join('/sys/block', device.blockDevice.replace('/dev/', ''), file);

async function isGone(bench: Bench, device: DeviceFacts): Promise<void> {
  await until('the kernel has let go', () => !existsSync(sysfs(device, 'pid')));
  await until('the holder has let go', async () => (await bench.attached()).length === 0);
  same(bench.leftovers().join(' '), '');
}

/** Writes the content to a file of a mounted file system, and calls `hurt` once it is under way. */
async function writeWhile(bench: Bench, to: string, hurt: () => Promise<void>): Promise<void> {
  const before = (await bench.counts())[IO.write] ?? 0;
  const writer = running('dd', `if=${CONTENT}`, `of=${to}`, 'bs=64k', 'oflag=direct', 'conv=fsync');
  let over = false;
  const said = writer.finally(() => {
    over = true;
  });
  await until('the writer is at work', async () => {
    const { [IO.write]: writes = 0 } = await bench.counts();
    return over || writes > before + 8;
  });
  isTrue(!over, 'the writer is at work when it hurts');
  await hurt();
  same(await said, '');
}

function bytesOf(device: string, point: string, file: string): void {
  run('umount', point);
  run('e2fsck', '-f', '-n', device);
  run('mount', device, point);
  same(digest(readFileSync(join(point, file))), digest(readFileSync(CONTENT)));
}

async function underFileSystem(bench: Bench, facts: DeviceFacts): Promise<string> {
  const { device } = facts;
  let point = '';
  await check('a file system is made and mounted on it', async () => {
    run('mkfs.ext4', '-q', device);
    point = await bench.mount(device);
  });
  await check('the client process is killed while somebody writes: a pause, no error', async () => {
    await writeWhile(bench, join(point, 'one'), async () => {
      for (let kill = 0; kill < KILLS; kill++) {
        await bench.killServer();
        await bench.startServer(SIZE_BYTES);
        await until('I/O goes on', async () => ((await bench.counts())[IO.write] ?? 0) > 4);
      }
    });
    const [now] = await bench.attached();
    isTrue((now?.repeated ?? 0) > 0, 'requests were under way at the kills');
    bytesOf(device, point, 'one');
  });
  await check('the holder is killed while somebody writes: a pause, no error', async () => {
    await writeWhile(bench, join(point, 'two'), async () => {
      await bench.killHolder();
      // What is asked for while nobody holds the device waits like what was under way.
      const read = ['if=/dev/nbd2000', 'of=/dev/null', 'bs=4k', 'count=1', 'iflag=direct'];
      const reader = running('dd', ...read);
      let over = false;
      const said = reader.finally(() => {
        over = true;
      });
      await until('the reader waits', () => over || busybox('ps').includes(read.join(' ')));
      await bench.startHolder();
      same(await said, '');
    });
    const [now] = await bench.attached();
    same(now?.blockDevice, facts.blockDevice);
    same(now?.device, device);
    bytesOf(device, point, 'two');
  });
  await check('a volume that grows is larger at once, and so is its file system', async () => {
    await bench.killServer();
    await bench.startServer(2 * SIZE_BYTES);
    const grown = await bench.attach(2 * SIZE_BYTES, { method: 'nbd' });
    same(grown.blockDevice, facts.blockDevice);
    same(run('blockdev', '--getsize64', device), String(2 * SIZE_BYTES));
    run('resize2fs', device);
    bytesOf(device, point, 'one');
  });
  return point;
}

async function waysOut(bench: Bench): Promise<void> {
  await check('a device that is taken away by force works until it is closed', async () => {
    const facts = await bench.attach(2 * SIZE_BYTES, { method: 'nbd' });
    const file = await open(facts.device, 'r+');
    same((await bench.detach()).ok, false);
    same((await bench.detach(false, true)).ok, true);
    same(existsSync(facts.device), false);
    await file.write(Buffer.alloc(4096, 1), 0, 4096, 0);
    await file.sync();
    same((await bench.attached())[0]?.state, 'releasing');
    await bench.killHolder();
    await bench.startHolder();
    same((await bench.attached())[0]?.state, 'releasing');
    await file.write(Buffer.alloc(4096, 2), 0, 4096, 0);
    await file.sync();
    await file.close();
    await isGone(bench, facts);
  });
  await check('after a mapping was taken away whoever has it open gets errors', async () => {
    const facts = await bench.attach(2 * SIZE_BYTES, { method: 'nbd' });
    const file = await open(facts.device, 'r+');
    await bench.killServer();
    const waiting = file
      .write(Buffer.alloc(4096, 2), 0, 4096, 8192)
      .then(() => file.sync())
      .then(
        () => 'written',
        (error: unknown) => (error as NodeJS.ErrnoException).code,
      );
    same((await bench.detach(true, true)).ok, true);
    same(await waiting, 'EIO');
    await file.close();
    await isGone(bench, facts);
    await bench.startServer(2 * SIZE_BYTES);
  });
  await check('a client process that is away holds up no attach, only I/O', async () => {
    await bench.killServer();
    const facts = await bench.attach(2 * SIZE_BYTES, { method: 'nbd' });
    same(facts.connected, false);
    const reader = running('dd', `if=${facts.device}`, 'of=/dev/null', 'bs=4k', 'count=1');
    await bench.startServer(2 * SIZE_BYTES);
    same(await reader, '');
    // Somebody else ends the device: the holder sees it and takes its names away.
    run('nbd-client', '-d', facts.blockDevice);
    await isGone(bench, facts);
    same(existsSync(facts.device), false);
  });
  await check('a read-only volume is a read-only device', async () => {
    const facts = await bench.attach(2 * SIZE_BYTES, { method: 'nbd', readOnly: true });
    same(run('blockdev', '--getro', facts.device), '1');
    same((await bench.detach()).ok, true);
    await isGone(bench, facts);
  });
}

async function hostRules(bench: Bench): Promise<void> {
  for (const method of ['nbd', 'fuse'] as const) {
    const facts = await bench.attach(2 * SIZE_BYTES, { method });
    same(facts.method, method);
    await check(`attached by ${method} it is as large as the volume`, () => {
      same(run('blockdev', '--getsize64', facts.device), String(2 * SIZE_BYTES));
    });
    await lvmRule(facts, method);
    await udevRule(facts, `${method} with a physical volume`);
    await bench.detach();
    await until('it is gone', async () => (await bench.attached()).length === 0);
  }
}

export async function attachByNbd(): Promise<void> {
  writeFileSync(CONTENT, randomBytes(CONTENT_MIB * MIB));
  const bench = await Bench.start(SIZE_BYTES);
  const attached: DeviceFacts[] = [];
  await check("the holder attaches by the kernel's nbd where the kernel has it", async () => {
    const facts = await bench.attach(SIZE_BYTES, { method: 'auto' });
    attached.push(facts);
    same(facts.method, 'nbd');
    same(facts.blockDevice, '/dev/nbd2000');
    same(facts.device, join(bench.deviceDir, 'scinia'));
    const ids = ['', 'scsi-'].map((prefix) =>
      join(bench.deviceDir, 'disk', 'by-id', `${prefix}emc-vol-${SYSTEM}-${VOLUME}`),
    );
    same(facts.links.join(' '), ids.join(' '));
    for (const link of [facts.device, ...ids]) same(readlinkSync(link), facts.blockDevice);
    same(run('blockdev', '--getsize64', facts.device), String(SIZE_BYTES));
    same(run('blockdev', '--getss', facts.device), '512');
    same(readFileSync(sysfs(facts, 'queue/max_sectors_kb'), 'utf8').trim(), '1024');
  });
  const [device] = attached;
  if (device === undefined) return;
  const point = await underFileSystem(bench, device);
  await udevRule(device, 'nbd with a file system');
  await check('it is not detached while it is mounted, and completely afterwards', async () => {
    const refused = await bench.detach();
    same(refused.ok, false);
    isTrue(String(refused['error']).includes('in use'), String(refused['error']));
    await bench.unmount(point);
    same((await bench.detach()).ok, true);
    await isGone(bench, device);
    same(nbdOf(device.blockDevice), null);
  });
  await hostRules(bench);
  await waysOut(bench);
  if (failed() > 0)
    for (const line of readFileSync(join(bench.stateDir, 'holder.log'), 'utf8').split('\n'))
      say(` holder: ${line}`);
  await bench.end();
}
