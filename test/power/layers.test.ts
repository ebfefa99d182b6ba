// Random work on volumes with snapshots: writes, zeroes, discards, snapshots of snapshots, removals and merges, crashes at
// random moments, and comparison with a model of layers. Reads run while other blocks are changed.

import test from 'ava';

import { SimCacheMemory } from '../../backend/sim/cache-memory.js';
import { figure } from '../support/figure.js';
import { CHUNKS, LayerModel } from './layer-model.js';
import { GEOMETRY, Rig, optionsOf } from './store-rig.js';

const CHUNK = GEOMETRY.chunkBlocks;
/** On a device that is nearly full, units that a merge freed are soon taken again: before its record is durable none may be. */
const SIZES_BYTES = [128 * 1024, 80 * 1024];
const SEEDS = 300;
const CACHED_SEEDS = 60;
const LIVES = 5;
const OPERATIONS = 120;
const VOLUMES_MAX = 8;

/** A read that was begun, and what it must find. */
interface Begun {
  readonly token: number;
  readonly volumeKey: number;
  readonly chunk: number;
  readonly wanted: readonly number[];
}

function operate(rig: Rig, model: LayerModel, busyChunk: number, busyVolume: number): void {
  const { prng, store } = rig;
  const volumeKey = prng.pick([...model.volumes.keys()]);
  const chunk = prng.below(CHUNKS);
  const first = prng.below(CHUNK);
  const count = 1 + prng.below(CHUNK - first);
  const merging = [...model.merging.keys()];
  const what = prng.below(16);
  if (merging.length > 0 && what < 4) {
    model.mergeSome(prng.pick(merging), busyChunk);
    return;
  }
  if (what === 4 && model.volumes.size < VOLUMES_MAX) model.snapshot(volumeKey);
  else if (what === 5 && model.volumes.size > 1 && prng.chance(1, 2)) {
    if (volumeKey !== busyVolume) model.remove(volumeKey);
  } else if (what === 6) store.settle(prng.below(store.lastLsn + 1));
  else if (what === 7) store.wantDurable(prng.below(store.lastLsn + 1));
  else if (chunk === busyChunk) return;
  else if (what === 8) model.zero(volumeKey, chunk, first, count, true);
  else if (what === 9) model.zero(volumeKey, chunk, 0, CHUNK, true);
  else if (what === 10) model.zero(volumeKey, chunk, first, count, false);
  else if (what === 11) model.write(volumeKey, chunk, first, count, true);
  else if (what === 12) model.write(volumeKey, chunk, 0, CHUNK);
  else model.write(volumeKey, chunk, first, prng.chance(1, 2) ? 1 : count);
}

function beginRead(rig: Rig, model: LayerModel): Begun {
  const [volumeKey, top] = rig.prng.pick([...model.volumes]);
  const chunk = rig.prng.below(CHUNKS);
  const wanted = model.expectedRead(volumeKey, chunk);
  return {
    volumeKey,
    token: rig.beginThrough(model.chain(top), 50, chunk, 0, CHUNK),
    chunk,
    wanted,
  };
}

function live(rig: Rig, model: LayerModel): string | null {
  const { prng } = rig;
  const operations = prng.below(OPERATIONS);
  let begun: Begun | null = null;
  for (let count = 0; count < operations; count++) {
    if (begun === null && prng.chance(1, 3)) begun = beginRead(rig, model);
    operate(rig, model, begun?.chunk ?? -1, begun?.volumeKey ?? 0);
    if (prng.chance(2, 3)) rig.endBatch();
    for (let steps = prng.below(8); steps > 0; steps--) rig.step();
    if (prng.chance(1, 60)) rig.runIdle();
    if (begun === null || !rig.hasRead(begun.token)) continue;
    const found = rig.takeThrough(begun.token, 50, begun.chunk, 0, CHUNK);
    if (found.join() !== begun.wanted.join())
      return `a read of chunk ${begun.chunk} found ${found.join()}, not ${begun.wanted.join()}`;
    begun = null;
  }
  return null;
}

const counts = {
  ...{ powerLoss: 0, kill: 0, merges: 0, conflicts: 0 },
  ...{ cacheHits: 0, cacheEvictions: 0, cacheRejects: 0 },
};

function crash(rig: Rig, powerLoss: boolean): void {
  if (powerLoss) rig.powerLoss();
  else rig.kill();
  counts[powerLoss ? 'powerLoss' : 'kill']++;
}

/** A life's cache goes with it. */
function noteCache({ store }: Rig): void {
  counts.cacheHits += store.cacheCounts()?.hits ?? 0;
  counts.cacheEvictions += store.cacheCounts()?.evictions ?? 0;
  counts.cacheRejects += store.cacheCounts()?.rejects ?? 0;
}

/** @param cacheBlocks - of the read cache, 0: none */
function runSeed(seed: number, cacheBlocks = 0): string | null {
  const sizeBytes = SIZES_BYTES[seed % SIZES_BYTES.length] ?? 0;
  const cacheMemory = new SimCacheMemory();
  const cacheChunks = seed % 2 === 0 ? 16 : 8;
  const rig = new Rig(seed, sizeBytes, optionsOf({ cacheChunks, cacheMemory }));
  // A few bytes of tables belong to each block.
  rig.cacheBytes = cacheBlocks * (GEOMETRY.blockBytes + 10);
  rig.format();
  const model = new LayerModel(rig);
  rig.openFully();
  for (let life = 0; life < LIVES; life++) {
    const read = live(rig, model);
    if (read !== null) return `life ${life}: ${read}`;
    noteCache(rig);
    const powerLoss = rig.prng.chance(2, 3);
    const lsnMin = powerLoss ? rig.store.durableLsn : rig.store.writtenLsn;
    crash(rig, powerLoss);
    while (rig.prng.chance(1, 3)) {
      rig.open();
      for (let steps = rig.prng.below(60); steps > 0; steps--) rig.step();
      crash(rig, powerLoss);
    }
    rig.openFully();
    const wrong = rig.fault() ?? model.check(lsnMin);
    if (wrong !== null) return `life ${life}, ${powerLoss ? 'power loss' : 'kill'}: ${wrong}`;
  }
  counts.merges += model.merges;
  counts.conflicts += model.conflicts;
  return null;
}

test('a store with snapshots holds what it reported, whatever happens', (t) => {
  for (let seed = 1; seed <= SEEDS; seed++) t.is(runSeed(seed), null, `seed ${seed}`);
  t.true(
    counts.merges > 0 && counts.conflicts > 0,
    'merges and blocks that had to be written first',
  );
  figure(
    t,
    `${counts.powerLoss} power cuts and ${counts.kill} kills of a store with snapshots, ${counts.merges} chunks merged`,
  );
});

test('a read cache of a few blocks finds what the device holds, and nothing else', (t) => {
  for (let seed = 1; seed <= CACHED_SEEDS; seed++)
    for (const blocks of [3, 16, 200]) t.is(runSeed(seed, blocks), null, `seed ${seed}, ${blocks}`);
  t.true(counts.cacheHits > 0 && counts.cacheEvictions > 0, JSON.stringify(counts));
  t.is(counts.cacheRejects, 0, 'what is in the cache is what the device holds: it always verifies');
});
