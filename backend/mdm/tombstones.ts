// Removed volumes whose chunks some device may still hold. A tombstone goes when every device of the pool has applied the
// removal and has reported no chunk of the volume for a while, so that the freeing is durable there; a device that is away
// keeps it.

import type { Micros } from '../core/ports.js';
import type { Engine } from './engine.js';
import type { Runs } from './runs.js';

const PERIOD_US = 1_000_000;
/** What a device reports as freed is durable there long before. */
export const SETTLED_US = 10_000_000;

export class Tombstones {
  private readonly engine: Engine;
  private readonly runs: Runs;
  private dueUs: Micros = 0;
  /** Since when all devices have freed a volume, by its key. */
  private freedSinceUs = new Map<number, Micros>();

  constructor(engine: Engine, runs: Runs) {
    this.engine = engine;
    this.runs = runs;
  }

  tick(nowUs: Micros): void {
    const { tombstones } = this.engine.state;
    if (tombstones.size === 0 || nowUs < this.dueUs) return;
    this.dueUs = nowUs + PERIOD_US;
    const before = this.freedSinceUs;
    this.freedSinceUs = new Map(this.freed().map((key) => [key, before.get(key) ?? nowUs]));
    const settled = [...this.freedSinceUs].filter(([, sinceUs]) => nowUs - sinceUs >= SETTLED_US);
    if (settled.length === 0) return;
    this.engine.run(nowUs, () => {
      for (const [volumeKey] of settled) tombstones.delete(volumeKey);
    });
  }

  nextDeadlineUs(): Micros {
    return this.engine.state.tombstones.size === 0 ? Infinity : this.dueUs;
  }

  private freed(): number[] {
    return this.engine.state.tombstones
      .filter(({ volumeKey, poolKey, sequence }) =>
        isFreed(this.engine, this.runs, volumeKey, poolKey, sequence),
      )
      .map(({ volumeKey }) => volumeKey);
  }
}

/** Whether every device of a pool holds nothing of a layer, said after it had applied a commit. */
export function isFreed(
  { state }: Engine,
  runs: Runs,
  layerKey: number,
  poolKey: number,
  sequence: number,
): boolean {
  for (const device of state.devices.values()) {
    if (device.poolKey !== poolKey || device.incarnation === 0) continue;
    const run = runs.devices.get(device.key);
    if (run?.status !== 'alive' || !run.volumes.hasFreed(layerKey, sequence)) return false;
  }
  return true;
}
