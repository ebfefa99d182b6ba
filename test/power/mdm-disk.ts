// A disk in memory on which a trace is played: it knows what is surely on the disk and what is not yet, and makes the files
// that a power cut may leave. Names last in the order of their changes (as journals keep them), sectors in any order.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import type { Prng } from '../../backend/core/prng.js';
import type { NameStep, Step } from './mdm-trace.js';

type Write = Extract<Step, { kind: 'write' }>;

/** How the writes that no flush covers reach the disk. */
export type Tear =
  | { readonly kind: 'none' }
  | { readonly kind: 'all' }
  /** Each unit of this size has any of the contents that it had since the last flush. */
  | { readonly kind: 'units'; readonly unitBytes: number };

class FileOnDisk {
  durable: Buffer = Buffer.alloc(0);
  pending: Write[] = [];

  static overlay(content: Buffer, at: number, bytes: Buffer): Buffer {
    const end = Math.max(content.length, at + bytes.length);
    const grown = Buffer.alloc(end);
    content.copy(grown);
    bytes.copy(grown, at);
    return grown;
  }

  current(): Buffer {
    return this.pending.reduce<Buffer>(
      (now, { at, bytes }) => FileOnDisk.overlay(now, at, bytes),
      this.durable,
    );
  }

  flush(): void {
    this.durable = this.current();
    this.pending = [];
  }

  /** A write that was flushed by itself. */
  settle(at: number, length: number): void {
    const index = this.pending.findLastIndex(
      (write) => write.at === at && write.bytes.length === length,
    );
    const [write] = this.pending.splice(index, 1);
    if (index < 0 || write === undefined) throw new Error('settles what was not written');
    if (this.pending.some((other) => other.at < at + length && at < other.at + other.bytes.length))
      throw new Error('settles a part of what another write covers');
    this.durable = FileOnDisk.overlay(this.durable, at, write.bytes);
  }

  torn(unitBytes: number, prng: Prng): Buffer {
    const versions = new Map<number, Buffer[]>();
    let now = this.durable;
    for (const { at, bytes } of this.pending) {
      now = FileOnDisk.overlay(now, at, bytes);
      const last = Math.floor((at + bytes.length - 1) / unitBytes);
      for (let unit = Math.floor(at / unitBytes); unit <= last; unit++) {
        const known = versions.get(unit) ?? [];
        known.push(now.subarray(unit * unitBytes, (unit + 1) * unitBytes));
        versions.set(unit, known);
      }
    }
    let result = this.durable;
    for (const [unit, known] of versions) {
      const chosen = known[prng.below(known.length + 1)];
      if (chosen !== undefined) result = FileOnDisk.overlay(result, unit * unitBytes, chosen);
    }
    return result;
  }
}

export class TracedDisk {
  readonly #folder: string;
  /** Names as processes see them; files by what they are, not by how they are called. */
  #names = new Map<string, FileOnDisk | null>();
  #durableNames: Map<string, FileOnDisk | null>;
  #pendingNames: { readonly step: NameStep; readonly file: FileOnDisk | null }[] = [];

  constructor(folder: string) {
    this.#folder = folder;
    this.#names.set(folder, null);
    this.#durableNames = new Map(this.#names);
  }

  /** Whether anything is not surely on the disk. */
  get unsettled(): boolean {
    return (
      this.#pendingNames.length > 0 ||
      [...this.#names.values()].some((file) => file !== null && file.pending.length > 0)
    );
  }

  play(step: Step): void {
    switch (step.kind) {
      case 'write':
        this.#file(step.path).pending.push(step);
        return;
      case 'settle':
        this.#file(step.path).settle(step.at, step.length);
        return;
      case 'flush':
        if (this.#names.get(step.path) === null) this.#flushNames(step.path);
        else this.#file(step.path).flush();
        return;
      case 'create':
        if (!this.#names.has(step.path)) this.#rename(step, new FileOnDisk());
        return;
      case 'mkdir':
        this.#rename(step, null);
        return;
      case 'unlink':
      case 'rename':
        this.#rename(step, this.#names.get(step.path) ?? null);
        return;
      case 'said':
      case 'maybe':
        return;
    }
  }

  #file(path: string): FileOnDisk {
    const file = this.#names.get(path);
    if (file === undefined || file === null) throw new Error(`${path} is no file`);
    return file;
  }

  #rename(step: NameStep, file: FileOnDisk | null): void {
    const change = { step, file };
    TracedDisk.#change(this.#names, change);
    this.#pendingNames.push(change);
  }

  static #change(
    names: Map<string, FileOnDisk | null>,
    { step, file }: { readonly step: NameStep; readonly file: FileOnDisk | null },
  ): void {
    if (step.kind === 'unlink' || step.kind === 'rename') names.delete(step.path);
    if (step.kind === 'rename') names.set(step.to, file);
    if (step.kind === 'create' || step.kind === 'mkdir') names.set(step.path, file);
  }

  /** Flushing a directory makes its names last, and with them all earlier changes of names. */
  #flushNames(directory: string): void {
    const index = this.#pendingNames.findLastIndex(({ step }) => dirname(step.path) === directory);
    for (const change of this.#pendingNames.splice(0, index + 1))
      TracedDisk.#change(this.#durableNames, change);
  }

  /** Contents that processes see now, for a comparison with the real files. */
  seen(): Map<string, Buffer> {
    return TracedDisk.#contents(this.#names, (file) => file.current());
  }

  /** Contents of the files after a power cut now. */
  cut(tear: Tear, prng: Prng): Map<string, Buffer> {
    const names = new Map(this.#durableNames);
    const count = this.#pendingNames.length;
    const kept = tear.kind === 'none' ? 0 : tear.kind === 'all' ? count : prng.below(count + 1);
    for (const change of this.#pendingNames.slice(0, kept)) TracedDisk.#change(names, change);
    return TracedDisk.#contents(names, (file) => {
      if (tear.kind === 'none') return file.durable;
      return tear.kind === 'all' ? file.current() : file.torn(tear.unitBytes, prng);
    });
  }

  static #contents(
    names: ReadonlyMap<string, FileOnDisk | null>,
    contentOf: (file: FileOnDisk) => Buffer,
  ): Map<string, Buffer> {
    const contents = new Map<string, Buffer>();
    for (const [path, file] of names) if (file !== null) contents.set(path, contentOf(file));
    return contents;
  }

  /** Writes contents below another folder. */
  rebuild(contents: ReadonlyMap<string, Buffer>, target: string): void {
    for (const [path, content] of contents) {
      const place = join(target, path.slice(this.#folder.length));
      mkdirSync(dirname(place), { recursive: true, mode: 0o700 });
      writeFileSync(place, content, { mode: 0o600 });
    }
  }
}
