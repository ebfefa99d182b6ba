// Writes changed pages: directory, bitmap, entries, descriptors. It owns in which slot each page lies; it must never let a
// page reach the device before every record that it reflects is durable: pages are copied first, then the log is
// flushed, then they are written. All pages of a checkpoint carry the sequence of the superblock that will end it: they
// count from then on.

import { PAGE_KIND } from '../../protocol/tables/disk.js';

import { IO } from './io.js';
import type { Parts } from './parts.js';
import { digestOf, sealPage } from './pages.js';
import type { FormatId } from './pages.js';

const STAGED_MAX = 64;
const NONE = -1;

/** A kind of page whose content is resident. */
export interface Table {
  readonly kind: number;
  readonly firstBlock: number;
  readonly pages: number;
  readonly dirtyPages: Uint8Array;
  readonly slots: Uint8Array;
  /** Sequence of the page in that slot. */
  readonly sequences: Float64Array;
  encodePage(page: number, bytes: Uint8Array, view: DataView, at: number, pageBytes: number): void;
}

/** The three tables of a device. */
export function tablesOf(parts: Parts): readonly Table[] {
  const { layout, directory, units, entries } = parts;
  return [
    {
      kind: PAGE_KIND.directory,
      firstBlock: layout.directoryAt,
      pages: layout.directoryPages,
      dirtyPages: directory.dirtyPages,
      slots: new Uint8Array(layout.directoryPages),
      sequences: new Float64Array(layout.directoryPages),
      encodePage: (page, bytes, view, at, length) => {
        directory.encodePage(page, bytes, view, at, length);
      },
    },
    {
      kind: PAGE_KIND.bitmap,
      firstBlock: layout.bitmapAt,
      pages: layout.bitmapPages,
      dirtyPages: units.dirtyPages,
      slots: new Uint8Array(layout.bitmapPages),
      sequences: new Float64Array(layout.bitmapPages),
      encodePage: (page, bytes, view, at, length) => {
        units.encodePage(page, bytes, view, at, length);
      },
    },
    {
      kind: PAGE_KIND.entries,
      firstBlock: layout.entriesAt,
      pages: layout.entryPages,
      dirtyPages: entries.dirtyPages,
      slots: new Uint8Array(layout.entryPages),
      sequences: new Float64Array(layout.entryPages),
      encodePage: (page, bytes, view, at, length) => {
        entries.encodePage(page, bytes, view, at, length);
      },
    },
  ];
}

/** Digest over all pages of the tables (see `digestOf`). */
export function digestOfTables(tables: readonly Table[]): number {
  let digest = 0;
  for (const { kind, sequences } of tables)
    sequences.forEach((sequence, page) => {
      digest ^= digestOf(kind, page, sequence);
    });
  return digest >>> 0;
}

export class PageWriter {
  /** Of the tables as the running checkpoint leaves them. */
  digest: number;
  private readonly parts: Parts;
  private readonly tables: readonly Table[];
  private readonly format: FormatId;
  private bytes: Uint8Array | null = null;
  private view: DataView = new DataView(new ArrayBuffer(0));
  private readonly stepBytes: number;
  /** Staged pages: where they go, and the cache entry of a descriptor or -1. */
  private readonly offsets = new Float64Array(STAGED_MAX);
  private readonly lengths = new Float64Array(STAGED_MAX);
  private readonly entriesOf = new Int32Array(STAGED_MAX);
  private staged = 0;
  private stagedLsn = 0;
  private writing = 0;
  /** Where the search for changed pages goes on. */
  private table = 0;
  private page = 0;
  private entry = 0;
  private beforeLsn = 0;
  private sequence = 0;

  constructor(parts: Parts, tables: readonly Table[], format: FormatId) {
    this.parts = parts;
    this.tables = tables;
    this.format = format;
    this.digest = digestOfTables(tables);
    this.stepBytes = Math.max(parts.layout.pageBytes, parts.layout.descriptorBytes);
  }

  /**
   * Starts to write all changed pages of tables, and descriptors that changed before an LSN.
   *
   * @param sequence - of the superblock that will end the checkpoint; higher than any before
   */
  begin(beforeLsn: number, sequence: number): void {
    this.beforeLsn = beforeLsn;
    this.sequence = sequence;
    this.table = 0;
    this.page = 0;
    this.entry = 0;
    this.staged = 0;
  }

