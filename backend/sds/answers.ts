// Answers to clients. It owns the shape of every answer on the data path; it must never decide its status.

import type { Client } from './clients.js';
import { closeFrame, openFrame, sendBare, sendBytes } from './data-frame.js';
import { MSG } from '../protocol/generated/constants.js';
import {
  getChunkIndex,
  getLengthSectors,
  getOffsetSectors,
  getTag,
  getVolumeKey,
  setChunkIndex,
  setLengthSectors,
  setOffsetSectors,
  setVolumeKey,
} from '../protocol/generated/frame-head.js';
import { HEADER_BYTES } from '../protocol/frames.js';
import type { PayloadBuffer } from './buffers.js';
import { OP_KIND } from './op.js';
import type { Op } from './op.js';
import type { Shared } from './shared.js';

/** The code of the answer to a request of a client. */
function answerCode(requestCode: number): number {
  if (requestCode === MSG.READ) return MSG.READ_REPLY;
  return requestCode === MSG.FLUSH ? MSG.FLUSH_REPLY : MSG.WRITE_REPLY;
}

/** Refuses a request of which nothing was kept. `entry`: the newer entry, or nothing. */
export function refuse(
  shared: Shared,
  client: Client,
  requestCode: number,
  view: DataView,
  at: number,
  status: number,
  entry: Uint8Array,
): void {
  const code = answerCode(requestCode);
  sendBytes(shared.links, client.link, client.version, code, status, getTag(view, at), entry);
}

/** Says that a write or zero that was asked before is done. */
export function confirm(shared: Shared, client: Client, tag: number): void {
  sendBare(shared.links, client.link, client.version, MSG.WRITE_REPLY, 0, tag);
}

/** Answers an operation to whoever still waits for it. */
export function answer(shared: Shared, op: Op, status: number, entry: Uint8Array): void {
  const client = op.client;
  if (client === null) return;
  if (op.kind === OP_KIND.read) {
    if (status === 0) answerRead(shared, op, client);
    else sendStatus(shared, client, MSG.READ_REPLY, op.tag, status, entry);
    return;
  }
  const code = op.kind === OP_KIND.flush ? MSG.FLUSH_REPLY : MSG.WRITE_REPLY;
  sendStatus(shared, client, code, op.tag, status, entry);
}

function sendStatus(
  shared: Shared,
  client: Client,
  code: number,
  tag: number,
  status: number,
  entry: Uint8Array,
): void {
  sendBytes(shared.links, client.link, client.version, code, status, tag, entry);
}

function answerRead(shared: Shared, op: Op, client: Client): void {
  const { links, geometry, sectorsPerBlock } = shared;
  const { buffer } = op;
  const crcBytes = 4 * op.blockCount;
  const bodyBytes = op.zero || buffer === null ? 0 : crcBytes + op.blockCount * geometry.blockBytes;
  const region = openFrame(
    links,
    client.link,
    client.version,
    MSG.READ_REPLY,
    0,
    op.tag,
    bodyBytes,
  );
  const { view, at } = region;
  setVolumeKey(view, at, op.lockVolume);
  setChunkIndex(view, at, op.chunkIndex);
  // The number of checksums in front of the bytes follows from the range: it names whole blocks.
  setOffsetSectors(view, at, op.firstBlock * sectorsPerBlock);
  setLengthSectors(view, at, op.blockCount * sectorsPerBlock);
  if (bodyBytes > 0 && buffer !== null)
    region.bytes.set(buffer.bytes.subarray(0, bodyBytes), at + HEADER_BYTES);
  closeFrame(region, bodyBytes === 0 ? 0 : crcBytes);
}

/** What PEER_READ asks for, answered from a buffer. */
export function answerPeerRead(
  shared: Shared,
  link: number,
  version: number,
  head: DataView,
  headAt: number,
  status: number,
  buffer: PayloadBuffer | null,
  blockCount: number,
): void {
  const crcBytes = 4 * blockCount;
  const bodyBytes =
    status !== 0 || buffer === null ? 0 : crcBytes + blockCount * shared.geometry.blockBytes;
  const region = openFrame(
    shared.links,
    link,
    version,
    MSG.PEER_READ_REPLY,
    status,
    getTag(head, headAt),
    bodyBytes,
  );
  const { view, at } = region;
  setVolumeKey(view, at, getVolumeKey(head, headAt));
  setChunkIndex(view, at, getChunkIndex(head, headAt));
  setOffsetSectors(view, at, getOffsetSectors(head, headAt));
  setLengthSectors(view, at, getLengthSectors(head, headAt));
  if (bodyBytes > 0 && buffer !== null)
    region.bytes.set(buffer.bytes.subarray(0, bodyBytes), at + HEADER_BYTES);
  closeFrame(region, bodyBytes === 0 ? 0 : crcBytes);
}
