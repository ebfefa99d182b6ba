// Spoils the file of a device behind the back of its process, as a bad disk would. It knows the areas from the superblock and
// which blocks hold data by their not being zero; it must never touch a log, a table or a superblock.

import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';

import type { Prng } from '../../backend/core/prng.js';
import { decodeSuperblock } from '../../backend/sds/store/superblock.js';

const SUPERBLOCK_BYTES = 4096;
const READ_BYTES = 4 * 1024 * 1024;
const BYTES_MAX = 512;

/** lost: what was to be written never was; misdirected: what was to be written elsewhere lies here. */
export const SPOILS = ['bit', 'bytes', 'block', 'misdirected', 'lost'] as const;
export type SpoilKind = (typeof SPOILS)[number];

export class Spoiler {
  readonly blockBytes: number;
  private readonly fd: number;
  private readonly prng: Prng;
  private readonly dataAt: number;
  private readonly dataBytes: number;
  private readonly descriptorsAt: number;
  private readonly descriptorBytes: number;
  private readonly descriptors: number;
  /** What stood in blocks when this was asked for last. */
  private readonly older = new Map<number, Buffer>();

  constructor(path: string, prng: Prng) {
    this.fd = openSync(path, 'r+');
    this.prng = prng;
    const decoded = decodeSuperblock(this.read(0, SUPERBLOCK_BYTES), 0);
    if (typeof decoded === 'string') throw new Error(`${path}: ${decoded}`);
    const { geometry, dataAt, units, descriptorsAt, descriptorBytes, chunks } = decoded.layout;
    const { blockBytes, unitBlocks } = geometry;
    this.blockBytes = blockBytes;
    this.dataAt = dataAt * blockBytes;
    this.dataBytes = units * unitBlocks * blockBytes;
    this.descriptorsAt = descriptorsAt * blockBytes;
    this.descriptorBytes = descriptorBytes;
    this.descriptors = 2 * chunks;
  }

  close(): void {
    closeSync(this.fd);
  }

  /**
   * Places of blocks that hold data.
   *
   * @param isLive - whether that is content of the present; what was freed stands there for a while, too
   */
  blocks(isLive: (block: Buffer) => boolean = () => true): number[] {
    const filled = this.filled(this.dataAt, this.dataBytes, this.blockBytes);
    return filled.filter((at) => isLive(this.read(at, this.blockBytes)));
  }

  /** Keeps what blocks hold now: what a lost write leaves behind later. */
  remember(blocks: readonly number[]): void {
    this.older.clear();
    for (const at of blocks) this.older.set(at, this.read(at, this.blockBytes));
  }

  /** Places of descriptors that were written. */
  pages(): number[] {
    const bytes = this.descriptors * this.descriptorBytes;
    return this.filled(this.descriptorsAt, bytes, this.descriptorBytes);
  }

  /**
   * Spoils a block.
   *
   * @param blocks - others, one of which may be written there
   * @returns how, or null: it would have stayed as it was
   */
  spoil(at: number, blocks: readonly number[]): SpoilKind | null {
    const { prng, blockBytes } = this;
    const before = this.read(at, blockBytes);
    const kind = prng.pick(SPOILS);
    let after: Buffer = Buffer.from(before);
    if (kind === 'bit') flip(after, prng.below(8 * blockBytes));
    else if (kind === 'bytes') {
      const length = prng.between(1, BYTES_MAX);
      const first = prng.below(blockBytes - length);
      for (let index = first; index < first + length; index++) after[index] = prng.below(256);
    } else if (kind === 'block')
      for (let index = 0; index < blockBytes; index++) after[index] = prng.below(256);
    else if (kind === 'misdirected') after = this.read(prng.pick(blocks), blockBytes);
    else after = this.older.get(at) ?? Buffer.alloc(blockBytes);
    if (after.equals(before)) return null;
    writeSync(this.fd, after, 0, blockBytes, at);
    return kind;
  }

  /** Flips a bit of a descriptor. */
  spoilPage(at: number): void {
    const page = this.read(at, this.descriptorBytes);
    flip(page, this.prng.below(8 * 1024));
    writeSync(this.fd, page, 0, page.length, at);
  }

  flush(): void {
    fsyncSync(this.fd);
  }

  private read(at: number, lengthBytes: number): Buffer {
    const bytes = Buffer.alloc(lengthBytes);
    readSync(this.fd, bytes, 0, lengthBytes, at);
    return bytes;
  }

  private filled(from: number, lengthBytes: number, stepBytes: number): number[] {
    const found: number[] = [];
    const zeroes = Buffer.alloc(stepBytes);
    const readBytes = READ_BYTES - (READ_BYTES % stepBytes);
    for (let at = 0; at < lengthBytes; at += readBytes) {
      const bytes = this.read(from + at, Math.min(readBytes, lengthBytes - at));
      for (let place = 0; place + stepBytes <= bytes.length; place += stepBytes)
        if (!bytes.subarray(place, place + stepBytes).equals(zeroes)) found.push(from + at + place);
    }
    return found;
  }
}

function flip(bytes: Buffer, bit: number): void {
  const at = Math.floor(bit / 8);
  bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit % 8));
}
