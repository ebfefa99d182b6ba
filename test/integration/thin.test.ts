// Thin volumes stay thin, whatever writes zeroes on them: a program, a copy of an image, a mirror of QEMU's. Zeroes and
// discards of any alignment read as zero everywhere, also while a server is away and while it catches up, and nothing
// of a volume that was removed is ever read through another.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { execa } from 'execa';

import { Prng } from '../../backend/core/prng.js';
import { LocalCluster } from '../support/local-cluster.js';
import { until } from '../support/until.js';

const MIB = 1024 * 1024;
const RUN_MIB = 1 / 16;

let cluster: LocalCluster;
let scratch: string;
test.before(async () => {
  cluster = await LocalCluster.start('--sds', '3', '--device-size', '4G');
  scratch = mkdtempSync(join(tmpdir(), 'meshsan-thin-'));
});
test.after.always(async () => {
  await cluster.remove();
  rmSync(scratch, { recursive: true, force: true });
});

/** Runs commands of qemu-io; one that fails is an error. */
async function qemuIo(target: string, commands: readonly string[]): Promise<void> {
  const args = commands.flatMap((command) => ['-c', command]);
  const { all } = await execa('qemu-io', ['-f', 'raw', '-d', 'unmap', ...args, target], {
    ...{ all: true, stdin: 'ignore', timeout: 120_000 },
  });
  if (/failed|error/i.test(all)) throw new Error(all);
}

const qemuImg = (...args: string[]) =>
  execa('qemu-img', args, { stdin: 'ignore', timeout: 120_000 });

/** What a volume holds, in MiB, as the operator is told once its devices have reported. */
async function heldMib(volumeId: string): Promise<number> {
  const rest = await cluster.rest();
  const volume = await rest.get<{ vtreeId: string }>(`/instances/Volume::${volumeId}`);
  const { data } = await rest.get<{ netCapacityInUseInKb: number }>(
    `/instances/VTree::${volume.data.vtreeId}/relationships/Statistics`,
  );
  return data.netCapacityInUseInKb / 1024;
}

async function holds(volumeId: string, mib: number): Promise<void> {
  let last = -1;
  await until(`the volume holds ${mib} MiB`, async () => {
    last = await heldMib(volumeId);
    return last === mib ? true : null;
  }).catch((error: unknown) => {
    throw new Error(`it holds ${last} MiB instead of ${mib}`, { cause: error });
  });
}

/** A mapped volume of 8 GiB; it goes with the test. */
async function volume(t: ExecutionContext, name: string): Promise<{ id: string; uri: string }> {
  const id = await cluster.addVolume(name);
  const uri = `nbd+unix:///?socket=${await cluster.mapVolume(id)}`;
  t.teardown(() => remove(id));
  return { id, uri };
}

async function remove(id: string): Promise<void> {
  await cluster.unmapVolume(id);
  await cluster.removeVolume(id);
}

/** A sparse image with data in three places: 4, 1 and 2 MiB. */
async function makeImage(sizeGib: number): Promise<string> {
  const image = join(scratch, `image${sizeGib}.raw`);
  await qemuImg('create', '-f', 'raw', image, `${sizeGib}G`);
  await qemuIo(image, ['write -P 0x11 0 4M', 'write -P 0x12 500M 1M', 'write -P 0x13 1022M 2M']);
  return image;
}
const IMAGE_HOLDS_MIB = 7;

test.serial('zeroes that are written take no room', async (t) => {
  const { id, uri } = await volume(t, 'zeroes');
  await qemuIo(uri, ['write -P 0 0 256M', 'write -P 0 300M 4k', 'write -z 512M 256M', 'flush']);
  await qemuIo(uri, ['write -P 0x21 400M 4k', 'flush']);
  // A lone block takes the smallest run of a device.
  await holds(id, RUN_MIB);
  await qemuIo(uri, ['discard 400M 1M', 'flush', 'read -P 0 400M 1M']);
  await holds(id, 0);
  t.pass();
});

test.serial('an image and its copy stay thin: qemu-img, with and without holes', async (t) => {
  const image = await makeImage(1);
  const first = await volume(t, 'converted');
  await qemuImg('convert', '-n', '-f', 'raw', '-O', 'raw', image, first.uri);
  await holds(first.id, IMAGE_HOLDS_MIB);
  const second = await volume(t, 'copied');
  // Without detection of zeroes in the tool: all of it is sent as data or zeroes.
  await qemuImg('convert', '-n', '-S', '0', '-f', 'raw', '-O', 'raw', image, second.uri);
  await holds(second.id, IMAGE_HOLDS_MIB);
  await execa('nbdcopy', ['--allocated', '--no-extents', image, second.uri], { timeout: 120_000 });
  await holds(second.id, IMAGE_HOLDS_MIB);
  const { stdout } = await qemuImg('compare', '-f', 'raw', '-F', 'raw', image, second.uri);
  t.regex(stdout, /Images are identical/);
});