  /** Goes on. Returns true when every page is written (not flushed). */
  pump(): boolean {
    const { log } = this.parts;
    for (;;) {
      if (this.writing > 0) return false;
      if (this.staged > 0) {
        if (log.flusher.durableLsn < this.stagedLsn) return false;
        this.writeStaged();
        return false;
      }
      if (!this.stage()) return this.staged === 0 && this.finished();
      this.stagedLsn = log.lastLsn;
      log.submit();
      log.wantDurable(this.stagedLsn);
    }
  }

  private finished(): boolean {
    return this.table >= this.tables.length && this.entry >= this.parts.cache.capacity;
  }

  /** Copies changed pages. Returns whether there is anything to write. */
  private stage(): boolean {
    if (this.bytes === null) {
      const bytes = this.parts.options.allocate(STAGED_MAX * this.stepBytes);
      this.bytes = bytes;
      this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    const bytes = this.bytes;
    // Descriptors first: they are many, and the tables are changed by what happens meanwhile.
    this.stageDescriptors(bytes);
    if (this.entry >= this.parts.cache.capacity) this.stageTables(bytes);
    return this.staged > 0;
  }

  private stageTables(bytes: Uint8Array): void {
    const { layout } = this.parts;
    const { sequence } = this;
    while (this.table < this.tables.length && this.staged < STAGED_MAX) {
      const table = this.tables[this.table];
      if (table === undefined || this.page >= table.pages) {
        this.table++;
        this.page = 0;
        continue;
      }
      const page = this.page++;
      if (table.dirtyPages[page] === 0) continue;
      table.dirtyPages[page] = 0;
      const slot = table.slots[page] === 0 ? 1 : 0;
      table.slots[page] = slot;
      const at = this.staged * this.stepBytes;
      const { pageBytes, geometry } = layout;
      table.encodePage(page, bytes, this.view, at, pageBytes);
      const { kind } = table;
      sealPage(bytes, this.view, at, pageBytes, kind, page, slot, sequence, this.format);
      this.digest ^= digestOf(kind, page, table.sequences[page] ?? 0);
      this.digest = (this.digest ^ digestOf(kind, page, sequence)) >>> 0;
      table.sequences[page] = sequence;
      const offset = table.firstBlock * geometry.blockBytes + (2 * page + slot) * pageBytes;
      this.note(offset, pageBytes, NONE);
    }
  }

  private stageDescriptors(bytes: Uint8Array): void {
    const { cache, directory, layout } = this.parts;
    const { descriptorBytes, geometry } = layout;
    const { sequence } = this;
    for (; this.entry < cache.capacity && this.staged < STAGED_MAX; this.entry++) {
      const entry = this.entry;
      const dirtyLsn = cache.dirtyLsns[entry] ?? 0;
      if (dirtyLsn === 0 || dirtyLsn >= this.beforeLsn) continue;
      // Not complete yet: comes when its descriptor arrived.
      if (cache.loaded[entry] === 0) break;
      const row = cache.rows[entry] ?? 0;
      const slot = cache.nextSlot(entry);
      cache.slots[entry] = slot;
      cache.clean(entry);
      cache.pins[entry] = (cache.pins[entry] ?? 0) + 1;
      const at = this.staged * this.stepBytes;
      cache.encode(entry, bytes, this.view, at, descriptorBytes);
      const kind = PAGE_KIND.descriptor;
      sealPage(bytes, this.view, at, descriptorBytes, kind, row, slot, sequence, this.format);
      directory.setDescriptorSequence(row, sequence);
      const offset =
        layout.descriptorsAt * geometry.blockBytes + (2 * row + slot) * descriptorBytes;
      this.note(offset, descriptorBytes, entry);
    }
  }

  private note(offsetBytes: number, lengthBytes: number, entry: number): void {
    this.offsets[this.staged] = offsetBytes;
    this.lengths[this.staged] = lengthBytes;
    this.entriesOf[this.staged] = entry;
    this.staged++;
  }

  private writeStaged(): void {
    if (this.bytes === null) return;
    this.writing = this.staged;
    for (let index = 0; index < this.staged; index++) {
      this.parts.queue.write(
        IO.page,
        index,
        0,
        this.offsets[index] ?? 0,
        this.bytes,
        index * this.stepBytes,
        this.lengths[index] ?? 0,
      );
    }
    this.staged = 0;
  }

  pageDone(index: number): void {
    const { cache } = this.parts;
    const entry = this.entriesOf[index] ?? NONE;
    if (entry >= 0) cache.pins[entry] = (cache.pins[entry] ?? 0) - 1;
    this.writing--;
  }
}
