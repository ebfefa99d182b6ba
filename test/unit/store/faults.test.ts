// Disks that fail, lie and rot: the store says so, and never hands out wrong data.

import test from 'ava';

import { addressSeed, blockChecksum } from '../../../backend/core/checksum.js';
import {
  PAGE_HEAD_BYTES,
  getDescriptorVolumeKey,
} from '../../../backend/protocol/generated/disk.js';
import { DISK_MAGIC, PAGE_KIND } from '../../../backend/protocol/tables/disk.js';
import {
  BLOCK_STATE,
  MERGE_DOUBTFUL,
  ROOM,
  makeContext,
} from '../../../backend/sds/store/store.js';
import type { WriteContext } from '../../../backend/sds/store/store.js';
import { Model } from '../../power/store-model.js';
import { BYTES, Rig, blockOf } from '../../power/store-rig.js';

const SIZE_BYTES = 128 * 1024;
/** A V-tree by its first layer, and the layer above that. */
const VTREE = 50;
const ABOVE = 51;

function opened(seed: number): { rig: Rig; model: Model } {
  const rig = new Rig(seed, SIZE_BYTES);
  rig.format();
  rig.openFully();
  return { rig, model: new Model(rig) };
}

/** Runs until the store is idle or has failed. */
function settleDown(rig: Rig): void {
  for (let count = 0; count < 10_000 && rig.broken === null; count++) {
    if (rig.step()) continue;
    const deadlineUs = rig.store.nextDeadlineUs();
    if (deadlineUs === Infinity) return;
    rig.nowUs = Math.max(rig.nowUs, deadlineUs);
    rig.endBatch();
  }
}

test('a failed write ends the store for good', (t) => {
  const { rig, model } = opened(1);
  rig.medium.faults.failWrites = 1;
  model.write(1, 0, 0, 1);
  rig.endBatch();
  settleDown(rig);
  t.regex(rig.broken ?? '', /write failed/);
});

test('a failed flush ends the store although the next one would succeed', (t) => {
  const { rig, model } = opened(2);
  model.write(1, 0, 0, 1);
  rig.store.wantDurable(rig.store.lastLsn);
  rig.medium.faults.failFlushes = 1;
  rig.endBatch();
  settleDown(rig);
  t.regex(rig.broken ?? '', /flush/);
  t.is(rig.store.durableLsn, 0);
  // What the failed flush dropped is gone after the power went; nothing pretends otherwise.
  rig.powerLoss();
  rig.openFully();
  t.is(rig.fault(), null);
  t.is(model.check(0), null);
});

test('a rotten block is reported as such, its neighbours are not', (t) => {
  const { rig, model } = opened(3);
  model.write(1, 0, 0, 8);
  rig.flush();
  rig.runIdle();
  const place = findBlock(rig, 3);
  rig.medium.rot(place + 17, 5);
  const tags = rig.readTags(1, 0, 0, 8);
  t.is(tags[3], -2);
  t.true(tags.every((tag, index) => index === 3 || tag > 0));
  // Written anew it is whole again.
  model.write(1, 0, 3, 1);
  rig.flush();
  rig.runIdle();
  t.is(model.check(0), null);
});

/** Offset of the block that carries tag `index + 1` of the first write, in the data area. */
function findBlock(rig: Rig, index: number): number {
  const all = rig.medium.snapshot(0, SIZE_BYTES);
  const view = new DataView(all.buffer);
  for (let at = SIZE_BYTES - 256 - BYTES; at > 0; at -= BYTES)
    if (view.getUint32(at, true) === index + 1) return at;
  throw new Error('the block is nowhere');
}

test('a failed read is reported as bad blocks, and the store goes on', (t) => {
  const { rig, model } = opened(4);
  model.write(1, 0, 0, 8);
  rig.flush();
  rig.runIdle();
  rig.medium.faults.failReads = 1;
  t.true(rig.readTags(1, 0, 0, 8).every((tag) => tag === -2));
  t.is(rig.broken, null);
  t.is(model.check(0), null);
});

