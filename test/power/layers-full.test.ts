// A full device with snapshots: what no client may be refused for lack of room, and what gives room back, goes on: discards and zeroes
// that hide what lies below, removals, merges, reads; also across losses of power.

import test from 'ava';

import { ROOM } from '../../backend/sds/store/store.js';
import { figure } from '../support/figure.js';
import { LayerModel } from './layer-model.js';
import { GEOMETRY, Rig, optionsOf } from './store-rig.js';

const CHUNK = GEOMETRY.chunkBlocks;
const SIZE_BYTES = 96 * 1024;
const SEEDS = 30;
const VOLUME = 1;

/** Lets everything that is under way end, as if all copies had confirmed it. */
function settle(rig: Rig): void {
  rig.endBatch();
  rig.flush();
  rig.store.settle(rig.store.lastLsn);
  rig.runIdle();
}

/** Writes a block of each chunk until there is no room. Returns how many chunks the layer has then, or 0: all fit. */
function fill(rig: Rig, model: LayerModel, chunks: number): number {
  const layerKey = model.volumes.get(VOLUME) ?? 0;
  for (let chunk = 0; chunk < chunks; chunk++) {
    const room = rig.store.room(layerKey, chunk, 0, 1);
    if (room === ROOM.full) return chunk;
    if (room === ROOM.wait) {
      settle(rig);
      chunk--;
      continue;
    }
    model.write(VOLUME, chunk, 0, 1);
  }
  return 0;
}

/** Tries until it is done; false: refused for good. */
function insist(rig: Rig, what: () => boolean): boolean {
  for (let tries = 0; tries < 4; tries++) {
    if (what()) return true;
    settle(rig);
  }
  return false;
}

/** Rows run out first: one block per chunk, in several layers. */
function fullOfRows(rig: Rig, model: LayerModel, chunks: number): number {
  for (let rounds = 0; rounds < 20; rounds++) {
    const taken = fill(rig, model, chunks);
    if (taken > 0) return taken;
    model.snapshot(VOLUME);
  }
  return 0;
}

const counts = { masks: 0, merges: 0 };

function runSeed(seed: number): string | null {
  const rig = new Rig(seed, SIZE_BYTES, optionsOf({ cacheChunks: 64 }));
  rig.format();
  rig.openFully();
  const chunks = rig.prng.between(4, 16);
  const model = new LayerModel(rig, chunks);
  const taken = fullOfRows(rig, model, chunks);
  if (taken === 0) return 'it did not get full';
  const top = model.volumes.get(VOLUME) ?? 0;
  const isNew = (chunk: number): boolean => !rig.store.hasChunk(top, chunk);
  // Discards and zeroes of chunks that the top layer has no descriptor of.
  for (let chunk = taken; chunk < Math.min(chunks, taken + 2); chunk++) {
    if (!isNew(chunk)) continue;
    const discard = rig.prng.chance(1, 2);
    if (!insist(rig, () => model.zero(VOLUME, chunk, 0, CHUNK, discard)))
      return `zeroes of chunk ${chunk} were refused`;
    counts.masks++;
  }
  if (rig.prng.chance(1, 2)) {
    settle(rig);
    rig.powerLoss();
    rig.openFully();
    const wrong = model.check(0);
    if (wrong !== null) return `full: ${wrong}`;
  }
  // Snapshots go: their own layers at once, what is frozen below by merges.
  for (const key of [...model.volumes.keys()]) if (key !== VOLUME) model.remove(key);
  const before = model.merges;
  for (let rounds = 0; model.merging.size > 0 && rounds < 2000; rounds++) {
    for (const parentKey of [...model.merging.keys()]) model.mergeSome(parentKey, -1);
    settle(rig);
  }
  counts.merges += model.merges - before;
  if (model.merging.size > 0) return 'layers were not merged';
  if (rig.prng.chance(1, 2)) rig.powerLoss();
  else rig.kill();
  rig.openFully();
  const wrong = rig.fault() ?? model.check(0);
  if (wrong !== null) return `after merges: ${wrong}`;
  settle(rig);
  const last = model.volumes.get(VOLUME) ?? 0;
  return rig.store.room(last, chunks, 0, 1) === ROOM.full ? 'no room came back' : null;
}

test('a device whose descriptors ran out takes zeroes over snapshots, merges, and has room again', (t) => {
  for (let seed = 1; seed <= SEEDS; seed++) t.is(runSeed(seed), null, `seed ${seed}`);
  t.true(counts.masks > 0 && counts.merges > 0, 'zeroes that hide, and merges');
  figure(t, `${counts.masks} zeroes over snapshots and ${counts.merges} merges on full devices`);
});
