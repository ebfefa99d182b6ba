// What the kernel's nbd driver relies on when it sends requests to the holder: each is answered once, with its own cookie,
// in whatever pieces it arrives; what is wrong is refused and disturbs nothing behind it.

import test from 'ava';
import { NbdDeviceSession, deviceFlags } from '../../../backend/sdc/attach/nbd-device-session.js';
import { PAYLOAD_AT, VolumeClient } from '../../../backend/sdc/attach/volume-client.js';
import type { Request, RequestOwner } from '../../../backend/sdc/attach/volume-client.js';
import { IO } from '../../../backend/sdc/block-front.js';
import { Slots } from '../../../backend/sdc/nbd/slots.js';

const SIZE = 65536;
const REQUEST_BYTES = 28;
const REPLY_BYTES = 16;
const READ = 0;
const WRITE = 1;
const DISCONNECT = 2;
const FLUSH = 3;
const TRIM = 4;
const WRITE_ZEROES = 6;
const NO_HOLE = 2;

/** A volume that answers when it is told to. */
class Volume extends VolumeClient {
  readonly asked: Request[] = [];

  override submit(slot: Request): void {
    this.asked.push(slot);
  }

  answer(errno = 0): void {
    const slot = this.asked.shift();
    slot?.owner?.done(slot, errno);
  }
}

function rig({ readOnly = false, slots = 64 } = {}) {
  const volume = new Volume();
  const pool = new Slots<RequestOwner>(slots, 1048576, PAYLOAD_AT);
  const session = new NbdDeviceSession({ sizeBytes: SIZE, readOnly }, volume, pool);
  return { volume, pool, session };
}

interface Asked {
  readonly command: number;
  readonly flags?: number;
  readonly offset?: number;
  readonly length?: number;
  readonly cookie?: number;
  readonly payload?: Uint8Array;
}

function request({ command, flags = 0, offset = 0, length = 0, cookie = 7, payload }: Asked) {
  const bytes = Buffer.alloc(REQUEST_BYTES + (payload?.length ?? 0));
  bytes.writeUInt32BE(0x25609513, 0);
  bytes.writeUInt16BE(flags, 4);
  bytes.writeUInt16BE(command, 6);
  bytes.writeBigUInt64BE(0xfeed00000000n + BigInt(cookie), 8);
  bytes.writeBigUInt64BE(BigInt(offset), 16);
  bytes.writeUInt32BE(length, 24);
  if (payload !== undefined) bytes.set(payload, REQUEST_BYTES);
  return bytes;
}

/** Offers everything, in pieces. */
function feed(session: NbdDeviceSession, bytes: Uint8Array, pieceBytes = bytes.length): void {
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const to = Math.min(at + pieceBytes, bytes.length);
    const used = session.receive(0, bytes, at, to);
    if (used < to - at) return;
  }
}

/** The replies that are ready: error and cookie, and what follows the first one. */
function replies(session: NbdDeviceSession, payloadBytes = 0) {
  const bytes = Buffer.from(session.out.take());
  session.out.giveBack();
  const found: { errno: number; cookie: number; payload: Buffer }[] = [];
  for (let at = 0; at < bytes.length; at += REPLY_BYTES + payloadBytes)
    found.push({
      errno: bytes.readUInt32BE(at + 4),
      cookie: Number(bytes.readBigUInt64BE(at + 8) - 0xfeed00000000n),
      payload: bytes.subarray(at + REPLY_BYTES, at + REPLY_BYTES + payloadBytes),
    });
  return found;
}

test('a write in pieces of any length is one request with its content', (t) => {
  const payload = Buffer.from(Array.from({ length: 1024 }, (_, index) => index % 251));
  for (const piece of [1, 5, 28, 29, 500, 4096]) {
    const { session, volume, pool } = rig();
    const bytes = request({ command: WRITE, offset: 512, length: 1024, cookie: 3, payload });
    feed(session, Buffer.concat([bytes, request({ command: FLUSH, cookie: 4 })]), piece);
    const [write, flush] = volume.asked;
    t.like(write, { command: IO.write, offsetBytes: 512, lengthBytes: 1024 });
    t.deepEqual(Buffer.from(write?.bytes.subarray(PAYLOAD_AT, PAYLOAD_AT + 1024) ?? []), payload);
    t.like(flush, { command: IO.flush, lengthBytes: 0 });
    volume.answer();
    volume.answer(5);
    t.like(replies(session), [
      { errno: 0, cookie: 3 },
      { errno: 5, cookie: 4 },
    ]);
    t.is(pool.used, 0);
  }
});

