// The parts that hold the store's state, against plain models.

import test from 'ava';
import fc from 'fast-check';

import { bitCount, Directory } from '../../../backend/sds/store/directory.js';
import { planLayout } from '../../../backend/sds/store/layout.js';
import type { Layout } from '../../../backend/sds/store/layout.js';
import { OpRing } from '../../../backend/sds/store/op-ring.js';
import { PRODUCT_GEOMETRY } from '../../../backend/sds/store/defaults.js';
import { UnitMap } from '../../../backend/sds/store/unit-map.js';
import type { Geometry, WriteContext } from '../../../backend/sds/store/store.js';
import { GEOMETRY } from '../../power/store-rig.js';

function layoutOf(sizeBytes: number, geometry: Geometry = GEOMETRY): Layout {
  const sizes = geometry === GEOMETRY ? { sizeBytes, entryRows: 16 } : { sizeBytes };
  const layout = planLayout(geometry, sizes);
  if (typeof layout === 'string') throw new Error(layout);
  return layout;
}

test('areas follow each other, do not overlap, and leave at least 90 % to data', (t) => {
  for (const sizeBytes of [2 ** 30, 16 * 2 ** 30, 2 ** 40, 16 * 2 ** 40]) {
    const layout = layoutOf(sizeBytes, PRODUCT_GEOMETRY);
    const pageBlocks = layout.pageBytes / 4096;
    const ends = [
      layout.logAt + layout.logBlocks,
      layout.directoryAt + 2 * layout.directoryPages * pageBlocks,
      layout.bitmapAt + 2 * layout.bitmapPages * pageBlocks,
      layout.entriesAt + 2 * layout.entryPages * pageBlocks,
      layout.descriptorsAt + (2 * layout.chunks * layout.descriptorBytes) / 4096,
      layout.dataAt + layout.units * 16,
    ];
    const starts = [
      layout.directoryAt,
      layout.bitmapAt,
      layout.entriesAt,
      layout.descriptorsAt,
      layout.dataAt,
      layout.secondSuperblockAt / 4096,
    ];
    ends.forEach((end, index) => t.true(end <= (starts[index] ?? 0), `area ${index}`));
    t.true(layout.secondSuperblockAt + layout.superblockBytes <= sizeBytes);
    t.true(layout.units * 65_536 > 0.9 * sizeBytes);
    t.true(layout.chunks * 1_048_576 > 1.3 * layout.units * 65_536);
    t.true(layout.bitmapPages * layout.unitsPerPage >= layout.units);
  }
});

test('a device that is too small says how much its tables need', (t) => {
  const fault = planLayout(PRODUCT_GEOMETRY, { sizeBytes: 8 * 2 ** 20 });
  t.regex(
    typeof fault === 'string' ? fault : '',
    /8388608 bytes leave no room for data behind \d+ bytes/,
  );
});

test('the resident index takes at most 64 bytes per chunk', (t) => {
  const layout = layoutOf(2 ** 40, PRODUCT_GEOMETRY);
  const directory = new Directory(layout);
  const bytes = Object.values(directory).reduce<number>(
    (sum, part) => sum + (ArrayBuffer.isView(part) ? part.byteLength : 0),
    0,
  );
  t.true(bytes / layout.chunks <= 64, `${bytes / layout.chunks} bytes`);
});

test('units are given out once, kept back until confirmed, and all come back', (t) => {
  const action = fc.record({
    kind: fc.constantFrom('take', 'free', 'confirm'),
    value: fc.nat(1000),
  });
  fc.assert(
    fc.property(fc.array(action, { maxLength: 300 }), (actions) => {
      const map = new UnitMap(layoutOf(96 * 1024));
      const total = map.freeCount;
      const owned: number[] = [];
      const freed: { unit: number; lsn: number }[] = [];
      let lsn = 1;
      for (const { kind, value } of actions) {
        if (kind === 'take' && map.freeCount > 0) {
          const hint = value % 3 === 0 ? value % total : -1;
          const unit = map.allocate(hint, value % 4, value % 2 === 0);
          if (owned.includes(unit) || freed.some((one) => one.unit === unit)) return false;
          owned.push(unit);
        } else if (kind === 'free' && owned.length > 0) {
          const [unit = 0] = owned.splice(value % owned.length, 1);
          map.release(unit, lsn, false);
          freed.push({ unit, lsn: lsn++ });
        } else if (kind === 'confirm') {
          const confirmed = lsn - (value % 5);
          map.confirm(confirmed, () => false);
          while ((freed[0]?.lsn ?? Infinity) <= confirmed) freed.shift();
        }
        if (map.usedCount !== owned.length || map.blockedCount !== freed.length) return false;
      }
      return true;
    }),
  );
  t.pass();
});

test('a unit on which an operation runs is not confirmed', (t) => {
  const map = new UnitMap(layoutOf(96 * 1024));
  const unit = map.allocate(-1, 0, false);
  map.release(unit, 5, false);
  t.false(map.confirm(5, (one) => one === unit));
  t.is(map.blockedCount, 1);
  t.true(map.confirm(5, () => false));
  t.is(map.blockedCount, 0);
});

