// What counts as a difference between copies: what a client would read otherwise, and nothing else.

import test from 'ava';

import { addressSeed, blockChecksum } from '../../../backend/core/checksum.js';
import { belowOf, differing } from '../../../backend/sds/scan-compare.js';
import type { Below } from '../../../backend/sds/scan-task.js';
import { ScanTask } from '../../../backend/sds/scan-task.js';
import { BLOCK_STATE } from '../../../backend/sds/store/store.js';
import { Volumes } from '../../../backend/sds/volumes.js';

const BLOCK_BYTES = 64;
const ZEROES = new Uint8Array(BLOCK_BYTES);
const [VTREE, CHUNK, BLOCK] = [7, 3, 2];
const ZERO_SUM = blockChecksum(ZEROES, addressSeed(VTREE, CHUNK, BLOCK));

interface Copy {
  readonly state: number;
  readonly sum?: number;
}

/** Whether two copies of one block differ. */
function differs(own: Copy, theirs: Copy, below: Below, belowState: number): boolean {
  const task = new ScanTask(0, 4);
  task.cover(VTREE, VTREE, CHUNK, BLOCK, 1);
  task.below = below;
  task.states[BLOCK] = own.state;
  task.sums[BLOCK] = own.sum ?? 0;
  task.belowStates[BLOCK] = belowState;
  task.memberStates = Uint8Array.of(theirs.state);
  const sums = new DataView(new ArrayBuffer(4));
  sums.setUint32(0, theirs.sum ?? 0, true);
  task.memberSums = sums;
  return differing(task, ZEROES)[0] === 1;
}

const { absent, data, zero, lost } = BLOCK_STATE;
const ABSENT = { state: absent };
const ZERO = { state: zero };
const ONE = { state: data, sum: 1 };
const OTHER = { state: data, sum: 2 };
const ZERO_DATA = { state: data, sum: ZERO_SUM };

test('content counts, not how a copy came to hold nothing', (t) => {
  const alike = [ABSENT, ZERO, ZERO_DATA];
  for (const own of alike)
    for (const theirs of alike) {
      t.false(differs(own, theirs, [], absent), 'nothing lies below');
      t.false(differs(own, theirs, [5], zero), 'what lies below is nothing either');
    }
  for (const nothing of alike) {
    t.true(differs(ONE, nothing, [], absent));
    t.true(differs(nothing, ONE, [], absent));
  }
  t.true(differs(ONE, OTHER, [], absent));
  t.false(differs(ONE, { ...ONE }, [], absent));
});

test('zeroes that hide something below are not the same as nothing', (t) => {
  for (const hides of [ZERO, ZERO_DATA]) {
    t.true(differs(ABSENT, hides, [5], data));
    t.true(differs(hides, ABSENT, [5], data));
    t.false(differs(ABSENT, hides, null, data), 'nobody here knows what lies below');
  }
  t.false(differs(ZERO, ZERO_DATA, [5], data));
});

test('what one of the copies lost is for its own scanner to find', (t) => {
  for (const other of [ABSENT, ZERO, ONE, { state: lost }])
    for (const [own, theirs] of [
      [{ state: lost }, other],
      [other, { state: lost }],
    ] as const)
      t.false(differs(own, theirs, [], absent));
});

test('which layers lie below is known of the layers of volumes', (t) => {
  const volumes = new Volumes();
  const all = [
    { vtreeKey: VTREE, layers: [9, 8, VTREE] },
    { vtreeKey: 6, layers: [6] },
  ];
  Object.defineProperty(volumes, 'all', { value: () => all });
  t.deepEqual(belowOf(volumes, 9, VTREE), [8, VTREE]);
  t.deepEqual(belowOf(volumes, VTREE, VTREE), []);
  t.is(belowOf(volumes, 77, VTREE), null);
  t.is(belowOf(volumes, 6, VTREE), null, 'of another V-tree');
});
