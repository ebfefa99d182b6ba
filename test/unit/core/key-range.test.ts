// Lists that are told in parts: every key has its turn, nothing is told twice in a round, and new keys join.

import test from 'ava';

import { ALL_KEYS, LAST_KEY, RangeTurn, inRange } from '../../../backend/core/key-range.js';

test('a short list is one range, again and again', (t) => {
  const turn = new RangeTurn();
  t.deepEqual(turn.next([], 3), ALL_KEYS);
  t.deepEqual(turn.next([9, 1, 5], 3), ALL_KEYS);
  t.deepEqual(turn.next([1], 3), ALL_KEYS);
});

test('a long list takes several ranges that join, whatever its order', (t) => {
  const turn = new RangeTurn();
  const keys = [50, 10, 40, 20, 30];
  const ranges = [turn.next(keys, 2), turn.next(keys, 2), turn.next(keys, 2)];
  t.deepEqual(ranges, [
    { after: 0, through: 20 },
    { after: 20, through: 40 },
    { after: 40, through: LAST_KEY },
  ]);
  t.deepEqual(
    ranges.map((range) => keys.filter((key) => inRange(key, range)).length),
    [2, 2, 1],
  );
  t.deepEqual(turn.next(keys, 2), { after: 0, through: 20 });
});

test('keys may come and go within a round', (t) => {
  const turn = new RangeTurn();
  t.deepEqual(turn.next([1, 2, 3, 4], 2), { after: 0, through: 2 });
  t.deepEqual(turn.next([3, 5], 2), { after: 2, through: LAST_KEY });
  turn.next([1, 2, 3], 2);
  turn.restart();
  t.is(turn.next([1, 2, 3], 2).after, 0);
});
