// The holder of block devices, judged by fio, the kernel's ext4 and what is left in the system afterwards. An NBD server
// over a file stands for the client process: what is tested is that consumers of the device never notice its death.

import {
  chownSync,
  existsSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { IO } from '../../backend/sdc/block-front.js';
import { Bench, SYSTEM, VOLUME, guarded } from './bench.js';
import { until } from '../support/until.js';

const MIB = 1048576;
const SIZE_BYTES = 256 * MIB;
/** Debian's user without any right. */
const NOBODY = 65534;

/** A test with a holder and a server of its own, which leave nothing behind. */
function attached(title: string, run: (t: ExecutionContext, bench: Bench) => Promise<void>): void {
  test.serial(title, async (t) => {
    t.timeout(240_000);
    const bench = await Bench.start(SIZE_BYTES);
    try {
      await run(t, bench);
    } finally {
      await bench.end();
    }
  });
}

/** Whether the program below a `timeout` has a block device open; null while not. */
function holdsBlockDevice(timeoutPid: number): true | null {
  const children = readFileSync(`/proc/${timeoutPid}/task/${timeoutPid}/children`, 'utf8');
  const opened = children
    .trim()
    .split(' ')
    .filter((pid) => pid !== '')
    .flatMap((pid) => readdirSync(`/proc/${pid}/fd`).map((fd) => `/proc/${pid}/fd/${fd}`));
  return opened.some((path) => statSync(path, { throwIfNoEntry: false })?.isBlockDevice() === true)
    ? true
    : null;
}

/** Detaches, and asserts that nothing is left. */
async function detachCleanly(t: ExecutionContext, bench: Bench): Promise<void> {
  t.like(await bench.detach(), { ok: true });
  await until('nothing is attached', async () =>
    (await bench.attached()).length === 0 ? true : null,
  );
  t.deepEqual(bench.leftovers(), []);
}

const fio = (device: string, ...args: string[]) =>
  guarded(
    180,
    'fio',
    ...['--name=v', `--filename=${device}`, '--direct=1', '--ioengine=libaio'],
    ...['--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0', ...args],
  );

attached('a device has all its names, size and sectors; detached it is gone', async (t, bench) => {
  const facts = await bench.attach(SIZE_BYTES);
  const byId = join(bench.deviceDir, 'disk', 'by-id');
  t.is(facts.device, join(bench.deviceDir, 'scinia'));
  t.deepEqual(readdirSync(byId).sort(), [
    `emc-vol-${SYSTEM}-${VOLUME}`,
    `scsi-emc-vol-${SYSTEM}-${VOLUME}`,
  ]);
  for (const link of [facts.device, ...facts.links]) t.is(readlinkSync(link), facts.blockDevice);
  t.is((await guarded(10, 'blockdev', '--getsize64', facts.device)).stdout, String(SIZE_BYTES));
  t.is((await guarded(10, 'blockdev', '--getss', facts.device)).stdout, '512');
  await detachCleanly(t, bench);
});

attached('what is refused by the system is said, and ends nothing', async (t, bench) => {
  // A device of another user's, as libvirt makes it, and no right to open such a thing.
  await bench.killHolder();
  await bench.startHolder('setpriv', '--bounding-set=-dac_override,-dac_read_search,-sys_ptrace');
  const { blockDevice } = await bench.attach(SIZE_BYTES);
  chownSync(blockDevice, NOBODY, NOBODY);
  try {
    await t.throwsAsync(bench.attach(2 * SIZE_BYTES), { message: /set capacity.*denied/s });
    const [kept] = await bench.attached();
    t.is(kept?.sizeBytes, SIZE_BYTES, 'the size is that of the device');
    const asked = await bench.detach();
    t.regex(String(asked['error']), /cannot be detached: EACCES/);
    t.is((await bench.attached()).length, 1);
  } finally {
    chownSync(blockDevice, 0, 6);
  }
  t.is((await bench.attach(2 * SIZE_BYTES)).sizeBytes, 2 * SIZE_BYTES);
  const { stdout } = await guarded(10, 'blockdev', '--getsize64', blockDevice);
  t.is(stdout, String(2 * SIZE_BYTES), 'it grows as soon as it may');
  await detachCleanly(t, bench);
});

attached('nbd is used where the kernel has it, and refused by name where not', async (t, bench) => {
  const asked = bench.attach(SIZE_BYTES, { method: 'nbd' });
  const loaded = await asked.then(
    () => true,
    (error: unknown) => {
      t.regex(
        (error as Error).message,
        /cannot be attached: nbd-device: this kernel has no nbd driver/,
      );
      return false;
    },
  );
  if (loaded) await bench.detach();
  t.deepEqual(bench.leftovers(), []);
  const { method } = await bench.attach(SIZE_BYTES, { method: 'auto' });
  t.is(method, loaded ? 'nbd' : 'fuse');
  await detachCleanly(t, bench);
});

attached(
  'fio verifies mixed sizes at depth while the server is killed 20 times',
  async (t, bench) => {
    const { device } = await bench.attach(SIZE_BYTES);
    const load = fio(
      device,
      ...['--rw=randrw', '--bsrange=512-256k', '--ba=512', '--iodepth=16', `--size=${SIZE_BYTES}`],
      ...['--io_size=768m', '--rate=48m,48m'],
    );
    let over = false;
    const result = load.finally(() => {
      over = true;
    });
    for (let kill = 0; kill < 20; kill++) {
      await until('I/O goes on', async () => {
        const before = (await bench.counts())[IO.write] ?? 0;
        return over || before > 20 ? true : null;
      });
      t.false(over, 'fio runs during all kills');
      await bench.killServer();
      await bench.startServer(SIZE_BYTES);
    }
    t.is((await result).exitCode, 0);
    const [facts] = await bench.attached();
    t.true((facts?.repeated ?? 0) > 0, 'requests were under way at the kills');
    await detachCleanly(t, bench);
  },
);

attached('ext4: make, mount, copy, discard, unmount, check, read again', async (t, bench) => {
  const { device } = await bench.attach(SIZE_BYTES);
  await guarded(60, 'mkfs.ext4', '-q', device);
  const point = await bench.mount(device);
  const source = process.execPath;
  await guarded(60, 'cp', source, join(point, 'copy'));
  await guarded(60, 'sync', '-f', point);
  await bench.killServer();
  await bench.startServer(SIZE_BYTES);
  t.regex((await guarded(60, 'fstrim', '-v', point)).stdout, /bytes\) trimmed/);
  const counts = await bench.counts();
  t.true((counts[IO.discard] ?? 0) > 0, 'a trim reaches the server');
  await bench.unmount(point);
  t.is((await guarded(60, 'e2fsck', '-f', '-n', device)).exitCode, 0);
  const again = await bench.mount(device, '-o', 'ro');
  t.is((await guarded(60, 'cmp', source, join(again, 'copy'))).exitCode, 0);
  await bench.unmount(again);
  await detachCleanly(t, bench);
});

