// Headers as a whole: what is refused, and that no damage of a header passes unseen.

import test from 'ava';

import { crc32, crc32Range } from '../../../backend/core/checksum.js';
import { encodeControl } from '../../support/newest.js';
import {
  CHECK,
  HEADER_BYTES,
  blocksTouched,
  checkBody,
  checkHeader,
  checksumBytes,
  isDataCode,
  sealFrame,
  sealHeader,
} from '../../../backend/protocol/frames.js';
import { CMD, FRAME, LIMIT, MSG } from '../../../backend/protocol/generated/constants.js';
import * as head from '../../../backend/protocol/generated/frame-head.js';
import { errorText } from '../../../backend/protocol/error-text.js';

interface Frame {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

function control(): Frame {
  const bytes = encodeControl(MSG.WELCOME, 5, 0, { reason: 'no' });
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
}

/** A WRITE of `blocks` whole blocks at an odd place of a larger buffer, as it lies in a receive buffer. */
function write(blocks: number, at: number): Frame {
  const body = blocks * (4 + LIMIT.blockBytes);
  const bytes = new Uint8Array(at + HEADER_BYTES + body).fill(0x5a);
  const view = new DataView(bytes.buffer);
  bytes.fill(0, at, at + HEADER_BYTES);
  head.setMagic(view, at, FRAME.magic);
  head.setVersion(view, at, 1);
  head.setCode(view, at, MSG.WRITE);
  head.setBodyBytes(view, at, body);
  head.setOffsetSectors(view, at, 8);
  head.setLengthSectors(view, at, blocks * 8);
  sealFrame(bytes, view, at);
  return { bytes, view };
}

test('a sealed control frame is right, wherever it lies', (t) => {
  const { bytes, view } = control();
  t.is(checkHeader(view, 0), CHECK.OK);
  t.is(checkBody(bytes, view, 0), CHECK.OK);
  const moved = new Uint8Array(bytes.length + 7);
  moved.set(bytes, 7);
  const movedView = new DataView(moved.buffer);
  t.is(checkHeader(movedView, 7), CHECK.OK);
  t.is(checkBody(moved, movedView, 7), CHECK.OK);
});

test('every single flipped bit of a header is seen', (t) => {
  for (const { view } of [control(), write(2, 0)]) {
    for (let bit = 0; bit < HEADER_BYTES * 8; bit++) {
      const at = bit >> 3;
      view.setUint8(at, view.getUint8(at) ^ (1 << (bit & 7)));
      t.not(checkHeader(view, 0), CHECK.OK, `bit ${bit}`);
      view.setUint8(at, view.getUint8(at) ^ (1 << (bit & 7)));
    }
    t.is(checkHeader(view, 0), CHECK.OK);
  }
});

test('a header that is sealed but wrong is refused with its reason', (t) => {
  const cases: readonly (readonly [number, (view: DataView) => void])[] = [
    [
      CHECK.TOO_LONG,
      (view) => {
        head.setBodyBytes(view, 0, LIMIT.frameBodyBytesMax + 1);
      },
    ],
    [
      CHECK.TOO_LONG,
      (view) => {
        head.setBodyBytes(view, 0, 0xffffffff);
      },
    ],
    [
      CHECK.UNKNOWN_CODE,
      (view) => {
        head.setCode(view, 0, 0);
      },
    ],
    [
      CHECK.UNKNOWN_CODE,
      (view) => {
        head.setCode(view, 0, 0xffff);
      },
    ],
    [
      CHECK.NOT_ZERO,
      (view) => {
        head.setComb(view, 0, 1);
      },
    ],
    [
      CHECK.NOT_ZERO,
      (view) => {
        head.setFlags(view, 0, 1);
      },
    ],
    [
      CHECK.NOT_ZERO,
      (view) => {
        head.setCombLog2(view, 0, 1);
      },
    ],
    [
      CHECK.OK,
      (view) => {
        head.setCode(view, 0, CMD.ADD_VOLUME | 0x8000);
      },
    ],
  ];
  for (const [reason, damage] of cases) {
    const { view } = control();
    damage(view);
    sealHeader(view, 0);
    t.is(checkHeader(view, 0), reason);
  }
  const { view } = control();
  head.setMagic(view, 0, 0x1234);
  sealHeader(view, 0);
  t.is(checkHeader(view, 0), CHECK.BAD_MAGIC);
});

test('the body checksum of a control frame covers all of it', (t) => {
  const { bytes, view } = control();
  for (let at = HEADER_BYTES; at < bytes.length; at++) {
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    t.is(checkBody(bytes, view, 0), CHECK.BAD_BODY_CRC);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
  }
});

test('the body checksum of a WRITE covers the block checksums; the blocks are their keeper’s', (t) => {
  const { bytes, view } = write(3, 5);
  t.is(checksumBytes(view, 5), 12);
  t.is(checkHeader(view, 5), CHECK.OK);
  t.is(checkBody(bytes, view, 5), CHECK.OK);
  const crcs = 5 + HEADER_BYTES;
  bytes[crcs + 11] = 0;
  t.is(checkBody(bytes, view, 5), CHECK.BAD_BODY_CRC);
  bytes[crcs + 11] = 0x5a;
  bytes[crcs + 12] = 0;
  t.is(checkBody(bytes, view, 5), CHECK.OK);
});

test('a WRITE whose body is too short for its block checksums is refused', (t) => {
  const { bytes, view } = write(1, 0);
  head.setBodyBytes(view, 0, 3);
  sealHeader(view, 0);
  t.is(checkBody(bytes, view, 0), CHECK.BAD_LENGTH);
});

test('a refusal of a READ has no block checksums', (t) => {
  const { bytes, view } = write(1, 0);
  head.setCode(view, 0, MSG.READ_REPLY);
  head.setStatus(view, 0, 1);
  head.setBodyBytes(view, 0, 30);
  sealFrame(bytes, view, 0);
  t.is(checksumBytes(view, 0), 0);
  t.is(head.getBodyCrc(view, 0), crc32(bytes.subarray(HEADER_BYTES, HEADER_BYTES + 30)));
  t.is(head.getBodyCrc(view, 0), crc32Range(bytes, view, HEADER_BYTES, 30));
});

test('blocks touched', (t) => {
  t.is(blocksTouched(0, 0), 0);
  t.is(blocksTouched(0, 1), 1);
  t.is(blocksTouched(7, 1), 1);
  t.is(blocksTouched(7, 2), 2);
  t.is(blocksTouched(8, 8), 1);
  t.is(blocksTouched(1, 8), 2);
  t.is(blocksTouched(0, 2048), 256);
});

test('data codes are those of the table', (t) => {
  t.true(isDataCode(MSG.WRITE));
  t.false(isDataCode(MSG.HELLO));
  t.false(isDataCode(CMD.ADD_VOLUME));
  t.false(isDataCode(0x7777));
});

test('an error text has its places filled', (t) => {
  t.is(errorText(17, [{ name: 'reason', value: 'x' }]), 'The frame is malformed: x');
  t.is(errorText(17), 'The frame is malformed: ');
  t.is(errorText(9999), 'Error 9999');
});
