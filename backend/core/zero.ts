// Whether bytes are all zero: such content takes no space. It must never allocate.

/** @param lengthBytes - how many bytes from `at` on */
export function isZero(bytes: Uint8Array, at: number, lengthBytes: number): boolean {
  for (let index = at; index < at + lengthBytes; index++) if (bytes[index] !== 0) return false;
  return true;
}