attached('discard and zeroing read as zeroes, a flush reaches the server', async (t, bench) => {
  const { device } = await bench.attach(SIZE_BYTES);
  await fio(device, '--rw=write', '--bs=1m', '--size=16m');
  await guarded(30, 'blkdiscard', '-o', '0', '-l', String(4 * MIB), device);
  await guarded(30, 'blkdiscard', '-z', '-o', String(4 * MIB), '-l', String(4 * MIB), device);
  const limit = ['-n', String(8 * MIB)];
  t.is((await guarded(30, 'cmp', ...limit, device, '/dev/zero')).exitCode, 0);
  const before = await bench.counts();
  const file = await open(device, 'r+');
  await file.write(Buffer.alloc(4096, 7), 0, 4096, 0);
  await file.sync();
  await file.close();
  const after = await bench.counts();
  t.true((before[IO.discard] ?? 0) > 0);
  t.true((before[IO.zero] ?? 0) > 0);
  t.true((after[IO.flush] ?? 0) > (before[IO.flush] ?? 0));
  await detachCleanly(t, bench);
});

attached(
  'a volume that grows is larger at once, while its file system is mounted',
  async (t, bench) => {
    const { device } = await bench.attach(SIZE_BYTES);
    await guarded(60, 'mkfs.ext4', '-q', device);
    const point = await bench.mount(device);
    await bench.killServer();
    await bench.startServer(2 * SIZE_BYTES);
    const grown = await bench.attach(2 * SIZE_BYTES);
    t.is(grown.device, device);
    t.is((await guarded(10, 'blockdev', '--getsize64', device)).stdout, String(2 * SIZE_BYTES));
    await bench.unmount(point);
    await guarded(60, 'e2fsck', '-f', '-p', device);
    await guarded(60, 'resize2fs', device);
    t.is((await guarded(60, 'e2fsck', '-f', '-n', device)).exitCode, 0);
    await detachCleanly(t, bench);
  },
);

