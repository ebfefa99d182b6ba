// A load on one file as fsx makes it: writes, reads, truncations, reopening and flushing in random order, and every read is
// compared with a model in memory. It owns the model; the file lies wherever the caller wants. It never blocks this process:
// what is under the file may stand still for a while.

import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';

import type { Prng } from '../../backend/core/prng.js';

const SIZE_MAX = 4 * 2 ** 20;
const PIECE_MAX = 96 * 1024;

/** What came of a load. */
export interface FsxResult {
  readonly operations: number;
  /** The first read that was not what had been written, or null. */
  readonly fault: string | null;
  /** What the file must hold now. */
  readonly content: Buffer;
}

class Fsx {
  readonly #path: string;
  readonly #random: Prng;
  readonly #model = Buffer.alloc(SIZE_MAX);
  #size = 0;
  #file: FileHandle;
  operations = 0;

  constructor(path: string, file: FileHandle, random: Prng) {
    this.#path = path;
    this.#file = file;
    this.#random = random;
  }

  get content(): Buffer {
    return this.#model.subarray(0, this.#size);
  }

  /** One operation. @returns what was wrong with it, or null */
  async step(): Promise<string | null> {
    const random = this.#random;
    this.operations++;
    const dice = random.below(100);
    if (dice < 45) return this.#write(random.below(SIZE_MAX));
    if (dice < 55) return this.#write(this.#size);
    if (dice < 85) return this.#read();
    if (dice < 92) return this.#truncate(random.below(SIZE_MAX));
    if (dice < 97) await this.#file.sync();
    else {
      await this.#file.close();
      this.#file = await open(this.#path, 'r+');
    }
    return null;
  }

  async #write(from: number): Promise<null> {
    const length = Math.min(1 + this.#random.below(PIECE_MAX), SIZE_MAX - from);
    if (length <= 0) return null;
    const piece = Buffer.alloc(length, this.operations.toString(36));
    await this.#file.write(piece, 0, length, from);
    piece.copy(this.#model, from);
    this.#size = Math.max(this.#size, from + length);
    return null;
  }

  async #truncate(size: number): Promise<null> {
    await this.#file.truncate(size);
    // What is cut off reads as zeroes when the file grows again.
    if (size < this.#size) this.#model.fill(0, size, this.#size);
    this.#size = size;
    return null;
  }

  async #read(): Promise<string | null> {
    const from = this.#random.below(Math.max(1, this.#size));
    const length = Math.min(1 + this.#random.below(PIECE_MAX), this.#size - from);
    if (length <= 0) return null;
    const found = Buffer.alloc(length);
    const { bytesRead } = await this.#file.read(found, 0, length, from);
    const wanted = this.#model.subarray(from, from + length);
    if (bytesRead === length && found.equals(wanted)) return null;
    return `operation ${this.operations}: ${length} bytes at ${from} are not what was written`;
  }

  async end(): Promise<void> {
    await this.#file.sync();
    await this.#file.close();
  }
}

/**
 * Runs until it is told to end, or something is wrong.
 *
 * @param path - of a file that is made
 */
export async function fsx(path: string, random: Prng, ends: AbortSignal): Promise<FsxResult> {
  const load = new Fsx(path, await open(path, 'wx+'), random);
  let fault: string | null = null;
  while (fault === null && !ends.aborted) fault = await load.step();
  await load.end();
  return { operations: load.operations, fault, content: load.content };
}
