// Looks at a file of LMDB before LMDB does: it maps the file and follows page numbers without checking them, so a file that
// is cut short or damaged would end the process by a signal, without a word. Every page that the newest state needs must
// be there and be what it says. It must never change the file, and never be lenient about what it cannot follow.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** The first pages are two meta pages; each says what the file was after one commit. */
const META_PAGES = 2;
const META_BYTES = 160;
/** What pages may have; it is the system's own where the file was made. */
const PAGE_BYTES_MIN = 512;
const PAGE_BYTES_MAX = 65536;
/** In a page: its number, the commit that wrote it, flags, the length of the list of nodes; then the list. */
const HEADER_BYTES = 24;
const PAGE_FLAGS_AT = 18;
const LIST_BYTES_AT = 20;
const OVERFLOW_PAGES_AT = 20;
/** In a meta page. */
const META = { magic: 24, version: 28, pageBytes: 48, free: 48, main: 96, commit: 152 };
const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
/** In the description of a tree. */
const ROOT_AT = 40;
const NO_ROOT = 0xffffffffffffffffn;
const BRANCH = 0x01;
const LEAF = 0x02;
const OVERFLOW = 0x04;
/** In a node: the low and middle parts of a page number or a size, flags or the high part, the size of the key. */
const NODE = { low: 0, middle: 2, flags: 4, keyBytes: 6, key: 8 };
const BIG_DATA = 0x01;

class Checker {
  private readonly file: number;
  private readonly fileBytes: number;
  private readonly pageBytes: number;
  private readonly pages: number;
  private readonly seen = new Set<number>();

  constructor(file: number, fileBytes: number, pageBytes: number) {
    this.file = file;
    this.fileBytes = fileBytes;
    this.pageBytes = pageBytes;
    this.pages = Math.floor(fileBytes / pageBytes);
  }

  /** Follows a tree from its root. */
  tree(root: bigint): void {
    if (root === NO_ROOT) return;
    const waiting = [this.number(root)];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop())
      waiting.push(...this.children(next));
  }

  private number(page: bigint): number {
    if (page < BigInt(META_PAGES) || page >= BigInt(this.pages))
      throw new Error(
        `it is cut short or damaged: it has ${this.fileBytes} bytes, but its content goes on in page ${page} of ${this.pageBytes} bytes`,
      );
    return Number(page);
  }

  private page(number: number): Buffer {
    const bytes = Buffer.alloc(this.pageBytes);
    readSync(this.file, bytes, 0, this.pageBytes, number * this.pageBytes);
    if (bytes.readBigUInt64LE(0) !== BigInt(number) || this.seen.has(number))
      throw new Error(`it is damaged: page ${number} is not what the file says that it is`);
    this.seen.add(number);
    return bytes;
  }

  /** The pages below a branch; of a leaf, its large values are looked at, and there is nothing below. */
  private children(number: number): number[] {
    const bytes = this.page(number);
    const kind = bytes.readUInt16LE(PAGE_FLAGS_AT) & (BRANCH | LEAF);
    const listEnd = HEADER_BYTES + bytes.readUInt16LE(LIST_BYTES_AT);
    if ((kind !== BRANCH && kind !== LEAF) || listEnd > this.pageBytes)
      throw new Error(`it is damaged: page ${number} holds no part of a tree`);
    const below: number[] = [];
    for (let at = HEADER_BYTES; at < listEnd; at += 2) {
      const node = HEADER_BYTES + bytes.readUInt16LE(at);
      if (node + NODE.key > this.pageBytes)
        throw new Error(`it is damaged: page ${number} has an entry beyond its end`);
      if (kind === BRANCH) below.push(this.number(branchTarget(bytes, node)));
      else this.value(number, bytes, node);
    }
    return below;
  }

  private value(number: number, bytes: Buffer, node: number): void {
    const start = node + NODE.key + bytes.readUInt16LE(node + NODE.keyBytes);
    const big = (bytes.readUInt16LE(node + NODE.flags) & BIG_DATA) !== 0;
    const size = bytes.readUInt32LE(node + NODE.low);
    if (start + (big ? 8 : size) > this.pageBytes)
      throw new Error(`it is damaged: page ${number} has an entry beyond its end`);
    if (!big) return;
    const first = this.number(bytes.readBigUInt64LE(start));
    const head = this.page(first);
    const count = head.readUInt32LE(OVERFLOW_PAGES_AT);
    if ((head.readUInt16LE(PAGE_FLAGS_AT) & OVERFLOW) === 0)
      throw new Error(`it is damaged: page ${first} holds no large value`);
    if (count > 1) this.number(BigInt(first) + BigInt(count) - 1n);
  }
}

function branchTarget(bytes: Buffer, node: number): bigint {
  const high = BigInt(bytes.readUInt16LE(node + NODE.flags));
  return (high << 32n) | BigInt(bytes.readUInt32LE(node + NODE.low));
}

/** @throws Error when there is none */
function readMeta(file: number, at: number): Buffer {
  const meta = Buffer.alloc(META_BYTES);
  if (readSync(file, meta, 0, META_BYTES, at) < META_BYTES) throw new Error('it is cut short');
  if (meta.readUInt32LE(META.magic) !== MAGIC) throw new Error('it is not a metadata store');
  const version = meta.readUInt32LE(META.version);
  if (version !== DATA_VERSION)
    throw new Error(`it was written by another version of LMDB (format ${version})`);
  return meta;
}

/**
 * Judges whether LMDB can work with a file.
 *
 * @throws Error with the reason, to be said after the path
 */
export function checkLmdbFile(path: string): void {
  const file = openSync(path, 'r');
  try {
    const fileBytes = fstatSync(file).size;
    const one = readMeta(file, 0);
    const pageBytes = one.readUInt32LE(META.pageBytes);
    const sound = pageBytes >= PAGE_BYTES_MIN && pageBytes <= PAGE_BYTES_MAX;
    if (!sound || (pageBytes & (pageBytes - 1)) !== 0)
      throw new Error(`it is damaged: it says that its pages have ${pageBytes} bytes`);
    const other = readMeta(file, pageBytes);
    const newest =
      one.readBigUInt64LE(META.commit) >= other.readBigUInt64LE(META.commit) ? one : other;
    const checker = new Checker(file, fileBytes, pageBytes);
    checker.tree(newest.readBigUInt64LE(META.free + ROOT_AT));
    checker.tree(newest.readBigUInt64LE(META.main + ROOT_AT));
  } finally {
    closeSync(file);
  }
}
