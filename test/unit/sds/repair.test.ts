// What counts of another copy when a block of a chain of layers does not verify: content with the checksum that is known
// here, and nothing that may be of another layer.

import test from 'ava';

import { addressSeed, blockChecksum } from '../../../backend/core/checksum.js';
import { HEADER_BYTES } from '../../../backend/protocol/frames.js';
import * as head from '../../../backend/protocol/generated/frame-head.js';
import { PayloadBuffer } from '../../../backend/sds/buffers.js';
import { Comb, Member } from '../../../backend/sds/comb.js';
import { LOAD } from '../../../backend/sds/load-token.js';
import { OP_KIND, OP_PHASE, OpPool } from '../../../backend/sds/op.js';
import type { Op } from '../../../backend/sds/op.js';
import { PeerDevice } from '../../../backend/sds/peer.js';
import { Repair } from '../../../backend/sds/repair.js';
import type { Shared } from '../../../backend/sds/shared.js';
import { ROOM, STORE_STATUS } from '../../../backend/sds/store/store.js';
import { BYTES, GEOMETRY, blockOf } from '../../power/store-rig.js';

const VTREE = 50;
const TOP = 51;
const BLOCKS = 2;

/** Two blocks of a chain, the first of which does not verify here; what became of it. */
class Reading {
  readonly peer = new PeerDevice(0, 2, 0, 0);
  readonly op: Op;
  readonly repair: Repair;
  readonly badLayers = new Uint32Array(64);
  readonly buffer = new PayloadBuffer(BLOCKS * (4 + BYTES), false);
  asked: DataView[] = [];
  written = 0;
  outcome = '';

  /** @param layerKey - where the bad block was found, 0: nobody knows */
  constructor(layers: readonly number[], layerKey: number) {
    const ops = new OpPool(4);
    const comb = new Comb(0);
    const member = new Member(this.peer, 1);
    Object.assign(member, { inSync: true, joined: true });
    comb.members.push(member);
    const shared = {
      ...{ ops, geometry: GEOMETRY, pool: null, sectorsPerBlock: BYTES / GEOMETRY.sectorBytes },
      log: { event: () => undefined },
      volumes: { isLayered: () => true },
      parts: { settling: { appended: () => undefined } },
      store: {
        badLayers: this.badLayers,
        room: () => ROOM.ok,
        write: () => ++this.written,
      },
      links: {
        reserve: (_link: number, lengthBytes: number) => {
          const bytes = new Uint8Array(lengthBytes);
          const view = new DataView(bytes.buffer);
          this.asked.push(view);
          return { bytes, view, at: 0 };
        },
      },
    };
    this.repair = new Repair(shared as unknown as Shared, {
      repaired: () => (this.outcome = 'repaired'),
      lost: () => (this.outcome = 'lost'),
    });
    const op = ops.take();
    if (op === null) throw new Error('an operation');
    Object.assign(op, { kind: OP_KIND.read, comb, vtreeKey: VTREE, layers, layerKey: layers[0] });
    Object.assign(op, { blockCount: BLOCKS, buffer: this.buffer });
    this.op = op;
    fill(this.buffer.bytes, 0, [11, 12]);
    this.buffer.bytes[4 * BLOCKS + 9] = 255;
    this.badLayers[0] = layerKey;
    this.repair.note(op, LOAD.range, STORE_STATUS.corrupt, 1, 0);
    op.phase = OP_PHASE.repairing;
    this.repair.next(0, op);
  }

  /** The other copy holds this; null: nothing in that layer. */
  answer(tags: readonly number[] | null): string {
    const bodyBytes = tags === null ? 0 : BLOCKS * (4 + BYTES);
    const bytes = new Uint8Array(HEADER_BYTES + bodyBytes);
    const view = new DataView(bytes.buffer);
    const [asked] = this.asked;
    if (asked !== undefined) head.setTag(view, 0, head.getTag(asked, 0));
    if (tags !== null) fill(bytes, HEADER_BYTES, tags);
    this.repair.reply(0, this.peer, bytes, view, 0, bodyBytes);
    return this.outcome;
  }
}

/** Blocks with their checksums; tag 0: zeroes, as they stand for what is absent. */
function fill(bytes: Uint8Array, at: number, tags: readonly number[]): void {
  const view = new DataView(bytes.buffer);
  for (const [index, tag] of tags.entries()) {
    const place = at + 4 * tags.length + index * BYTES;
    blockOf(tag, bytes, place);
    const crc = blockChecksum(bytes.subarray(place, place + BYTES), addressSeed(VTREE, 0, index));
    view.setUint32(at + 4 * index, crc, true);
  }
}

test('a block of a chain is repaired in the layer in which it was found', (t) => {
  const reading = new Reading([TOP, VTREE], VTREE);
  t.deepEqual(
    reading.asked.map((view) => head.getVolumeKey(view, 0)),
    [VTREE],
  );
  t.is(reading.answer([11, 12]), 'repaired');
  t.is(reading.written, 1);
});

test('what is absent over there is no content of a chain, whatever its neighbours hold', (t) => {
  for (const tags of [null, [0, 12], [13, 12]]) {
    const reading = new Reading([TOP, VTREE], TOP);
    t.is(reading.answer(tags), 'lost', JSON.stringify(tags));
    t.is(reading.written, 0);
  }
});

test('where nobody knows the layer nobody is asked', (t) => {
  const reading = new Reading([TOP, VTREE], 0);
  t.deepEqual(reading.asked, []);
  t.is(reading.outcome, 'lost');
});

test('a volume of one layer takes what another copy in sync holds, absent is zero there', (t) => {
  for (const tags of [null, [0, 12], [11, 12]])
    t.is(new Reading([VTREE], VTREE).answer(tags), 'repaired', JSON.stringify(tags));
});
