// What a probe writes into a block, so that whoever reads the block can tell what it must hold. It owns that form.

export const BLOCK_BYTES = 4096;
const MAGIC = 0x4d53_5053;
const WORDS = BLOCK_BYTES / 4;
/** Magic, number of the write in two words, position. */
const HEAD_WORDS = 4;
const TWO_32 = 2 ** 32;
/** Odd, so that no two words of a block are the same by rule (Knuth). */
const SPREAD = 2_654_435_761;

/** Both halves of the number and the place are in every word. */
const wordOf = (sequence: number, index: number): number =>
  Math.imul(
    (sequence % TWO_32) + Math.imul(Math.floor(sequence / TWO_32), SPREAD) + index,
    SPREAD,
  ) >>> 0;

function view(bytes: Uint8Array, at: number): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset + at, BLOCK_BYTES);
}

/** Makes the content of one write. */
export function fillBlock(bytes: Uint8Array, at: number, position: number, sequence: number): void {
  const words = view(bytes, at);
  words.setUint32(0, MAGIC);
  words.setUint32(4, Math.floor(sequence / TWO_32));
  words.setUint32(8, sequence % TWO_32);
  words.setUint32(12, position);
  for (let index = HEAD_WORDS; index < WORDS; index++)
    words.setUint32(index * 4, wordOf(sequence, index));
}

/** What a block was found to hold: the number of a whole write to this position; 0: nothing yet; null: anything else. */
export function readBlock(bytes: Uint8Array, at: number, position: number): number | null {
  const words = view(bytes, at);
  if (words.getUint32(0) === 0) return isZero(words) ? 0 : null;
  const sequence = words.getUint32(4) * TWO_32 + words.getUint32(8);
  if (words.getUint32(0) !== MAGIC || words.getUint32(12) !== position) return null;
  for (let index = HEAD_WORDS; index < WORDS; index++)
    if (words.getUint32(index * 4) !== wordOf(sequence, index)) return null;
  return sequence;
}

function isZero(words: DataView): boolean {
  for (let index = 0; index < WORDS; index++) if (words.getUint32(index * 4) !== 0) return false;
  return true;
}
