// The read cache by itself, against a plain map: it may forget, but never answer with anything else than what was put in.

import test from 'ava';
import fc from 'fast-check';

import type { CacheMemory } from '../../../backend/core/ports.js';
import { ReadCache } from '../../../backend/sds/store/read-cache.js';

const BLOCK = 16;
const TABLE = 10;

/** Memory that counts what is out. */
class Counted implements CacheMemory {
  outBytes = 0;
  mostBytes = 0;
  hasAny = true;
  /** So many pieces can be had. */
  pieces = Infinity;

  hasRoom(): boolean {
    return this.hasAny;
  }

  take(lengthBytes: number): Uint8Array | null {
    if (this.pieces === 0) return null;
    this.pieces -= 1;
    this.outBytes += lengthBytes;
    this.mostBytes = Math.max(this.mostBytes, this.outBytes);
    return new Uint8Array(lengthBytes);
  }

  give(bytes: Uint8Array): void {
    this.outBytes -= bytes.length;
  }
}

function settle(cache: ReadCache, nowUs = 0): void {
  for (let steps = 0; cache.nextDeadlineUs() <= nowUs; steps++) {
    if (steps > 100) throw new Error('the cache never settles');
    cache.step(nowUs);
  }
}

function sized(blocks: number, memory: CacheMemory = new Counted()): ReadCache {
  const cache = new ReadCache(memory, BLOCK);
  cache.setSize(blocks * (BLOCK + TABLE));
  settle(cache);
  return cache;
}

function content(tag: number): Uint8Array {
  return new Uint8Array(BLOCK).fill(tag);
}

function found(cache: ReadCache, place: number): number | null {
  const bytes = new Uint8Array(BLOCK + 1);
  return cache.get(place, bytes, 1) ? (bytes[BLOCK] ?? null) : null;
}

test('what is found is what was put in last, and nothing that was dropped', (t) => {
  const action = fc.record({
    kind: fc.constantFrom('put', 'put', 'get', 'get', 'drop', 'size'),
    // Also beyond 32 bits.
    place: fc.oneof(
      fc.nat(40),
      fc.nat(40).map((low) => 2 ** 33 + low),
    ),
    tag: fc.integer({ min: 1, max: 255 }),
  });
  let hits = 0;
  fc.assert(
    fc.property(
      fc.array(action, { maxLength: 200, size: 'max' }),
      fc.integer({ min: 1, max: 20 }),
      (all, n) => {
        const memory = new Counted();
        const cache = sized(n, memory);
        let blocks = n;
        const model = new Map<number, number>();
        for (const { kind, place, tag } of all) {
          if (kind === 'put') {
            cache.put(place, content(tag), 0);
            model.set(place, tag);
          } else if (kind === 'get') {
            const tagFound = found(cache, place);
            if (tagFound === null) continue;
            hits++;
            if (model.get(place) !== tagFound) return false;
          } else if (kind === 'drop') {
            cache.dropRange(place, 3);
            for (let index = 0; index < 3; index++) model.delete(place + index);
          } else {
            if (tag % 20 === blocks) continue;
            blocks = tag % 20;
            cache.setSize(blocks * (BLOCK + TABLE));
            settle(cache);
            model.clear();
          }
          const { usedEntries, entries } = cache.counts();
          if (usedEntries > entries || usedEntries > model.size) return false;
        }
        cache.setSize(0);
        settle(cache);
        return memory.outBytes === 0 && !cache.isOn;
      },
    ),
  );
  t.true(hits > 0);
});

test('it never takes more than it was given, tables included, and gives all of it back', (t) => {
  for (const blocks of [1, 7, 8, 9, 1000, 4097, 10_000]) {
    const memory = new Counted();
    const cache = sized(blocks, memory);
    t.true(memory.mostBytes <= blocks * (BLOCK + TABLE), `${blocks} blocks`);
    t.true(cache.counts().entries > 0.9 * blocks - 8);
    cache.setSize(2 * blocks * (BLOCK + TABLE));
    settle(cache);
    t.true(memory.mostBytes <= 2 * blocks * (BLOCK + TABLE), 'the old one went first');
    cache.setSize(0);
    settle(cache);
    t.is(memory.outBytes, 0);
    t.is(cache.sizeBytes, 0);
  }
});

test('a block that was hit stays longer than one that was not', (t) => {
  const cache = sized(8);
  for (let place = 0; place < 8; place++) cache.put(place, content(place + 1), 0);
  t.is(found(cache, 3), 4);
  for (let place = 100; place < 107; place++) cache.put(place, content(9), 0);
  t.is(found(cache, 3), 4, 'the others went first');
  t.is(cache.counts().evictions, 7);
});

test('memory that cannot be had is said, asked for again later, and nothing of it stays', (t) => {
  const memory = new Counted();
  memory.hasAny = false;
  const cache = sized(100, memory);
  t.true(cache.counts().failed);
  t.false(cache.isOn);
  t.is(memory.outBytes, 0);
  memory.hasAny = true;
  const laterUs = cache.nextDeadlineUs();
  t.true(laterUs > 0 && laterUs < Infinity);
  settle(cache, laterUs);
  t.true(cache.isOn);
  t.false(cache.counts().failed);
  cache.setSize(0);
  settle(cache);
  // The table can be had, and no room for content.
  memory.pieces = 1;
  cache.setSize(100 * (BLOCK + TABLE));
  settle(cache);
  t.true(cache.counts().failed);
  t.is(memory.outBytes, 0);
});

test('what did not verify is no hit, and gone', (t) => {
  const cache = sized(8);
  cache.put(5, content(1), 0);
  t.is(found(cache, 5), 1);
  cache.reject(5);
  t.is(found(cache, 5), null);
  const { hits, misses, rejects, usedEntries } = cache.counts();
  t.deepEqual(
    { hits, misses, rejects, usedEntries },
    { hits: 0, misses: 2, rejects: 1, usedEntries: 0 },
  );
});
