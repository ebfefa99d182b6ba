// What an operator may do to the files of devices: put one back from a copy, leave a copy where the device was. What is
// stale never counts, and nothing that was acknowledged is lost. A real cluster, stopped and started.

import { renameSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { LocalCluster } from '../support/local-cluster.js';
import { until } from '../support/until.js';

let cluster: LocalCluster;
let volume: string;
test.before(async () => {
  cluster = await LocalCluster.start('--sds', '2', '--device-size', '1G');
  volume = await cluster.addVolume('copies');
  await cluster.mapVolume(volume);
});
test.after.always(async () => {
  await cluster.remove();
});

const device = (name: string): string => join(cluster.dir, 'sds1', name);

/** A copy that takes no more room than what is in it. */
const copy = (from: string, to: string) => execa('cp', ['--sparse=always', from, to]);

/** What qemu-io says, once the volume takes all of it. */
async function io(...commands: readonly string[]): Promise<string> {
  const uri = `nbd+unix:///?socket=${cluster.file.nbdDir}/${volume}.sock`;
  const args = ['-f', 'raw', ...commands.flatMap((command) => ['-c', command]), uri];
  return until(commands.join(', '), async () => {
    const { stdout } = await execa('qemu-io', args, { reject: false });
    return /^(read|wrote) |verification failed/m.test(stdout) ? stdout : null;
  });
}

/** From the copy on the first server alone. */
async function ioWithoutSecond(...commands: readonly string[]): Promise<string> {
  const halted = [...cluster.processes('sds'), ...cluster.processes('sds-data')].filter(
    ({ name }) => name.startsWith('sds2'),
  );
  for (const { pid } of halted) process.kill(pid, 'SIGSTOP');
  try {
    return await io(...commands);
  } finally {
    for (const { pid } of halted) process.kill(pid, 'SIGCONT');
  }
}

test.serial('a device that was put back from a copy is made equal before it counts', async (t) => {
  await io('write -P 0x11 0 8M', 'flush');
  await cluster.stop();
  await copy(device('device0'), device('kept'));
  await cluster.startAgain();
  await io('write -P 0x22 0 8M', 'flush');
  await cluster.stop();
  renameSync(device('kept'), device('device0'));
  await cluster.startAgain();
  await cluster.allInSync();
  t.notRegex(await io('read -P 0x22 0 8M'), /verification failed/);
  t.notRegex(await ioWithoutSecond('read -P 0x22 0 8M'), /verification failed/);
});

test.serial('of two copies of a device that which was opened last is served', async (t) => {
  await cluster.allInSync();
  await cluster.stop();
  await copy(device('device0'), device('kept'));
  await cluster.startAgain();
  await io('write -P 0x33 0 8M', 'flush');
  await cluster.stop();
  renameSync(device('device0'), device('moved'));
  renameSync(device('kept'), device('device0'));
  await cluster.startAgain();
  await cluster.allInSync();
  t.notRegex(await ioWithoutSecond('read -P 0x33 0 8M'), /verification failed/);
  const [row] = cluster.processes('sds-data').filter(({ name }) => name.startsWith('sds1'));
  t.truthy(row);
  const { stdout } = await execa('ls', ['-l', `/proc/${row?.pid ?? 0}/fd`]);
  t.regex(stdout, /sds1\/moved/);
});
