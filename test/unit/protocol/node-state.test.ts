// What an MDM process is, from what lies on its disk.

import test from 'ava';

import { judgeBoot, judgeTask, leftRecord, NO_PART } from '../../../backend/protocol/node-state.js';
import type { NodeRecord, OwnStore, ToldTask } from '../../../backend/protocol/node-state.js';

const TOLD: ToldTask = {
  ...{ task: 'form', term: 3, token: '1-7', prefix: '/p', selfKey: 2, seats: [] },
};
const record = (changes: Partial<NodeRecord>): NodeRecord => ({ ...NO_PART, ...changes });
const own = (changes: Partial<OwnStore> = {}): OwnStore => ({
  ...{ mark: null, isEmpty: false },
  ...changes,
});

test('a process is what its disk says', (t) => {
  const is = (of: NodeRecord, store: OwnStore | null, begins = false): string => {
    const { boot, record: after } = judgeBoot(of, store, begins);
    return `${boot.kind} ${after.part}`;
  };
  t.is(is(NO_PART, null), 'blank none');
  t.is(is(NO_PART, own({ isEmpty: true })), 'blank none', 'a store that nothing was committed to');
  t.is(is(NO_PART, null, true), 'alone none');
  t.is(is(NO_PART, own()), 'alone none');
  const forming = record({ part: 'forming', token: '1-7', term: 3 });
  t.is(is(forming, own()), 'alone forming', 'before the content moved');
  t.is(is(forming, own({ mark: { state: 'sealed', token: '1-7' } })), 'member member');
  t.is(is(forming, null), 'blank none');
  const member = record({ part: 'member', token: '1-7', term: 3 });
  t.is(is(member, null), 'member member');
  const imported = own({ mark: { state: 'imported', token: 'home-9' } });
  t.is(is(member, imported), 'member member', 'before the other store was sealed');
  t.is(is(member, own({ mark: { state: 'used', token: 'home-9' } })), 'member member');
  const left = leftRecord(member, 4);
  t.is(is(left, own({ mark: { state: 'used', token: 'home-9' } })), 'alone none');
  t.is(is(left, imported), 'blank none', 'content that never came into use');
  t.is(is(left, own({ mark: { state: 'sealed', token: '1-7' } })), 'blank none');
  t.is(is(left, null, true), 'blank none', 'it was part of a system: it begins none');
  t.is(is(NO_PART, own({ mark: { state: 'sealed', token: '1-7' } })), 'lost none');
});

test('a process whose content went into the shared store opens that', (t) => {
  const member = record({ part: 'member', token: '1-7', term: 3 });
  const opens = (token: string): unknown =>
    judgeBoot(member, own({ mark: { state: 'sealed', token } }), false).boot;
  t.deepEqual(opens('1-7'), { kind: 'member', opens: true });
  t.deepEqual(opens('1-2'), { kind: 'member', opens: false });
});

test('a task is done once, of the newest master, and never against what the node is', (t) => {
  const entered = judgeTask(NO_PART, false, TOLD);
  t.like(entered, {
    kind: 'enters',
    record: { part: 'member', token: '1-7', term: 3, selfKey: 2 },
  });
  t.like(judgeTask(NO_PART, true, TOLD), { kind: 'enters', record: { part: 'forming' } });
  t.like(judgeTask(NO_PART, true, { ...TOLD, task: 'join' }), { kind: 'refused' });
  const member = record({ part: 'member', token: '1-7', term: 3 });
  t.is(judgeTask(member, false, TOLD).kind, 'nothing');
  t.like(judgeTask(member, false, { ...TOLD, token: '1-9' }), {
    ...{ kind: 'refused', reason: 'it takes part in the store 1-7' },
  });
  t.is(judgeTask(member, false, { ...TOLD, task: 'leave', token: '1-9' }).kind, 'nothing');
  t.is(judgeTask(member, false, { ...TOLD, task: 'leave' }).kind, 'leaves');
  t.like(judgeTask(member, false, { ...TOLD, task: 'leave', term: 2 }), {
    ...{ kind: 'refused', reason: 'a master of term 3 was obeyed since' },
  });
});
