// Merges of layers: a merge ends when every device of the pool said, after it had heard of it, that it holds nothing of the
// layer any more, and that has been so for long enough to be durable. It must never end one on less: a copy that did not
// merge would lose what only the layer held.

import type { Micros } from '../core/ports.js';
import type { Engine } from './engine.js';
import type { Runs } from './runs.js';
import { SETTLED_US, isFreed } from './tombstones.js';
import { endMerge } from './vtrees.js';

const PERIOD_US = 1_000_000;

export class Merges {
  private readonly engine: Engine;
  private readonly runs: Runs;
  private dueUs: Micros = 0;
  /** Since when no device holds anything of a layer, by its key. */
  private doneSinceUs = new Map<number, Micros>();

  constructor(engine: Engine, runs: Runs) {
    this.engine = engine;
    this.runs = runs;
  }

  tick(nowUs: Micros): void {
    const { state } = this.engine;
    if (state.layers.size === 0 || nowUs < this.dueUs) return;
    this.dueUs = nowUs + PERIOD_US;
    const before = this.doneSinceUs;
    const done = state.layers.filter(
      ({ key, poolKey, mergeKey, mergeSequence }) =>
        mergeKey !== 0 && isFreed(this.engine, this.runs, key, poolKey, mergeSequence),
    );
    this.doneSinceUs = new Map(done.map(({ key }) => [key, before.get(key) ?? nowUs]));
    const settled = [...this.doneSinceUs].filter(([, sinceUs]) => nowUs - sinceUs >= SETTLED_US);
    if (settled.length === 0) return;
    this.engine.run(nowUs, () => {
      for (const [key] of settled) {
        const layer = state.layers.get(key);
        if (layer !== undefined && layer.mergeKey !== 0)
          endMerge(state, layer, this.engine.nextSequence);
      }
    });
  }

  nextDeadlineUs(): Micros {
    return this.engine.state.layers.size === 0 ? Infinity : this.dueUs;
  }
}
