// A host whose file system is full under a local cluster: writes wait, nothing fails for good, and all of it goes on by
// itself when there is room again. Needs root, for a file system of its own.

import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { LocalCluster } from '../support/local-cluster.js';
import { until } from '../support/until.js';

const place = mkdtempSync(join(tmpdir(), 'meshsan-full-'));
let cluster: LocalCluster | null = null;
test.before(async () => {
  await execa('mount', ['-t', 'tmpfs', '-o', 'size=96m', 'tmpfs', place]);
});
test.after.always(async () => {
  await cluster?.remove();
  await execa('umount', [place]);
  rmSync(place, { recursive: true, force: true });
});

const freeBytes = (): number => statfsSync(place).bavail * statfsSync(place).bsize;

test('writes wait for room on the disk of the host, and go on when there is some', async (t) => {
  cluster = await LocalCluster.startIn(join(place, 'c'), '--sds', '2', '--device-size', '1G');
  const uri = await cluster.volumeUri('large');
  const before = cluster.processes('sds-data').map(({ pid }) => pid);
  const writing = execa('qemu-io', ['-f', 'raw', '-c', 'write -P 0x5a 0 128M', '-c', 'flush', uri]);
  await until('the disk is full', () => (freeBytes() < 2 ** 20 ? true : null));
  await until('data processes ended', () =>
    before.some((pid) => {
      try {
        return !process.kill(pid, 0);
      } catch {
        return true;
      }
    })
      ? true
      : null,
  );
  t.is(writing.exitCode, null, 'the write waits');
  await execa('mount', ['-o', 'remount,size=800m', place]);
  const { stdout } = await writing;
  t.regex(stdout, /wrote 134217728/);
  t.notRegex(stdout, /failed|error/i);
  await cluster.allInSync();
  const read = await execa('qemu-io', ['-f', 'raw', '-c', 'read -P 0x5a 0 128M', uri]);
  t.notRegex(read.stdout, /failed|error/i);
  t.deepEqual(
    cluster.processes('sds-data').map(({ name }) => name),
    ['sds1-data1', 'sds2-data1'],
  );
});
