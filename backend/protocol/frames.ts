// Headers and bodies of frames as a whole: sealing, checking, and how much of a data body are block checksums. It owns
// the order of the checks of a received frame; it must never act on a frame. Nothing here allocates.

import { crc32Range, crc32ViewWithout } from '../core/checksum.js';
import { DATA_CODES, CODE_NAMES, FRAME, LIMIT, MSG } from './generated/constants.js';
import {
  getBodyBytes,
  getBodyCrc,
  getCode,
  getHeaderCrc,
  getLengthSectors,
  getMagic,
  getOffsetSectors,
  getStatus,
  setBodyCrc,
  setHeaderCrc,
} from './generated/frame-head.js';

export const HEADER_BYTES = LIMIT.frameHeaderBytes;
export const FRAME_BYTES_MAX = HEADER_BYTES + LIMIT.frameBodyBytesMax;

/** What a header or a body is: OK, or why it is refused. */
export const CHECK = {
  OK: 0,
  BAD_MAGIC: 1,
  BAD_HEADER_CRC: 2,
  TOO_LONG: 3,
  UNKNOWN_CODE: 4,
  NOT_ZERO: 5,
  BAD_BODY_CRC: 6,
  BAD_LENGTH: 7,
} as const;

/** The reasons in words. */
export const CHECK_REASONS: readonly string[] = [
  'is right',
  'does not start with the magic number',
  'has a wrong header checksum',
  `has a body longer than ${LIMIT.frameBodyBytesMax} bytes`,
  'has an unknown code',
  'has a data header in a control frame',
  'has a wrong body checksum',
  'has a body too short for its block checksums',
];

const SECTORS_PER_BLOCK = LIMIT.blockBytes / LIMIT.sectorBytes;
const UNKNOWN = 0;
const CONTROL = 1;
const DATA = 2;
/** Kind of every code, so that a lookup is one load. */
const KINDS = new Uint8Array(0x10000);
for (const code of CODE_NAMES.keys()) KINDS[code] = CONTROL;
for (const code of DATA_CODES) KINDS[code] = DATA;

/** Whether a frame of this code has a data header and a raw body. */
export function isDataCode(code: number): boolean {
  return KINDS[code] === DATA;
}

/**
 * Fills in the header checksum. Every other field, and the body checksum, must be in place.
 *
 * @param at - where the header starts
 */
export function sealHeader(view: DataView, at: number): void {
  setHeaderCrc(view, at, crc32ViewWithout(view, at, HEADER_BYTES, FRAME.headerCrc));
}

/**
 * Judges a received header before anything else of the frame is looked at or waited for.
 *
 * @param at - where the header starts; {@link HEADER_BYTES} bytes must be there
 * @returns one of {@link CHECK}. After UNKNOWN_CODE and NOT_ZERO the length can be trusted, so the stream can go on
 */
export function checkHeader(view: DataView, at: number): number {
  if (getMagic(view, at) !== FRAME.magic) return CHECK.BAD_MAGIC;
  const crc = crc32ViewWithout(view, at, HEADER_BYTES, FRAME.headerCrc);
  if (getHeaderCrc(view, at) !== crc) return CHECK.BAD_HEADER_CRC;
  if (getBodyBytes(view, at) > LIMIT.frameBodyBytesMax) return CHECK.TOO_LONG;
  const kind = KINDS[getCode(view, at)];
  if (kind === UNKNOWN) return CHECK.UNKNOWN_CODE;
  if (kind === CONTROL) {
    if (view.getUint8(at + FRAME.combLog2) !== 0) return CHECK.NOT_ZERO;
    for (let word: number = FRAME.dataHead; word < HEADER_BYTES; word += 4)
      if (view.getUint32(at + word, true) !== 0) return CHECK.NOT_ZERO;
  }
  return CHECK.OK;
}

/**
 * Number of blocks that a range of sectors touches.
 *
 * @param offsetSectors - first sector in the chunk
 * @param lengthSectors - 0: none
 */
export function blocksTouched(offsetSectors: number, lengthSectors: number): number {
  if (lengthSectors === 0) return 0;
  const first = Math.floor(offsetSectors / SECTORS_PER_BLOCK);
  const last = Math.floor((offsetSectors + lengthSectors - 1) / SECTORS_PER_BLOCK);
  return last - first + 1;
}

/**
 * How many bytes at the start of a data body are block checksums; payload follows. Answers with a status, and bodies
 * of length 0, have none.
 */
export function checksumBytes(view: DataView, at: number): number {
  const code = getCode(view, at);
  if (!CARRIES_BLOCKS.has(code) || getStatus(view, at) !== 0 || getBodyBytes(view, at) === 0)
    return 0;
  return 4 * blocksTouched(getOffsetSectors(view, at), getLengthSectors(view, at));
}

const CARRIES_BLOCKS: ReadonlySet<number> = new Set([
  MSG.WRITE,
  MSG.READ_REPLY,
  MSG.PEER_WRITE,
  MSG.PEER_READ_REPLY,
]);

/** Length of what the body checksum of this frame covers. */
function coveredBytes(view: DataView, at: number): number {
  const checksums = isDataCode(getCode(view, at)) ? checksumBytes(view, at) : 0;
  return checksums === 0 ? getBodyBytes(view, at) : checksums;
}

/**
 * Fills in the body checksum and the header checksum of a whole frame, header and body in place.
 *
 * @param bytes - the memory that `view` looks at
 */
export function sealFrame(bytes: Uint8Array, view: DataView, at: number): void {
  const covered = coveredBytes(view, at);
  setBodyCrc(view, at, covered === 0 ? 0 : crc32Range(bytes, view, at + HEADER_BYTES, covered));
  sealHeader(view, at);
}

/**
 * Judges the body of a received frame whose header was found right and whose body is complete. For data frames only
 * the block checksums are judged here: whoever keeps the blocks verifies the blocks.
 *
 * @returns one of {@link CHECK}
 */
export function checkBody(bytes: Uint8Array, view: DataView, at: number): number {
  const covered = coveredBytes(view, at);
  if (covered > getBodyBytes(view, at)) return CHECK.BAD_LENGTH;
  const crc = covered === 0 ? 0 : crc32Range(bytes, view, at + HEADER_BYTES, covered);
  return crc === getBodyCrc(view, at) ? CHECK.OK : CHECK.BAD_BODY_CRC;
}
