// What becomes of the chunks of combs that a device carries no more.

import test from 'ava';

import { Model } from '../../power/store-model.js';
import { GEOMETRY, Rig } from '../../power/store-rig.js';

const SIZE_BYTES = 512 * 1024;
const CHUNK = GEOMETRY.chunkBlocks;
const CHUNKS = 24;
/** The model's chunks belong to them in turn. */
const COMBS = [0, 1, 2, 3];

/** More chunks than the cache of descriptors holds, all of them durable. */
function filled(seed: number): { rig: Rig; model: Model } {
  const rig = new Rig(seed, SIZE_BYTES);
  rig.format();
  rig.openFully();
  const model = new Model(rig);
  for (let chunk = 0; chunk < CHUNKS; chunk++) {
    if (!model.write(1, chunk, 0, CHUNK)) throw new Error(`no room for chunk ${chunk}`);
    rig.endBatch();
    rig.flush();
    rig.runIdle();
  }
  return { rig, model };
}

test('the chunks of a comb that is carried no more are freed, and stay so', (t) => {
  const { rig } = filled(1);
  t.true(rig.store.usage().usedBytes > 0);
  const { usedBytes } = rig.store.usage();
  rig.store.dropComb(1);
  rig.endBatch();
  rig.runIdle();
  t.is(rig.store.usage().usedBytes, (usedBytes * 3) / 4);
  t.deepEqual(rig.readTags(1, 5, 0, CHUNK), new Array<number>(CHUNK).fill(0));
  t.false(rig.readTags(1, 6, 0, CHUNK).includes(0), 'others stay');
  for (const comb of COMBS) rig.store.dropComb(comb);
  rig.endBatch();
  rig.runIdle();
  rig.flush();
  t.is(rig.store.usage().usedBytes, 0);
  t.deepEqual([...rig.store.volumes()], []);
  rig.kill();
  rig.openFully();
  t.is(rig.store.usage().usedBytes, 0);
});

test('a comb that comes back before it was freed keeps what is written from then on', (t) => {
  for (const steps of [0, 1, 3, 6, 10, 20]) {
    const { rig, model } = filled(10 + steps);
    for (const comb of COMBS) rig.store.dropComb(comb);
    if (steps > 0) rig.endBatch();
    for (let count = 1; count < steps; count++) rig.step();
    for (const comb of COMBS) rig.store.keepComb(comb);
    // What is still there is told to the primary, which copies all of it anew.
    for (let chunk = CHUNKS - 1; chunk >= 0; chunk--)
      while (!model.write(1, chunk, 0, CHUNK)) {
        rig.endBatch();
        rig.runIdle();
      }
    rig.endBatch();
    rig.flush();
    rig.runIdle();
    t.is(model.check(0), null, `after ${steps} steps`);
    rig.kill();
    rig.openFully();
    t.is(model.check(0), null, `after ${steps} steps, opened again`);
  }
});
