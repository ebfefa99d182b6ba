// Opening and closing: identity, incarnations, boot ids, refusals.

import test from 'ava';

import { Model } from '../../power/store-model.js';
import { Rig, formatOptionsOf, optionsOf } from '../../power/store-rig.js';

const SIZE_BYTES = 128 * 1024;

function opened(): { rig: Rig; model: Model } {
  const rig = new Rig(3, SIZE_BYTES);
  rig.format();
  rig.openFully();
  return { rig, model: new Model(rig) };
}

function close(rig: Rig): void {
  rig.store.close(rig.nowUs);
  rig.runUntil(() => rig.store.closed);
}

test('every open raises the incarnation and names the one whose data it carries on', (t) => {
  const { rig, model } = opened();
  t.like(rig.identity, { deviceKey: 7, poolKey: 3, incarnation: 1, dataIncarnation: 0 });
  model.write(1, 0, 0, 1);
  rig.flush();
  rig.kill();
  rig.openFully();
  t.like(rig.identity, { incarnation: 2, dataIncarnation: 1, rolledBack: false });
});

test('after a power loss in a volatile mode the device says that it was rolled back, until it is believed', (t) => {
  const { rig, model } = opened();
  rig.store.setVolatile(true);
  model.write(1, 0, 0, 1);
  rig.endBatch();
  rig.powerLoss();
  rig.openFully();
  t.true(rig.identity?.rolledBack);
  // The process dies before anybody heard of it.
  rig.kill();
  rig.openFully();
  t.true(rig.identity?.rolledBack);
  rig.store.setVolatile(true);
  rig.flush();
  rig.runIdle();
  rig.kill();
  rig.openFully();
  t.false(rig.identity?.rolledBack);
});

test('a power loss in the media mode rolls nothing back', (t) => {
  const { rig, model } = opened();
  rig.store.setVolatile(false);
  rig.flush();
  model.write(1, 0, 0, 1);
  rig.endBatch();
  rig.powerLoss();
  rig.openFully();
  t.false(rig.identity?.rolledBack);
  t.is(model.check(1), null);
});

test('a switch to media that is not durable yet does not count', (t) => {
  const { rig } = opened();
  rig.store.setVolatile(true);
  rig.flush();
  rig.store.setVolatile(false);
  rig.powerLoss();
  rig.openFully();
  t.true(rig.identity?.rolledBack);
});

test('a clean end keeps everything and is no roll-back whatever the boot', (t) => {
  const { rig, model } = opened();
  rig.store.setVolatile(true);
  for (let chunk = 0; chunk < 6; chunk++) model.write(1, chunk, 0, 8);
  model.write(1, 2, 3, 1);
  close(rig);
  t.is(rig.store.durableLsn, rig.store.lastLsn);
  rig.powerLoss();
  rig.openFully();
  t.false(rig.identity?.rolledBack);
  t.is(model.check(rig.openedLsn), null);
});

test('close is answered although the store was busy with a checkpoint', (t) => {
  const { rig, model } = opened();
  for (let round = 0; round < 40; round++) {
    model.write(1, round % 8, 0, 3);
    rig.step();
  }
  close(rig);
  t.is(rig.store.durableLsn, rig.store.lastLsn);
});

test('a device of somebody else is refused and not written to', (t) => {
  const { rig } = opened();
  rig.kill();
  const before = rig.medium.snapshot(0, SIZE_BYTES);
  const other = new Rig(4, SIZE_BYTES, {
    ...optionsOf(),
    expected: { systemId: '00000000000000bb', deviceKey: 7 },
  });
  other.medium.copyFrom(rig.medium);
  other.openFully();
  t.regex(other.refused ?? '', /belongs to system 00000000000000aa, not 00000000000000bb/);
  t.deepEqual(other.medium.snapshot(0, SIZE_BYTES), before);
});

test('an empty disk, a damaged one and a shrunken one are refused with their reasons', (t) => {
  const empty = new Rig(5, SIZE_BYTES);
  empty.openFully();
  t.regex(empty.refused ?? '', /no MeshSAN superblock/);

  const { rig } = opened();
  rig.kill();
  const damaged = new Rig(6, SIZE_BYTES);
  damaged.medium.copyFrom(rig.medium);
  damaged.medium.rot(9, 1);
  damaged.medium.rot(SIZE_BYTES - 256 + 40, 1);
  damaged.openFully();
  t.regex(damaged.refused ?? '', /fails its checksum/);
});

test('one damaged superblock is enough to go on', (t) => {
  const { rig, model } = opened();
  model.write(1, 0, 0, 4);
  rig.flush();
  rig.kill();
  for (const at of [40, SIZE_BYTES - 256 + 40]) {
    rig.medium.rot(at, 3);
    rig.openFully();
    t.is(rig.fault(), null);
    t.is(model.check(1), null);
    rig.kill();
  }
});

test('a format overwrites an earlier device for good', (t) => {
  const { rig, model } = opened();
  model.write(1, 0, 0, 4);
  rig.flush();
  rig.runIdle();
  rig.kill();
  rig.format({ ...formatOptionsOf(50), deviceKey: 8 });
  rig.openFully();
  t.like(rig.identity, { deviceKey: 8, incarnation: 1, dataIncarnation: 0 });
  t.deepEqual(rig.readTags(1, 0, 0, 4), [0, 0, 0, 0]);
  t.is(rig.store.usage().usedBytes, 0);
});

test('a format that the power cut leaves no device behind, or the finished one', (t) => {
  for (let steps = 0; steps < 12; steps++) {
    const { rig, model } = opened();
    model.write(1, 0, 0, 4);
    rig.flush();
    rig.kill();
    try {
      rig.formatSome({ ...formatOptionsOf(60), deviceKey: 9 }, steps);
    } finally {
      rig.powerLoss();
    }
    rig.openFully();
    if (rig.identity === null) t.truthy(rig.refused);
    else if (rig.identity.deviceKey === 7) t.is(steps < 4, true, 'the old device was wiped first');
    else t.is(rig.identity.deviceKey, 9);
  }
});
