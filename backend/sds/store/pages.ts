// Pages: the self-describing envelope of everything on the device but superblock, log and data. A page has two slots;
// it is always written to the one that does not hold the current content, so a torn write loses nothing. It must never
// know what a page contains.

import { crc32 } from '../../core/checksum.js';
import * as disk from '../../protocol/generated/disk.js';
import { DISK_MAGIC, DISK_VERSION } from '../../protocol/tables/disk.js';

/** Identity of the format, carried by every structure. */
export interface FormatId {
  readonly formatLow: number;
  readonly formatHigh: number;
}

/** No valid content. */
export const PAGE_INVALID = -1;

/**
 * Fills in the head of a page whose content is complete.
 *
 * @param bytes - exactly the page, from the start of the view
 */
export function sealPage(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  pageBytes: number,
  kind: number,
  index: number,
  slot: number,
  sequence: number,
  format: FormatId,
): void {
  bytes.fill(0, at, at + disk.PAGE_HEAD_BYTES);
  disk.setPageHeadMagic(view, at, DISK_MAGIC.page);
  disk.setPageHeadVersion(view, at, DISK_VERSION);
  disk.setPageHeadKind(view, at, kind);
  disk.setPageHeadIndex(view, at, index);
  disk.setPageHeadSlot(view, at, slot);
  disk.setPageHeadFormatLow(view, at, format.formatLow);
  disk.setPageHeadFormatHigh(view, at, format.formatHigh);
  disk.setPageHeadSequence(view, at, sequence);
  disk.setPageHeadCrc(view, at, crc32(bytes.subarray(at, at + pageBytes)));
}

/** Sequence of a valid page of that kind, index and slot, or PAGE_INVALID. The page's CRC field is zero afterwards. */
export function openPage(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  pageBytes: number,
  kind: number,
  index: number,
  slot: number,
  format: FormatId,
): number {
  const asExpected =
    disk.getPageHeadMagic(view, at) === DISK_MAGIC.page &&
    disk.getPageHeadVersion(view, at) === DISK_VERSION &&
    disk.getPageHeadKind(view, at) === kind &&
    disk.getPageHeadIndex(view, at) === index &&
    disk.getPageHeadSlot(view, at) === slot &&
    disk.getPageHeadFormatLow(view, at) === format.formatLow &&
    disk.getPageHeadFormatHigh(view, at) === format.formatHigh;
  if (!asExpected) return PAGE_INVALID;
  const crc = disk.getPageHeadCrc(view, at);
  disk.setPageHeadCrc(view, at, 0);
  if (crc32(bytes.subarray(at, at + pageBytes)) !== crc) return PAGE_INVALID;
  return disk.getPageHeadSequence(view, at);
}

/** The slot (0 or 1) with the newest valid content of a page whose two slots lie at `at` and behind it; -1: none. */
export function newestSlot(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  pageBytes: number,
  kind: number,
  index: number,
  format: FormatId,
): number {
  const first = openPage(bytes, view, at, pageBytes, kind, index, 0, format);
  const second = openPage(bytes, view, at + pageBytes, pageBytes, kind, index, 1, format);
  if (first === PAGE_INVALID && second === PAGE_INVALID) return -1;
  return second > first ? 1 : 0;
}
