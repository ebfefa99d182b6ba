// Plans of power cuts, drawn from a seed: of one server, silently or not, again while it recovers, of two, of the MDM, and of
// the whole site at once. It owns how often each comes; it must never look at a running cluster.

import { Prng } from '../../backend/core/prng.js';
import { MDM_CLUSTER, NONE, mdmNames, sdsNames } from './plan.js';
import type { Plan, Step, Trouble } from './plan.js';

const OUTAGE_MS_MAX = 3000;
/** A process is started again after a second, and opens its device within two more. */
const RECOVERING_MS = { min: 900, max: 3000 } as const;

const cutOf = (nodes: readonly string[], afterMs: number, forMs: number): Trouble => {
  const [target = '', ...others] = nodes;
  return { ...NONE, kind: 'power', target, others, afterMs, forMs };
};

function drawStep(random: Prng, servers: readonly string[], mdms: readonly string[]): Step {
  const names = [...servers];
  random.shuffle(names);
  const [one = '', two = ''] = names;
  const site = [...names, ...mdms];
  const mdm = random.pick(mdms);
  const forMs = random.between(1, OUTAGE_MS_MAX);
  const againMs = forMs + random.between(RECOVERING_MS.min, RECOVERING_MS.max);
  const silent: Trouble = { ...NONE, kind: 'stall', target: one, forMs: forMs + 1000 };
  const kill: Trouble = { ...NONE, kind: 'kill', target: `${two}-data1` };
  const twice = (nodes: readonly string[]): Trouble[] => [
    cutOf(nodes, 0, forMs),
    cutOf(nodes, againMs, random.between(1, OUTAGE_MS_MAX)),
  ];
  const troubles = random.pick([
    [cutOf([one], 0, forMs)],
    [cutOf([one], 0, forMs)],
    twice([one]),
    // Nobody hears that the processes ended: as when a whole machine goes.
    [silent, cutOf([one], random.between(50, 400), forMs)],
    [cutOf([one, two], 0, forMs)],
    // The other server takes over, and dies.
    [cutOf([one], 0, forMs), { ...kill, afterMs: random.below(2500) }],
    [cutOf([one], 0, forMs), cutOf([two], random.between(500, 2500), forMs)],
    [cutOf([mdm], 0, forMs)],
    [cutOf([one, mdm], 0, forMs)],
    [cutOf(site, 0, forMs)],
    [cutOf(site, 0, forMs)],
    [cutOf(names, 0, forMs)],
    twice(site),
  ]);
  return { pauseMs: random.between(300, 2000), troubles };
}

const cutsOf = ({ troubles }: Step): number =>
  troubles.filter(({ kind }) => kind === 'power').length;

/**
 * Draws a plan of power cuts.
 *
 * @param cuts - at least so many; one more when the last step has two
 */
export function drawPowerPlan(seed: number, sdsCount: number, cuts: number): Plan {
  const random = new Prng(seed, 3);
  const servers = sdsNames(sdsCount);
  const mdms = random.chance(1, 3) ? MDM_CLUSTER : 1;
  const steps: Step[] = [];
  for (let drawn = 0; drawn < cuts;) {
    const step = drawStep(random, servers, mdmNames(mdms));
    steps.push(step);
    drawn += cutsOf(step);
  }
  return { version: 1, seed, sdsCount, mdms, steps };
}
