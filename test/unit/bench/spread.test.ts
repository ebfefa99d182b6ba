// What is said of measured values: the median, the 99th percentile and the largest are those of the values, in any order.
import test from 'ava';

import { inMs, median, most, quantile } from '../../bench/spread.js';

test('quantiles are values that were measured', (t) => {
  const values = Array.from({ length: 200 }, (_, index) => 200 - index);
  t.is(quantile(values, 0.99), 198);
  t.is(quantile(values, 0), 1);
  t.is(most(values), 200);
  t.is(most([7]), 7);
  t.is(quantile([], 0.5), Number.NaN);
});

test('the median of an even number lies between the two in the middle', (t) => {
  t.is(median([9, 1, 5]), 5);
  t.is(median([9, 1, 5, 6]), 5.5);
  t.is(median([3]), 3);
});

test('a line says how many values it is about', (t) => {
  t.is(inMs([3, 1, 2]), 'median 2.0, p99 3.0, longest 3.0 ms (of 3)');
});
