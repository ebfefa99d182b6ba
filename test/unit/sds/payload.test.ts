// Checksums of ranges that begin and end inside blocks.

import test from 'ava';
import fc from 'fast-check';

import { addressSeed, crc32 } from '../../../backend/core/checksum.js';
import { MutableExtent, sealBlocks, verifies } from '../../../backend/sds/payload.js';

const BLOCK = 64;

test('every range of sectors verifies with the checksums of its parts, and no flipped bit does', (t) => {
  const range = fc.record({ offset: fc.nat(200), length: fc.integer({ min: 1, max: 300 }) });
  fc.assert(
    fc.property(range, fc.nat(), ({ offset, length }, flip) => {
      const extent = new MutableExtent().setSectors(3, 7, offset, length, BLOCK);
      const data = Uint8Array.from({ length }, (_, index) => (index * 31 + offset) & 0xff);
      const bytes = new Uint8Array(4 * extent.blockCount + length);
      const view = new DataView(bytes.buffer);
      bytes.set(data, 4 * extent.blockCount);
      let at = 0;
      for (let index = 0; index < extent.blockCount; index++) {
        const block = extent.firstBlock + index;
        const end = Math.min(length, (block + 1) * BLOCK - offset);
        const crc = crc32(data.subarray(at, end), addressSeed(3, 7, block));
        view.setUint32(4 * index, crc, true);
        at = end;
      }
      t.true(verifies(extent, bytes, view, 0, 4 * extent.blockCount));
      const place = flip % bytes.length;
      bytes[place] = (bytes[place] ?? 0) ^ 1;
      t.false(verifies(extent, bytes, view, 0, 4 * extent.blockCount));
    }),
  );
});

test('sealed blocks verify at their place and nowhere else', (t) => {
  const bytes = new Uint8Array(2 * (4 + BLOCK)).fill(9);
  const view = new DataView(bytes.buffer);
  const here = new MutableExtent().setBlocks(1, 2, 3, 2, BLOCK);
  sealBlocks(here, bytes, view, 0, 8);
  t.true(verifies(here, bytes, view, 0, 8));
  t.false(verifies(new MutableExtent().setBlocks(1, 2, 4, 2, BLOCK), bytes, view, 0, 8));
});
