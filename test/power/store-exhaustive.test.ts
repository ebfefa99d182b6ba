// Every workload of up to three operations, with a power cut at every point in time: after each completion of the disk,
// from the first operation until the store has nothing left to do. Then the device is opened and compared with the model.

import test from 'ava';

import { figure } from '../support/figure.js';
import { Model } from './store-model.js';
import { GEOMETRY, Rig, formatOptionsOf, optionsOf } from './store-rig.js';
import type { Survival } from './store-rig.js';

const CHUNK = GEOMETRY.chunkBlocks;
const SIZE_BYTES = 64 * 1024;
const OPTIONS = optionsOf({ cacheChunks: 4, ringRecords: 128, idleUs: 2000 });
const EMPTY = formatted();

interface Operation {
  readonly name: string;
  readonly run: (model: Model, rig: Rig) => void;
}

/** Operations on one chunk and its neighbour, chosen so that each pair interferes. */
const OPERATIONS: readonly Operation[] = [
  { name: 'block', run: (model) => model.write(1, 0, 3, 1) },
  { name: 'unit', run: (model) => model.write(1, 0, 2, 2) },
  { name: 'chunk', run: (model) => model.write(1, 0, 0, CHUNK) },
  { name: 'other', run: (model) => model.write(2, 1, 1, 3) },
  { name: 'discard', run: (model) => model.zero(1, 0, 0, CHUNK, true) },
  { name: 'zero', run: (model) => model.zero(1, 0, 2, 3, false) },
  {
    name: 'entry',
    run: (model, rig) => {
      model.saveEntry(1, `at ${rig.nowUs}`);
    },
  },
  {
    name: 'settle',
    run: (model, rig) => {
      model.settle(rig.store.lastLsn);
    },
  },
  {
    name: 'free',
    run: (model) => {
      model.freeVolume(2);
    },
  },
  {
    name: 'flush',
    run: (_model, rig) => {
      rig.store.wantDurable(rig.store.lastLsn);
    },
  },
];

function formatted(): Rig {
  const rig = new Rig(1, SIZE_BYTES, OPTIONS);
  rig.format({ ...formatOptionsOf(1), segments: 8 });
  return rig;
}

/** Runs a workload up to a number of steps. Returns null when it ended before. */
function runTo(
  workload: readonly Operation[],
  steps: number,
  seed: number,
): { rig: Rig; model: Model } | null {
  const rig = new Rig(seed + 7, SIZE_BYTES, OPTIONS);
  rig.medium.copyFrom(EMPTY.medium);
  rig.openFully();
  const model = new Model(rig);
  let left = steps;
  const stop = (): boolean => left-- <= 0;
  for (const operation of workload) {
    operation.run(model, rig);
    rig.endBatch();
    if (stop()) return { rig, model };
    rig.step();
  }
  for (;;) {
    if (stop()) return { rig, model };
    if (rig.step()) continue;
    const deadlineUs = rig.store.nextDeadlineUs();
    if (deadlineUs === Infinity) return null;
    rig.nowUs = Math.max(rig.nowUs, deadlineUs);
    rig.endBatch();
  }
}

/** What is on the medium after a cut: nothing that was not flushed, all of it, or any part, as often as drawn. */
const SUBSETS: readonly Survival[] = ['none', 'all', 'some', 'some'];

/** Cuts the power at every completion of the disk. @returns what was wrong, or how many cuts were survived */
function cutEverywhere(workload: readonly Operation[]): string | number {
  let cuts = 0;
  for (let steps = 0; ; steps++)
    for (const survival of SUBSETS) {
      const run = runTo(workload, steps, cuts);
      if (run === null) return steps > 0 ? cuts : 'nothing happened';
      const { rig, model } = run;
      const durableLsn = rig.store.durableLsn;
      const unflushed = rig.powerLoss(survival);
      rig.openFully();
      const wrong = rig.fault() ?? model.check(durableLsn);
      if (wrong !== null)
        return `${workload.map((one) => one.name).join(', ')}, cut at ${steps}, kept ${survival}: ${wrong}`;
      cuts++;
      // Everything was flushed: there is one outcome only.
      if (unflushed === 0) break;
    }
}

function* workloads(length: number): Generator<Operation[]> {
  if (length === 0) yield [];
  else
    for (const first of OPERATIONS)
      for (const rest of workloads(length - 1)) yield [first, ...rest];
}

for (const length of [1, 2, 3])
  test(`a power cut anywhere in every workload of ${length} operations loses nothing durable`, (t) => {
    let count = 0;
    let cuts = 0;
    for (const workload of workloads(length)) {
      const survived = cutEverywhere(workload);
      if (typeof survived === 'string') t.fail(survived);
      else cuts += survived;
      count++;
    }
    t.is(count, OPERATIONS.length ** length);
    figure(t, `${cuts} power cuts of the store, in ${count} workloads of ${length} operations`);
  });
