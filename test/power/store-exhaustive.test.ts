// Every workload of up to three operations, with a power cut at every point in time: after each completion of the disk,
// from the first operation until the store has nothing left to do. Then the device is opened and compared with the model.

import test from 'ava';

import { Model } from './store-model.js';
import { GEOMETRY, Rig, formatOptionsOf, optionsOf } from './store-rig.js';

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
function runTo(workload: readonly Operation[], steps: number): { rig: Rig; model: Model } | null {
  const rig = new Rig(steps + 7, SIZE_BYTES, OPTIONS);
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

function cutEverywhere(workload: readonly Operation[]): string | null {
  for (let steps = 0; ; steps++) {
    const run = runTo(workload, steps);
    if (run === null) return steps > 0 ? null : 'nothing happened';
    const { rig, model } = run;
    const durableLsn = rig.store.durableLsn;
    rig.powerLoss();
    rig.openFully();
    const wrong = rig.fault() ?? model.check(durableLsn);
    if (wrong === null) continue;
    return `${workload.map((one) => one.name).join(', ')}, cut at ${steps}: ${wrong}`;
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
    for (const workload of workloads(length)) {
      const wrong = cutEverywhere(workload);
      if (wrong !== null) t.fail(wrong);
      count++;
    }
    t.is(count, OPERATIONS.length ** length);
  });
