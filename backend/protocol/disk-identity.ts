// Whose a device is, read from a superblock. It owns the judgement of the superblock's envelope (signature, checksum,
// version, place); the rest of it is the store's. Shells that look for devices use it too.

import { crc32 } from '../core/checksum.js';

import {
  SUPERBLOCK_BOOT_ID_AT,
  SUPERBLOCK_BYTES,
  SUPERBLOCK_SYSTEM_ID_AT,
  getSuperblockCrc,
  getSuperblockDeviceKey,
  getSuperblockIncarnation,
  getSuperblockMagic,
  getSuperblockOffsetBytes,
  getSuperblockPoolKey,
  getSuperblockSequence,
  getSuperblockVersion,
  setSuperblockCrc,
} from './generated/disk.js';
import { DISK_FORMAT_MAX, DISK_MAGIC } from './tables/disk.js';

export const SYSTEM_ID_BYTES = 16;
export const BOOT_ID_BYTES = 48;

export interface DiskIdentity {
  readonly systemId: string;
  readonly deviceKey: number;
  readonly poolKey: number;
  readonly incarnation: number;
  readonly sequence: number;
  readonly bootId: string;
}

/** Text of a fixed field, up to the first zero. */
function textAt(bytes: Uint8Array, at: number, length: number): string {
  let text = '';
  for (let index = 0; index < length; index++) {
    const code = bytes[at + index] ?? 0;
    if (code === 0) break;
    text += String.fromCharCode(code);
  }
  return text;
}

/** Whether bytes begin like a superblock, valid or not. */
export function hasSignature(bytes: Uint8Array): boolean {
  if (bytes.length < SUPERBLOCK_BYTES) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return getSuperblockMagic(view, 0) === DISK_MAGIC.superblock;
}

/**
 * Reads the identity from one copy of a superblock.
 *
 * @param bytes - at least SUPERBLOCK_BYTES from the start of the copy
 * @param offsetBytes - where on the device they were read
 * @returns the identity, or a reason for people
 */
export function readDiskIdentity(bytes: Uint8Array, offsetBytes: number): DiskIdentity | string {
  if (!hasSignature(bytes)) return 'no MeshSAN superblock';
  const copy = bytes.slice(0, SUPERBLOCK_BYTES);
  const view = new DataView(copy.buffer, copy.byteOffset, copy.byteLength);
  const crc = getSuperblockCrc(view, 0);
  setSuperblockCrc(view, 0, 0);
  if (crc32(copy) !== crc) return 'the superblock fails its checksum';
  const version = getSuperblockVersion(view, 0);
  if (version < 1 || version > DISK_FORMAT_MAX)
    return `the device has format version ${version}, this program knows 1 to ${DISK_FORMAT_MAX}: it was written by a newer version of MeshSAN`;
  if (getSuperblockOffsetBytes(view, 0) !== offsetBytes)
    return 'the superblock belongs to another place of the device';
  return {
    systemId: textAt(copy, SUPERBLOCK_SYSTEM_ID_AT, SYSTEM_ID_BYTES),
    deviceKey: getSuperblockDeviceKey(view, 0),
    poolKey: getSuperblockPoolKey(view, 0),
    incarnation: getSuperblockIncarnation(view, 0),
    sequence: getSuperblockSequence(view, 0),
    bootId: textAt(copy, SUPERBLOCK_BOOT_ID_AT, BOOT_ID_BYTES),
  };
}
