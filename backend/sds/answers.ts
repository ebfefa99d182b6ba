// Answers to clients. It owns the shape of every answer on the data path; it must never decide its status.

import { assert } from '../core/assert.js';
import type { Client } from './clients.js';
import type { Comb } from './comb.js';
import { closeFrame, openFrame, sendBytes } from './data-frame.js';
import { MSG } from '../protocol/generated/constants.js';
import {
  getChunkIndex,
  getLengthSectors,
  getOffsetSectors,
  getTag,
  getVolumeKey,
  setChunkIndex,
  setComb,
  setGenerationEpoch,
  setGenerationNumber,
  setLengthSectors,
  setOffsetSectors,
  setVolumeKey,
} from '../protocol/generated/frame-head.js';
import { HEADER_BYTES } from '../protocol/frames.js';
import type { PayloadBuffer } from './buffers.js';
import { OP_KIND } from './op.js';
import type { Op } from './op.js';
import type { Shared } from './shared.js';

/** States of blocks in one byte of a description. */
const BLOCKS_PER_BYTE = 4;

/** The code of the answer to a request of a client. */
function answerCode(requestCode: number): number {
  if (requestCode === MSG.READ) return MSG.READ_REPLY;
  if (requestCode === MSG.DESCRIBE) return MSG.DESCRIBE_REPLY;
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

/** Says that a write or zero of a comb that was asked before is done. */
export function confirm(shared: Shared, client: Client, tag: number, comb: Comb): void {
  sendDone(shared, client, MSG.WRITE_REPLY, tag, comb);
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
  if (op.kind === OP_KIND.describe) {
    if (status === 0) answerDescription(shared, op, client);
    else sendStatus(shared, client, MSG.DESCRIBE_REPLY, op.tag, status, entry);
    return;
  }
  const code = op.kind === OP_KIND.flush ? MSG.FLUSH_REPLY : MSG.WRITE_REPLY;
  if (status === 0 && op.comb !== null) sendDone(shared, client, code, op.tag, op.comb);
  else sendStatus(shared, client, code, op.tag, status, entry);
}

/** What was served says in which generation. */
function setPlace(view: DataView, at: number, comb: Comb): void {
  setComb(view, at, comb.index);
  setGenerationEpoch(view, at, comb.epoch);
  setGenerationNumber(view, at, comb.number);
}

function sendDone(shared: Shared, client: Client, code: number, tag: number, comb: Comb): void {
  const region = openFrame(shared.links, client.link, client.version, code, 0, tag, 0);
  setPlace(region.view, region.at, comb);
  closeFrame(region, 0);
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
  if (op.comb !== null) setPlace(view, at, op.comb);
  setVolumeKey(view, at, op.volume?.key ?? 0);
  setChunkIndex(view, at, op.chunkIndex);
  // The number of checksums in front of the bytes follows from the range: it names whole blocks.
  setOffsetSectors(view, at, op.firstBlock * sectorsPerBlock);
  setLengthSectors(view, at, op.blockCount * sectorsPerBlock);
  if (bodyBytes > 0 && buffer !== null)
    region.bytes.set(buffer.bytes.subarray(0, bodyBytes), at + HEADER_BYTES);
  closeFrame(region, bodyBytes === 0 ? 0 : crcBytes);
}

/** Two bits per block of the range; nothing where there is nothing. */
function answerDescription(shared: Shared, op: Op, client: Client): void {
  const { buffer, firstBlock, blockCount } = op;
  assert(buffer !== null, 'a description has a buffer');
  const states = buffer.bytes;
  let any = 0;
  for (let index = 0; index < blockCount; index++) any |= states[firstBlock + index] ?? 0;
  const bodyBytes = any === 0 ? 0 : Math.ceil(blockCount / BLOCKS_PER_BYTE);
  const { links } = shared;
  const region = openFrame(
    links,
    client.link,
    client.version,
    MSG.DESCRIBE_REPLY,
    0,
    op.tag,
    bodyBytes,
  );
  if (op.comb !== null) setPlace(region.view, region.at, op.comb);
  const at = region.at + HEADER_BYTES;
  for (let byte = 0; byte < bodyBytes; byte++) {
    let bits = 0;
    for (let place = 0; place < BLOCKS_PER_BYTE; place++) {
      const index = byte * BLOCKS_PER_BYTE + place;
      if (index < blockCount) bits |= (states[firstBlock + index] ?? 0) << (2 * place);
    }
    region.bytes[at + byte] = bits;
  }
  closeFrame(region, bodyBytes);
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
