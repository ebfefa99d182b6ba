// Formats a device: writes empty tables, then both superblocks. It owns the order (the superblocks come last, after a
// flush, so that a half-formatted device is none); whether the device may be overwritten is the caller's business.

import type { Disk, Micros, Token } from '../../core/ports.js';
import { PAGE_KIND } from '../../protocol/tables/disk.js';

import { planLayout } from './layout.js';
import type { Layout } from './layout.js';
import { sealPage } from './pages.js';
import type { Geometry } from './store.js';
import { encodeSuperblock } from './superblock.js';
import type { Superblock } from './superblock.js';

const BUFFER_PAGES = 64;
/** At each end of the device. */
const WIPE_BYTES = 1 << 20;

export interface FormatOptions {
  readonly geometry: Geometry;
  readonly systemId: string;
  readonly deviceKey: number;
  readonly poolKey: number;
  /** Random: tells left-overs of an earlier format from this one's structures. */
  readonly formatLow: number;
  readonly formatHigh: number;
  /** Smaller devices are refused; 0: only what cannot work at all. */
  readonly sizeBytesMin: number;
  readonly entryRows?: number;
  readonly segments?: number;
  readonly allocate: (lengthBytes: number) => Uint8Array;
}

export interface FormatHost {
  /** `reason` null: done; the device can be opened. Never called from inside `begin`. */
  formatDone(nowUs: Micros, reason: string | null, capacityBytes: number): void;
}

/** Why a device cannot be formatted, before anything is written; null: it can. */
export function formatFault(sizeBytes: number, options: FormatOptions): string | null {
  if (sizeBytes < options.sizeBytesMin)
    return `it has ${sizeBytes} bytes, at least ${options.sizeBytesMin} are needed`;
  const layout = planLayout(options.geometry, { ...sizesOf(options), sizeBytes });
  return typeof layout === 'string' ? layout : null;
}

function sizesOf(options: FormatOptions): { entryRows?: number; segments?: number } {
  return {
    ...(options.entryRows === undefined ? {} : { entryRows: options.entryRows }),
    ...(options.segments === undefined ? {} : { segments: options.segments }),
  };
}

interface Area {
  readonly kind: number;
  readonly firstBlock: number;
  readonly pages: number;
}

export class Formatter {
  private readonly disk: Disk;
  private readonly options: FormatOptions;
  private readonly host: FormatHost;
  private readonly layout: Layout;
  private readonly superblock: Superblock;
  private readonly areas: readonly Area[];
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  /** Progress over both ends together. */
  private wipeAt = 0;
  private wiped = false;
  private readonly wipeEnd: number;
  private readonly deviceEnd: number;
  private area = 0;
  private page = 0;
  private step = 0;

  /** The caller asked `formatFault` before. */
  constructor(disk: Disk, options: FormatOptions, host: FormatHost) {
    this.disk = disk;
    this.options = options;
    this.host = host;
    const sizes = { ...sizesOf(options), sizeBytes: disk.sizeBytes };
    const layout = planLayout(options.geometry, sizes);
    if (typeof layout === 'string') throw new Error(layout);
    this.layout = layout;
    this.superblock = {
      formatLow: options.formatLow,
      formatHigh: options.formatHigh,
      systemId: options.systemId,
      deviceKey: options.deviceKey,
      poolKey: options.poolKey,
      // Raised when the device hears the cluster version.
      format: 1,
      sequence: 1,
      incarnation: 0,
      dataIncarnation: 0,
      bootId: '',
      clean: true,
      // Nobody said how writes will be acknowledged: assume the worse until the owner does.
      volatile: true,
      rolledBack: false,
      tailPosition: 0,
      tailLsn: 1,
      tailChain: options.formatLow,
      durableLsn: 0,
      settledLsn: 0,
      tablesSequence: 0,
      tablesDigest: 0,
    };
    const { directoryAt, directoryPages, bitmapAt, bitmapPages, entriesAt, entryPages } = layout;
    this.areas = [
      { kind: PAGE_KIND.directory, firstBlock: directoryAt, pages: directoryPages },
      { kind: PAGE_KIND.bitmap, firstBlock: bitmapAt, pages: bitmapPages },
      { kind: PAGE_KIND.entries, firstBlock: entriesAt, pages: entryPages },
    ];
    const { blockBytes } = layout.geometry;
    const ends = Math.min(WIPE_BYTES, Math.floor(disk.sizeBytes / 8 / blockBytes) * blockBytes);
    this.wipeEnd = 2 * ends;
    this.deviceEnd = Math.floor(disk.sizeBytes / blockBytes) * blockBytes;
    const bufferBytes = Math.max(BUFFER_PAGES * 2 * layout.pageBytes, layout.superblockBytes);
    this.bytes = options.allocate(bufferBytes);
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
  }

  begin(): void {
    this.wipe();
  }

  /** A completion of the disk. */
  diskDone(nowUs: Micros, _token: Token, ok: boolean): void {
    if (!ok) {
      this.host.formatDone(nowUs, 'the device failed a write or a flush', 0);
      return;
    }
    if (this.wipeAt < this.wipeEnd) this.wipe();
    else if (!this.wiped) {
      this.wiped = true;
      this.disk.flush(0);
    } else if (this.area < this.areas.length) this.writeTables();
    else this.finish(nowUs, this.step++);
  }

  /** Tables, first superblock, second superblock: each is on media before the next is written. */
  private finish(nowUs: Micros, step: number): void {
    const { units, geometry } = this.layout;
    if (step === 1) this.writeSuperblock(0);
    else if (step === 3) this.writeSuperblock(1);
    else if (step < 5) this.disk.flush(0);
    else this.host.formatDone(nowUs, null, units * geometry.unitBlocks * geometry.blockBytes);
  }

  /** Clears both ends of the device: no earlier superblock or foreign signature may come back. */
  private wipe(): void {
    const { bytes, disk } = this;
    const ends = this.wipeEnd / 2;
    const lengthBytes = Math.min(bytes.length, ends - (this.wipeAt % ends));
    const first = this.wipeAt < ends;
    const offset = first ? this.wipeAt : this.deviceEnd - ends + (this.wipeAt - ends);
    bytes.fill(0, 0, lengthBytes);
    this.wipeAt += lengthBytes;
    disk.write(0, offset, bytes, 0, lengthBytes);
  }

  private writeTables(): void {
    const { layout, bytes, options } = this;
    const { pageBytes, geometry } = layout;
    const area = this.areas[this.area];
    if (area === undefined) return;
    const count = Math.min(BUFFER_PAGES, area.pages - this.page);
    bytes.fill(0, 0, count * 2 * pageBytes);
    for (let index = 0; index < count; index++) {
      const at = index * 2 * pageBytes;
      sealPage(bytes, this.view, at, pageBytes, area.kind, this.page + index, 0, 0, options);
    }
    const offset = area.firstBlock * geometry.blockBytes + this.page * 2 * pageBytes;
    this.page += count;
    if (this.page === area.pages) {
      this.area++;
      this.page = 0;
    }
    this.disk.write(0, offset, bytes, 0, count * 2 * pageBytes);
  }

  private writeSuperblock(copy: number): void {
    const { layout, bytes } = this;
    const offset = copy === 0 ? 0 : layout.secondSuperblockAt;
    encodeSuperblock(this.superblock, layout, offset, bytes);
    this.disk.write(0, offset, bytes, 0, layout.superblockBytes);
  }
}
