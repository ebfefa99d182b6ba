// The checker of snapshots finds a point that is not one moment, and nothing else.

import test from 'ava';

import { checkCuts } from '../../../backend/sim/check-cut.js';
import { checkHistory } from '../../../backend/sim/check-linearizable.js';
import { checkReverts } from '../../../backend/sim/check-reverts.js';
import { History } from '../../../backend/sim/history.js';
import type { OpKind, OpRecord } from '../../../backend/sim/history.js';

const KEEPS = { mayLose: false };
const BLOCKS = { sectorsPerBlock: 8, isVolatile: false };

/** Volumes 1 and 2 with snapshots 11 and 12, taken between 100 and 110. */
class Story {
  readonly history = new History();

  constructor() {
    this.history.joinTree(11, 1);
    this.history.joinTree(12, 2);
    const pairs = [
      { source: 1, target: 11 },
      { source: 2, target: 12 },
    ];
    this.history.cuts.push({ startUs: 100, endUs: 110, pairs });
  }

  op(kind: OpKind, volume: number, sector: number, fromUs: number, toUs: number): OpRecord {
    const record = this.history.begin(kind, volume, 1, 1, false, sector, 1, fromUs);
    record.endUs = toUs;
    return record;
  }

  write(volume: number, sector: number, fromUs: number, toUs = Infinity): number {
    return this.op('write', volume, sector, fromUs, toUs).tag;
  }

  read(volume: number, sector: number, tag: number, fromUs = 200): void {
    this.op('read', volume, sector, fromUs, fromUs + 1).seen = [tag];
  }

  fault(): string | null {
    return checkCuts(this.history, KEEPS) ?? checkHistory(this.history, BLOCKS);
  }
}

test('a snapshot with what was answered before it, and without what began after, is right', (t) => {
  const story = new Story();
  const first = story.write(1, 0, 10, 20);
  const second = story.write(2, 0, 30, 40);
  story.write(1, 0, 120, 130);
  story.read(11, 0, first);
  story.read(12, 0, second);
  story.read(12, 5, 0);
  t.is(story.fault(), null);
});

test('what was answered before the command and is not in the snapshot is missed', (t) => {
  const story = new Story();
  const old = story.write(1, 0, 1, 5);
  story.write(1, 0, 10, 20);
  story.read(11, 0, old);
  t.regex(story.fault() ?? '', /was answered before the command began/);
});

test('a dependent write of another volume without the one that it depends on is no moment', (t) => {
  const story = new Story();
  const old = story.write(1, 0, 1, 5);
  // Both run while the snapshot is made: each alone may be in it or not.
  story.write(1, 0, 101, 102);
  const dependent = story.write(2, 3, 103, 104);
  story.read(11, 0, old);
  t.is(story.fault(), null);
  story.read(12, 3, dependent);
  t.regex(story.fault() ?? '', /answered before write .* of volume 2, which is in it/);
});

test('writes that overlap the snapshot may be in it each by itself', (t) => {
  const story = new Story();
  const old = story.write(1, 0, 1, 5);
  story.write(1, 0, 90, 108);
  const other = story.write(2, 0, 90, 108);
  story.read(11, 0, old);
  story.read(12, 0, other);
  t.is(story.fault(), null);
});

test('what began after the answer is not in the snapshot', (t) => {
  const story = new Story();
  const late = story.write(1, 0, 111, 112);
  story.read(11, 0, late);
  t.regex(story.fault() ?? '', /which began after the snapshot was there/);
});

test('a snapshot does not change, but for what is written to itself', (t) => {
  const story = new Story();
  const old = story.write(1, 0, 1, 5);
  const unknown = story.write(1, 0, 90);
  story.read(11, 0, unknown, 200);
  const own = story.write(11, 0, 210, 220);
  story.read(11, 0, own, 230);
  t.is(story.fault(), null);
  story.read(11, 0, old, 205);
  t.regex(story.fault() ?? '', /what is frozen changed/);
});

test('what a snapshot began with does not come back when it was overwritten', (t) => {
  const story = new Story();
  const old = story.write(1, 0, 1, 5);
  story.write(11, 0, 210, 220);
  story.read(11, 0, old, 230);
  t.not(story.fault(), null);
});