attached('a device in use is not detached unless forced, and keeps working', async (t, bench) => {
  const { device } = await bench.attach(SIZE_BYTES);
  const file = await open(device, 'r+');
  const refused = await bench.detach();
  t.false(refused.ok);
  t.regex(String(refused['error']), /in use/);
  t.like(await bench.detach(false, true), { ok: true });
  t.false(existsSync(device));
  await file.write(Buffer.alloc(4096, 1), 0, 4096, 0);
  await file.sync();
  t.is((await bench.attached())[0]?.state, 'releasing');
  t.false((await bench.ask({ op: 'end' })).ok, 'a holder that holds something does not end');
  await file.close();
  await until('released', async () => ((await bench.attached()).length === 0 ? true : null));
  t.deepEqual(bench.leftovers(), []);
});

attached(
  'after revocation an open consumer gets errors, and the device goes with it',
  async (t, bench) => {
    const { device } = await bench.attach(SIZE_BYTES);
    const file = await open(device, 'r+');
    await file.write(Buffer.alloc(4096, 1), 0, 4096, 0);
    await file.sync();
    // Nobody serves the volume any more: what waits must fail too.
    await bench.killServer();
    const waiting = file.write(Buffer.alloc(4096, 2), 0, 4096, 8192).then(() => file.sync());
    t.like(await bench.detach(true, true), { ok: true });
    await t.throwsAsync(waiting, { code: 'EIO' });
    t.false(existsSync(device));
    await file.close();
    await until('released', async () => ((await bench.attached()).length === 0 ? true : null));
    t.deepEqual(bench.leftovers(), []);
  },
);

attached(
  'a killed holder leaves nothing that the next one does not take away',
  async (t, bench) => {
    const before = await bench.attach(SIZE_BYTES);
    const foreign = join(bench.deviceDir, 'sciniz');
    symlinkSync('/dev/null', foreign);
    await bench.killHolder();
    await bench.startHolder();
    t.deepEqual(bench.leftovers(), ['sciniz'], 'what is not its own stays');
    const after = await bench.attach(SIZE_BYTES);
    t.is(after.device, before.device);
    await fio(after.device, '--rw=randwrite', '--bs=4k', '--iodepth=8', '--size=4m');
    t.like(await bench.detach(), { ok: true });
  },
);

attached('names are stable, and a taken one is left to its owner', async (t, bench) => {
  symlinkSync('/dev/null', join(bench.deviceDir, 'scinia'));
  const other = '4d53415600000008';
  const first = await bench.attach(SIZE_BYTES);
  const second = await bench.attach(SIZE_BYTES, { volumeId: other });
  t.is(first.device, join(bench.deviceDir, 'scinib'));
  t.is(second.device, join(bench.deviceDir, 'scinic'));
  await bench.detach();
  await until('released', async () => ((await bench.attached()).length === 1 ? true : null));
  const third = '4d53415600000009';
  const newcomer = await bench.attach(SIZE_BYTES, { volumeId: third });
  t.is(newcomer.device, join(bench.deviceDir, 'scinid'), 'the name of a volume that may come back');
  t.is((await bench.attach(SIZE_BYTES)).device, first.device);
  await bench.detach(false, false, third);
  t.is(readlinkSync(join(bench.deviceDir, 'scinia')), '/dev/null');
  await bench.detach();
  await bench.detach(false, false, other);
});

