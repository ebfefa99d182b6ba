// The format of a device as a whole: raised by a checkpoint, kept, never lowered, and refused where it is not known.

import test from 'ava';

import * as disk from '../../../backend/protocol/generated/disk.js';
import { DISK_FORMAT_MAX } from '../../../backend/protocol/tables/disk.js';
import { decodeSuperblock, encodeSuperblock } from '../../../backend/sds/store/superblock.js';
import { Rig } from '../../power/store-rig.js';

const SIZE_BYTES = 96 * 1024;

function formatOnMedia(rig: Rig): number {
  const bytes = rig.medium.snapshot(0, 256);
  return disk.getSuperblockVersion(new DataView(bytes.buffer, bytes.byteOffset), 0);
}

test('a device is formatted as 1, and raised by its next checkpoint, not before', (t) => {
  const rig = new Rig(1, SIZE_BYTES);
  rig.format();
  rig.openFully();
  t.is(formatOnMedia(rig), 1);
  rig.store.raiseFormat(DISK_FORMAT_MAX);
  t.is(rig.store.format, 1, 'what came with a format is written once the superblock says it');
  t.is(formatOnMedia(rig), 1);
  rig.runIdle();
  t.is(rig.store.format, DISK_FORMAT_MAX);
  t.is(formatOnMedia(rig), DISK_FORMAT_MAX);
  rig.store.raiseFormat(1);
  rig.store.raiseFormat(DISK_FORMAT_MAX + 1);
  rig.runIdle();
  t.is(formatOnMedia(rig), DISK_FORMAT_MAX, 'it is never lowered, and never beyond what is known');
});

test('a device of a later format is refused with what is known', (t) => {
  const rig = new Rig(1, SIZE_BYTES);
  rig.format();
  const bytes = rig.medium.snapshot(0, 4096);
  const decoded = decodeSuperblock(bytes, 0);
  if (typeof decoded === 'string') throw new Error(decoded);
  const { superblock, layout } = decoded;
  const later = new Uint8Array(layout.superblockBytes);
  encodeSuperblock({ ...superblock, format: DISK_FORMAT_MAX + 1 }, layout, 0, later);
  const said = decodeSuperblock(later, 0);
  t.is(
    said,
    `the device has format version ${DISK_FORMAT_MAX + 1}, this program knows 1 to ${DISK_FORMAT_MAX}: it was written by a newer version of MeshSAN`,
  );
});
