// Random numbers: the same from the same seed for ever, within their bounds, and without an obvious bias.

import test from 'ava';

import { AssertionError } from '../../../backend/core/assert.js';
import { Prng } from '../../../backend/core/prng.js';

test('the numbers of a seed never change: seeds of failures are kept', (t) => {
  const prng = new Prng(42);
  t.deepEqual(
    Array.from({ length: 4 }, () => prng.u32()),
    [...GOLDEN],
  );
  const same = new Prng(42);
  t.is(same.u32(), GOLDEN[0]);
});

const GOLDEN = [3011021589, 3960382089, 1547270628, 4040468816] as const;

test('seeds, streams and forks give different numbers', (t) => {
  const firsts = new Set<number>();
  for (let seed = 0; seed < 1000; seed++) firsts.add(new Prng(seed).u32());
  for (let stream = 1; stream < 1000; stream++) firsts.add(new Prng(0, stream).u32());
  firsts.add(new Prng(2 ** 32).u32());
  t.is(firsts.size, 2000);
  const parent = new Prng(7);
  t.not(parent.fork().u32(), parent.fork().u32());
});

test('numbers stay within their bounds and reach all of them', (t) => {
  const prng = new Prng(1);
  const counts = new Array<number>(10).fill(0);
  for (let draw = 0; draw < 100_000; draw++) {
    const value = prng.below(10);
    counts[value] = (counts[value] ?? 0) + 1;
  }
  for (const count of counts) t.true(count > 9_500 && count < 10_500, String(counts));
  for (let draw = 0; draw < 1000; draw++) {
    const value = prng.between(-3, 3);
    t.true(value >= -3 && value <= 3);
  }
  t.is(prng.below(1), 0);
  t.is(prng.between(5, 5), 5);
  t.throws(() => prng.below(0), { instanceOf: AssertionError });
  t.throws(() => prng.pick([]), { instanceOf: AssertionError });
  t.throws(() => new Prng(-1), { instanceOf: AssertionError });
});

test('every bit is set half of the time', (t) => {
  const prng = new Prng(99);
  const ones = new Array<number>(32).fill(0);
  for (let draw = 0; draw < 20_000; draw++) {
    const value = prng.u32();
    for (let bit = 0; bit < 32; bit++) ones[bit] = (ones[bit] ?? 0) + ((value >>> bit) & 1);
  }
  for (const count of ones) t.true(count > 9_500 && count < 10_500, String(ones));
});

test('a shuffle keeps what is there and reaches every order', (t) => {
  const prng = new Prng(5);
  const orders = new Set<string>();
  for (let round = 0; round < 1000; round++) {
    const items = [1, 2, 3, 4];
    prng.shuffle(items);
    orders.add(items.join(''));
    t.is(
      items.reduce((sum, item) => sum + item),
      10,
    );
  }
  t.is(orders.size, 24);
});

test('chance', (t) => {
  const prng = new Prng(3);
  t.false(Array.from({ length: 100 }, () => prng.chance(0, 5)).includes(true));
  t.false(Array.from({ length: 100 }, () => prng.chance(5, 5)).includes(false));
});
