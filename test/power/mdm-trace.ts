// What a process did to the files below a folder, read from strace: writes, flushes, names, and the words it said on
// standard output. It fails on every call that it does not understand: an unnoticed write would make the replay a lie.

import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { execa } from 'execa';

/** A change of names; `to` is the new name of a rename. */
export interface NameStep {
  readonly kind: 'create' | 'mkdir' | 'unlink' | 'rename';
  readonly path: string;
  readonly to: string;
}

export type Step =
  | { readonly kind: 'write'; readonly path: string; readonly at: number; readonly bytes: Buffer }
  | { readonly kind: 'settle'; readonly path: string; readonly at: number; readonly length: number }
  | { readonly kind: 'flush'; readonly path: string }
  | NameStep
  | { readonly kind: 'said'; readonly word: string; readonly number: number }
  /** The call in which the process was killed: done, or not. */
  | { readonly kind: 'maybe'; readonly steps: readonly Step[] };

const CALLS = [
  ...['open', 'openat', 'creat', 'mkdir', 'mkdirat', 'rename', 'renameat', 'renameat2', 'link'],
  ...['linkat', 'unlink', 'unlinkat', 'rmdir', 'truncate', 'ftruncate', 'fallocate', 'lseek'],
  ...['write', 'pwrite64', 'writev', 'pwritev', 'pwritev2', 'sendfile', 'copy_file_range'],
  ...['fsync', 'fdatasync', 'sync_file_range', 'msync', 'mmap', 'io_uring_setup', 'io_submit'],
];
const STRING_BYTES = 4 * 1024 * 1024;
const STDOUT = 1;

export interface Traced {
  readonly steps: readonly Step[];
  readonly exitCode: number | undefined;
  readonly errors: string;
}

interface Descriptor {
  readonly sync: boolean;
  at: number;
}

/** Runs a program under strace and reads what it did below `folder`. @param faults - for strace's --inject */
export async function traced(
  output: string,
  folder: string,
  program: readonly string[],
  faults: readonly string[] = [],
): Promise<Traced> {
  const inject = faults.map((fault) => `--inject=${fault}`);
  const options = ['-ff', '-y', '-xx', '-s', String(STRING_BYTES), `--trace=${CALLS.join(',')}`];
  const { exitCode, stderr } = await execa(
    'strace',
    [...options, ...inject, '-o', output, process.execPath, ...program],
    { reject: false, stdin: 'ignore', timeout: 120_000 },
  );
  const prefix = `${output.slice(dirname(output).length + 1)}.`;
  const found = readdirSync(dirname(output)).filter((name) => name.startsWith(prefix));
  const threads = found.map((name) =>
    new Reader(folder).read(readFileSync(join(dirname(output), name), 'latin1')),
  );
  const busy = threads.filter((steps) => steps.length > 0);
  if (busy.length > 1) throw new Error('two threads wrote: their order is not known');
  return { steps: busy[0] ?? [], exitCode, errors: stderr };
}

function unescaped(hex: string): Buffer {
  return Buffer.from(hex.replaceAll('\\x', ''), 'hex');
}

/** One thread's calls. Descriptors are known by number; other threads open none below the folder. */
class Reader {
  readonly #folder: string;
  readonly #open = new Map<number, Descriptor>();
  readonly #steps: Step[] = [];

  constructor(folder: string) {
    this.#folder = folder;
  }

  read(text: string): Step[] {
    for (const line of text.split('\n')) {
      const call = /^(\w+)\(/.exec(line)?.[1];
      if (call === undefined) continue;
      const result = /= (-?\d+|\?)[^=]*$/.exec(line)?.[1] ?? '?';
      if (result.startsWith('-')) continue;
      const steps = this.#understand(call, line, Number(result));
      if (steps.length === 0) continue;
      if (result === '?') this.#steps.push({ kind: 'maybe', steps });
      else this.#steps.push(...steps);
    }
    return this.#steps;
  }

  #inside(path: string): boolean {
    return path === this.#folder || path.startsWith(`${this.#folder}/`);
  }

  #understand(call: string, line: string, result: number): Step[] {
    const descriptor = /^\w+\((\d+)<((?:\\x[0-9a-f]{2})+)>/.exec(line);
    if (descriptor !== null) {
      const [, number = '', name = ''] = descriptor;
      return this.#onFile(call, line, Number(number), unescaped(name).toString(), result);
    }
    if (call === 'mmap') return this.#map(line);
    const [path = '', to = ''] = this.#strings(line).map((bytes) => bytes.toString());
    if (!this.#inside(path)) return [];
    if (call === 'openat') return this.#opened(line, path, result);
    if (call === 'mkdir' || call === 'unlink') return [{ kind: call, path, to: path }];
    if (call === 'rename') return [{ kind: call, path, to }];
    throw new Error(`not understood: ${line.slice(0, 200)}`);
  }

  #strings(line: string): Buffer[] {
    if (line.includes('"...')) throw new Error(`cut short: ${line.slice(0, 200)}`);
    return [...line.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map(([, hex = '']) => unescaped(hex));
  }

  /** A mapping that can be written would carry writes that no call shows. Lock files hold nothing that must last. */
  #map(line: string): Step[] {
    const name = /\d+<((?:\\x[0-9a-f]{2})+)>/.exec(line)?.[1];
    const path = name === undefined ? '' : unescaped(name).toString();
    if (this.#inside(path) && !path.endsWith('-lock') && line.includes('PROT_WRITE'))
      throw new Error(`${path} is written through a mapping`);
    return [];
  }

  #opened(line: string, path: string, number: number): Step[] {
    this.#open.set(number, { sync: line.includes('O_DSYNC') || line.includes('O_SYNC'), at: 0 });
    if (line.includes('O_TRUNC')) throw new Error(`${path} is cut on opening`);
    return line.includes('O_CREAT') ? [{ kind: 'create', path, to: path }] : [];
  }

  #onFile(call: string, line: string, number: number, path: string, result: number): Step[] {
    if (number === STDOUT && call === 'write') {
      const said = /^(\w+) (\d+)\n$/.exec(this.#strings(line)[0]?.toString() ?? '');
      return said === null ? [] : [{ kind: 'said', word: said[1] ?? '', number: Number(said[2]) }];
    }
    if (!this.#inside(path) || path.endsWith('-lock')) return [];
    const descriptor = this.#open.get(number);
    if (descriptor === undefined) throw new Error(`${path} was opened unseen`);
    switch (call) {
      case 'fsync':
      case 'fdatasync':
        return [{ kind: 'flush', path }];
      case 'lseek':
        descriptor.at = result;
        return [];
      case 'pwrite64':
        return this.#write(line, path, descriptor, Number(/, (\d+)\)\s+= [^=]+$/.exec(line)?.[1]));
      case 'write':
      case 'writev': {
        const { at } = descriptor;
        if (!Number.isNaN(result)) descriptor.at += result;
        return this.#write(line, path, descriptor, at);
      }
      default:
        throw new Error(`not understood: ${line.slice(0, 200)}`);
    }
  }

  #write(line: string, path: string, { sync }: Descriptor, at: number): Step[] {
    if (!Number.isSafeInteger(at)) throw new Error(`no offset: ${line.slice(-200)}`);
    const bytes = Buffer.concat(this.#strings(line));
    const length = bytes.length;
    const write: Step = { kind: 'write', path, at, bytes };
    return sync ? [write, { kind: 'settle', path, at, length }] : [write];
  }
}
