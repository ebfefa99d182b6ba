// A primary that lost a descriptor does not merge: blocks that it cannot see would be lost on the other copies too. It tries
// again later, and goes on when it knows everything.

import test from 'ava';

import { MICROS_PER_MS } from '../../../backend/core/units.js';
import { ERR } from '../../../backend/protocol/generated/constants.js';
import { Comb, PART } from '../../../backend/sds/comb.js';
import { Merging } from '../../../backend/sds/merging.js';
import { OpPool } from '../../../backend/sds/op.js';
import type { Op } from '../../../backend/sds/op.js';
import { RangeLock } from '../../../backend/sds/range-lock.js';
import type { Shared } from '../../../backend/sds/shared.js';
import { MERGE_DOUBTFUL, ROOM } from '../../../backend/sds/store/store.js';
import { GEOMETRY } from '../../power/store-rig.js';

const PARENT = 50;
const CHILD = 51;
const POOL = 3;

test('a chunk of which a descriptor is lost is not merged, and is tried again later', (t) => {
  const ops = new OpPool(4);
  const lock = new RangeLock();
  const comb = new Comb(0);
  comb.part = PART.primary;
  comb.active = true;
  let conflicts = MERGE_DOUBTFUL;
  let merged = 0;
  const ended: number[] = [];
  const merge = { parentKey: PARENT, childKey: CHILD, vtreeKey: PARENT, poolKey: POOL };
  const shared = {
    ...{ ops, lock, geometry: GEOMETRY, poolKey: POOL, mediaMode: true, ioBlocksMax: 8 },
    map: { merges: new Map([[PARENT, merge]]) },
    pool: { combOf: () => comb.index },
    comb: () => comb,
    store: {
      ...{ lastLsn: 5, durableLsn: 5 },
      chunksOf: () => (merged > 0 ? [] : [{ chunkIndex: 0 }]),
      isEmptied: () => merged > 0,
      mergeRoom: () => ROOM.ok,
      mergeConflicts: () => conflicts,
      merge: () => {
        merged += 1;
        return 5;
      },
      wantDurable: () => undefined,
    },
    parts: {
      serve: {
        finish: (_nowUs: number, op: Op, status: number) => {
          ended.push(status);
          lock.release(op);
          ops.give(op);
        },
      },
    },
  };
  const merging = new Merging(shared as unknown as Shared);
  merging.mapChanged();
  merging.pump(0);
  t.deepEqual(ended, [ERR.CHECKSUM_MISMATCH]);
  t.is(merged, 0);
  t.is(ops.size, 0);
  merging.pump(0);
  const againUs = merging.nextDeadlineUs();
  t.true(againUs >= 100 * MICROS_PER_MS, 'it takes its time');
  t.false(merging.isMerged(PARENT));
  merging.pump(againUs);
  t.is(merged, 0);
  conflicts = 0;
  for (let turn = 0; turn < 4; turn++)
    merging.pump(Math.min(merging.nextDeadlineUs(), 10 * againUs));
  t.is(merged, 1);
  t.true(merging.isMerged(PARENT));
});
