// A device that runs full: writes wait or hear it, everything else goes on, and freed space comes back.

import test from 'ava';

import { ROOM } from '../../../backend/sds/store/store.js';
import { Model } from '../../power/store-model.js';
import { GEOMETRY, Rig, optionsOf } from '../../power/store-rig.js';

const SIZE_BYTES = 96 * 1024;
const CHUNK = GEOMETRY.chunkBlocks;

function opened(seed: number): { rig: Rig; model: Model } {
  const rig = new Rig(seed, SIZE_BYTES);
  rig.format();
  rig.openFully();
  return { rig, model: new Model(rig) };
}

/** Writes chunks until the device is full. Returns how many fit. */
function fill(rig: Rig, model: Model, volumeKey: number): number {
  for (let chunk = 0; ;) {
    const room = rig.store.room(volumeKey, chunk, 0, CHUNK);
    if (room === ROOM.full) return chunk;
    if (room === ROOM.wait) {
      rig.runIdle();
      continue;
    }
    model.write(volumeKey, chunk, 0, CHUNK);
    model.settle(rig.store.lastLsn);
    rig.endBatch();
    chunk++;
  }
}

test('a full device takes overwrites, zeroes, discards and entries, and survives', (t) => {
  const { rig, model } = opened(1);
  const chunks = fill(rig, model, 1);
  t.true(chunks > 10);
  const { capacityBytes, usedBytes } = rig.store.usage();
  t.true(usedBytes > capacityBytes - CHUNK * GEOMETRY.blockBytes);
  for (let round = 0; round < 300; round++) {
    const chunk = rig.prng.below(chunks);
    if (rig.store.room(1, chunk, 0, 3) === ROOM.ok) model.write(1, chunk, 0, 3);
    else rig.runIdle();
    if (round % 10 === 0) model.zero(1, chunk, 1, 2, false);
    if (round % 25 === 0) model.saveEntry(round % 5, `round ${round}`);
    model.settle(rig.store.lastLsn);
    rig.endBatch();
    rig.step();
  }
  rig.flush();
  rig.powerLoss();
  rig.openFully();
  t.is(model.check(rig.openedLsn), null);
});

test('discards on a full device make room again', (t) => {
  const { rig, model } = opened(2);
  const chunks = fill(rig, model, 1);
  t.is(rig.store.room(2, 0, 0, CHUNK), ROOM.full);
  for (let chunk = 0; chunk < chunks; chunk++) model.zero(1, chunk, 0, CHUNK, true);
  rig.endBatch();
  rig.flush();
  rig.runIdle();
  t.is(rig.store.usage().usedBytes, 0);
  t.true(rig.store.freeBlocks() > 0);
  // The rows stay, for another copy may lack the discards; so the same volume can be written again.
  t.is(fill(rig, model, 1), chunks);
  t.is(model.check(0), null);
});

test('what is kept is left out for thin volumes only, in whole units', (t) => {
  const { rig } = opened(5);
  const free = rig.store.freeBlocks();
  t.is(rig.store.thinBlocks(), free);
  const { unitBlocks, blockBytes } = rig.store.geometry;
  const unitBytes = unitBlocks * blockBytes;
  rig.store.keepFree(rig.store.usage().capacityBytes - 3 * unitBytes + 1);
  t.is(rig.store.thinBlocks(), 2);
  t.is(rig.store.freeBlocks(), free);
  rig.store.keepFree(Number.MAX_SAFE_INTEGER);
  t.is(rig.store.thinBlocks(), 0);
  t.is(rig.store.room(1, 0, 0, CHUNK), ROOM.ok, 'copies and thick volumes go on');
  rig.store.keepFree(0);
  t.is(rig.store.thinBlocks(), free);
});

test('deleting a volume on a full device gives everything back', (t) => {
  const { rig, model } = opened(3);
  const chunks = fill(rig, model, 1);
  model.freeVolume(1);
  rig.endBatch();
  rig.runIdle();
  t.deepEqual([...rig.store.volumes()], []);
  t.is(rig.store.usage().usedBytes, 0);
  t.is(fill(rig, model, 2), chunks);
  rig.flush();
  rig.kill();
  rig.openFully();
  t.is(model.check(0), null);
  t.deepEqual(
    [...rig.store.volumes()].map((volume) => volume.volumeKey),
    [2],
  );
});

