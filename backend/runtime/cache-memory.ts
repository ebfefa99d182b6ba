// Memory of a read cache from the system. It owns the judgement whether the host has it; it must never keep what was given
// back: that goes to the system at once, not when garbage is collected.

import { MessageChannel } from 'node:worker_threads';

import { MIB } from '../core/units.js';
import type { CacheMemory } from '../core/ports.js';

/** What stays for everybody else on the host. */
const LEFT_BYTES = 256 * MIB;

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
    // What is on its way to a port that is closed goes with it: nothing waits for a collection of garbage, which an idle
    // process may not see for hours.
    const { port1, port2 } = new MessageChannel();
    port1.postMessage(null, [buffer as ArrayBuffer]);
    port1.close();
    port2.close();
  },
};
