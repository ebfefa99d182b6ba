// Bytes on the device as version 1 of the format writes them. They never change: a device written by any release is read
// by the next ones. A new version gets a file of its own.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import test from 'ava';

import { DISK_VERSION } from '../../../backend/protocol/tables/disk.js';
import { planLayout } from '../../../backend/sds/store/layout.js';
import { Model } from '../../power/store-model.js';
import { GEOMETRY, Rig, formatOptionsOf } from '../../power/store-rig.js';

const SIZE_BYTES = 96 * 1024;
const GOLDEN = join(import.meta.dirname, '../../../../test/golden', `disk-${DISK_VERSION}.json`);

/** One of each structure, as a fixed scenario leaves them. */
export function structures(): Record<string, string> {
  const layout = planLayout(GEOMETRY, { ...formatOptionsOf(1), sizeBytes: SIZE_BYTES });
  if (typeof layout === 'string') throw new Error(layout);
  const rig = new Rig(1, SIZE_BYTES);
  rig.format();
  rig.openFully();
  const model = new Model(rig);
  model.write(1, 3, 1, 5);
  model.zero(1, 3, 7, 1, true);
  model.saveEntry(2, 'an entry');
  rig.endBatch();
  const hex = (at: number, length: number): string =>
    Buffer.from(rig.medium.snapshot(at, length)).toString('hex');
  rig.runUntil(() => rig.store.writtenLsn === rig.store.lastLsn);
  const { blockBytes } = GEOMETRY;
  const batch = hex(layout.logAt * blockBytes, layout.headerBytes + 3 * blockBytes);
  rig.runIdle();
  return {
    batch,
    superblock: hex(0, 256),
    secondSuperblock: hex(layout.secondSuperblockAt, 256),
    directory: hex(layout.directoryAt * blockBytes, 2 * layout.pageBytes),
    bitmap: hex(layout.bitmapAt * blockBytes, 2 * layout.pageBytes),
    entries: hex(layout.entriesAt * blockBytes, 2 * layout.pageBytes),
    descriptor: hex(layout.descriptorsAt * blockBytes, 2 * layout.descriptorBytes),
  };
}

test('structures on devices are written as ever', (t) => {
  t.deepEqual(structures(), JSON.parse(readFileSync(GOLDEN, 'utf8')));
});
