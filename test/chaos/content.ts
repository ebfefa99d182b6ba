// What the workload writes into sectors of 512 bytes: the number of the write and a mix of volume and sector, over and over.
// It owns that form only; content from another place, or in part, is never taken for right.

export const SECTOR_BYTES = 512;
export const SECTORS_PER_BLOCK = 8;
const PAIR_BYTES = 8;

function placeWord(volume: number, sector: number): number {
  return (Math.imul(volume + 1, 0x9e3779b1) ^ Math.imul(sector + 1, 0x85ebca6b)) >>> 0;
}

/** The bytes of a write. @param tag - its number, from 1 */
export function contentOf(
  volume: number,
  firstSector: number,
  sectors: number,
  tag: number,
): Buffer {
  const bytes = Buffer.allocUnsafe(sectors * SECTOR_BYTES);
  for (let index = 0; index < sectors; index++) {
    const pair = Buffer.alloc(PAIR_BYTES);
    pair.writeUInt32LE(tag, 0);
    pair.writeUInt32LE(placeWord(volume, firstSector + index), 4);
    bytes.fill(pair, index * SECTOR_BYTES, (index + 1) * SECTOR_BYTES);
  }
  return bytes;
}

/**
 * The tag of each sector that a read brought, 0 for zeroes.
 *
 * @returns a sentence when a sector holds what was never written to its place
 */
export function tagsOf(volume: number, firstSector: number, bytes: Buffer): number[] | string {
  const tags: number[] = [];
  for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
    const sector = firstSector + at / SECTOR_BYTES;
    const tag = bytes.readUInt32LE(at);
    const content = bytes.subarray(at, at + SECTOR_BYTES);
    const right = tag === 0 ? Buffer.alloc(SECTOR_BYTES) : contentOf(volume, sector, 1, tag);
    if (!content.equals(right))
      return `sector ${sector} holds what was never written there: ${content.subarray(0, 32).toString('hex')}...`;
    tags.push(tag);
  }
  return tags;
}