test('a deletion that is cut short goes on after the next open', (t) => {
  for (let steps = 0; steps < 60; steps += 3) {
    const { rig, model } = opened(10 + steps);
    for (let chunk = 0; chunk < 20; chunk++) {
      model.write(1, chunk, 0, 4);
      model.write(2, chunk, 2, 4);
      rig.endBatch();
    }
    rig.flush();
    rig.runIdle();
    model.freeVolume(1);
    rig.store.wantDurable(rig.store.lastLsn);
    rig.endBatch();
    for (let count = 0; count < steps; count++) rig.step();
    const durableLsn = rig.store.durableLsn;
    rig.powerLoss();
    rig.openFully();
    t.is(model.check(durableLsn), null, `cut at ${steps}`);
    rig.runIdle();
    const left = [...rig.store.volumes()]
      .map((volume) => volume.volumeKey)
      .sort((one, other) => one - other);
    t.deepEqual(left, model.freed.length > 0 ? [2] : [1, 2], `cut at ${steps}`);
  }
});

test('writing zeroes where nothing is allocates nothing', (t) => {
  const { rig, model } = opened(4);
  for (let chunk = 0; chunk < 8; chunk++) model.write(1, chunk, 0, CHUNK, true);
  rig.endBatch();
  rig.flush();
  t.is(rig.store.usage().usedBytes, 0);
  t.deepEqual(rig.readTags(1, 3, 0, CHUNK), new Array<number>(CHUNK).fill(0));
});

test('while nothing is settled the log keeps the facts and writes wait instead of failing', (t) => {
  const { rig, model } = opened(5);
  let waits = 0;
  for (let round = 0; round < 2000 && waits < 20; round++) {
    if (!model.write(1, round % 20, round % 7, 1)) waits++;
    rig.endBatch();
    if (waits > 0) rig.runUntil(() => rig.queue.length === 0 || rig.step());
    else rig.step();
  }
  t.is(rig.broken, null);
  t.true(waits > 0, 'the ring of records is bounded');
  model.settle(rig.store.lastLsn);
  rig.runIdle();
  t.is(rig.store.room(1, 0, 0, 1), ROOM.ok);
  rig.flush();
  rig.powerLoss();
  rig.openFully();
  t.is(model.check(rig.openedLsn), null);
});

test('what a volume uses is counted by units', (t) => {
  const { rig, model } = opened(6);
  model.write(1, 0, 0, 1);
  model.write(1, 1, 0, CHUNK);
  model.write(2, 0, 1, 2);
  rig.endBatch();
  rig.runIdle();
  const unitBytes = GEOMETRY.unitBlocks * GEOMETRY.blockBytes;
  t.deepEqual(
    [...rig.store.volumes()],
    [
      { volumeKey: 1, usedBytes: 5 * unitBytes },
      { volumeKey: 2, usedBytes: 2 * unitBytes },
    ],
  );
  t.is(rig.store.usage().usedBytes, 7 * unitBytes);
});

test('a deletion comes to an end although the cache holds few descriptors', (t) => {
  for (const cacheChunks of [1, 2, 4]) {
    const rig = new Rig(7, SIZE_BYTES, optionsOf({ cacheChunks }));
    rig.format();
    rig.openFully();
    const model = new Model(rig);
    t.true(fill(rig, model, 1) > 10);
    rig.flush();
    rig.runIdle();
    model.freeVolume(1);
    rig.endBatch();
    rig.runIdle();
    t.is(rig.store.usage().usedBytes, 0);
  }
});

test('deleting a large volume leaves the ring of records room for what may not be refused', (t) => {
  // Of a real device the log takes many times the records of the ring.
  const rig = new Rig(5, 1024 * 1024, optionsOf({ ringRecords: 128, cacheChunks: 64 }));
  rig.format();
  rig.openFully();
  const model = new Model(rig);
  const chunks = 600;
  for (let chunk = 0; chunk < chunks;) {
    if (rig.store.room(1, chunk, 0, CHUNK) !== ROOM.ok) {
      rig.runIdle();
      continue;
    }
    model.write(1, chunk++, 0, CHUNK);
    model.settle(rig.store.lastLsn);
    rig.endBatch();
  }
  rig.runIdle();
  model.freeVolume(1);
  rig.endBatch();
  rig.runIdle();
  t.deepEqual([...rig.store.volumes()], []);
  t.is(rig.store.usage().usedBytes, 0);
  rig.flush();
  rig.powerLoss();
  rig.openFully();
  t.is(model.check(rig.openedLsn), null);
});
