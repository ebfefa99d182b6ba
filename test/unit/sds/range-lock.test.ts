// Order and exclusion of range locks.

import test from 'ava';
import fc from 'fast-check';

import { LOCK_STATE, LockRequest, RangeLock } from '../../../backend/sds/range-lock.js';

function request(first: number, end: number, exclusive: boolean, chunk = 0): LockRequest {
  const made = new LockRequest();
  made.lockVtree = 1;
  made.lockChunk = chunk;
  made.lockFirst = first;
  made.lockEnd = end;
  made.lockExclusive = exclusive;
  return made;
}

test('readers share, a writer excludes what it overlaps, other ranges and chunks do not matter', (t) => {
  const lock = new RangeLock();
  t.true(lock.acquire(request(0, 4, false)));
  t.true(lock.acquire(request(2, 6, false)));
  t.false(lock.acquire(request(3, 5, true)));
  t.true(lock.acquire(request(6, 8, true)));
  t.true(lock.acquire(request(3, 5, true, 1)));
});

test('first come, first served: a reader waits behind a writer that waits', (t) => {
  const lock = new RangeLock();
  const reader = request(0, 4, false);
  const writer = request(0, 4, true);
  const late = request(0, 4, false);
  t.true(lock.acquire(reader));
  t.false(lock.acquire(writer));
  t.false(lock.acquire(late));
  lock.release(reader);
  t.is(lock.takeGranted(), writer);
  t.is(lock.takeGranted(), null);
  lock.release(writer);
  t.is(lock.takeGranted(), late);
});

test('a request that gives up while it waits lets those behind it go on', (t) => {
  const lock = new RangeLock();
  const holder = request(0, 2, true);
  const waiting = request(0, 8, true);
  const behind = request(4, 8, false);
  lock.acquire(holder);
  lock.acquire(waiting);
  lock.acquire(behind);
  lock.release(waiting);
  t.is(lock.takeGranted(), behind);
  t.is(holder.lockState, LOCK_STATE.held);
});

test('a request that was granted and released before it was told is not told', (t) => {
  const lock = new RangeLock();
  const holder = request(0, 1, true);
  const next = request(0, 1, true);
  lock.acquire(holder);
  lock.acquire(next);
  lock.release(holder);
  lock.release(next);
  t.is(lock.takeGranted(), null);
});

test('whatever the order, no two conflicting requests hold at once, and everybody gets a turn', (t) => {
  const step = fc.record({
    first: fc.nat(7),
    length: fc.integer({ min: 1, max: 4 }),
    exclusive: fc.boolean(),
    releases: fc.nat(3),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const lock = new RangeLock();
      const held = new Set<LockRequest>();
      let waiting = 0;
      const take = (made: LockRequest): void => {
        for (const other of held) {
          const overlaps = made.lockFirst < other.lockEnd && other.lockFirst < made.lockEnd;
          t.false(overlaps && (made.lockExclusive || other.lockExclusive));
        }
        held.add(made);
      };
      const releaseOne = (): void => {
        for (const one of held) {
          held.delete(one);
          lock.release(one);
          break;
        }
        for (let granted = lock.takeGranted(); granted !== null; granted = lock.takeGranted()) {
          waiting--;
          take(granted);
        }
      };
      for (const { first, length, exclusive, releases } of steps) {
        const made = request(first, first + length, exclusive);
        if (lock.acquire(made)) take(made);
        else waiting++;
        for (let count = 0; count < releases; count++) releaseOne();
      }
      while (held.size > 0) releaseOne();
      t.is(waiting, 0);
    }),
  );
});
