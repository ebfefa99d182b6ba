import test from 'ava';

import { mark, marks } from '../../../backend/core/marks.js';

test('marks are listed by name with their hits, and a name is taken once', (t) => {
  const later = mark('test: zebra');
  const earlier = mark('test: antelope');
  later.hits += 2;
  const listed = marks().filter(({ name }) => name.startsWith('test: '));
  t.deepEqual(listed, [
    { name: 'test: antelope', hits: 0 },
    { name: 'test: zebra', hits: 2 },
  ]);
  t.is(earlier.hits, 0);
  t.throws(() => mark('test: zebra'), { message: /registered once/ });
});
