// Writing data frames into transmit buffers. It owns the fixed fields that every frame needs; it must never decide what
// is sent. Nothing here allocates.

import { crc32View } from '../core/checksum.js';
import type { LinkId, Links, Region } from '../core/ports.js';
import { FRAME } from '../protocol/generated/constants.js';
import {
  getOpHigh,
  getVolumeKey,
  setBodyBytes,
  setBodyCrc,
  setCode,
  setMagic,
  setOpHigh,
  setStatus,
  setTag,
  setVersion,
  setVolumeKey,
} from '../protocol/generated/frame-head.js';
import { HEADER_BYTES, sealHeader } from '../protocol/frames.js';

const TWO_32 = 0x100000000;

/**
 * Reserves a frame and fills the head that all frames have; the rest of the header is zero.
 *
 * @param bodyBytes - length of the body, which the caller fills
 */
export function openFrame(
  links: Links,
  link: LinkId,
  version: number,
  code: number,
  status: number,
  tag: number,
  bodyBytes: number,
): Region {
  const region = links.reserve(link, HEADER_BYTES + bodyBytes);
  const { view, at } = region;
  for (let word = at; word < at + HEADER_BYTES; word += 8) view.setFloat64(word, 0, true);
  setMagic(view, at, FRAME.magic);
  setVersion(view, at, version);
  setCode(view, at, code);
  setStatus(view, at, status);
  setBodyBytes(view, at, bodyBytes);
  setTag(view, at, tag);
  return region;
}

/**
 * Ends a frame whose header and body are in place.
 *
 * @param coveredBytes - start of the body that the body checksum covers: the block CRCs, or all of a body without any
 */
export function closeFrame(region: Region, coveredBytes: number): void {
  const { view, at } = region;
  if (coveredBytes > 0) setBodyCrc(view, at, crc32View(view, at + HEADER_BYTES, coveredBytes));
  sealHeader(view, at);
}

/** A frame without a body. */
export function sendBare(
  links: Links,
  link: LinkId,
  version: number,
  code: number,
  status: number,
  tag: number,
): void {
  closeFrame(openFrame(links, link, version, code, status, tag, 0), 0);
}

/** Says in a frame up to where the device of the sender is durable. */
export function setDurable(region: Region, durableLsn: number): void {
  setOpHigh(region.view, region.at, Math.floor(durableLsn / TWO_32) & 0xffff);
  setVolumeKey(region.view, region.at, durableLsn % TWO_32);
}

/** What `setDurable` said. */
export function durableOf(view: DataView, at: number): number {
  return getOpHigh(view, at) * TWO_32 + getVolumeKey(view, at);
}

/** A data frame whose body is a few bytes of ours. */
export function sendBytes(
  links: Links,
  link: LinkId,
  version: number,
  code: number,
  status: number,
  tag: number,
  body: Uint8Array,
): void {
  const region = openFrame(links, link, version, code, status, tag, body.length);
  region.bytes.set(body, region.at + HEADER_BYTES);
  closeFrame(region, body.length);
}
