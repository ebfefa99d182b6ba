import test from 'ava';

import type { BlockRange } from '../../../backend/protocol/generated/types.js';
import { unionOf } from '../../../backend/sds/block-ranges.js';

const range = (
  chunkIndex: number,
  firstBlock: number,
  blockCount: number,
  volumeKey = 1,
): BlockRange => ({ volumeKey, vtreeKey: 1, chunkIndex, firstBlock, blockCount });

test('places that several say are named once, and no range crosses a chunk', (t) => {
  const ranges = [
    ...[range(2, 0, 4), range(1, 8, 8), range(1, 8, 8), range(1, 12, 10), range(1, 22, 1)],
    ...[range(1, 40, 2), range(1, 0, 256, 2), range(1, 252, 4)],
  ];
  t.deepEqual(unionOf(ranges), [
    ...[range(1, 8, 15), range(1, 40, 2), range(1, 252, 4), range(2, 0, 4)],
    range(1, 0, 256, 2),
  ]);
  t.deepEqual(unionOf([]), []);
});

test('a range within another one adds nothing', (t) => {
  t.deepEqual(unionOf([range(1, 0, 64), range(1, 4, 4), range(1, 60, 4)]), [range(1, 0, 64)]);
});
