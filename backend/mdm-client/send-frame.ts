// Puts a sealed frame into the transmit buffer of a link. It must never look into the frame.

import type { LinkId, Links } from '../core/ports.js';

/** Sends a whole frame as made by the codecs of control messages. */
export function sendFrame(links: Links, link: LinkId, frame: Uint8Array): void {
  const room = links.reserve(link, frame.length);
  room.bytes.set(frame, room.at);
}
