// The disk of the power cuts: what was flushed, or written through, is there after a cut; of what was not, any part may be
// missing, and some is.

import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';

import { Prng } from '../../../backend/core/prng.js';
import { SECTOR_BYTES, VolatileMedium } from '../../chaos/volatile-medium.js';

const SIZE_BYTES = 65_536;
const BLOCK = 4096;

/** A medium in files that are gone at once. */
function withMedium<T>(
  seed: number,
  use: (medium: VolatileMedium) => T,
  physicalSectorBytes = SECTOR_BYTES,
): T {
  const folder = mkdtempSync(join(tmpdir(), 'meshsan-medium-'));
  const fds = ['seen', 'medium'].map((name) => {
    const fd = openSync(join(folder, name), 'w+');
    ftruncateSync(fd, SIZE_BYTES);
    return fd;
  });
  try {
    const [seen = 0, medium = 0] = fds;
    return use(new VolatileMedium(seen, medium, SIZE_BYTES, physicalSectorBytes, new Prng(seed)));
  } finally {
    for (const fd of fds) closeSync(fd);
    rmSync(folder, { recursive: true, force: true });
  }
}

const block = (value: number, blocks = 1): Uint8Array => new Uint8Array(blocks * BLOCK).fill(value);

function read(medium: VolatileMedium, offset: number, blocks = 1): Set<number> {
  const bytes = new Uint8Array(blocks * BLOCK);
  medium.read(bytes, 0, bytes.length, offset);
  return new Set(bytes);
}

test('what was flushed survives, and everybody sees the newest before the cut', (t) => {
  const found = new Set<number>();
  for (let seed = 0; seed < 50; seed++)
    withMedium(seed, (medium) => {
      medium.write(0, block(1, 4));
      medium.write(BLOCK, block(2));
      const serial = medium.beginFlush();
      // Not covered by a flush that began before.
      medium.write(BLOCK, block(3));
      medium.endFlush(serial);
      t.deepEqual(read(medium, BLOCK), new Set([3]));
      medium.cut();
      t.deepEqual(read(medium, 0), new Set([1]));
      for (const value of read(medium, BLOCK)) found.add(value);
    });
  t.deepEqual([...found].sort(), [2, 3], 'what came after the flush began is there or not');
});

test('of what was not flushed anything may be lost: nothing, all, sectors, blocks', (t) => {
  const outcomes = new Set<string>();
  for (let seed = 0; seed < 100; seed++)
    withMedium(seed, (medium) => {
      medium.write(0, block(7, 2));
      medium.cut();
      const left = [...read(medium, 0, 2)].sort().join();
      outcomes.add(left);
      t.deepEqual(medium.counts, { cuts: 1, unflushed: 1, torn: left === '7' ? 0 : 1 });
      const again = [...read(medium, 0, 2)].sort().join();
      t.is(again, left, 'it stays so');
    });
  t.deepEqual([...outcomes].sort(), ['0', '0,7', '7']);
});

test('what a disk cannot hold back any longer is on the medium, the oldest first', (t) => {
  let lost = 0;
  for (let seed = 0; seed < 8; seed++)
    withMedium(seed, (medium) => {
      medium.write(0, block(1));
      const many = block(2, SIZE_BYTES / BLOCK - 1);
      for (let bytes = 0; bytes < 32 * 2 ** 20; bytes += many.length) medium.write(BLOCK, many);
      medium.write(BLOCK, block(3));
      medium.cut();
      t.deepEqual(read(medium, 0), new Set([1]));
      if (!read(medium, BLOCK).has(3)) lost++;
    });
  t.true(lost > 0, 'the newest may be lost');
});

test('a durable write survives once it is done, and what it replaced never comes back', (t) => {
  let lost = 0;
  for (let seed = 0; seed < 50; seed++)
    withMedium(seed, (medium) => {
      medium.write(0, block(1, 3));
      medium.writeDurable(BLOCK, block(2)).done();
      medium.writeDurable(2 * BLOCK, block(3));
      medium.cut();
      t.deepEqual(read(medium, BLOCK), new Set([2]));
      if (!read(medium, 2 * BLOCK).has(3)) lost++;
    });
  t.true(lost > 0, 'one that was not done may be lost');
});

test('what a physical sector holds is there whole or not at all, wherever the write began', (t) => {
  const outcomes = new Set<string>();
  for (let seed = 0; seed < 100; seed++)
    withMedium(
      seed,
      (medium) => {
        medium.write(SECTOR_BYTES, new Uint8Array(2 * BLOCK).fill(7));
        medium.cut();
        const bytes = new Uint8Array(3 * BLOCK);
        medium.read(bytes, 0, bytes.length, 0);
        const parts = [
          bytes.subarray(SECTOR_BYTES, BLOCK),
          bytes.subarray(BLOCK, 2 * BLOCK),
          bytes.subarray(2 * BLOCK, 2 * BLOCK + SECTOR_BYTES),
        ];
        outcomes.add(parts.map((part) => [...new Set(part)].join('+')).join());
      },
      BLOCK,
    );
  t.deepEqual([...outcomes].sort(), [
    ...['0,0,0', '0,0,7', '0,7,0', '0,7,7', '7,0,0', '7,0,7', '7,7,0', '7,7,7'],
  ]);
});
