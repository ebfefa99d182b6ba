// Checksums: the polynomial, all ways to the same number, and that a block in a wrong place never verifies.

import { crc32 as zlibCrc32 } from 'node:zlib';

import test from 'ava';
import fc from 'fast-check';

import {
  addressSeed,
  blockChecksum,
  crc32,
  crc32Range,
  crc32View,
  crc32ViewWithout,
} from '../../../backend/core/checksum.js';
import { AssertionError } from '../../../backend/core/assert.js';

test('the check value of CRC-32', (t) => {
  const bytes = new TextEncoder().encode('123456789');
  t.is(crc32(bytes), 0xcbf43926);
  t.is(crc32View(new DataView(bytes.buffer), 0, 9), 0xcbf43926);
});

test('all ways give the number of zlib, in one piece or in two', (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 600 }),
      fc.nat(600),
      fc.nat(7),
      (content, cut, offset) => {
        const bytes = new Uint8Array(offset + content.length);
        bytes.set(content, offset);
        const view = new DataView(bytes.buffer);
        const first = Math.min(cut, content.length);
        const rest = content.length - first;
        const right = zlibCrc32(content);
        t.is(crc32View(view, offset, content.length), right);
        t.is(crc32Range(bytes, view, offset, content.length), right);
        const half = crc32View(view, offset, first);
        t.is(crc32View(view, offset + first, rest, half), right);
        t.is(crc32Range(bytes, view, offset + first, rest, half), right);
        t.is(crc32(content.subarray(first), half), right);
      },
    ),
  );
});

test('a structure is judged as if its own checksum were zero', (t) => {
  const bytes = Uint8Array.from({ length: 72 }, (_, index) => index * 37);
  const view = new DataView(bytes.buffer);
  const zeroed = Uint8Array.from(bytes.subarray(3, 67));
  zeroed.fill(0, 12, 16);
  t.is(crc32ViewWithout(view, 3, 64, 12), zlibCrc32(zeroed));
  t.throws(() => crc32ViewWithout(view, 3, 64, 8), { instanceOf: AssertionError });
});

test('a range outside of the memory is our own mistake', (t) => {
  const bytes = new Uint8Array(1000);
  const view = new DataView(bytes.buffer);
  t.throws(() => crc32View(view, 990, 11), { instanceOf: AssertionError });
  t.throws(() => crc32Range(bytes, view, 500, 501), { instanceOf: AssertionError });
});

test('a block that lies in another place has another checksum', (t) => {
  const block = new Uint8Array(4096).fill(7);
  const seen = new Map<number, string>();
  for (let vtree = 1; vtree <= 16; vtree++)
    for (let chunk = 0; chunk < 16; chunk++)
      for (let index = 0; index < 256; index++) {
        const seed = addressSeed(vtree, chunk, index);
        const place = `${vtree}/${chunk}/${index}`;
        t.is(seed, seed >>> 0);
        if (seen.has(seed)) t.fail(`${place} and ${seen.get(seed) ?? ''} share a seed`);
        seen.set(seed, place);
      }
  const right = blockChecksum(block, addressSeed(3, 4, 5));
  t.is(blockChecksum(block, addressSeed(3, 4, 5)), right);
  for (const [vtree, chunk, index] of [
    [4, 4, 5],
    [3, 5, 5],
    [3, 4, 6],
    [4, 3, 5],
    [3, 5, 4],
    [0xffffffff, 0xffffffff, 255],
  ] as const)
    t.not(blockChecksum(block, addressSeed(vtree, chunk, index)), right);
});
