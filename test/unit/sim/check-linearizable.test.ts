// The checker is what every simulated run is judged by, so each kind of wrong history must be told from right ones.

import test from 'ava';

import { checkHistory } from '../../../backend/sim/check-linearizable.js';
import type { OpKind, OpRecord } from '../../../backend/sim/history.js';
import { History } from '../../../backend/sim/history.js';

const STRICT = { sectorsPerBlock: 8, isVolatile: false };
const VOLATILE = { sectorsPerBlock: 8, isVolatile: true };

interface Story {
  history: History;
  readonly op: (kind: OpKind, startUs: number, endUs: number, more?: Partial<More>) => OpRecord;
}

interface More {
  firstSector: number;
  sectors: number;
  seen: number[];
  fua: boolean;
  client: number;
}

function story(): Story {
  const history = new History();
  return {
    history,
    op(kind, startUs, endUs, more = {}) {
      const { firstSector = 0, sectors = 8, seen, fua = false, client = 1 } = more;
      const record = history.begin(kind, 1, client, 1, fua, firstSector, sectors, startUs);
      record.endUs = endUs;
      if (seen !== undefined)
        record.seen = seen.length === 1 ? new Array<number>(sectors).fill(seen[0] ?? 0) : seen;
      return record;
    },
  };
}

test('a read sees the last write that ended before it, or one that runs', (t) => {
  const { history, op } = story();
  op('read', 0, 1, { seen: [0] });
  op('write', 2, 5);
  op('read', 6, 7, { seen: [1] });
  op('write', 8, 20);
  op('read', 9, 10, { seen: [1] });
  op('read', 11, 12, { seen: [2] });
  op('read', 13, 14, { seen: [2] });
  op('zero', 30, 31);
  op('read', 32, 33, { seen: [0] });
  t.is(checkHistory(history, STRICT), null);
});

test('an acknowledged write that is not there any more is a fault', (t) => {
  const { history, op } = story();
  op('write', 0, 5);
  op('write', 6, 9);
  op('read', 10, 11, { seen: [1] });
  t.regex(checkHistory(history, STRICT) ?? '', /read 2 .* saw 1; possible: 2/);
});

test('reads never flip back while a write runs', (t) => {
  const { history, op } = story();
  op('write', 0, 5);
  op('write', 6, 100);
  op('read', 10, 11, { seen: [2] });
  op('read', 12, 13, { seen: [1] });
  t.not(checkHistory(history, STRICT), null);
});

test('a write of unknown outcome may take effect at any later time, but only once', (t) => {
  const late = story();
  late.op('write', 0, 5);
  late.op('write', 6, Infinity);
  late.op('read', 10, 11, { seen: [1] });
  late.op('read', 100, 101, { seen: [2] });
  t.is(checkHistory(late.history, STRICT), null);
  late.op('write', 110, 120);
  late.op('read', 130, 131, { seen: [2] });
  t.not(checkHistory(late.history, STRICT), null);
});

test('content from the future is a fault', (t) => {
  const { history, op } = story();
  op('read', 0, 1, { seen: [1] });
  op('write', 2, 3);
  t.not(checkHistory(history, STRICT), null);
});

test('a block is not torn between two writes that both cover it', (t) => {
  const { history, op } = story();
  op('write', 0, 10);
  op('write', 1, 11, { client: 2 });
  op('read', 12, 13, { seen: [1, 1, 1, 1, 2, 2, 2, 2] });
  t.regex(checkHistory(history, STRICT) ?? '', /torn between writes 0 and 1/);
});

test('two partial writes of a block may both be seen', (t) => {
  const { history, op } = story();
  op('write', 0, 10, { firstSector: 0, sectors: 4 });
  op('write', 1, 11, { firstSector: 4, sectors: 4 });
  op('read', 12, 13, { seen: [1, 1, 1, 1, 2, 2, 2, 2] });
  t.is(checkHistory(history, STRICT), null);
});

