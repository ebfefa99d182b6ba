// Pages: the self-describing envelope of everything on the device but superblock, log and data. A page has two slots;
// it is always written to the one that does not hold the current content, so a torn write loses nothing. It must never
// know what a page contains.
//
// Which slot counts is said elsewhere, never by the page itself: a page that a disk lost, or that rotted, leaves the older
// one behind, as valid as ever and wrong.

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

/** Which slots of a page hold what. */
export interface PageSlots {
  /** Sequence of each slot, or PAGE_INVALID. */
  first: number;
  second: number;
}

/** Looks at both slots of a page, which lie at `at` and behind it. */
export function openSlots(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  pageBytes: number,
  kind: number,
  index: number,
  format: FormatId,
): PageSlots {
  return {
    first: openPage(bytes, view, at, pageBytes, kind, index, 0, format),
    second: openPage(bytes, view, at + pageBytes, pageBytes, kind, index, 1, format),
  };
}

/** The slot (0 or 1) with the highest sequence up to a limit; -1: none. */
export function countedSlot({ first, second }: PageSlots, sequenceMax: number): number {
  const one = first <= sequenceMax ? first : PAGE_INVALID;
  const other = second <= sequenceMax ? second : PAGE_INVALID;
  if (one === PAGE_INVALID && other === PAGE_INVALID) return -1;
  return other > one ? 1 : 0;
}

/** The slot (0 or 1) whose sequence has these low 32 bits; -1: none. */
export function namedSlot({ first, second }: PageSlots, sequenceLow: number): number {
  if (first !== PAGE_INVALID && first >>> 0 === sequenceLow) return 0;
  return second !== PAGE_INVALID && second >>> 0 === sequenceLow ? 1 : -1;
}

/** What a page adds to the digest over all pages that count, by exclusive or. A page as the format left it adds nothing. */
export function digestOf(kind: number, index: number, sequence: number): number {
  if (sequence === 0) return 0;
  let mix = Math.imul(kind, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b);
  mix = Math.imul(mix ^ (mix >>> 15), 0x2c1b3c6d) ^ Math.imul(sequence >>> 0, 0xc2b2ae35);
  mix = Math.imul(mix ^ (mix >>> 13), 0x297a2d39) ^ Math.floor(sequence / 0x100000000);
  return (mix ^ (mix >>> 16)) >>> 0;
}
