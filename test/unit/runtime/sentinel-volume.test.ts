// Names by which volumes of sentinels are known, and what they say.

import test from 'ava';

import { sentinelName, sentinelOf } from '../../../backend/runtime/sentinel-volume.js';

const NAME_CHARS_MAX = 31;
const U32_MAX = 2 ** 32 - 1;

test('a name says whose it is and what there is to say', (t) => {
  for (const verdict of ['well', 'starved', 'wrong'] as const)
    for (const [sdcKey, poolKey] of [
      [6, 5],
      [U32_MAX, U32_MAX],
    ] as const) {
      const name = sentinelName({ verdict, sdcKey, poolKey });
      t.true(name.length <= NAME_CHARS_MAX, name);
      t.deepEqual(sentinelOf({ name, poolKey }), { verdict, sdcKey, poolKey });
    }
  t.is(sentinelName({ verdict: 'well', sdcKey: 26, poolKey: 5 }), 'sentinel.1a.5');
});

test('other names, and a name in another pool, are no sentinel', (t) => {
  for (const name of ['', 'sentinel', 'sentinel.6', 'sentinel.6.5.4', 'Sentinel.6.5', 'my.6.5'])
    t.is(sentinelOf({ name, poolKey: 5 }), null, name);
  t.is(sentinelOf({ name: 'starving.6.5', poolKey: 7 }), null);
});
