// The order of a batch: inputs, completions, tick, end of batch, flush; and that deadlines are kept.

import test from 'ava';

import { Loop, monotonicUs } from '../../../backend/runtime/loop.js';
import { until } from './endpoint.js';

test('completions come before the end of the batch, the flush comes last and once', (t) => {
  const said: string[] = [];
  const loop = new Loop();
  let work = 0;
  loop.addSource({
    drain: () => {
      if (work === 0) return false;
      said.push(`completion ${work}`);
      work--;
      return true;
    },
  });
  loop.addFlush(() => said.push('flush'));
  loop.attach({
    tick: () => said.push('tick'),
    nextDeadlineUs: () => Infinity,
    endBatch: () => said.push('end'),
  });
  said.length = 0;
  loop.begin();
  loop.begin();
  work = 2;
  said.push('input');
  loop.end();
  t.deepEqual(said, ['input']);
  loop.end();
  t.deepEqual(said, ['input', 'completion 2', 'completion 1', 'end', 'flush']);
});

test('what the end of a batch brings about is handed over in the same batch', (t) => {
  const said: string[] = [];
  const loop = new Loop();
  let work = 0;
  loop.addSource({
    drain: () => {
      if (work === 0) return false;
      work = 0;
      said.push('completion');
      return true;
    },
  });
  loop.addFlush(() => said.push('flush'));
  let ends = 0;
  loop.attach({
    tick: () => undefined,
    nextDeadlineUs: () => Infinity,
    endBatch: () => {
      said.push('end');
      if (++ends === 2) work = 1;
    },
  });
  said.length = 0;
  loop.begin();
  loop.end();
  t.deepEqual(said, ['end', 'completion', 'end', 'flush']);
});

test('work without end does not keep others from their turn, and goes on', async (t) => {
  let left = 1000;
  const loop = new Loop();
  loop.addSource({ drain: () => left > 0 && left-- > 0 });
  loop.attach({ tick: () => undefined, nextDeadlineUs: () => Infinity });
  t.true(left > 0);
  await until('all is done', () => left === 0);
  t.is(left, 0);
});

test('a deadline is kept, and one that moves earlier too', async (t) => {
  const loop = new Loop();
  t.teardown(() => {
    loop.stop();
  });
  let deadlineUs = Infinity;
  const ticks: number[] = [];
  loop.attach({
    tick: (nowUs) => {
      ticks.push(nowUs - deadlineUs);
      deadlineUs = Infinity;
    },
    nextDeadlineUs: () => deadlineUs,
  });
  loop.begin();
  deadlineUs = monotonicUs() + 3_600_000_000;
  loop.end();
  loop.begin();
  deadlineUs = monotonicUs() + 20_000;
  loop.end();
  await until('it ticked', () => ticks.length === 1);
  t.true((ticks[0] ?? -1) >= 0);
});

test('a deadline far away is not taken for one that has passed', (t) => {
  const loop = new Loop();
  let ticks = 0;
  loop.attach({ tick: () => ticks++, nextDeadlineUs: () => Number.MAX_SAFE_INTEGER });
  loop.begin();
  loop.end();
  loop.stop();
  t.is(ticks, 0);
});
