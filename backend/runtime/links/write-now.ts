// Writing to a socket without the stream around it: one system call, nothing allocated, no callback. It owns the question
// whether that is allowed right now; it must never keep a descriptor: behind a closed socket its number is somebody
// else's.
//
// A stream costs more than the system call itself: a request object, its fields, a tick for its callback. What the kernel
// does not take at once goes through the stream, which waits for room and reports errors.

import { writeSync } from 'node:fs';
import type { Socket } from 'node:net';

/** Not documented, but the same in Node 20, 22 and 24; where it is missing, the stream does everything. */
interface Internals {
  readonly _handle: { readonly fd?: unknown } | null;
}

/**
 * Writes what the kernel takes at once.
 *
 * @returns bytes from `at` on that are on their way; the caller hands the rest to `socket.write`, also after an error, which
 *   the stream will meet again
 */
export function writeNow(
  socket: Socket,
  bytes: Uint8Array,
  at: number,
  lengthBytes: number,
): number {
  // Behind anything that the stream holds back.
  if (socket.connecting || socket.writableLength > 0 || !socket.writable) return 0;
  // Past the stream of an encrypted socket the bytes would leave as they are.
  if ('encrypted' in socket) return 0;
  const fd = (socket as unknown as Internals)._handle?.fd;
  if (typeof fd !== 'number' || fd < 0) return 0;
  try {
    return writeSync(fd, bytes, at, lengthBytes);
  } catch {
    // No room, or a broken connection: the stream finds out which.
    return 0;
  }
}
