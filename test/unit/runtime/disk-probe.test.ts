// Probing of devices: what is ours, what is foreign and by what name, what is in use.

import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';
import type { ExecutionContext } from 'ava';

import {
  DeviceError,
  createDeviceFile,
  formatRefusal,
  lockDevice,
  probeDevice,
} from '../../../backend/runtime/disk-probe.js';
import { encodeSuperblock } from '../../../backend/sds/store/superblock.js';
import { planLayout } from '../../../backend/sds/store/layout.js';
import { PRODUCT_GEOMETRY } from '../../../backend/sds/store/defaults.js';

const SIZE_BYTES = 64 * 2 ** 20;
const folder = mkdtempSync(join(tmpdir(), 'meshsan-probe-'));

test.after.always(() => {
  rmSync(folder, { recursive: true, force: true });
});

let nextFile = 1;

function deviceFile(sizeBytes = SIZE_BYTES): string {
  const path = join(folder, `device-${nextFile++}`);
  createDeviceFile(path, sizeBytes);
  return path;
}

function put(path: string, at: number, text: string): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, Buffer.from(text, 'latin1'), 0, text.length, at);
  closeSync(fd);
}

/** Runs a tool of the system, or logs that it is missing. */
function ran(t: ExecutionContext, command: string, args: readonly string[]): boolean {
  const paths = [command, `/usr/sbin/${command}`, `/sbin/${command}`];
  for (const path of paths) {
    const result = spawnSync(path, args, { encoding: 'utf8' });
    if (result.error !== undefined) continue;
    t.is(result.status, 0, result.stderr);
    return true;
  }
  t.log(`${command} is not installed: its own signature was not tried`);
  return false;
}

test('a new sparse file is free to use, private, and takes no space', (t) => {
  const path = deviceFile();
  const probed = probeDevice(path);
  t.like(probed, { kind: 'file', sizeBytes: SIZE_BYTES, identity: null, foreign: null });
  t.is(formatRefusal(probed, false), null);
  t.is(statSync(path).mode & 0o077, 0);
  t.true(statSync(path).blocks * 512 < 65_536);
  t.throws(() => {
    createDeviceFile(path, SIZE_BYTES);
  });
});

test('paths that cannot be devices are refused by name', (t) => {
  t.throws(() => probeDevice('/nowhere/at/all'), {
    instanceOf: DeviceError,
    message: /\/nowhere\/at\/all does not exist/,
  });
  t.throws(() => probeDevice(folder), { instanceOf: DeviceError, message: /neither a file nor/ });
  t.throws(() => probeDevice('/dev/null'), { instanceOf: DeviceError, message: /neither/ });
});

test('real file systems and volumes are named', (t) => {
  const cases: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['mkfs.ext4', ['-q', '-F'], /an ext4 file system/],
    ['mkfs.ext2', ['-q', '-F'], /an ext2 file system/],
    ['mkfs.btrfs', ['-q', '-f'], /btrfs/],
    ['mkswap', [], /swap space/],
  ];
  for (const [command, args, expected] of cases) {
    const path = deviceFile(command === 'mkfs.btrfs' ? 256 * 2 ** 20 : SIZE_BYTES);
    if (!ran(t, command, [...args, path])) continue;
    t.regex(probeDevice(path).foreign ?? '', expected);
    t.regex(formatRefusal(probeDevice(path), false) ?? '', expected);
    t.is(formatRefusal(probeDevice(path), true), null);
  }
  const luks = deviceFile();
  const formatted = spawnSync(
    '/usr/sbin/cryptsetup',
    ['luksFormat', '-q', '--pbkdf-force-iterations', '1000', '--pbkdf', 'pbkdf2', luks, '-'],
    { input: 'passphrase' },
  );
  if (formatted.error !== undefined) t.log('cryptsetup is not installed');
  else if (formatted.status === 0) t.regex(probeDevice(luks).foreign ?? '', /LUKS/);
  else t.log('cryptsetup cannot work here: its own signature was not tried');
});

