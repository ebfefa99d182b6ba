// Samples of how much each storage pool holds, committed every few minutes: a new master goes on with them. It must never
// sample a pool of which a device has not said what it holds.

import type { Micros } from '../core/ports.js';
import type { StoragePool, UsageSample } from '../protocol/generated/types.js';
import { heldBytes, promisedOf } from './capacity.js';
import type { Promised } from './capacity.js';
import type { Engine } from './engine.js';
import { withSample } from './forecast.js';
import type { Membership } from './membership.js';
import type { Runs } from './runs.js';

/** Protocol version that brought them. */
const SAMPLES_SINCE = 2;
const SAMPLE_MS = 600_000;
/** How often it is looked whether one is due. */
const LOOK_US = 60_000_000;

/** What a pool holds or has promised to hold, one copy counted: it is full when that is its net capacity. */
export function usedBytesOf(promised: Promised, thinUsedBytes: number): number {
  return promised.thickBytes + heldBytes(promised, thinUsedBytes);
}

export class UsageSamples {
  private readonly engine: Engine;
  private readonly runs: Runs;
  private readonly membership: Membership;
  private readonly thinUsedBytes: (poolKey: number) => number;
  private lookUs: Micros = Infinity;

  constructor(
    engine: Engine,
    runs: Runs,
    membership: Membership,
    thinUsedBytes: (poolKey: number) => number,
  ) {
    this.engine = engine;
    this.runs = runs;
    this.membership = membership;
    this.thinUsedBytes = thinUsedBytes;
  }

  start(nowUs: Micros): void {
    this.lookUs = nowUs + LOOK_US;
  }

  tick(nowUs: Micros): void {
    if (nowUs < this.lookUs) return;
    this.lookUs = nowUs + LOOK_US;
    const { state } = this.engine;
    if (state.system.clusterVersion < SAMPLES_SINCE || !this.membership.isSettled(nowUs)) return;
    const due = [...state.pools.values()].filter((pool) => this.isDue(nowUs, pool));
    if (due.length === 0) return;
    this.engine.run(nowUs, (at) => {
      for (const { key } of due) this.sample(at, key);
    });
  }

  nextDeadlineUs(): Micros {
    return this.lookUs;
  }

  private of(poolKey: number): readonly UsageSample[] {
    return this.engine.state.poolUsages.get(poolKey)?.samples ?? [];
  }

  /** The clock may have been set back since the last one. */
  private isDue(nowUs: Micros, { key }: StoragePool): boolean {
    const sinceMs = this.engine.wallMs(nowUs) - (this.of(key).at(-1)?.atMs ?? 0);
    if (sinceMs >= 0 && sinceMs < SAMPLE_MS) return false;
    const devices = this.engine.state.devices.filter(({ poolKey }) => poolKey === key);
    return (
      devices.length > 0 &&
      devices.every((device) => this.runs.devices.get(device.key)?.status === 'alive')
    );
  }

  private sample(nowUs: Micros, poolKey: number): void {
    const { state, options } = this.engine;
    const pool = state.pools.get(poolKey);
    if (pool === undefined) return;
    const promised = promisedOf(state, pool, options.sectorBytes);
    const usedBytes = usedBytesOf(promised, this.thinUsedBytes(poolKey));
    const samples = withSample(this.of(poolKey), { atMs: this.engine.wallMs(nowUs), usedBytes });
    state.poolUsages.put(poolKey, { key: poolKey, samples: [...samples] });
  }
}
