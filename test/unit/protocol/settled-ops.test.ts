// The body of OPS_SETTLED: what is said comes out as it went in, is bounded, and is refused when it is malformed.

import test from 'ava';

import { LIMIT } from '../../../backend/protocol/generated/constants.js';
import {
  isNews,
  isSettled,
  openOpsBytes,
  opHighOf,
  opIdOf,
  opLowOf,
  putOpenOps,
  readSettledOps,
  settledBelow,
  withoutOpen,
} from '../../../backend/protocol/settled-ops.js';
import type { SettledOps } from '../../../backend/protocol/settled-ops.js';

const BODY_AT = 24;
const FAR = opIdOf(3, 7);

function passed(said: SettledOps): SettledOps | null {
  const bodyBytes = openOpsBytes(said);
  const view = new DataView(new ArrayBuffer(BODY_AT + bodyBytes));
  putOpenOps(said, view, BODY_AT);
  return readSettledOps(opLowOf(said.belowId), opHighOf(said.belowId), view, BODY_AT, bodyBytes);
}

function read(belowId: number, ids: readonly number[]): SettledOps | null {
  const view = new DataView(new ArrayBuffer(8 * ids.length));
  putOpenOps({ belowId, open: ids }, view, 0);
  return readSettledOps(opLowOf(belowId), opHighOf(belowId), view, 0, 8 * ids.length);
}

test('what is said comes out as it went in', (t) => {
  const said = settledBelow([FAR + 9, 12, FAR - 1, 4, FAR], FAR);
  t.deepEqual(said, { belowId: FAR, open: [4, 12, FAR - 1] });
  t.deepEqual(passed(said), said);
  t.deepEqual(passed({ belowId: 5, open: [] }), { belowId: 5, open: [] });
});

test('everything below is settled but for the exceptions', (t) => {
  const said = settledBelow([4, 12, 90], 100);
  t.deepEqual(
    [3, 4, 5, 12, 13, 90, 99, 100].map((id) => isSettled(said, id)),
    [true, false, true, false, true, false, true, false],
  );
});

test('more exceptions than fit into a frame say less, and nothing that is wrong', (t) => {
  const ids = Array.from({ length: LIMIT.openOpsMax + 5 }, (_, index) => 10 + 2 * index);
  const said = settledBelow(ids, 1_000_000);
  t.is(said.open.length, LIMIT.openOpsMax);
  t.is(said.belowId, 10 + 2 * LIMIT.openOpsMax);
  t.true(ids.every((id) => !isSettled(said, id)));
});

test('who knows no exceptions hears what is below the first', (t) => {
  t.deepEqual(withoutOpen({ belowId: 100, open: [40, 50] }), { belowId: 40, open: [] });
  t.deepEqual(withoutOpen({ belowId: 100, open: [] }), { belowId: 100, open: [] });
});

test('later ids and fewer exceptions are news, nothing else is', (t) => {
  const before = { belowId: 100, open: [40, 50] };
  t.true(isNews({ belowId: 101, open: [1, 2, 3] }, before));
  t.true(isNews({ belowId: 100, open: [50] }, before));
  t.false(isNews(before, before));
  t.false(isNews({ belowId: 40, open: [] }, before));
});

test('a malformed body is refused', (t) => {
  t.is(read(100, [5, 5]), null, 'twice the same');
  t.is(read(100, [6, 5]), null, 'not ascending');
  t.is(read(100, [5, 100]), null, 'not below');
  t.is(readSettledOps(100, 0, new DataView(new ArrayBuffer(12)), 0, 12), null, 'half an id');
  const tooMany = Array.from({ length: LIMIT.openOpsMax + 1 }, (_, index) => index);
  t.is(read(1_000_000, tooMany), null, 'too many');
});
