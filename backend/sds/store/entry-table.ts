// Entries of combs as this device knows them, resident and in pages. It owns which row an entry has; it must never look
// into an entry.

import { assert } from '../../core/assert.js';
import {
  ENTRY_ROW_BYTES,
  ENTRY_ROW_ENTRY_AT,
  PAGE_HEAD_BYTES,
  getEntryRowComb,
  getEntryRowLengthBytes,
  setEntryRowComb,
  setEntryRowLengthBytes,
} from '../../protocol/generated/disk.js';

import type { Layout } from './layout.js';
import type { SavedEntry } from './store.js';

/** Longest entry that a row takes. */
export const ENTRY_BYTES_MAX = 96;

export class EntryTable {
  readonly dirtyPages: Uint8Array;
  private readonly perPage: number;
  private readonly capacity: number;
  private readonly rows: (SavedEntry | null)[] = [];
  private readonly rowOf = new Map<number, number>();
  private readonly free: number[] = [];

  constructor(layout: Layout) {
    this.perPage = layout.entriesPerPage;
    this.capacity = layout.entryRows;
    this.dirtyPages = new Uint8Array(layout.entryPages);
  }

  /** Whether the entries can be kept, beside those that are. */
  fits(entries: readonly SavedEntry[]): boolean {
    let more = 0;
    for (const entry of entries) if (!this.rowOf.has(entry.comb)) more++;
    return this.rowOf.size + more <= this.capacity;
  }

  /** Keeps an entry (no copy is made); empty bytes forget it. */
  set(comb: number, bytes: Uint8Array): void {
    assert(bytes.length <= ENTRY_BYTES_MAX, 'an entry fits into its row');
    let row = this.rowOf.get(comb);
    if (bytes.length === 0) {
      if (row === undefined) return;
      this.rows[row] = null;
      this.rowOf.delete(comb);
      this.free.push(row);
    } else {
      row ??= this.free.pop() ?? this.rows.length;
      assert(row < this.capacity, 'a row for the entry is free');
      this.rows[row] = { comb, bytes };
      this.rowOf.set(comb, row);
    }
    this.dirtyPages[Math.floor(row / this.perPage)] = 1;
  }

  *all(): Generator<SavedEntry> {
    for (const row of this.rows) if (row !== null) yield row;
  }

  encodePage(page: number, bytes: Uint8Array, view: DataView, at: number, pageBytes: number): void {
    bytes.fill(0, at, at + pageBytes);
    const first = page * this.perPage;
    for (let index = 0; index < this.perPage; index++) {
      const entry = this.rows[first + index];
      if (entry === undefined || entry === null) continue;
      const place = at + PAGE_HEAD_BYTES + index * ENTRY_ROW_BYTES;
      setEntryRowComb(view, place, entry.comb);
      setEntryRowLengthBytes(view, place, entry.bytes.length);
      bytes.set(entry.bytes, place + ENTRY_ROW_ENTRY_AT);
    }
  }

  /** Reads a page, at start, in ascending order of pages. */
  decodePage(page: number, bytes: Uint8Array, view: DataView, at: number): void {
    const first = page * this.perPage;
    for (let index = 0; index < this.perPage; index++) {
      const row = first + index;
      const place = at + PAGE_HEAD_BYTES + index * ENTRY_ROW_BYTES;
      const length = Math.min(ENTRY_BYTES_MAX, getEntryRowLengthBytes(view, place));
      if (length === 0) continue;
      const comb = getEntryRowComb(view, place);
      while (this.rows.length < row) {
        this.free.push(this.rows.length);
        this.rows.push(null);
      }
      // Left over where the page of the newer row was written and the power went: the log says which content counts.
      const earlier = this.rowOf.get(comb);
      if (earlier !== undefined) {
        this.rows[earlier] = null;
        this.free.push(earlier);
        this.dirtyPages[Math.floor(earlier / this.perPage)] = 1;
      }
      const start = place + ENTRY_ROW_ENTRY_AT;
      this.rows.push({ comb, bytes: bytes.slice(start, start + length) });
      this.rowOf.set(comb, row);
    }
  }
}
