// Who is told to wait for room is told when there is some; and what may not be refused always finds room.

import test from 'ava';

import { DISK_MAGIC, PAGE_KIND } from '../../../backend/protocol/tables/disk.js';
import { ROOM } from '../../../backend/sds/store/store.js';
import { Model } from '../../power/store-model.js';
import { BYTES, GEOMETRY, Rig, optionsOf } from '../../power/store-rig.js';

const SIZE_BYTES = 128 * 1024;
const CHUNK = GEOMETRY.chunkBlocks;
const CACHE = 4;

/** A device with chunks 0 to 7 of volume 1 at home, and none of them in its small cache. */
function opened(seed: number): { rig: Rig; model: Model } {
  const rig = new Rig(seed, SIZE_BYTES, optionsOf({ cacheChunks: CACHE }));
  rig.format();
  rig.openFully();
  const model = new Model(rig);
  for (let chunk = 0; chunk < 8; chunk++) {
    model.write(1, chunk, 0, CHUNK);
    model.settle(rig.store.lastLsn);
    rig.flush();
    rig.runIdle();
  }
  rig.store.close(rig.nowUs);
  rig.runUntil(() => rig.store.closed);
  return { rig, model };
}

test('a write that waits for an entry of the cache is told when one is free', (t) => {
  const { rig } = opened(1);
  rig.openFully();
  const buffer = new Uint8Array(BYTES + 4);
  // Reads keep every entry until their descriptors arrive.
  for (let chunk = 0; chunk < CACHE; chunk++) rig.store.read(chunk, 1, 1, chunk, 0, 1, buffer, 0);
  t.is(rig.store.room(1, 20, 0, 1), ROOM.wait);
  const { progress } = rig;
  rig.runIdle();
  t.true(rig.progress > progress, 'nobody was told');
  t.is(rig.store.room(1, 20, 0, 1), ROOM.ok);
});

test('entries of chunks that were discarded come free although their descriptors are lost', (t) => {
  const { rig, model } = opened(2);
  rig.kill();
  const view = new DataView(rig.medium.snapshot(0, SIZE_BYTES).buffer);
  for (let at = 0; at + 64 <= SIZE_BYTES; at += 64)
    if (
      view.getUint32(at, true) === DISK_MAGIC.page &&
      view.getUint16(at + 6, true) === PAGE_KIND.descriptor
    )
      rig.medium.rot(at + 45, 2);
  rig.openFully();
  for (let chunk = 0; chunk < CACHE; chunk++) {
    t.true(model.zero(1, chunk, 0, CHUNK, true));
    rig.endBatch();
  }
  rig.flush();
  rig.runIdle();
  t.is(rig.store.room(1, 20, 0, 1), ROOM.ok);
});

test('operations are noted only as far as the log takes them, and go on once it was trimmed', (t) => {
  const { rig, model } = opened(3);
  rig.openFully();
  const context = {
    ...{ comb: 1, generationEpoch: 1, generationNumber: 1, volumeKey: 1, vtreeKey: 1 },
    ...{
      volumeEpoch: 1,
      chunkIndex: 0,
      firstBlock: 0,
      blockCount: 0,
      run: 5,
      opHigh: 1,
      masks: false,
      caches: false,
    },
  };
  let told = 0;
  for (; told < 10_000 && rig.store.roomForNotes(64); told += 64) {
    for (let index = 0; index < 64; index++) {
      rig.store.noteOp({ ...context, opLow: 100_000 + told + index });
      rig.neededOps.add(`5/${100_000 + told + index}/1`);
    }
    rig.endBatch();
  }
  t.true(told >= 64 && told < 10_000, `${told} operations`);
  // What may not be refused goes on meanwhile, and every operation is noted again by each checkpoint.
  for (let round = 0; round < 20; round++) {
    model.saveEntry(1, `round ${round}`);
    rig.endBatch();
    rig.runIdle();
  }
  rig.neededOps.clear();
  const { progress } = rig;
  model.saveEntry(1, 'nobody asks for the operations any more');
  model.settle(rig.store.lastLsn);
  rig.endBatch();
  rig.runIdle();
  t.true(rig.progress > progress);
  t.true(rig.store.roomForNotes(64));
});
