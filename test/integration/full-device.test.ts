// A pool without free capacity: writes that need more end with "no space" or wait, by policy; what is there is read, and
// what is removed makes room again. Nothing that was written before is harmed.

import test from 'ava';
import { execa } from 'execa';

import { LocalCluster, until } from '../support/local-cluster.js';

const GIB_MIB = 1024;

let cluster: LocalCluster;
test.before(async () => {
  cluster = await LocalCluster.start('--sds', '2', '--device-size', '1G');
});
test.after.always(async () => {
  await cluster.remove();
});

async function setFullPolicy(fullPolicy: 'wait' | 'error'): Promise<void> {
  const rest = await cluster.rest();
  const { data } = await rest.get<{ id: string }[]>('/types/StoragePool/instances');
  await rest.post(`/instances/StoragePool::${data[0]?.id ?? ''}/action/setFullPolicy`, {
    fullPolicy,
  });
}

/** Runs commands of qemu-io on a volume; a command that fails says so, the others go on. */
async function qemuIo(uri: string, ...commands: string[]): Promise<string> {
  const args = commands.flatMap((command) => ['-c', command]);
  const { all } = await execa('qemu-io', ['-f', 'raw', '-t', 'none', ...args, uri], {
    ...{ all: true, reject: false, stdin: 'ignore', timeout: 30_000 },
  });
  return all;
}

test.serial(
  'writes end with "no space", reads and deletes go on, and room comes back',
  async (t) => {
    await setFullPolicy('error');
    const id = await cluster.addVolume('filler');
    const uri = `nbd+unix:///?socket=${await cluster.mapVolume(id)}`;
    t.regex(await qemuIo(uri, 'write -P 0x31 0 16M', 'flush'), /wrote 16777216/);
    let written = 16;
    let said = '';
    while (written < 2 * GIB_MIB && !said.includes('failed')) {
      said = await qemuIo(uri, `write -P 0x32 ${written}M 32M`);
      written += 32;
    }
    t.regex(said, /write failed: No space left on device/);
    t.true(written > 256 && written < GIB_MIB, `${written} MiB fit`);

    const read = await qemuIo(uri, 'read -P 0x31 0 16M', 'read -P 0x32 16M 64M', 'read -P 0 4G 1M');
    t.notRegex(read, /failed|error/i);
    t.regex(
      await qemuIo(uri, 'write -P 0x33 1M 1M', 'flush'),
      /wrote 1048576/,
      'overwrite in place',
    );
    t.notRegex(await qemuIo(uri, 'read -P 0x33 1M 1M', 'read -P 0x31 2M 8M'), /failed/);

    // Removing it makes its room free again, for another one.
    await cluster.unmapVolume(id);
    await cluster.removeVolume(id);
    const second = await cluster.volumeUri('second');
    await until('the room of the removed volume is back', async () =>
      (await qemuIo(second, 'write -P 0x41 0 256M')).includes('wrote') ? true : null,
    );
    t.notRegex(
      await qemuIo(second, 'flush', 'read -P 0x41 0 256M', 'read -P 0 256M 64M'),
      /failed/,
    );
    await cluster.allInSync();
  },
);