test('a disk of which nothing can be read any more ends the store after a few reads', (t) => {
  const { rig, model } = opened(9);
  model.write(1, 0, 0, 8);
  rig.flush();
  rig.runIdle();
  rig.medium.faults.failReads = Infinity;
  for (let count = 0; count < 8 && rig.broken === null; count++) {
    rig.store.read(1000 + count, 1, 1, 0, 0, 8, new Uint8Array(8 * (BYTES + 4)), 0);
    rig.endBatch();
    settleDown(rig);
  }
  t.regex(rig.broken ?? '', /nothing can be read/);
});

test('a bad spot of a disk never ends the store, however often it is read', (t) => {
  const { rig, model } = opened(11);
  model.write(1, 0, 0, 8);
  rig.flush();
  rig.runIdle();
  for (let count = 0; count < 40; count++) {
    // The read of the block fails; what the store reads thereupon to find out about the disk does not.
    rig.medium.faults.failReads = 1;
    t.is(rig.readTags(1, 0, 0, 1)[0], -2);
    rig.medium.faults.failReads = 0;
    model.write(1, 1, 0, 2);
    rig.flush();
    rig.runIdle();
  }
  t.is(rig.broken, null);
  t.is(model.check(0), null);
});

test('lost and misdirected writes are never handed out as data', (t) => {
  for (let seed = 10; seed < 60; seed++) {
    const { rig, model } = opened(seed);
    for (let count = 0; count < 12; count++) {
      const at = rig.prng.below(40);
      if (at < 3) rig.medium.faults.loseWrites = 1;
      else if (at < 6) rig.medium.faults.misdirectWrites = 1;
      model.write(1, rig.prng.below(4), rig.prng.below(4), 1 + rig.prng.below(4));
      rig.endBatch();
      for (let steps = rig.prng.below(10); steps > 0; steps--) rig.step();
    }
    settleDown(rig);
    rig.medium.faults.loseWrites = 0;
    rig.medium.faults.misdirectWrites = 0;
    const before = checkLoosely(rig, model);
    t.is(before, null, `seed ${seed}`);
    rig.kill();
    rig.openFully();
    // What the disk lost for good may make the device useless, but never wrong.
    if (rig.fault() !== null) continue;
    t.is(checkLoosely(rig, model), null, `seed ${seed}, opened again`);
  }
});

test('whatever a disk loses or spoils between checkpoints, nothing older is handed out', (t) => {
  let refused = 0;
  for (let seed = 200; seed < 300; seed++) {
    const { rig, model } = opened(seed);
    for (let count = 0; count < 20; count++) {
      model.write(1, rig.prng.below(4), rig.prng.below(4), 1 + rig.prng.below(4));
      rig.flush();
      const fault = rig.prng.below(20);
      if (fault === 0) rig.medium.faults.loseWrites = 1;
      else if (fault === 1) rig.medium.faults.misdirectWrites = 1;
      else if (fault === 2) rig.medium.faults.tearWrites = 1;
      else if (fault === 3) rig.medium.rot(rig.medium.randomSector() + 3, 2);
      if (rig.prng.chance(1, 2)) settleDown(rig);
    }
    settleDown(rig);
    rig.kill();
    rig.openFully();
    if (rig.fault() === null) t.is(checkLoosely(rig, model), null, `seed ${seed}`);
    else refused++;
  }
  t.true(refused < 50, `${refused} of 100 devices were refused`);
});

/** Every block is what was written last, or reported as bad. */
function checkLoosely(rig: Rig, model: Model): string | null {
  for (let chunk = 0; chunk < 4; chunk++) {
    const found = rig.readTags(1, chunk, 0, 8);
    for (const [block, tag] of found.entries()) {
      const written = [0];
      for (const change of model.changes) {
        if (change.chunk !== chunk || change.lsn > rig.store.lastLsn) continue;
        const value = change.tags[block - change.first];
        if (value !== undefined) written.push(value);
      }
      const last = written[written.length - 1];
      const fits = tag === -2 || tag === last;
      if (!fits) return `chunk ${chunk}, block ${block}: ${tag} instead of ${String(last)}`;
    }
  }
  return null;
}

