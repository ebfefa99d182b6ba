// What an operator relies on while processes die: no I/O error, no wrong byte, and acknowledged commands stay. Real
// processes, killed with -9; judged by fio's own verification.

import test from 'ava';
import { execa } from 'execa';
import { LocalCluster } from '../support/local-cluster.js';
import { until } from '../support/until.js';

let cluster: LocalCluster;
test.before(async () => {
  cluster = await LocalCluster.start();
});
test.after.always(async () => {
  await cluster.remove();
});

/** fio that writes and verifies; it ends with an error at the first I/O error or wrong byte. */
function fio(uri: string, name: string, ...args: string[]) {
  return execa(
    'timeout',
    [
      ...['-s', 'KILL', '600', 'fio', `--name=${name}`, '--ioengine=nbd', `--uri=${uri}`],
      ...['--rw=randrw', '--bs=4k', '--iodepth=32', '--size=1g', '--verify=crc32c'],
      ...['--verify_fatal=1', '--verify_state_save=0', ...args],
    ],
    { stdin: 'ignore', all: true },
  );
}

test.serial(
  'every data process is killed in turn under load: no error, no wrong byte',
  async (t) => {
    const uri = await cluster.volumeUri('data-kill');
    const load = fio(uri, 'kill', '--io_size=256m', '--rate_iops=2000');
    for (const row of cluster.processes('sds-data')) {
      await cluster.killAndWait(row);
      await cluster.allInSync();
    }
    const { exitCode } = await load;
    t.is(exitCode, 0);
  },
);

test.serial('the MDM is killed under load: I/O goes on, and so does management', async (t) => {
  const uri = await cluster.volumeUri('mdm-kill');
  const load = fio(uri, 'mdm', '--io_size=128m', '--rate_iops=2000');
  for (let i = 0; i < 3; i++)
    for (const row of cluster.processes('mdm')) await cluster.killAndWait(row);
  await until('the gateway answers again', async () => {
    const rest = await cluster.rest();
    return rest.get('/types/Volume/instances').then(
      () => true,
      () => null,
    );
  });
  t.is((await load).exitCode, 0);
});

test.serial('everything is stopped and started: all data is there', async (t) => {
  const id = await cluster.addVolume('restart');
  const uri = `nbd+unix:///?socket=${await cluster.mapVolume(id)}`;
  const pattern = ['-f', 'raw', '-c', 'write -P 0x7e 3M 5M', '-c', 'flush', uri];
  await execa('qemu-io', pattern);
  await cluster.stop();
  await cluster.startAgain();
  const socketUri = `nbd+unix:///?socket=${cluster.file.nbdDir}/${id}.sock`;
  const { stdout } = await until('the volume is back', () =>
    execa(
      'qemu-io',
      ['-f', 'raw', '-c', 'read -P 0x7e 3M 5M', '-c', 'read -P 0 8M 1M', socketUri],
      {
        timeout: 30_000,
      },
    ).catch(() => null),
  );
  t.false(stdout.includes('failed'), stdout);
});

test.serial('an unmapped volume has no socket, a removed one is gone', async (t) => {
  const id = await cluster.addVolume('short-lived');
  await cluster.mapVolume(id);
  await cluster.unmapVolume(id);
  await cluster.removeVolume(id);
  const rest = await cluster.rest();
  const { data } = await rest.get<{ id: string }[]>('/types/Volume/instances');
  t.false(data.some((volume) => volume.id === id));
});
