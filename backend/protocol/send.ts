// Handing an encoded frame to a link. It must never decide what is sent.

import type { LinkId, Links } from '../core/ports.js';

/**
 * Sends a whole frame as the encoders of control.ts make it.
 *
 * @param frame - header and body, sealed; copied before this returns
 */
export function sendFrame(links: Links, link: LinkId, frame: Uint8Array): void {
  const region = links.reserve(link, frame.length);
  region.bytes.set(frame, region.at);
}