test('overwriting in order and at random stays within places that were used before', (t) => {
  const layout = layoutOf(1024 * 1024);
  const { unitsPerChunk } = layout;
  const map = new UnitMap(layout);
  const chunks = 8;
  const units = Array.from({ length: chunks * unitsPerChunk }, (_, index) =>
    map.allocate(index % unitsPerChunk === 0 ? -1 : index, index % unitsPerChunk, false),
  );
  let lsn = 1;
  const replace = (index: number, hint: number, alone: boolean): void => {
    const old = units[index] ?? 0;
    units[index] = map.allocate(hint, index % unitsPerChunk, alone);
    map.release(old, lsn, false);
    // A change is confirmed when two chunks' worth of others came after it.
    map.confirm(lsn++ - 2 * unitsPerChunk, () => false);
  };
  for (let index = 0; index < 20 * units.length; index++) {
    const at = index % units.length;
    replace(at, at % unitsPerChunk === 0 ? -1 : (units[at - 1] ?? 0) + 1, false);
  }
  const inOrder = (chunks + 4) * unitsPerChunk;
  t.true(Math.max(...units) < inOrder, `unit ${Math.max(...units)} of ${inOrder}`);
  for (let index = 0; index < 20 * units.length; index++)
    replace((index * 7919) % units.length, units[0] ?? 0, true);
  t.true(Math.max(...units) < inOrder, `unit ${Math.max(...units)} of ${inOrder}`);
});

test('the directory finds what was put in, by chunk and by comb, whatever was removed', (t) => {
  const action = fc.record({
    add: fc.boolean(),
    volumeKey: fc.integer({ min: 1, max: 4 }),
    chunk: fc.nat(40),
    comb: fc.nat(3),
  });
  fc.assert(
    fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
      const directory = new Directory(layoutOf(96 * 1024));
      const model = new Map<string, { row: number; comb: number }>();
      for (const { add, volumeKey, chunk, comb } of actions) {
        const key = `${volumeKey}/${chunk}`;
        const known = model.get(key);
        if (add && known === undefined && directory.freeRows > 0)
          model.set(key, { row: directory.create(volumeKey, 1, chunk, comb), comb });
        else if (add && known !== undefined) {
          directory.stamp(known.row, comb, 1, 1);
          known.comb = comb;
        } else if (!add && known !== undefined) {
          directory.free(known.row);
          model.delete(key);
        }
        if (directory.find(volumeKey, chunk) !== (model.get(key)?.row ?? -1)) return false;
      }
      for (let comb = 0; comb < 4; comb++) {
        const rows = [...model.values()].filter((one) => one.comb === comb).map((one) => one.row);
        rows.sort((one, other) => one - other);
        if (directory.rowsOfComb(comb).join() !== rows.join()) return false;
      }
      return directory.freeRows === directory.capacity - model.size;
    }),
  );
  t.pass();
});

test('stamps never go back', (t) => {
  const directory = new Directory(layoutOf(96 * 1024));
  const row = directory.create(1, 1, 0, 0);
  directory.stamp(row, 0, 2, 5);
  directory.stamp(row, 0, 2, 4);
  directory.stamp(row, 0, 1, 9);
  t.is(directory.stampEpochs[row], 2);
  t.is(directory.stampNumbers[row], 5);
});

test('bits are counted', (t) => {
  t.deepEqual([0, 1, 0x80000000, 0xffffffff, 0x00f0].map(bitCount), [0, 1, 1, 32, 4]);
});

function contextOf(op: number, comb: number): WriteContext {
  return {
    comb,
    generationEpoch: 1,
    generationNumber: 1,
    volumeKey: 1,
    vtreeKey: 1,
    volumeEpoch: 1,
    masks: false,
    caches: false,
    chunkIndex: op,
    firstBlock: 0,
    blockCount: 1,
    run: 3,
    opLow: op,
    opHigh: 0,
  };
}

test('operations are known until they are trimmed or forgotten', (t) => {
  const action = fc.record({
    kind: fc.constantFrom('add', 'trim', 'forget'),
    value: fc.nat(50),
  });
  fc.assert(
    fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
      const ring = new OpRing(64);
      let lsn = 0;
      const known = new Map<number, { lsn: number; comb: number }>();
      for (const { kind, value } of actions) {
        if (kind === 'add' && lsn + 1 - ring.tailLsn < 64) {
          ring.add(++lsn, contextOf(lsn, value % 3), lsn);
          known.set(lsn, { lsn, comb: value % 3 });
        } else if (kind === 'trim') {
          ring.trim(Math.min(lsn + 1, ring.tailLsn + value));
          for (const op of [...known.keys()]) if (op < ring.tailLsn) known.delete(op);
        } else if (kind === 'forget') {
          ring.forgetComb(value % 3, lsn);
          for (const [op, { comb }] of known) if (comb === value % 3) known.delete(op);
        }
        for (let op = Math.max(1, lsn - 80); op <= lsn; op++)
          if (ring.knows(3, op, 0) !== known.has(op)) return false;
      }
      return true;
    }),
  );
  t.pass();
});
