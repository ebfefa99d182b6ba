// CRC-32 (the polynomial of zlib) for frames, structures on disk and blocks. It owns every checksum of the product; it
// must never decide what a mismatch means. The one place below the shells that uses a module of Node: zlib's crc32 is
// ten times faster than JavaScript from a few hundred bytes on, and slower below.

import { crc32 as zlibCrc32 } from 'node:zlib';

import { assert } from './assert.js';

/** Below this many bytes the table loop beats the call into zlib. */
const TABLE_BYTES_MAX = 256;

/** Eight tables of 256: `TABLES[k * 256 + b]` is the CRC of byte b followed by k zero bytes. */
const TABLES = makeTables();

function makeTables(): Int32Array {
  const tables = new Int32Array(2048);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    tables[byte] = crc;
  }
  for (let index = 256; index < tables.length; index++) {
    const previous = tables[index - 256] ?? 0;
    tables[index] = (previous >>> 8) ^ (tables[previous & 0xff] ?? 0);
  }
  return tables;
}

/** Eight bytes more. The indexes are masked to the table; `?? 0` only satisfies the type checker. */
function step(low: number, high: number): number {
  return (
    (TABLES[1792 + (low & 0xff)] ?? 0) ^
    (TABLES[1536 + ((low >>> 8) & 0xff)] ?? 0) ^
    (TABLES[1280 + ((low >>> 16) & 0xff)] ?? 0) ^
    (TABLES[1024 + (low >>> 24)] ?? 0) ^
    (TABLES[768 + (high & 0xff)] ?? 0) ^
    (TABLES[512 + ((high >>> 8) & 0xff)] ?? 0) ^
    (TABLES[256 + ((high >>> 16) & 0xff)] ?? 0) ^
    (TABLES[high >>> 24] ?? 0)
  );
}

/**
 * CRC-32 of `lengthBytes` bytes of a view, for short runs such as headers: allocates nothing.
 *
 * @param seed - CRC of what comes before, 0 at the start; u32
 * @returns u32
 */
export function crc32View(view: DataView, at: number, lengthBytes: number, seed = 0): number {
  assert(at >= 0 && lengthBytes >= 0 && at + lengthBytes <= view.byteLength, 'crc range in view');
  let crc = ~seed;
  let position = at;
  const end = at + lengthBytes;
  for (; position + 8 <= end; position += 8)
    crc = step(crc ^ view.getInt32(position, true), view.getInt32(position + 4, true));
  for (; position < end; position++)
    crc = (crc >>> 8) ^ (TABLES[(crc ^ view.getUint8(position)) & 0xff] ?? 0);
  return ~crc >>> 0;
}

/**
 * CRC-32 of a structure as if one u32 of it, its own checksum, were zero.
 *
 * @param lengthBytes - a multiple of 8
 * @param zeroAt - offset of that u32 in the structure: 4 more than a multiple of 8
 * @returns u32
 */
export function crc32ViewWithout(
  view: DataView,
  at: number,
  lengthBytes: number,
  zeroAt: number,
): number {
  assert(lengthBytes % 8 === 0 && zeroAt % 8 === 4, 'the checksum is the upper half of 8 bytes');
  let crc = -1;
  for (let offset = 0; offset < lengthBytes; offset += 8) {
    const high = offset + 4 === zeroAt ? 0 : view.getInt32(at + offset + 4, true);
    crc = step(crc ^ view.getInt32(at + offset, true), high);
  }
  return ~crc >>> 0;
}

/**
 * CRC-32 of whole bytes.
 *
 * @param seed - CRC of what comes before, 0 at the start; u32
 * @returns u32
 */
export function crc32(bytes: Uint8Array, seed = 0): number {
  return zlibCrc32(bytes, seed);
}

/**
 * CRC-32 of `bytes[at .. at + lengthBytes)`. One small view is made for long runs.
 *
 * @returns u32
 */
export function crc32Range(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  lengthBytes: number,
  seed = 0,
): number {
  if (lengthBytes <= TABLE_BYTES_MAX) return crc32View(view, at, lengthBytes, seed);
  assert(at >= 0 && at + lengthBytes <= bytes.length, 'crc range in bytes');
  return zlibCrc32(bytes.subarray(at, at + lengthBytes), seed);
}

/**
 * Seed of a block's checksum, made of its place, so that a block that was written to or read from a wrong place never
 * verifies. Every input bit moves every output bit with probability one half (the finalizer of MurmurHash3).
 *
 * @param vtreeKey - V-tree, u32
 * @param chunkIndex - chunk of the volume, u32
 * @param blockInChunk - 0 .. 255
 * @returns u32
 */
export function addressSeed(vtreeKey: number, chunkIndex: number, blockInChunk: number): number {
  let mix = Math.imul(vtreeKey, 0x9e3779b1) ^ 0x85ebca6b;
  mix = scramble(mix ^ chunkIndex);
  return scramble(mix + Math.imul(blockInChunk + 1, 0xc2b2ae35)) >>> 0;
}

function scramble(value: number): number {
  let mix = value;
  mix = Math.imul(mix ^ (mix >>> 16), 0x85ebca6b);
  mix = Math.imul(mix ^ (mix >>> 13), 0xc2b2ae35);
  return mix ^ (mix >>> 16);
}

/**
 * Checksum of one block's bytes at its place.
 *
 * @param block - the block's bytes
 * @param seed - of {@link addressSeed}
 * @returns u32
 */
export function blockChecksum(block: Uint8Array, seed: number): number {
  return zlibCrc32(block, seed);
}