attached(
  'a server that is away holds up no attach, and a revoked volume goes',
  async (t, bench) => {
    await bench.killServer();
    // The kernel flushes the file on the way; waiting for the server would block every other loop device of this machine.
    const facts = await bench.attach(SIZE_BYTES);
    t.false(facts.connected);
    const read = guarded(60, 'dd', `if=${facts.device}`, 'of=/dev/null', 'bs=4k', 'count=1');
    await until('the reader has the device open', () => holdsBlockDevice(read.pid ?? 0));
    t.like(await bench.detach(true, true), { ok: true });
    await t.throwsAsync(read, { message: /Input\/output error/ });
    await until('nothing is attached', async () =>
      (await bench.attached()).length === 0 ? true : null,
    );
    t.deepEqual(bench.leftovers(), []);
  },
);

test.serial('a read-only volume is a read-only device', async (t) => {
  const bench = await Bench.start(SIZE_BYTES, 'ro');
  try {
    const { device } = await bench.attach(SIZE_BYTES, { readOnly: true });
    t.is((await guarded(10, 'blockdev', '--getro', device)).stdout, '1');
    t.is((await guarded(10, 'dd', `if=${device}`, 'of=/dev/null', 'bs=1M')).exitCode, 0);
    await detachCleanly(t, bench);
  } finally {
    await bench.end();
  }
});

test.serial('a step that fails takes the earlier ones back', async (t) => {
  const bench = await Bench.start(SIZE_BYTES);
  try {
    const request = { op: 'attach', volumeId: VOLUME, systemId: SYSTEM, socket: bench.socket };
    const reply = await bench.ask({
      ...request,
      ...{ sizeBytes: SIZE_BYTES, readOnly: false, deviceDir: join(bench.dir, 'missing') },
    });
    t.false(reply.ok);
    t.deepEqual(bench.leftovers(), []);
    t.deepEqual(await bench.attached(), []);
    for (const wrong of [
      { ...request, sizeBytes: 1000, readOnly: false, deviceDir: bench.deviceDir },
      { ...request, sizeBytes: SIZE_BYTES, readOnly: false, deviceDir: 'dev' },
      { op: 'attach' },
      { op: 'detach', volumeId: 'x', revoked: false, force: false },
      { op: 'hello', more: 1 },
    ])
      t.false((await bench.ask(wrong)).ok);
    t.true((await bench.ask({ op: 'end' })).ok);
    await until('the holder has ended', () => (bench.holder?.exitCode === 0 ? true : null));
    const log = readFileSync(join(bench.stateDir, 'holder.log'), 'utf8');
    t.true(log.includes('holder.ended'));
  } finally {
    await bench.end();
  }
});

attached(
  'a volume that is taken away while it is attached keeps nobody waiting',
  async (t, bench) => {
    await bench.killServer();
    const attaching = bench.attach(SIZE_BYTES).then(
      () => 'attached',
      (error: unknown) => (error as Error).message,
    );
    await until('the kernel asks for the device', async () =>
      (await bench.attached()).length > 0 && bench.leftovers().length > 1 ? true : null,
    );
    t.like(await bench.detach(true, true), { ok: true });
    // Whether the device was complete before it was taken away, it answers now and leaves nothing behind.
    t.regex(await attaching, /^attached$|cannot be attached/);
    t.deepEqual(await bench.attached(), []);
    t.deepEqual(bench.leftovers(), []);
  },
);