test('a read is answered with its content, or with its error alone', (t) => {
  const { session, volume, pool } = rig();
  feed(session, request({ command: READ, offset: 4096, length: 512, cookie: 1 }));
  volume.asked[0]?.bytes.fill(0xab, PAYLOAD_AT, PAYLOAD_AT + 512);
  volume.answer();
  const [good] = replies(session, 512);
  t.like(good, { errno: 0, cookie: 1 });
  t.deepEqual(good?.payload, Buffer.alloc(512, 0xab));
  feed(session, request({ command: READ, length: 512, cookie: 2 }));
  volume.answer(5);
  t.like(replies(session), [{ errno: 5, cookie: 2 }]);
  t.is(pool.used, 0);
});

test('discards and zeroes are what the kernel asked for', (t) => {
  const { session, volume } = rig();
  feed(session, request({ command: TRIM, offset: 512, length: 4096 }));
  feed(session, request({ command: WRITE_ZEROES, length: 512 }));
  feed(session, request({ command: WRITE_ZEROES, flags: NO_HOLE, length: 512 }));
  t.deepEqual(
    volume.asked.map(({ command }) => command),
    [IO.discard, IO.discard, IO.zero],
  );
});

test('what is wrong is refused, and what follows it is not', (t) => {
  const payload = Buffer.alloc(512, 1);
  const wrong: readonly [Asked, boolean][] = [
    [{ command: READ, offset: SIZE, length: 512 }, false],
    [{ command: WRITE, offset: SIZE - 256, length: 512, payload }, false],
    [{ command: READ, length: 0 }, false],
    [{ command: READ, offset: 100, length: 512 }, false],
    [{ command: 77, length: 512 }, false],
    [{ command: WRITE, length: 512, payload }, true],
    [{ command: TRIM, length: 512 }, true],
  ];
  for (const [asked, readOnly] of wrong) {
    const { session, volume, pool } = rig({ readOnly });
    const next = request({ command: READ, length: 512, cookie: 9 });
    feed(session, Buffer.concat([request(asked), next]));
    t.is(volume.asked.length, 1, JSON.stringify(asked));
    const [refusal] = replies(session);
    t.not(refusal?.errno, 0);
    t.is(refusal?.cookie, 7);
    volume.answer();
    t.like(replies(session, 512), [{ errno: 0, cookie: 9 }]);
    t.is(pool.used, 0);
  }
});

test('the end that the kernel announces is another one than a broken conversation', (t) => {
  const announced = rig();
  feed(announced.session, request({ command: DISCONNECT }));
  t.true(announced.session.closed);
  t.true(announced.session.isReleased);
  const broken = rig();
  feed(broken.session, Buffer.alloc(REQUEST_BYTES, 0x55));
  t.true(broken.session.closed);
  t.false(broken.session.isReleased);
});

test('without room a request waits and is taken when it is offered again', (t) => {
  const { session, volume } = rig({ slots: 1 });
  const first = request({ command: READ, length: 512, cookie: 1 });
  const both = Buffer.concat([first, request({ command: READ, length: 512, cookie: 2 })]);
  t.is(session.receive(0, both, 0, both.length), both.length);
  t.true(session.blocked);
  t.is(volume.asked.length, 1);
  volume.answer();
  t.is(session.receive(0, both, both.length, both.length), 0);
  t.false(session.blocked);
  volume.answer();
  t.like(replies(session, 512), [{ cookie: 1 }, { cookie: 2 }]);
});

test('a connection that is lost gives back what it had, and hears of nothing more', (t) => {
  const { session, volume, pool } = rig();
  feed(session, request({ command: READ, length: 512 }));
  const half = request({ command: WRITE, length: 512, payload: Buffer.alloc(512) });
  feed(session, half.subarray(0, 100));
  t.is(pool.used, 2);
  session.abandon();
  t.is(pool.used, 1);
  volume.answer();
  t.is(pool.used, 0);
  t.is(session.out.length, 0);
});

test('the kernel is told what the device can do', (t) => {
  const flush = 4;
  const readOnly = 2;
  t.is(deviceFlags(false) & (flush | readOnly), flush);
  t.is(deviceFlags(true) & readOnly, readOnly);
});
