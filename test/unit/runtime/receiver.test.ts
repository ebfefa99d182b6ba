// However a stream of frames is cut into reads, and whenever frames are not taken, every frame is handed over once,
// whole and in order.

import test from 'ava';
import fc from 'fast-check';

import {
  HEADER_BYTES,
  checkBody,
  checkHeader,
  sealFrame,
} from '../../../backend/protocol/frames.js';
import { FRAME, MSG } from '../../../backend/protocol/generated/constants.js';
import * as head from '../../../backend/protocol/generated/frame-head.js';
import { BufferPool } from '../../../backend/runtime/links/buffer-pool.js';
import { LATER, Receiver, STOP, TAKEN } from '../../../backend/runtime/links/receiver.js';

function streamOf(lengths: readonly number[]): Uint8Array {
  const total = lengths.reduce((sum, length) => sum + HEADER_BYTES + length, 0);
  const stream = new Uint8Array(total);
  const view = new DataView(stream.buffer);
  let at = 0;
  lengths.forEach((length, number) => {
    stream.fill(number + 1, at + HEADER_BYTES, at + HEADER_BYTES + length);
    head.setMagic(view, at, FRAME.magic);
    head.setVersion(view, at, 2);
    head.setCode(view, at, MSG.FLUSH);
    head.setTag(view, at, number);
    head.setBodyBytes(view, at, length);
    sealFrame(stream, view, at);
    at += HEADER_BYTES + length;
  });
  return stream;
}

const lengths = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 0, max: 300 }) },
    { weight: 3, arbitrary: fc.integer({ min: 4000, max: 70_000 }) },
    { weight: 1, arbitrary: fc.integer({ min: 300_000, max: 1 << 20 }) },
  ),
  { minLength: 1, maxLength: 12 },
);
const cuts = fc.infiniteStream(
  fc.oneof(
    fc.integer({ min: 1, max: 100 }),
    fc.integer({ min: 1, max: 10_000 }),
    fc.integer({ min: 10_000, max: 500_000 }),
  ),
);
const takes = fc.infiniteStream(fc.integer({ min: 0, max: 9 }));

for (const copied of [false, true]) {
  test(`any cutting, any refusing (${copied ? 'buffers of the runtime' : 'buffers of ours'})`, (t) => {
    const pool = new BufferPool();
    fc.assert(
      fc.property(lengths, cuts, takes, (wanted, cut, take) => {
        const stream = streamOf(wanted);
        const tags: number[] = [];
        const receiver = new Receiver(pool, {
          header: (view, at) => {
            t.is(checkHeader(view, at), 0);
            return TAKEN;
          },
          frame: (bytes, view, at, bodyBytes) => {
            if (take.next().value === 0) return LATER;
            const number = head.getTag(view, at);
            t.is(bodyBytes, wanted[number] ?? -1);
            t.is(checkBody(bytes, view, at), 0);
            tags.push(number);
            return TAKEN;
          },
        });
        let at = 0;
        while (at < stream.length) {
          let goOn: boolean;
          const cutBytes = cut.next().value as number;
          const size = Math.min(cutBytes, stream.length - at);
          if (copied) {
            goOn = receiver.receivedCopy(stream.subarray(at, at + Math.min(size, 65_536)));
            at += Math.min(size, 65_536);
          } else {
            const buffer = receiver.nextBuffer();
            const count = Math.min(size, buffer.length);
            t.true(count > 0);
            buffer.set(stream.subarray(at, at + count));
            goOn = receiver.received(count);
            at += count;
            // The runtime asks for the next buffer before it stops reading.
            if (!goOn) receiver.nextBuffer();
          }
          while (!goOn) goOn = receiver.resume();
        }
        t.deepEqual(
          tags,
          wanted.map((_, number) => number),
        );
        t.false(receiver.paused);
      }),
      { numRuns: 60 },
    );
  });
}

test('after STOP nothing is handed over, and reading ends', (t) => {
  let frames = 0;
  const receiver = new Receiver(new BufferPool(), {
    header: () => TAKEN,
    frame: () => (++frames === 2 ? STOP : TAKEN),
  });
  const stream = streamOf([10, 20, 30]);
  receiver.nextBuffer().set(stream);
  t.false(receiver.received(stream.length));
  t.false(receiver.received(10));
  t.false(receiver.resume());
  t.is(frames, 2);
});
