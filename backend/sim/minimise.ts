// Makes a failing scenario smaller as long as it fails in the same way: less time, fewer strikes of the nemesis, plainer
// options. It owns what is tried and in which order; it must never change what counts as a failure.

import { runScenario } from './scenario.js';
import type { ScenarioResult } from './scenario.js';
import { makeSimulationMemory } from './simulation.js';
import type { Swarm } from './swarm-options.js';

/** Words of a failure that tell one way to fail from another. */
const KIND_LENGTH = 24;
/** The time in which trouble happens is found to within this. */
const STEP_US = 50_000;

/** Options with which a reader has less to think of. */
const PLAINER: readonly ((swarm: Swarm) => Swarm)[] = [
  (swarm) => ({ ...swarm, setUpTroubleUs: 0 }),
  (swarm) => ({ ...swarm, driftPpmMax: 0 }),
  (swarm) => ({ ...swarm, storeUnknownPermille: 0 }),
  (swarm) => ({ ...swarm, ioTimeoutS: 0 }),
  (swarm) => ({ ...swarm, linksPerDevice: 1 }),
  (swarm) => ({ ...swarm, combLog2: 0 }),
  (swarm) => ({ ...swarm, combsPerPair: 0 }),
  (swarm) => ({ ...swarm, servers: 3 }),
  (swarm) => ({ ...swarm, clients: 1 }),
  (swarm) => ({ ...swarm, volumeChunks: swarm.volumeChunks.slice(0, 1) }),
  (swarm) => ({ ...swarm, realDevice: false }),
  (swarm) => ({ ...swarm, network: { ...swarm.network, lingerPercent: 0 } }),
  (swarm) => ({ ...swarm, workload: { ...swarm.workload, zeroWeight: 0 } }),
  (swarm) => ({ ...swarm, workload: { ...swarm.workload, flushWeight: 0 } }),
  (swarm) => ({ ...swarm, workload: { ...swarm.workload, describeWeight: 0 } }),
  (swarm) => ({ ...swarm, workload: { ...swarm.workload, abandonPermille: 0 } }),
  (swarm) => ({ ...swarm, workload: { ...swarm.workload, depth: 1 } }),
];

/** A scenario and how it failed. */
export interface Failing {
  readonly swarm: Swarm;
  readonly result: ScenarioResult;
}

/** How it failed, without numbers: those differ from run to run. */
function kindOf(failure: string): string {
  return failure.replace(/\d+/g, '#').slice(0, KIND_LENGTH);
}

/** Strikes that were not left out. */
export function strikesOf({ swarm, result }: Failing): number {
  return result.strikes - swarm.skipStrikes.filter((strike) => strike < result.strikes).length;
}

class Minimiser {
  private readonly memory = makeSimulationMemory();
  private readonly kind: string;
  private readonly say: (line: string) => void;
  best: Failing;

  constructor(found: Failing, say: (line: string) => void) {
    this.best = found;
    this.kind = kindOf(found.result.failure ?? '');
    this.say = say;
  }

  /** Takes a scenario that fails in the same way. */
  private takes(swarm: Swarm): boolean {
    const result = runScenario(swarm.seed, this.memory, null, swarm);
    if (result.failure === null || kindOf(result.failure) !== this.kind) return false;
    this.best = { swarm, result };
    const { requests, virtualUs } = result;
    const seconds = (virtualUs / 1_000_000).toFixed(1);
    this.say(`${strikesOf(this.best)} strikes, ${requests} requests, ${seconds} virtual seconds`);
    return true;
  }

  shortenTime(): void {
    let tooShortUs = 0;
    while (this.best.swarm.safetyUs - tooShortUs > STEP_US) {
      const safetyUs = Math.ceil((this.best.swarm.safetyUs + tooShortUs) / 2);
      if (!this.takes({ ...this.best.swarm, safetyUs })) tooShortUs = safetyUs;
    }
  }

  /** Leaves out ever smaller parts of what still strikes. */
  leaveOutStrikes(): void {
    for (let parts = 2; ; parts *= 2) {
      const kept = this.keptStrikes();
      const size = Math.ceil(kept.length / parts);
      for (let at = 0; at < kept.length; at += size) {
        const without = kept.slice(at, at + size);
        const skipStrikes = [...this.best.swarm.skipStrikes, ...without];
        this.takes({ ...this.best.swarm, skipStrikes: skipStrikes.sort((a, b) => a - b) });
      }
      if (size <= 1) return;
    }
  }

  private keptStrikes(): number[] {
    const { swarm, result } = this.best;
    const all = Array.from({ length: result.strikes }, (_, strike) => strike);
    return all.filter((strike) => !swarm.skipStrikes.includes(strike));
  }

  makePlainer(): void {
    for (const plainer of PLAINER) {
      const swarm = plainer(this.best.swarm);
      if (JSON.stringify(swarm) !== JSON.stringify(this.best.swarm)) this.takes(swarm);
    }
  }
}

/**
 * @param found - a scenario that failed
 * @param say - hears of each smaller one
 * @returns the smallest that was found; the same when nothing can be left out
 */
export function minimise(found: Failing, say: (line: string) => void): Failing {
  const minimiser = new Minimiser(found, say);
  let before: Failing;
  do {
    before = minimiser.best;
    minimiser.shortenTime();
    minimiser.leaveOutStrikes();
    minimiser.makePlainer();
  } while (minimiser.best !== before);
  return minimiser.best;
}
