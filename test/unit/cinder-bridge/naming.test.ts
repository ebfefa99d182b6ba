// Names of Cinder's volumes.

import test from 'ava';
import fc from 'fast-check';

import {
  cinderIdOf,
  releasedName,
  snapshotIdOf,
  snapshotName,
  volumeName,
} from '../../../cinder-bridge/naming.js';

test('every uuid has one name of at most 31 characters, and is read back from it', (t) => {
  fc.assert(
    fc.property(fc.uuid(), (uuid) => {
      const name = volumeName(uuid);
      t.true(name.length <= 31);
      t.regex(name, /^[A-Za-z0-9_-]+$/);
      t.is(cinderIdOf(name), uuid);
      t.is(snapshotIdOf(snapshotName(uuid)), uuid);
      t.is(snapshotIdOf(name), null);
      t.is(cinderIdOf(snapshotName(uuid)), null);
      t.is(cinderIdOf(releasedName(uuid)), null);
      t.true(releasedName(uuid).length <= 31);
    }),
  );
});

test('names of others are nobody’s', (t) => {
  const name = volumeName('00000000-0000-4000-8000-000000000000');
  for (const other of [
    '',
    'vol1',
    'cinder-',
    `${name}x`,
    name.slice(0, -1),
    `${name.slice(0, -1)}!`,
  ])
    t.is(cinderIdOf(other), null, other);
  // The last of 22 characters carries four unused bits: another text for the same bytes is no name of ours.
  t.is(cinderIdOf(`${name.slice(0, -1)}B`), null);
  t.throws(() => volumeName('not-a-uuid'));
  t.throws(() => volumeName('00000000-0000-4000-8000-00000000000A'));
});