test('a request over two blocks is not atomic across them', (t) => {
  const { history, op } = story();
  op('write', 0, 100, { sectors: 16 });
  op('read', 10, 11, {
    sectors: 16,
    seen: [...new Array<number>(8).fill(1), ...new Array<number>(8).fill(0)],
  });
  t.is(checkHistory(history, STRICT), null);
});

test('a loss of volatile content falls back to the last flush at most', (t) => {
  const lost = story();
  lost.op('write', 0, 5);
  lost.op('flush', 6, 7, { sectors: 0 });
  lost.op('write', 8, 9);
  lost.history.losses.push({ atUs: 20 });
  lost.op('read', 30, 31, { seen: [1] });
  t.not(checkHistory(lost.history, STRICT), null, 'a stable mode loses nothing');
  t.is(checkHistory(lost.history, VOLATILE), null);
  const flushed = story();
  flushed.op('write', 0, 5);
  flushed.op('flush', 6, 7, { sectors: 0 });
  flushed.history.losses.push({ atUs: 20 });
  flushed.op('read', 30, 31, { seen: [0] });
  t.not(checkHistory(flushed.history, VOLATILE), null, 'what was flushed stays');
});

test('a flush covers only what was acknowledged before it was asked', (t) => {
  const { history, op } = story();
  op('write', 0, 9);
  op('flush', 6, 12, { sectors: 0 });
  history.losses.push({ atUs: 20 });
  op('read', 30, 31, { seen: [0] });
  t.is(checkHistory(history, VOLATILE), null);
});

test('a flush covers the writes of its own client, whichever its process, and what they replaced', (t) => {
  for (const [client, right] of [
    [1, false],
    [2, true],
  ] as const) {
    const { history, op } = story();
    op('write', 0, 5);
    op('flush', 6, 12, { sectors: 0, client });
    history.losses.push({ atUs: 20 });
    op('read', 30, 31, { seen: [0] });
    t.is(checkHistory(history, VOLATILE) === null, right);
  }
});

test('a write with FUA survives without a flush', (t) => {
  const { history, op } = story();
  op('write', 0, 9, { fua: true });
  history.losses.push({ atUs: 20 });
  op('read', 30, 31, { seen: [0] });
  t.not(checkHistory(history, VOLATILE), null);
});

test('a write that runs while volatile content is lost may be lost, and a read may see that', (t) => {
  for (const [fua, right] of [
    [false, true],
    [true, false],
  ] as const) {
    const { history, op } = story();
    op('write', 0, 5, { fua: true });
    op('write', 10, 30, { fua });
    op('read', 12, 14, { seen: [2] });
    history.losses.push({ atUs: 20 });
    op('read', 19, 31, { seen: [1] });
    op('read', 40, 41, { seen: [1] });
    t.is(checkHistory(history, VOLATILE) === null, right, fua ? 'FUA' : 'not flushed');
  }
});

test('a running write that a read saw may be lost before either is answered', (t) => {
  const { history, op } = story();
  op('write', 0, 5, { fua: true });
  op('write', 10, 40);
  op('read', 12, 35, { seen: [2] });
  history.losses.push({ atUs: 20 });
  op('read', 50, 51, { seen: [1] });
  t.is(checkHistory(history, VOLATILE), null);
  t.not(checkHistory(history, STRICT), null);
});

test('a write that nobody saw explains what others saw by coming right before another', (t) => {
  const { history, op } = story();
  op('write', 0, 30);
  op('write', 10, 20, { client: 2 });
  op('read', 15, 25, { seen: [2] });
  op('read', 40, 41, { seen: [2] });
  t.is(checkHistory(history, STRICT), null);
});

test('a write of a mapping that was taken away takes effect before the answer or never', (t) => {
  for (const [fencedUs, right] of [
    [50, false],
    [150, true],
  ] as const) {
    const { history, op } = story();
    op('write', 0, 5);
    const late = op('write', 6, Infinity, { client: 2 });
    late.isShutDown = true;
    op('read', 40, 41, { seen: [1] });
    history.fence(1, 2, 1, fencedUs);
    op('read', 60, 61, { seen: [1] });
    op('read', 160, 161, { seen: [2] });
    t.is(checkHistory(history, STRICT) === null, right);
  }
});