test.serial("a mirror of QEMU's, as of a live migration, stays thin", async (t) => {
  const image = await makeImage(8);
  const { id, uri } = await volume(t, 'mirrored');
  const socket = new URL(uri).searchParams.get('socket') ?? '';
  const target = { driver: 'nbd', server: { type: 'unix', path: socket } };
  const daemon = execa(
    'qemu-storage-daemon',
    [
      ...['--chardev', 'stdio,id=m', '--monitor', 'chardev=m'],
      ...['--blockdev', `driver=file,node-name=source,filename=${image}`],
    ],
    { timeout: 120_000, reject: false },
  );
  const ask = (execute: string, args: object = {}): void => {
    daemon.stdin.write(`${JSON.stringify({ execute, arguments: args })}\n`);
  };
  ask('qmp_capabilities');
  ask('blockdev-add', { ...target, 'node-name': 'target', discard: 'unmap' });
  ask('blockdev-mirror', {
    ...{ 'job-id': 'move', device: 'source', target: 'target', sync: 'full' },
  });
  let said = '';
  for await (const line of daemon.iterable()) {
    said += `${line}\n`;
    if (line.includes('"BLOCK_JOB_READY"')) ask('job-complete', { id: 'move' });
    if (line.includes('"BLOCK_JOB_COMPLETED"')) ask('quit');
    if (line.includes('"error"')) break;
  }
  daemon.kill();
  t.regex(said, /BLOCK_JOB_COMPLETED/, said);
  t.notRegex(said, /"error"/, said);
  await holds(id, IMAGE_HOLDS_MIB);
  const { stdout } = await qemuImg('compare', '-f', 'raw', '-F', 'raw', image, uri);
  t.regex(stdout, /Images are identical/);
});

/** Writes, zeroes and discards at any sector, as commands for the volume, and for a file that is what it should be. */
function drawn(prng: Prng, count: number, withinMib: number): { real: string[]; model: string[] } {
  const real: string[] = [];
  const model: string[] = [];
  for (let i = 0; i < count; i++) {
    const at = prng.below((withinMib * MIB) / 512) * 512;
    const size = Math.min((1 + prng.below(4000)) * 512, withinMib * MIB - at);
    const kind = prng.below(3);
    const write = `write -P ${1 + prng.below(255)} ${at} ${size}`;
    // What a file system does with a discard of some sectors is its own affair: zeroes are what is promised here.
    const zero = `write -z ${at} ${size}`;
    real.push(kind === 0 ? write : kind === 1 ? zero : `discard ${at} ${size}`);
    model.push(kind === 0 ? write : zero);
  }
  return { real, model };
}

test.serial(
  'zeroes and discards of any alignment, while a server is away and catches up',
  async (t) => {
    const withinMib = 64;
    const { uri } = await volume(t, 'aligned');
    const file = join(scratch, 'model.raw');
    await qemuImg('create', '-f', 'raw', file, '8G');
    const prng = new Prng(20261122);
    const change = async (): Promise<void> => {
      const { real, model } = drawn(prng, 150, withinMib);
      await Promise.all([qemuIo(uri, [...real, 'flush']), qemuIo(file, model)]);
    };
    const compare = async (): Promise<void> => {
      const { stdout } = await qemuImg('compare', '-f', 'raw', '-F', 'raw', file, uri);
      t.regex(stdout, /Images are identical/);
    };
    await change();
    await compare();
    // Each server in turn: the copies of the others are read while it is away, and its own afterwards.
    for (const row of cluster.processes('sds-data')) {
      await cluster.killAndWait(row);
      await change();
      await compare();
      await change();
      await cluster.allInSync();
      await compare();
    }
  },
);

test.serial(
  'nothing of a removed volume is read through another, which takes its room',
  async (t) => {
    const small = await LocalCluster.start('--sds', '2', '--device-size', '1G');
    t.teardown(() => small.remove());
    const rest = await small.rest();
    const pools = await rest.get<{ id: string }[]>('/types/StoragePool/instances');
    const pool = `/instances/StoragePool::${pools.data[0]?.id ?? ''}/action`;
    await rest.post(`${pool}/setFullPolicy`, { fullPolicy: 'error' });
    const mapped = async (id: string): Promise<string> =>
      `nbd+unix:///?socket=${await small.mapVolume(id)}`;

    const secretId = await small.addVolume('secret');
    const secret = await mapped(secretId);
    const fill = Array.from({ length: 32 }, (_, index) => `write -P 0xa5 ${index * 32}M 32M`);
    await t.throwsAsync(qemuIo(secret, [...fill, 'flush']), { message: /No space left/ });
    await small.unmapVolume(secretId);
    await small.removeVolume(secretId);

    // A sector here and there: what surrounds it in its block and its run belongs to the new volume from now on.
    const prng = new Prng(7);
    const touches = Array.from({ length: 400 }, () => {
      const at = prng.below((512 * MIB) / 512) * 512;
      return `write -P 0x3c ${at} 512`;
    });
    const file = join(scratch, 'other.raw');
    await qemuImg('create', '-f', 'raw', file, '8G');
    await qemuIo(file, touches);
    const other = await mapped(await small.addVolume('other'));
    await until('the room of the removed volume is free', () =>
      qemuIo(other, [...touches, 'flush']).then(
        () => true,
        () => null,
      ),
    );
    for (const row of small.processes('sds-data')) {
      await small.allInSync();
      await small.killAndWait(row);
      const { stdout } = await qemuImg('compare', '-f', 'raw', '-F', 'raw', file, other);
      t.regex(stdout, /Images are identical/);
    }
  },
);