/** Places of all valid pages of a kind, the one with the highest sequence first. */
function pagesOfKind(rig: Rig, kind: number): number[] {
  const view = new DataView(rig.medium.snapshot(0, SIZE_BYTES).buffer);
  const found: number[] = [];
  for (let at = 0; at + 64 <= SIZE_BYTES; at += 64)
    if (view.getUint32(at, true) === DISK_MAGIC.page && view.getUint16(at + 6, true) === kind)
      found.push(at);
  const sequence = (at: number): number => Number(view.getBigUint64(at + 32, true));
  return found.sort((one, other) => sequence(other) - sequence(one));
}

/** A device whose chunk 0 was written twice, with a checkpoint behind each. */
function twice(seed: number): { rig: Rig; model: Model } {
  const { rig, model } = opened(seed);
  for (let round = 0; round < 2; round++) {
    model.write(1, 0, 0, 8);
    model.saveEntry(1, `entry ${round}`);
    rig.flush();
    rig.runIdle();
  }
  return { rig, model };
}

test('a descriptor whose newest page rotted is unreadable, the older page is never used', (t) => {
  const { rig, model } = twice(7);
  rig.kill();
  const [newest = 0, older] = pagesOfKind(rig, PAGE_KIND.descriptor);
  t.not(older, undefined);
  rig.medium.rot(newest + 45, 2);
  rig.openFully();
  t.is(rig.fault(), null);
  t.deepEqual(rig.readTags(1, 0, 0, 8), new Array(8).fill(-2));
  // The older page rots as well as the newest is whole: nobody notices.
  rig.kill();
  rig.medium.rot(newest + 45, 2);
  rig.medium.rot((older ?? 0) + 45, 2);
  rig.openFully();
  t.is(model.check(rig.openedLsn), null);
});

test('a device whose log lost a durable write is refused, and goes on where the write was not durable yet', (t) => {
  for (const [later, refused] of [
    [2, true],
    [0, false],
  ] as const) {
    const { rig, model } = opened(12);
    model.write(1, 0, 0, 3);
    rig.flush();
    rig.medium.faults.loseWrites = 1;
    model.write(1, 1, 0, 1);
    rig.flush();
    for (let count = 0; count < later; count++) {
      model.write(1, 2, count, 1);
      rig.flush();
    }
    rig.kill();
    rig.openFully();
    // The newest write of all leaves no trace: other devices know of it, this one cannot.
    if (refused) t.regex(rig.refused ?? '', /the log ends at record 1, but record 3 was durable/);
    else t.is(rig.store.lastLsn, 1);
  }
});

test('a device whose newest page of a table is gone is refused, the older page is never used', (t) => {
  for (const kind of [PAGE_KIND.directory, PAGE_KIND.bitmap, PAGE_KIND.entries]) {
    const { rig, model } = twice(8);
    rig.kill();
    const [newest = 0, older = 0] = pagesOfKind(rig, kind);
    rig.medium.rot(newest + 45, 2);
    rig.openFully();
    t.is(rig.refused, 'the newest version of a page of the tables is lost or damaged');
    rig.kill();
    rig.medium.rot(newest + 45, 2);
    rig.medium.rot(older + 45, 2);
    rig.openFully();
    t.is(rig.fault(), null);
    t.is(model.check(rig.openedLsn), null);
  }
});

test('an unreadable descriptor loses its blocks visibly, and writes go on', (t) => {
  const { rig, model } = opened(5);
  for (let chunk = 0; chunk < 3; chunk++) model.write(1, chunk, 0, 8);
  rig.flush();
  rig.runIdle();
  rig.kill();
  const rotten = rotDescriptors(rig);
  t.true(rotten > 0);
  rig.openFully();
  t.is(rig.fault(), null);
  t.true(rig.readTags(1, 0, 0, 8).every((tag) => tag === -2));
  t.true(rig.describe(1, 0).every((state) => state === 1));
  model.write(1, 0, 2, 3);
  rig.endBatch();
  rig.flush();
  const tags = rig.readTags(1, 0, 0, 8);
  t.deepEqual(
    tags.map((tag) => tag > 0),
    [false, false, true, true, true, false, false, false],
  );
  rig.runIdle();
  rig.kill();
  rig.openFully();
  t.deepEqual(rig.readTags(1, 0, 0, 8), tags);
});

