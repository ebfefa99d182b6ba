// Reads the tables when a device is opened: directory, bitmap, entries. It owns which slot of each page counts: the newest
// of a checkpoint that ended. It must never take an older one where the disk lost that, and never write.

import { IO } from './io.js';
import { digestOfTables } from './page-writer.js';
import type { Table } from './page-writer.js';
import { countedSlot, openSlots } from './pages.js';
import type { PageSlots } from './pages.js';
import type { Parts } from './parts.js';
import type { Superblock } from './superblock.js';

const READ_BYTES_MAX = 1 << 20;

export class ReplayTables {
  /** Why the device cannot be used, or null. */
  reason: string | null = null;
  private readonly parts: Parts;
  private readonly tables: readonly Table[];
  private readonly superblock: Superblock;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly pairBytes: number;
  private table = 0;
  private page = 0;
  private pagesRead = 0;

  constructor(parts: Parts, tables: readonly Table[], superblock: Superblock) {
    const { layout, options } = parts;
    this.parts = parts;
    this.tables = tables;
    this.superblock = superblock;
    this.pairBytes = 2 * layout.pageBytes;
    const wanted = this.pairBytes * Math.max(1, layout.directoryPages);
    this.bytes = options.allocate(Math.max(this.pairBytes, Math.min(READ_BYTES_MAX, wanted)));
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
  }

  /** Starts the next read. Returns false when nothing is left to read: `reason` tells the outcome. */
  read(): boolean {
    const { layout, queue } = this.parts;
    for (
      let table = this.tables[this.table];
      table !== undefined;
      table = this.tables[this.table]
    ) {
      const room = Math.floor(this.bytes.length / this.pairBytes);
      const count = Math.min(table.pages - this.page, room);
      if (count > 0) {
        this.pagesRead = count;
        const firstByte = table.firstBlock * layout.geometry.blockBytes;
        const offset = firstByte + this.page * this.pairBytes;
        queue.read(IO.scan, 0, 0, offset, this.bytes, 0, count * this.pairBytes);
        return true;
      }
      this.table++;
      this.page = 0;
    }
    if (digestOfTables(this.tables) !== this.superblock.tablesDigest)
      this.reason = 'the newest version of a page of the tables is lost or damaged';
    return false;
  }

  /** A read is done. Returns whether to go on. */
  done(ok: boolean): boolean {
    const { layout, directory, units, entries } = this.parts;
    const table = this.tables[this.table];
    if (table === undefined) return false;
    for (let index = 0; index < this.pagesRead; index++) {
      const page = this.page + index;
      const at = index * this.pairBytes;
      const { bytes, view, superblock } = this;
      const slots = openSlots(bytes, view, at, layout.pageBytes, table.kind, page, superblock);
      const fault = ok ? this.takeSlot(table, page, slots) : 'it cannot be read';
      if (fault !== null) {
        this.reason = `page ${page} of table ${table.kind}: ${fault}`;
        return false;
      }
      const from = at + (table.slots[page] ?? 0) * layout.pageBytes;
      if (this.table === 0) directory.decodePage(page, view, from);
      else if (this.table === 1) units.decodePage(page, view, from);
      else entries.decodePage(page, bytes, view, from);
    }
    this.page += this.pagesRead;
    return true;
  }

  /**
   * Chooses the slot of a page. What a checkpoint left that did not end is not used; the next one overwrites it before it
   * could be taken for its own.
   *
   * @returns why none can be used, or null
   */
  private takeSlot(table: Table, page: number, slots: PageSlots): string | null {
    const { sequence, tablesSequence } = this.superblock;
    const slot = countedSlot(slots, tablesSequence);
    if (slot < 0) return 'both copies are damaged';
    const newest = Math.max(slots.first, slots.second);
    if (newest > sequence + 1) return 'it is newer than both superblocks';
    table.slots[page] = slot;
    table.sequences[page] = slot === 0 ? slots.first : slots.second;
    if (newest > tablesSequence) table.dirtyPages[page] = 1;
    return null;
  }
}
