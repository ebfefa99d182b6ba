// Numbers that wrap and their values.

import test from 'ava';

import { TagRing, tagAfter, tagDistance } from '../../../backend/sds/tag-ring.js';

test('distances hold across the wrap of u32', (t) => {
  t.is(tagAfter(0xffffffff), 0);
  t.is(tagDistance(3, 0xfffffffe), 5);
  t.is(tagDistance(0xfffffffe, 3), -5);
});

test('values are kept until they are dropped, however many there are', (t) => {
  const ring = new TagRing();
  for (let index = 1; index <= 5000; index++) t.is(ring.add(index * 2, index * 3), index);
  t.is(ring.length, 5000);
  t.is(ring.value(1), 2);
  t.is(ring.other(5000), 15000);
  ring.drop(4990);
  t.false(ring.has(4990));
  t.true(ring.has(4991));
  ring.drop(10);
  t.is(ring.length, 10, 'an older drop changes nothing');
});

test('a ring that wraps keeps its values while it grows', (t) => {
  const ring = new TagRing();
  ring.last = 0xfffffff0;
  ring.dropped = 0xfffffff0;
  for (let index = 0; index < 1000; index++) ring.add(index, 0);
  t.is(ring.value(tagAfter(0xfffffff0)), 0);
  t.is(ring.value(ring.last), 999);
  t.is(ring.value(0), 15);
});