test('a block whose unit was lost with a descriptor gets a new one, also when it is written before the next one is read', (t) => {
  const { rig, model } = opened(13);
  for (let chunk = 0; chunk < 3; chunk++) model.write(1, chunk, 0, 8);
  rig.flush();
  rig.runIdle();
  rig.kill();
  t.true(rotDescriptors(rig) > 0);
  rig.openFully();
  t.true(rig.readTags(1, 0, 0, 8).every((tag) => tag === -2));
  // The descriptor is written anew, and says that there are no units.
  model.zero(1, 0, 6, 1, false);
  rig.flush();
  rig.runIdle();
  rig.kill();
  rig.openFully();
  model.write(1, 0, 2, 1);
  rig.endBatch();
  rig.flush();
  rig.runIdle();
  const expected = [false, false, true, false, false, false, false, false];
  for (const reopen of [false, true]) {
    if (reopen) {
      rig.kill();
      rig.openFully();
    }
    t.is(rig.fault(), null);
    const tags = rig.readTags(1, 0, 0, 8);
    t.deepEqual(
      tags.map((tag) => tag > 0),
      expected,
    );
    t.is(tags[6], 0);
  }
});

/** A change of a layer of V-tree 50. */
function change(layerKey: number, firstBlock: number, blockCount: number): WriteContext {
  return {
    ...{ ...makeContext(), comb: 0, generationEpoch: 1, generationNumber: 1, volumeKey: layerKey },
    ...{ vtreeKey: VTREE, volumeEpoch: 1, chunkIndex: 0, firstBlock, blockCount },
    ...{ run: 7, opLow: layerKey * 8 + firstBlock, opHigh: 0, masks: layerKey !== VTREE },
  };
}

function writeLayer(
  { store }: Rig,
  layerKey: number,
  first: number,
  tags: readonly number[],
): void {
  const bytes = new Uint8Array(tags.length * (4 + BYTES));
  const view = new DataView(bytes.buffer);
  for (const [index, tag] of tags.entries()) {
    const at = 4 * tags.length + index * BYTES;
    blockOf(tag, bytes, at);
    const seed = addressSeed(VTREE, 0, first + index);
    view.setUint32(4 * index, blockChecksum(bytes.subarray(at, at + BYTES), seed), true);
  }
  store.write(change(layerKey, first, tags.length), bytes, 0, 4 * tags.length);
}

/** All blocks of the chunk in the root layer, of which the layer above hides one by zeroes and another by data. */
function chained(): Rig {
  const { rig } = opened(9);
  writeLayer(rig, VTREE, 0, [11, 12, 13, 14, 15, 16, 17, 18]);
  rig.flush();
  rig.runIdle();
  rig.powerLoss();
  rig.openFully();
  rig.store.zero(change(ABOVE, 0, 1), true);
  writeLayer(rig, ABOVE, 4, [25]);
  rig.flush();
  rig.runIdle();
  return rig;
}

test('a layer whose descriptor is lost shows nothing of the layers below', (t) => {
  const rig = chained();
  const read = (): number[] => rig.readThrough([ABOVE, VTREE], VTREE, 0, 0, 8);
  t.deepEqual(read(), [0, 12, 13, 14, 25, 16, 17, 18]);
  rig.kill();
  t.is(rotDescriptors(rig, ABOVE), 1);
  rig.openFully();
  const lost = new Array<number>(8).fill(-2);
  t.deepEqual(read(), lost, 'what zeroes hid neither, although they had no place');
  t.deepEqual(rig.readTags(ABOVE, 0, 0, 8, VTREE), lost, 'as other devices ask for it');
  t.true(rig.describe(ABOVE, 0).every((state) => state === BLOCK_STATE.data));
  t.deepEqual(rig.readTags(VTREE, 0, 0, 2, VTREE), [11, 12]);
  writeLayer(rig, ABOVE, 6, [27]);
  const after = [...lost.slice(0, 6), 27, -2];
  t.deepEqual(read(), after);
  rig.flush();
  rig.runIdle();
  rig.kill();
  rig.openFully();
  t.deepEqual(read(), after, 'the loss is remembered');
});

