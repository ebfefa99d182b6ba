// Combs by device: whatever is put, taken back or cleared, it says the same as a look at all combs.

import test from 'ava';
import { Prng } from '../../../backend/core/prng.js';
import { Journal } from '../../../backend/mdm/journal.js';
import { Combs } from '../../../backend/mdm/tables.js';
import type { CombEntry } from '../../../backend/protocol/generated/types.js';

const POOLS = [1, 2];
const COMBS = 8;
const DEVICES = 6;

function entry(index: number, keys: readonly number[]): CombEntry {
  return {
    ...{ index, generation: { epoch: 1, number: 1 }, primary: 0, inSyncMask: 1 },
    ...{ targetMask: 0, blankMask: 0 },
    members: keys.map((deviceKey) => ({ deviceKey, incarnation: 1 })),
  };
}

test('the index of combs by device is right through changes, refusals and clearing', (t) => {
  const prng = new Prng(7);
  const journal = new Journal();
  const combs = new Combs(journal);
  const keysOf = (pool: number): number[] =>
    [0, 1, 2]
      .map(() => pool * 100 + prng.below(DEVICES))
      .filter((key, at, all) => all.indexOf(key) === at);
  const put = (pool: number): void => {
    const { length } = combs.ofPool(pool);
    const index = length < COMBS ? length : prng.below(COMBS);
    combs.put(pool, entry(index, keysOf(pool)));
  };
  const check = (): void => {
    for (const pool of POOLS)
      for (let number = 0; number < DEVICES; number++) {
        const key = pool * 100 + number;
        const seen = combs
          .ofPool(pool)
          .filter(({ members }) => members.some(({ deviceKey }) => deviceKey === key));
        t.deepEqual(combs.ofDevices(pool, [key]), seen);
        t.is(
          combs.someOfDevice(pool, key, ({ inSyncMask }, place) => (inSyncMask >> place) % 2 === 1),
          seen.some(({ members }) => members[0]?.deviceKey === key),
        );
      }
  };
  for (let round = 0; round < 300; round++) {
    const mark = journal.size;
    const pool = POOLS[prng.below(POOLS.length)] ?? 1;
    if (prng.below(10) === 0) combs.clear(pool);
    for (let count = prng.below(6); count > 0; count--) put(pool);
    if (prng.below(3) === 0) journal.rollback(mark);
    else journal.take();
    check();
  }
  const both = combs.ofDevices(1, [100, 101]).map(({ index }) => index);
  t.deepEqual(
    both,
    [...new Set(both)].sort((one, other) => one - other),
    'each once, in order',
  );
});
