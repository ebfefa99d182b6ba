// Names of block devices: the folders of links are open to other users although the client's files are not.

import { mkdirSync, mkdtempSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { putLink } from '../../../backend/runtime/block-device-names.js';

const modeOf = (path: string): number => statSync(path).mode & 0o777;

test.serial('folders that a link needs are made for everybody; those that were there stay', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'meshsan-names-'));
  t.teardown(() => {
    rmSync(dir, { recursive: true });
  });
  const before = process.umask(0o077);
  t.teardown(() => {
    process.umask(before);
  });
  mkdirSync(join(dir, 'private'));
  const folder = join(dir, 'private', 'disk', 'by-id');
  putLink({ path: join(folder, 'emc-vol-1-2'), target: '/dev/loop1' });
  putLink({ path: join(folder, 'emc-vol-1-2'), target: '/dev/loop2' });
  t.is(readlinkSync(join(folder, 'emc-vol-1-2')), '/dev/loop2');
  t.deepEqual([modeOf(join(dir, 'private', 'disk')), modeOf(folder)], [0o755, 0o755]);
  t.is(modeOf(join(dir, 'private')), 0o700);
});