test('what is merged into a layer whose descriptor is lost stays lost, and a primary does not begin that', (t) => {
  for (const [lostKey, doubtful] of [
    [ABOVE, true],
    [VTREE, true],
    [0, false],
  ] as const) {
    const rig = chained();
    rig.kill();
    if (lostKey !== 0) t.is(rotDescriptors(rig, lostKey), 1);
    rig.openFully();
    const { store } = rig;
    rig.runUntil(() => {
      const isHere = store.mergeRoom(ABOVE, VTREE, 0, false) === ROOM.ok;
      if (!isHere && !rig.step()) rig.endBatch();
      return isHere;
    });
    const conflicts = store.mergeConflicts(ABOVE, VTREE, 0, new Uint8Array(8));
    t.is(conflicts === MERGE_DOUBTFUL, doubtful);
    if (lostKey === 0) continue;
    // A member does what its primary says.
    store.merge(change(ABOVE, 0, 8), VTREE);
    const expected =
      lostKey === ABOVE ? new Array<number>(8).fill(-2) : [0, -2, -2, -2, 25, -2, -2, -2];
    t.deepEqual(rig.readThrough([ABOVE, VTREE], VTREE, 0, 0, 8), expected);
    t.deepEqual(rig.readTags(ABOVE, 0, 0, 8, VTREE), expected);
    rig.flush();
    rig.kill();
    rig.openFully();
    t.deepEqual(rig.readTags(ABOVE, 0, 0, 8, VTREE), expected);
  }
});

/** Damages every valid descriptor page, or those of one layer. Returns how many. */
function rotDescriptors(rig: Rig, layerKey = 0): number {
  const all = rig.medium.snapshot(0, SIZE_BYTES);
  const view = new DataView(all.buffer);
  let count = 0;
  for (let at = 0; at + 64 <= SIZE_BYTES; at += 64) {
    const isDescriptor =
      view.getUint32(at, true) === 0x44534d02 && view.getUint16(at + 6, true) === 4;
    const volumeKey = getDescriptorVolumeKey(view, at + PAGE_HEAD_BYTES);
    if (!isDescriptor || (layerKey !== 0 && volumeKey !== layerKey)) continue;
    rig.medium.rot(at + 45, 2);
    count++;
  }
  return count;
}

test('a slow disk delays, but breaks nothing', (t) => {
  const { rig, model } = opened(6);
  rig.medium.faults.slowFactor = 500;
  for (let chunk = 0; chunk < 10; chunk++) {
    model.write(1, chunk, 0, 5);
    rig.step();
  }
  rig.flush();
  rig.powerLoss();
  rig.openFully();
  t.is(model.check(rig.openedLsn), null);
});

test('a disk that lies about flushes is found out at the next open, or nothing is missing', (t) => {
  let refused = 0;
  for (let seed = 100; seed < 130; seed++) {
    const { rig, model } = opened(seed);
    rig.medium.faults.lyingFlush = true;
    for (let count = 0; count < 20; count++) {
      model.write(1, rig.prng.below(6), rig.prng.below(4), 1 + rig.prng.below(4));
      rig.flush();
    }
    rig.medium.faults.lyingFlush = false;
    rig.powerLoss();
    rig.openFully();
    if (rig.fault() === null) t.is(checkLoosely(rig, model), null, `seed ${seed}`);
    else refused++;
  }
  t.true(refused > 15, `${refused} of 30 devices were refused`);
});
