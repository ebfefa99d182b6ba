// Answers about allocation: extents cover exactly what was asked, from its first byte on, and never call data a hole.

import test from 'ava';

import { BLOCK_STATE } from '../../../backend/sdc/block-front.js';
import {
  coverBlocks,
  putStatus,
  statusBufferBytes,
  statusReplyBytes,
} from '../../../backend/sdc/nbd/block-status.js';
import { Output } from '../../../backend/sdc/nbd/output.js';
import { Slot } from '../../../backend/sdc/nbd/slots.js';

const GIB = 2 ** 30;
const { absent, data, zero } = BLOCK_STATE;

/** What is answered to a question, with the states of the blocks that it touches. */
function ask(
  offsetBytes: number,
  lengthBytes: number,
  state: (block: number) => number,
  onlyOne = false,
): number[][] {
  const slot = new Slot<never>(0);
  slot.offsetBytes = offsetBytes;
  slot.lengthBytes = lengthBytes;
  slot.bytes = new Uint8Array(statusBufferBytes(offsetBytes, lengthBytes));
  coverBlocks(slot, 8 * GIB);
  const first = slot.offsetBytes / 4096;
  for (let index = 0; index < slot.lengthBytes / 4096; index++)
    slot.bytes[index] = state(first + index);
  const out = new Output();
  const replyBytes = statusReplyBytes(slot, onlyOne);
  const at = out.reserve(replyBytes);
  putStatus(out, at, 77, slot, replyBytes);
  const extents: number[][] = [];
  for (let place = at + 4; place < out.length; place += 8)
    extents.push([out.view.getUint32(place), out.view.getUint32(place + 4)]);
  return out.view.getUint32(at) === 77 ? extents : [];
}

test('runs are merged and begin and end where was asked', (t) => {
  const states = [absent, absent, data, zero, zero, data];
  const state = (block: number): number => states[block] ?? data;
  t.deepEqual(ask(0, 6 * 4096, state), [
    [8192, 3],
    [4096, 0],
    [8192, 2],
    [4096, 0],
  ]);
  t.deepEqual(ask(4096 + 512, 4096 + 1024, state), [
    [3584, 3],
    [1536, 0],
  ]);
  t.deepEqual(ask(4096 + 512, 4096 + 1024, state, true), [[3584, 3]]);
  t.deepEqual(
    ask(512, 512, () => absent),
    [[512, 3]],
  );
});

test('one answer is bounded: it covers the start, the client asks on', (t) => {
  t.deepEqual(
    ask(0, 4 * GIB - 512, () => absent),
    [[256 * 1048576, 3]],
  );
  const many = ask(0, 256 * 1048576, (block) => (block % 2 === 0 ? data : absent));
  t.is(many.length, 8192);
  t.deepEqual(many[8191], [4096, 3]);
  t.deepEqual(
    ask(8 * GIB - 4096, 4096, () => zero),
    [[4096, 2]],
  );
});
