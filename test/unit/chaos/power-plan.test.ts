// Plans of power cuts: the same seed draws the same one, as many cuts as asked for, of single servers and of the whole site.

import test from 'ava';

import { parsePlan } from '../../chaos/plan.js';
import { drawPowerPlan } from '../../chaos/power-plan.js';

test('a plan has the cuts that were asked for, and can be read back', (t) => {
  for (let seed = 0; seed < 30; seed++) {
    const plan = drawPowerPlan(seed, 3, 20);
    t.deepEqual(drawPowerPlan(seed, 3, 20), plan);
    t.deepEqual(parsePlan('f', JSON.stringify(plan)), plan);
    const troubles = plan.steps.flatMap((step) => step.troubles);
    const cuts = troubles.filter(({ kind }) => kind === 'power').length;
    t.true(cuts === 20 || cuts === 21, `${cuts} cuts`);
  }
});

test('single servers, pairs, the MDM and the whole site lose their power', (t) => {
  const together = new Set(
    Array.from({ length: 20 }, (_, seed) => drawPowerPlan(seed, 3, 20))
      .flatMap(({ steps }) => steps.flatMap(({ troubles }) => troubles))
      .filter(({ kind }) => kind === 'power')
      .map(({ target, others }) => [target, ...others].sort().join()),
  );
  for (const nodes of ['mdm', 'sds2', 'sds1,sds2', 'sds1,sds2,sds3', 'mdm,sds1,sds2,sds3'])
    t.true(together.has(nodes), nodes);
});
