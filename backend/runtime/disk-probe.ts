// Looks at a path before it is used as a device: what it is, how large, whether it is ours, whose data it carries
// otherwise, and who uses it. It owns these questions; it must never write, except to make a device file that was asked for.

import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { basename } from 'node:path';

import { hasSignature, readDiskIdentity } from '../protocol/disk-identity.js';
import type { DiskIdentity } from '../protocol/disk-identity.js';
import { LIMITS } from '../protocol/tables/limits.js';

import { foreignData } from './disk-signatures.js';
import type { ReadAt } from './disk-signatures.js';

const BLOCK_BYTES = LIMITS.blockBytes.value;
/** Of the counts in sysfs, whatever the device's own sectors are. */
const SYSFS_SECTOR_BYTES = 512;

/** A path that cannot be a device, with a sentence for people. */
export class DeviceError extends Error {
  override readonly name = 'DeviceError';
}

export interface ProbedDevice {
  readonly path: string;
  readonly kind: 'file' | 'partition' | 'disk';
  readonly sizeBytes: number;
  /** Whose device it is; null: it carries no valid superblock of ours. */
  readonly identity: DiskIdentity | null;
  /** It carries our signature, but none of its superblocks is valid: why. */
  readonly damaged: string | null;
  /** What other software left on it, or null. Not looked for when it is ours. */
  readonly foreign: string | null;
  /** Who uses it right now, or null. */
  readonly inUse: string | null;
  /** HDD or SSD, as the kernel says; empty: it is a file, whatever lies below, or the kernel does not say. */
  readonly media: string;
}

interface BlockNumbers {
  readonly major: number;
  readonly minor: number;
}

function numbersOf(rdev: number): BlockNumbers {
  return {
    major: (rdev >>> 8) & 0xfff,
    minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00),
  };
}

function sysfsFolder({ major, minor }: BlockNumbers): string {
  return `/sys/dev/block/${major}:${minor}`;
}

