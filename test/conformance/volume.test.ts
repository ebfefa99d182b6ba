// A volume of a real cluster, through its NBD socket, judged by libnbd's tools, QEMU and fio, in every durability mode.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { LocalCluster } from '../support/local-cluster.js';

const GIB = 2 ** 30;
const MIB = 2 ** 20;
const scratch = mkdtempSync(join(tmpdir(), 'meshsan-volume-'));
let cluster: LocalCluster;
test.before(async () => {
  cluster = await LocalCluster.start();
});
test.after.always(async () => {
  rmSync(scratch, { recursive: true, force: true });
  await cluster.remove();
});

async function setDurability(mode: string): Promise<void> {
  const rest = await cluster.rest();
  const { data } = await rest.get<{ id: string; name: string }[]>('/types/StoragePool/instances');
  const pool = data.find((known) => known.name === cluster.file.storagePool);
  if (pool === undefined) throw new Error('the cluster has no pool');
  await rest.post(`/instances/StoragePool::${pool.id}/action/setDurability`, { durability: mode });
}

const run = (program: string, ...args: string[]) =>
  execa('timeout', ['-s', 'KILL', '300', program, ...args], { stdin: 'ignore', all: true });

for (const mode of ['media', 'device', 'memory'])
  test.serial(`${mode}: fio writes and verifies sizes from a sector to 256 KiB`, async (t) => {
    await setDurability(mode);
    const uri = await cluster.volumeUri(`fio-${mode}`);
    const { exitCode } = await run(
      'fio',
      ...[`--name=${mode}`, '--ioengine=nbd', `--uri=${uri}`, '--rw=randrw', '--iodepth=32'],
      ...['--bsrange=512-256k', '--ba=512', '--size=96m', '--io_size=64m', '--fsync=64'],
      ...['--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0', '--randseed=11'],
    );
    t.is(exitCode, 0);
  });

test.serial(
  'what was never written, zeroed or discarded reads as zero, at any alignment',
  async (t) => {
    const uri = await cluster.volumeUri('zeroes');
    const { stdout } = await run(
      'qemu-io',
      ...['-f', 'raw', '-c', 'read -P 0 0 4M', '-c', 'write -P 0xaa 0 4M', '-c', 'flush'],
      ...['-c', 'write -z 512 1k', '-c', 'discard 1536k 1M', '-c', 'write -z 3072512 70656'],
      ...['-c', 'read -P 0xaa 0 512', '-c', 'read -P 0 512 1k', '-c', 'read -P 0xaa 1536 2560'],
      ...[
        '-c',
        'read -P 0 1536k 1M',
        '-c',
        'read -P 0xaa 2560k 64k',
        '-c',
        'read -P 0 3072512 70656',
      ],
      ...[
        '-c',
        'write -P 0x33 1537k 512',
        '-c',
        'read -P 0x33 1537k 512',
        '-c',
        'read -P 0 1536k 1k',
      ],
      uri,
    );
    t.false(stdout.includes('failed'), stdout);
  },
);

test.serial('an image copied in and out is the same, and QEMU agrees', async (t) => {
  const uri = await cluster.volumeUri('copy');
  const image = join(scratch, 'image');
  await execa('sh', ['-c', 'head -c 24M /dev/urandom >"$1" && truncate -s 8G "$1"', 'sh', image]);
  await run('nbdcopy', '--flush', '--destination-is-zero', image, uri);
  await run('nbdcopy', uri, `${image}.out`);
  t.is((await run('cmp', image, `${image}.out`)).exitCode, 0);
  const compared = await run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', image, uri);
  t.is(compared.exitCode, 0);
});

test.serial(
  'what is allocated is told as it is, and a thin volume stays thin when it is copied',
  async (t) => {
    const source = await cluster.volumeUri('thin-source');
    const target = await cluster.volumeUri('thin-target');
    const written = [
      '-c',
      'write -P 1 3M 64k',
      '-c',
      'write -P 2 5000M 1M',
      '-c',
      'write -P 3 1G 4k',
    ];
    await run(
      'qemu-io',
      '-f',
      'raw',
      ...written,
      '-c',
      'discard 5000M 512k',
      '-c',
      'flush',
      source,
    );
    const data = async (uri: string): Promise<number[][]> => {
      const { stdout } = await run('nbdinfo', '--map', uri);
      const rows = stdout
        .split('\n')
        .map((line) => line.trim().split(/\s+/).slice(0, 3).map(Number));
      t.is(
        rows.reduce((sum, [, length]) => sum + (length ?? 0), 0),
        8 * GIB,
      );
      return rows.filter(([, , flags]) => flags === 0).map((row) => row.slice(0, 2));
    };
    const expected = [
      [3 * MIB, 65536],
      [GIB, 4096],
      [5000 * MIB + MIB / 2, MIB / 2],
    ];
    t.deepEqual(await data(source), expected);
    const formats = ['-n', '--target-is-zero', '-f', 'raw', '-O', 'raw'];
    t.is((await run('qemu-img', 'convert', ...formats, source, target)).exitCode, 0);
    t.deepEqual(await data(target), expected);
    t.is((await run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', source, target)).exitCode, 0);
    const mapped = await run('qemu-img', 'map', '--output=json', '-f', 'raw', source);
    const extents = JSON.parse(mapped.stdout) as { start: number; length: number; data: boolean }[];
    t.deepEqual(
      extents.filter((extent) => extent.data).map(({ start, length }) => [start, length]),
      expected,
    );
  },
);

test.serial('nbdinfo reports the size; an extended volume has its new size', async (t) => {
  const id = await cluster.addVolume('sizes');
  const uri = `nbd+unix:///?socket=${await cluster.mapVolume(id)}`;
  t.is((await run('nbdinfo', '--size', uri)).stdout, String(8 * GIB));
  const rest = await cluster.rest();
  await rest.post(`/instances/Volume::${id}/action/setVolumeSize`, { sizeInGB: '16' });
  t.is((await run('nbdinfo', '--size', uri)).stdout, String(16 * GIB));
});

test.serial('a flush on one connection covers writes completed on another', async (t) => {
  const uri = await cluster.volumeUri('multi');
  const info = await run('nbdinfo', '--can', 'multi-conn', uri);
  t.is(info.exitCode, 0);
  const { exitCode } = await run(
    'nbdcopy',
    ...['--connections=4', '--requests=32', '--flush', join(scratch, 'image'), uri],
  );
  t.is(exitCode, 0);
});
