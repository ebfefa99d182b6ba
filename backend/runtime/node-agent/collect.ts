// Reads what a support bundle is made of, within bounds: ends of files and of what commands print. It must never keep more
// than one of them in memory, and never fail because one of them cannot be had: the bundle then says why.

import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readSync } from 'node:fs';

const COMMAND_MS = 60_000;
const READ_BYTES = 65_536;

/** The last bytes of something that is written bit by bit. */
class Tail {
  readonly #bytesMax: number;
  #parts: Buffer[] = [];
  #bytes = 0;
  #lost = false;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  push(chunk: Buffer): void {
    this.#parts.push(chunk);
    this.#bytes += chunk.length;
    // Joined rarely, so that a long output costs no more than its length.
    if (this.#bytes > 2 * this.#bytesMax) this.#cut();
  }

  #cut(): void {
    const all = Buffer.concat(this.#parts);
    this.#lost ||= all.length > this.#bytesMax;
    const kept = Buffer.from(all.subarray(Math.max(0, all.length - this.#bytesMax)));
    this.#parts = [kept];
    this.#bytes = kept.length;
  }

  end(): Buffer {
    this.#cut();
    const [kept = Buffer.alloc(0)] = this.#parts;
    return this.#lost ? Buffer.concat([Buffer.from('[the beginning is left out]\n'), kept]) : kept;
  }
}

/** The end of a file; one that is not there is said so. */
export function endOfFile(path: string, bytesMax: number): Buffer {
  if (!existsSync(path)) return Buffer.from(`[${path} does not exist]\n`);
  const tail = new Tail(bytesMax);
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    return Buffer.from(`[${(error as Error).message}]\n`);
  }
  try {
    // Sizes of files in /proc are not known before they are read.
    for (;;) {
      const chunk = Buffer.alloc(READ_BYTES);
      const done = readSync(file, chunk, 0, chunk.length, null);
      if (done === 0) return tail.end();
      tail.push(chunk.subarray(0, done));
    }
  } catch (error) {
    tail.push(Buffer.from(`[${(error as Error).message}]\n`));
    return tail.end();
  } finally {
    closeSync(file);
  }
}

/** The end of what a command prints, errors included. */
export function endOfOutput(argv: readonly string[], bytesMax: number): Promise<Buffer> {
  const [program = '', ...args] = argv;
  const tail = new Tail(bytesMax);
  return new Promise((done) => {
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: COMMAND_MS,
      killSignal: 'SIGKILL',
      env: { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8' },
    });
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        tail.push(chunk);
      });
    child.once('error', (error) => {
      tail.push(Buffer.from(`[${error.message}]\n`));
      done(tail.end());
    });
    child.once('close', (code, signal) => {
      if (code !== 0) tail.push(Buffer.from(`[${program} ended with ${signal ?? code ?? ''}]\n`));
      done(tail.end());
    });
  });
}
