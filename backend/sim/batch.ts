// Many scenarios, one after the other, in one thread. It owns which of them run twice to prove that a seed decides
// everything; it must never print.

import { addMarks, countMarks } from './marks.js';
import type { MarkCounts } from './marks.js';
import { runScenario } from './scenario.js';
import type { ScenarioResult } from './scenario.js';
import { makeSimulationMemory } from './simulation.js';
import { drawSwarm } from './swarm.js';
import { withSnapshots } from './swarm-snapshots.js';
import type { Swarm } from './swarm-options.js';

export interface BatchOrder {
  readonly firstSeed: number;
  readonly stride: number;
  readonly count: number;
  /** Of a hundred scenarios, how many run twice. */
  readonly twicePercent: number;
  /** The options of all of them; null: each seed draws its own. */
  readonly swarm: Swarm | null;
  /** What seeds draw has snapshots, where it can. */
  readonly snapshots: boolean;
}

export interface BatchFailure {
  readonly seed: number;
  readonly failure: string;
}

export interface BatchResult {
  scenarios: number;
  twice: number;
  events: number;
  requests: number;
  virtualSeconds: number;
  failures: BatchFailure[];
  marks: MarkCounts;
}

export function emptyResult(): BatchResult {
  return {
    ...{ scenarios: 0, twice: 0, events: 0, requests: 0, virtualSeconds: 0 },
    failures: [],
    marks: {},
  };
}

/** The scenario of a seed. */
export function drawn(seed: number, snapshots: boolean): Swarm {
  return snapshots ? withSnapshots(drawSwarm(seed)) : drawSwarm(seed);
}

/** Runs a scenario, and once more where asked; a difference is a failure. */
function runOne(
  swarm: Swarm,
  twice: boolean,
  memory: ReturnType<typeof makeSimulationMemory>,
): ScenarioResult {
  const { seed } = swarm;
  const result = runScenario(seed, memory, null, swarm);
  if (!twice || result.failure !== null) return result;
  const again = runScenario(seed, memory, null, swarm);
  if (again.digest === result.digest) return result;
  return {
    ...result,
    failure: `two runs of the same seed differ: ${result.digest} and ${again.digest}`,
  };
}

/**
 * @param progress - hears of each finished scenario
 */
export function runBatch(
  order: BatchOrder,
  progress: (result: ScenarioResult) => void,
): BatchResult {
  const memory = makeSimulationMemory();
  const total = emptyResult();
  for (let index = 0; index < order.count; index++) {
    const seed = order.firstSeed + index * order.stride;
    const twice = seed % 100 < order.twicePercent;
    const swarm = order.swarm === null ? drawn(seed, order.snapshots) : { ...order.swarm, seed };
    const result = runOne(swarm, twice, memory);
    total.scenarios += 1;
    if (twice) total.twice += 1;
    total.events += result.events;
    total.requests += result.requests;
    total.virtualSeconds += result.virtualUs / 1_000_000;
    if (result.failure !== null) total.failures.push({ seed, failure: result.failure });
    progress(result);
  }
  total.marks = countMarks();
  return total;
}

/** Adds the result of another thread. */
export function addResult(into: BatchResult, more: BatchResult): void {
  into.scenarios += more.scenarios;
  into.twice += more.twice;
  into.events += more.events;
  into.requests += more.requests;
  into.virtualSeconds += more.virtualSeconds;
  into.failures.push(...more.failures);
  addMarks(into.marks, more.marks);
}