test('signatures are recognised wherever they lie', (t) => {
  const cases: readonly (readonly [number, string, RegExp])[] = [
    [0, 'XFSB', /XFS/],
    [0, 'LUKS\xba\xbe', /LUKS/],
    [0, 'bluestore block device\n', /Ceph BlueStore/],
    [512, 'LABELONE', /LVM/],
    [4096, '\xfc\x4e\x2b\xa9', /mdraid 1\.2/],
    [SIZE_BYTES - 8192, '\xfc\x4e\x2b\xa9', /mdraid 1\.0/],
    [SIZE_BYTES - 65536, '\xfc\x4e\x2b\xa9', /mdraid 0\.90/],
    [512, 'EFI PART', /GPT/],
    [SIZE_BYTES - 512, 'EFI PART', /GPT/],
    [510, '\x55\xaa', /MBR/],
    [131072 + 4096, '\x0c\xb1\xba\0\0\0\0\0', /ZFS/],
    [65600, '_BHRfS_M', /btrfs/],
    [777_777, 'x', /unknown kind \(byte 777777/],
    [SIZE_BYTES - 3, 'x', /unknown kind/],
  ];
  for (const [at, text, expected] of cases) {
    const path = deviceFile();
    put(path, at, text);
    t.regex(probeDevice(path).foreign ?? 'nothing', expected);
  }
});

function ourDevice(): string {
  const path = deviceFile();
  const layout = planLayout(PRODUCT_GEOMETRY, { sizeBytes: SIZE_BYTES });
  if (typeof layout === 'string') throw new Error(layout);
  const superblock = {
    formatLow: 1,
    formatHigh: 2,
    systemId: '00000000000000aa',
    deviceKey: 12,
    poolKey: 3,
    sequence: 4,
    incarnation: 5,
    dataIncarnation: 4,
    bootId: 'x',
    clean: true,
    volatile: false,
    rolledBack: false,
    tailPosition: 0,
    tailLsn: 1,
    tailChain: 0,
    durableLsn: 0,
    settledLsn: 0,
    tablesSequence: 0,
    tablesDigest: 0,
    format: 1,
  };
  for (const offset of [0, layout.secondSuperblockAt]) {
    const bytes = new Uint8Array(layout.superblockBytes);
    encodeSuperblock(superblock, layout, offset, bytes);
    put(path, offset, Buffer.from(bytes).toString('latin1'));
  }
  return path;
}

test('our own device is known by its signature under any path, by either superblock', (t) => {
  const path = ourDevice();
  const link = join(folder, 'another-name');
  symlinkSync(path, link);
  for (const name of [path, link])
    t.like(probeDevice(name).identity, { systemId: '00000000000000aa', deviceKey: 12 });
  t.regex(formatRefusal(probeDevice(path), false) ?? '', /device 12 of MeshSAN system/);
  put(path, 0, '\0'.repeat(256));
  t.like(probeDevice(path).identity, { deviceKey: 12 });
  put(path, SIZE_BYTES - 4096 + 60, 'damage');
  const damaged = probeDevice(path);
  t.is(damaged.identity, null);
  t.regex(formatRefusal(damaged, false) ?? '', /damaged MeshSAN device: .*checksum/);
});

test('a device is used by one process at a time', async (t) => {
  const path = deviceFile();
  const link = join(folder, 'second-name');
  symlinkSync(path, link);
  const lock = await lockDevice(path);
  t.truthy(lock);
  t.is(await lockDevice(link), null);
  t.truthy(await lockDevice(deviceFile()));
  lock?.release();
  const again = await lockDevice(link);
  t.truthy(again);
  again?.release();
});

test('a file that a loop device or a mount uses is in use', (t) => {
  if (process.getuid?.() !== 0 || !existsSync('/dev/loop-control')) {
    t.log('skipped: needs root and loop devices');
    t.pass();
    return;
  }
  const path = deviceFile();
  if (!ran(t, 'mkfs.ext4', ['-q', '-F', path])) return;
  const loop = execFileSync('/usr/sbin/losetup', ['--find', '--show', path], {
    encoding: 'utf8',
  }).trim();
  const mount = mkdtempSync(join(folder, 'mount-'));
  try {
    t.regex(probeDevice(path).inUse ?? '', /attached to \/dev\/loop/);
    t.like(probeDevice(loop), { kind: 'disk', sizeBytes: SIZE_BYTES, inUse: null });
    t.regex(probeDevice(loop).foreign ?? '', /ext4/);
    execFileSync('mount', [loop, mount]);
    t.is(probeDevice(loop).inUse, `it is mounted on ${mount}`);
    t.regex(formatRefusal(probeDevice(loop), true) ?? '', /is in use: it is mounted/);
    execFileSync('umount', [mount]);
  } finally {
    spawnSync('umount', [mount]);
    execFileSync('/usr/sbin/losetup', ['--detach', loop]);
  }
});
