// A compressed archive of texts (tar in gzip) as a stream: one file is in memory at a time. It owns the form of the archive;
// it must never know what is in it.

import { Readable } from 'node:stream';
import { createGzip } from 'node:zlib';

const BLOCK_BYTES = 512;
const NAME_BYTES_MAX = 100;
const FILE_MODE = 0o600;

export interface ArchiveFile {
  readonly name: string;
  readonly content: Buffer;
}

const octal = (value: number, length: number): string =>
  `${value.toString(8).padStart(length - 1, '0')}\0`;

/** The header of POSIX's ustar form. */
function header(name: string, size: number, seconds: number): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  if (Buffer.byteLength(name) > NAME_BYTES_MAX) throw new RangeError(`${name} is too long a name`);
  const put = (text: string, at: number): void => {
    block.write(text, at, 'latin1');
  };
  put(name, 0);
  put(octal(FILE_MODE, 8), 100);
  put(octal(0, 8), 108);
  put(octal(0, 8), 116);
  put(octal(size, 12), 124);
  put(octal(seconds, 12), 136);
  put(' '.repeat(8), 148);
  put('0', 156);
  put('ustar\x0000', 257);
  let sum = 0;
  for (const byte of block) sum += byte;
  put(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

async function* blocks(files: AsyncIterable<ArchiveFile>, seconds: number): AsyncGenerator<Buffer> {
  for await (const { name, content } of files) {
    yield header(name, content.length, seconds);
    yield content;
    const rest = content.length % BLOCK_BYTES;
    if (rest > 0) yield Buffer.alloc(BLOCK_BYTES - rest);
  }
  yield Buffer.alloc(2 * BLOCK_BYTES);
}

/** @param nowMs - time of all files */
export function archive(files: AsyncIterable<ArchiveFile>, nowMs: number): Readable {
  const source = Readable.from(blocks(files, Math.floor(nowMs / 1000)), { objectMode: false });
  const packed = createGzip();
  source.once('error', (error) => packed.destroy(error));
  packed.once('close', () => source.destroy());
  return source.pipe(packed);
}
