// Plans and contents of `npm run chaos`: the same seed is the same plan, and what was never written to a place is seen.

import test from 'ava';

import { SECTOR_BYTES, contentOf, tagsOf } from '../../chaos/content.js';
import { KINDS, USUAL_KINDS, drawPlan, parsePlan, sdsNames } from '../../chaos/plan.js';

test('the same seed draws the same plan, another one another', (t) => {
  const draw = (seed: number) => drawPlan(seed, 3, 60, KINDS);
  t.deepEqual(draw(7), draw(7));
  t.notDeepEqual(draw(7).steps, draw(8).steps);
});

test('a plan keeps to the kinds that are allowed, and uses all of them', (t) => {
  const kindsOf = (allowed: typeof KINDS) =>
    new Set(
      Array.from({ length: 60 }, (_, seed) => drawPlan(seed, 3, 60, allowed))
        .flatMap(({ steps }) => steps)
        .flatMap(({ troubles }) => troubles.map(({ kind }) => kind)),
    );
  t.deepEqual([...kindsOf(['kill', 'stop'])].sort(), ['kill', 'stop']);
  t.deepEqual([...kindsOf(USUAL_KINDS)].sort(), [...USUAL_KINDS].sort());
  t.true(kindsOf(KINDS).has('power'));
});

test('a drawn plan can be read back, and a wrong one is refused with the place', (t) => {
  const plan = drawPlan(3, 4, 120, KINDS);
  t.deepEqual(parsePlan('f', JSON.stringify(plan)), plan);
  const wrong = (change: object) => () => parsePlan('f', JSON.stringify({ ...plan, ...change }));
  t.throws(wrong({ sdsCount: 1 }), { message: /--plan f: plan\/sdsCount must be >= 2/ });
  t.throws(wrong({ steps: [] }), { message: /plan\/steps must NOT have fewer than 1 items/ });
  const elsewhere = [{ pauseMs: 0, troubles: [{ kind: 'kill', target: 'sds9' }] }];
  t.throws(wrong({ steps: elsewhere }), { message: /"sds9" is none of mdm, / });
  t.throws(() => parsePlan('f', '{'), { message: /--plan f is no JSON/ });
});

test('servers are named as the product names them', (t) => {
  t.deepEqual(sdsNames(2), ['sds1', 'sds2']);
});

test('content says which write it is of, and that it is where it belongs', (t) => {
  const bytes = contentOf(0, 8, 3, 41);
  t.deepEqual(tagsOf(0, 8, bytes), [41, 41, 41]);
  t.deepEqual(tagsOf(0, 8, Buffer.alloc(2 * SECTOR_BYTES)), [0, 0]);
  t.regex(String(tagsOf(0, 9, bytes)), /sector 9 holds what was never written there/);
  t.regex(String(tagsOf(1, 8, bytes)), /sector 8 holds what was never written there/);
  const torn = Buffer.from(bytes);
  torn.fill(0, 700, 710);
  t.regex(String(tagsOf(0, 8, torn)), /sector 9 holds what was never written there/);
});