test('after a revert a volume begins with what its source had', (t) => {
  const story = new Story();
  const old = story.write(1, 0, 1, 5);
  story.write(1, 0, 120, 130);
  const target = story.history.newContent(1);
  story.history.cuts.push({ startUs: 300, endUs: 310, pairs: [{ source: 11, target }] });
  story.read(1, 0, old, 320);
  t.is(story.fault(), null);
  const own = story.write(11, 1, 250, 260);
  story.read(1, 1, 0, 321);
  t.regex(story.fault() ?? '', /was answered before the command began/, `tag ${own} is lacking`);
});

test('what runs while a volume is reverted may be of either content, and is no proof of one', (t) => {
  const story = new Story();
  const old = story.write(1, 0, 1, 5);
  const changed = story.write(1, 0, 120, 130);
  const { history } = story;
  const begin = (kind: OpKind): OpRecord => history.begin(kind, 1, 1, 1, false, 0, 1, 290);
  const [reading, other, writing] = [begin('read'), begin('read'), begin('write')];
  const target = history.newContent(1);
  history.cuts.push({ startUs: 300, endUs: 310, pairs: [{ source: 11, target }] });
  for (const [read, tag] of [
    [reading, changed],
    [other, old],
  ] as const) {
    read.seen = [tag];
    history.answered(read, 330);
  }
  history.answered(writing, 330);
  story.read(1, 0, old, 340);
  t.is(story.fault(), null, 'the write is gone with what it was done to');
  story.read(1, 0, writing.tag, 350);
  t.is(story.fault(), null, 'or it comes late');
  story.read(1, 0, changed, 360);
  t.not(story.fault(), null, 'what was answered before is gone');
});

test('what runs while a volume is reverted does not come back when it was overwritten since', (t) => {
  const story = new Story();
  const { history } = story;
  const writing = history.begin('write', 1, 1, 1, false, 0, 1, 290);
  const target = history.newContent(1);
  history.cuts.push({ startUs: 300, endUs: 310, pairs: [{ source: 11, target }] });
  history.answered(writing, 330);
  story.read(1, 0, writing.tag, 340);
  const own = story.write(1, 0, 350, 360);
  story.read(1, 0, own, 370);
  t.is(story.fault(), null);
  story.read(1, 0, writing.tag, 380);
  t.regex(story.fault() ?? '', /possible: /);
});

/** Volume 1 is reverted to its snapshot 11 between 300 and 310, and nobody knows whether that happened. */
function left(story: Story, happened: boolean | null = null): number {
  const { history } = story;
  const former = history.contentOf(1);
  const target = history.newContent(1);
  const revert = { startUs: 300, endUs: 310, source: 11, target, former, happened };
  history.unsureReverts.push(revert);
  return target;
}

function judged({ history }: Story): string | null {
  return checkReverts(
    history,
    (evidence) => checkCuts(evidence, KEEPS) ?? checkHistory(evidence, BLOCKS),
  );
}

/** Two sectors of volume 1 that are written before the snapshot and after it. */
function twoWritten(story: Story): { readonly before: number[]; readonly after: number[] } {
  const before = [story.write(1, 0, 10, 20), story.write(1, 9, 10, 20)];
  const after = [story.write(1, 0, 120, 130), story.write(1, 9, 120, 130)];
  return { before, after };
}

test('after a revert of unknown outcome a volume is wholly what it was, or wholly what it was reverted to', (t) => {
  for (const [first, second, right] of [
    ['before', 'before', true],
    ['after', 'after', true],
    ['before', 'after', false],
    ['after', 'before', false],
  ] as const) {
    const story = new Story();
    const tags = twoWritten(story);
    left(story);
    story.read(1, 0, tags[first][0] ?? 0, 400);
    story.read(1, 9, tags[second][1] ?? 0, 500);
    t.is(judged(story) === null, right, `${first}, ${second}`);
  }
});

test('what was written after a revert of unknown outcome stays, whatever it did', (t) => {
  for (const known of ['before', 'after'] as const) {
    const story = new Story();
    const tags = twoWritten(story);
    left(story);
    const later = story.write(1, 0, 400, 410);
    story.read(1, 9, tags[known][1] ?? 0, 500);
    story.read(1, 0, later, 510);
    t.is(judged(story), null);
    story.read(1, 0, tags[known][0] ?? 0, 520);
    t.not(judged(story), null, `${known} does not come back`);
  }
});

test('an answer that comes late says what happened', (t) => {
  for (const happened of [true, false]) {
    const story = new Story();
    const tags = twoWritten(story);
    left(story, happened);
    story.read(1, 0, tags.before[0] ?? 0, 400);
    t.is(judged(story) === null, happened);
  }
});
