// A pool without free capacity: writes that need more end with "no space" or wait, by policy; what is there is read, and
// what is removed makes room again. Nothing that was written before is harmed.

import test from 'ava';
import { execa } from 'execa';

import { LocalCluster } from '../support/local-cluster.js';
import { until } from '../support/until.js';

const GIB_MIB = 1024;

let cluster: LocalCluster;
test.before(async () => {
  cluster = await LocalCluster.start('--sds', '2', '--device-size', '2G');
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
    while (written < 4 * GIB_MIB && !said.includes('failed')) {
      said = await qemuIo(uri, `write -P 0x32 ${written}M 64M`);
      written += 64;
    }
    t.regex(said, /write failed: No space left on device/);
    t.true(written > 512 && written < 2 * GIB_MIB, `${written} MiB fit`);

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
    const secondId = await cluster.addVolume('second');
    const second = `nbd+unix:///?socket=${await cluster.mapVolume(secondId)}`;
    await until('the room of the removed volume is back', async () =>
      (await qemuIo(second, 'write -P 0x41 0 256M')).includes('wrote') ? true : null,
    );
    t.notRegex(
      await qemuIo(second, 'flush', 'read -P 0x41 0 256M', 'read -P 0 256M 64M'),
      /failed/,
    );
    await cluster.allInSync();
    await cluster.unmapVolume(secondId);
    await cluster.removeVolume(secondId);
  },
);

/** fio that writes on a volume, in one process: it is the caller's to wait for or to kill. */
function writer(uri: string, ...flags: string[]) {
  const args = ['--name=w', '--ioengine=nbd', `--uri=${uri}`, '--rw=write', '--bs=256k'];
  return execa('fio', [...args, '--thread', '--iodepth=128', ...flags], {
    ...{ reject: false, stdin: 'ignore', timeout: 120_000, killSignal: 'SIGKILL' },
  });
}

test.serial(
  'writes wait for room by policy; reads, discards and deletes go on, also when waiting writers are killed',
  async (t) => {
    await setFullPolicy('error');
    const uri = await cluster.volumeUri('waiting');
    const id = await cluster.addVolume('ballast');
    const ballast = `nbd+unix:///?socket=${await cluster.mapVolume(id)}`;
    t.regex(await qemuIo(ballast, 'write -P 0x51 0 16M', 'flush'), /wrote/);
    t.not((await writer(ballast, '--offset=16m', '--size=4g')).exitCode, 0, 'it is full now');
    await setFullPolicy('wait');

    const goesOn = async (): Promise<string> =>
      qemuIo(ballast, 'read -P 0x51 0 4M', 'write -P 0x52 4M 1M', 'read -P 0x52 4M 1M', 'flush');
    for (let round = 0; round < 10; round++) {
      const killed = writer(uri, '--size=1g');
      await until('a reader is served beside the writer', async () =>
        (await qemuIo(uri, 'read 4G 1M')).includes('read 1048576') ? true : null,
      );
      t.notRegex(await goesOn(), /failed|error/i);
      t.is(killed.exitCode, null, 'it waits');
      killed.kill('SIGKILL');
      await killed;
    }

    // One volume would rather be told; nobody else is.
    const { data: volumes } = await (
      await cluster.rest()
    ).get<{ id: string; name: string }[]>('/types/Volume/instances');
    const waitingId = volumes.find(({ name }) => name === 'waiting')?.id ?? '';
    const choose = async (fullPolicy: string): Promise<unknown> =>
      (await cluster.rest()).post(`/instances/Volume::${waitingId}/action/setFullPolicy`, {
        fullPolicy,
      });
    await t.throwsAsync(choose('never'));
    await choose('error');
    t.regex(await qemuIo(uri, 'write 6G 1M'), /write failed: No space left on device/);
    await choose('pool');

    const waiting = writer(
      uri,
      '--offset=2g',
      '--size=64m',
      '--verify=crc32c',
      '--verify_state_save=0',
      '--do_verify=1',
    );
    t.notRegex(await goesOn(), /failed|error/i);
    t.regex(await qemuIo(ballast, 'discard 0 1M', 'read -P 0 0 1M'), /discard[^]*read/);
    t.is(waiting.exitCode, null, 'it waits');
    await cluster.unmapVolume(id);
    await cluster.removeVolume(id);
    const { exitCode, stdout } = await waiting;
    t.is(exitCode, 0, stdout);
    await cluster.allInSync();
  },
);

test.serial('thin volumes leave the spare and what thick ones reserve', async (t) => {
  const spared = await LocalCluster.start('--sds', '3', '--device-size', '2G');
  t.teardown(() => spared.remove());
  const rest = await spared.rest();
  const pools = await rest.get<{ id: string }[]>('/types/StoragePool/instances');
  const poolId = pools.data[0]?.id ?? '';
  const set = (name: string, body: object): Promise<unknown> =>
    rest.post(`/instances/StoragePool::${poolId}/action/${name}`, body);
  await set('setFullPolicy', { fullPolicy: 'error' });
  await set('setSparePercentage', { sparePercentage: '34' });
  const thick = await rest.post<{ id: string }>('/types/Volume/instances', {
    ...{ storagePoolId: poolId, name: 'thick', volumeType: 'ThickProvisioned' },
    ...{ volumeSizeInGb: '1', sizeGranularityInGb: 1 },
  });
  const thickUri = `nbd+unix:///?socket=${await spared.mapVolume(thick.data.id)}`;
  const thinUri = await spared.volumeUri('thin');
  const write = (uri: string, ...flags: string[]) => writer(uri, '--end_fsync=1', ...flags);
  t.not((await write(thinUri, '--size=4g')).exitCode, 0, 'thin volumes are stopped');
  t.regex(await qemuIo(thinUri, 'write -P 0x61 0 1M', 'flush'), /wrote 1048576/, 'what they have');
  t.is((await write(thickUri, '--size=1g')).exitCode, 0, 'all that was reserved can be written');
  t.notRegex(await qemuIo(thinUri, 'discard 0 64M', 'read -P 0 0 64M'), /failed/);

  // The loss of one server can be made good: all of it finds room on the other two.
  await spared.allInSync();
  const servers = await rest.get<{ id: string }[]>('/types/Sds/instances');
  const first = `/instances/Sds::${servers.data[0]?.id ?? ''}`;
  await rest.post(`${first}/action/enterProtectedMaintenanceMode`, {});
  await until(
    'a copy of all that the server holds is elsewhere',
    async () => {
      const { data } = await rest.get<{ maintenanceState: string }>(first);
      return data.maintenanceState === 'InMaintenance' ? true : null;
    },
    180_000,
  );
  t.notRegex(await qemuIo(thinUri, 'read 64M 64M'), /failed/);
});
