// Memory of a read cache from the system. It owns the judgement whether the host has it; it must never keep what was given
// back: that goes to the system at once, not when garbage is collected.

import { MIB } from '../core/units.js';
import type { CacheMemory } from '../core/ports.js';

/** What stays for everybody else on the host. */
const LEFT_BYTES = 256 * MIB;

/** The types of the language in use do not know it yet. */
interface Transferable extends ArrayBuffer {
  transfer(lengthBytes: number): ArrayBuffer;
}

export const SYSTEM_CACHE_MEMORY: CacheMemory = {
  hasRoom(totalBytes) {
    // Pages become memory when they are touched, and then nobody can say no any more.
    return process.availableMemory() >= totalBytes + LEFT_BYTES;
  },

  take(lengthBytes) {
    try {
      return new Uint8Array(lengthBytes);
    } catch (error) {
      if (error instanceof RangeError) return null;
      throw error;
    }
  },

  give({ buffer }) {
    // A buffer that is handed over leaves nothing behind, and its new one has no room for anything.
    if (buffer instanceof ArrayBuffer) (buffer as Transferable).transfer(0);
  },
};