function listOf(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

function textOf(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : '';
}

/** Mount points of a device by its numbers. */
function mountPoint({ major, minor }: BlockNumbers): string | null {
  for (const line of textOf('/proc/self/mountinfo').split('\n')) {
    const words = line.split(' ');
    if (words[2] === `${major}:${minor}`) return words[4] ?? '?';
  }
  return null;
}

function swapUser(path: string): boolean {
  return textOf('/proc/swaps')
    .split('\n')
    .slice(1)
    .some((line) => {
      const name = line.split(/\s+/)[0] ?? '';
      return name !== '' && existsSync(name) && realpathSync(name) === path;
    });
}

/** Who uses a block device or one of its partitions. */
function blockUser(path: string, numbers: BlockNumbers): string | null {
  const mounted = mountPoint(numbers);
  if (mounted !== null) return `it is mounted on ${mounted}`;
  if (swapUser(path)) return 'it is used as swap space';
  const folder = sysfsFolder(numbers);
  const [holder] = listOf(`${folder}/holders`);
  if (holder !== undefined) return `it is part of ${holder}`;
  for (const name of listOf(folder)) {
    const part =
      textOf(`${folder}/${name}/partition`) === '' ? '' : textOf(`${folder}/${name}/dev`);
    if (part === '') continue;
    const [major = 0, minor = 0] = part.split(':').map(Number);
    const user = blockUser(`/dev/${name}`, { major, minor });
    if (user !== null) return `its partition ${name} is in use: ${user}`;
  }
  return null;
}

/** Who uses a regular file as a device. */
function fileUser(path: string): string | null {
  if (swapUser(path)) return 'it is used as swap space';
  for (const name of listOf('/sys/block')) {
    if (!name.startsWith('loop')) continue;
    if (textOf(`/sys/block/${name}/loop/backing_file`) === path)
      return `it is attached to /dev/${name}`;
  }
  return null;
}

/** Size and kind of an open path. */
function measure(fd: number, path: string): { kind: ProbedDevice['kind']; sizeBytes: number } {
  const stat = fstatSync(fd);
  if (stat.isFile()) return { kind: 'file', sizeBytes: stat.size };
  if (!stat.isBlockDevice()) throw new DeviceError(`${path} is neither a file nor a block device`);
  const folder = sysfsFolder(numbersOf(stat.rdev));
  const sectors = Number(textOf(`${folder}/size`));
  if (!Number.isSafeInteger(sectors) || sectors < 0)
    throw new DeviceError(`the size of ${path} cannot be read from ${folder}/size`);
  const kind = existsSync(`${folder}/partition`) ? 'partition' : 'disk';
  return { kind, sizeBytes: sectors * SYSFS_SECTOR_BYTES };
}

const MEDIA: Readonly<Record<string, string>> = { 0: 'SSD', 1: 'HDD' };

/** Of a disk, or of the disk of a partition. */
function mediaOf(kind: ProbedDevice['kind'], fd: number): string {
  if (kind === 'file') return '';
  const folder = sysfsFolder(numbersOf(fstatSync(fd).rdev));
  const disk = kind === 'partition' ? `${folder}/..` : folder;
  return MEDIA[textOf(`${disk}/queue/rotational`)] ?? '';
}

/** Offset of the second superblock: the last whole block. */
function secondSuperblockAt(sizeBytes: number): number {
  return Math.floor(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES - BLOCK_BYTES;
}

function identify(
  readAt: ReadAt,
  sizeBytes: number,
): { identity: DiskIdentity | null; damaged: string | null } {
  let identity: DiskIdentity | null = null;
  let damaged: string | null = null;
  for (const offset of [0, secondSuperblockAt(sizeBytes)]) {
    if (offset < 0) continue;
    const bytes = readAt(offset, BLOCK_BYTES);
    const found = readDiskIdentity(bytes, offset);
    if (typeof found === 'string') {
      if (hasSignature(bytes)) damaged ??= found;
    } else if (identity === null || found.sequence > identity.sequence) identity = found;
  }
  return { identity, damaged: identity === null ? damaged : null };
}

/**
 * Looks at a path.
 *
 * @param path - of a file, partition or disk; symbolic links are followed
 * @throws DeviceError when it cannot be a device
 */
export function probeDevice(path: string): ProbedDevice {
  const real = resolve(path);
  let fd: number;
  try {
    fd = openSync(real, 'r');
  } catch (error) {
    throw new DeviceError(`${path} cannot be opened: ${(error as Error).message}`);
  }
  try {
    const { kind, sizeBytes } = measure(fd, real);
    const readAt: ReadAt = (offsetBytes, lengthBytes) => {
      const bytes = new Uint8Array(lengthBytes);
      const done = readSync(fd, bytes, 0, lengthBytes, offsetBytes);
      return bytes.subarray(0, done);
    };
    const { identity, damaged } = identify(readAt, sizeBytes);
    const ours = identity !== null || damaged !== null;
    const foreign = ours || sizeBytes === 0 ? null : foreignData(readAt, sizeBytes);
    const inUse = kind === 'file' ? fileUser(real) : blockUser(real, numbersOf(fstatSync(fd).rdev));
    const media = mediaOf(kind, fd);
    return { path, kind, sizeBytes, identity, damaged, foreign, inUse, media };
  } finally {
    closeSync(fd);
  }
}

function resolve(path: string): string {
  if (!existsSync(path)) throw new DeviceError(`${path} does not exist`);
  return realpathSync(path);
}

/**
 * Why a probed device may not be formatted, or null.
 *
 * @param force - foreign data may be overwritten; a device in use never is
 */
export function formatRefusal(probed: ProbedDevice, force: boolean): string | null {
  if (probed.inUse !== null) return `${probed.path} is in use: ${probed.inUse}`;
  if (force) return null;
  if (probed.identity !== null) {
    const { systemId, deviceKey } = probed.identity;
    return `${probed.path} is device ${deviceKey} of MeshSAN system ${systemId}`;
  }
  if (probed.damaged !== null)
    return `${probed.path} carries a damaged MeshSAN device: ${probed.damaged}`;
  return probed.foreign === null ? null : `${probed.path} carries ${probed.foreign}`;
}

/** Makes a sparse device file that only its owner may read. The path must not exist. */
export function createDeviceFile(path: string, sizeBytes: number): void {
  const fd = openSync(path, 'wx', 0o600);
  try {
    ftruncateSync(fd, sizeBytes);
  } finally {
    closeSync(fd);
  }
}

/** The exclusive right of this process to use a device; it ends with the process, however that ends. */
export interface DeviceLock {
  release(): void;
}

/**
 * Takes the right to use a device, whatever path it is known by: a name in the kernel's table of abstract sockets, made
 * of the device's numbers. Block devices are opened exclusively on top.
 *
 * @returns null when another process of this host (network namespace) has it
 */
export function lockDevice(path: string): Promise<DeviceLock | null> {
  const stat = statSync(resolve(path));
  const name = stat.isBlockDevice() ? `b${stat.rdev}` : `f${stat.dev}-${stat.ino}`;
  const server: Server = createServer((socket) => socket.destroy());
  return new Promise((done, fail) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') done(null);
      else fail(new DeviceError(`${basename(path)} cannot be locked: ${error.message}`));
    });
    server.listen(`\0meshsan-device-${name}`, () => {
      server.unref();
      done({
        release: () => {
          server.close();
        },
      });
    });
  });
}
