// What an operator relies on when a server is taken out under load: no I/O error, no wrong byte, and it goes only when its
// data is elsewhere. Real processes; judged by fio's own verification.

import test from 'ava';
import { execa } from 'execa';
import { LocalCluster } from '../support/local-cluster.js';
import { until } from '../support/until.js';

const REMOVAL_MS = 240_000;

interface SdsObject {
  readonly id: string;
  readonly name: string;
  readonly sdsState: string;
}

let cluster: LocalCluster;
test.before(async () => {
  cluster = await LocalCluster.start('--sds', '4');
});
test.after.always(async () => {
  await cluster.remove();
});

async function servers(): Promise<SdsObject[]> {
  const rest = await cluster.rest();
  return (await rest.get<SdsObject[]>('/types/Sds/instances')).data;
}

test.serial('a server is removed under load: its data is elsewhere, none is lost', async (t) => {
  const uri = await cluster.volumeUri('moved');
  const pattern = ['-f', 'raw', '-c', 'write -P 0x5a 0 32M', '-c', 'write -P 0x3c 1G 8M', uri];
  await execa('qemu-io', pattern);
  const load = execa(
    'timeout',
    [
      ...['-s', 'KILL', '600', 'fio', '--name=moved', '--ioengine=nbd', `--uri=${uri}`],
      ...['--rw=randrw', '--bs=4k', '--iodepth=8', '--offset=2g', '--size=128m'],
      ...['--io_size=64m', '--rate_iops=500', '--verify=crc32c'],
      ...['--verify_fatal=1', '--verify_state_save=0'],
    ],
    { stdin: 'ignore', all: true },
  );
  const [leaving] = await servers();
  if (leaving === undefined) throw new Error('a server');
  const rest = await cluster.rest();
  await rest.post(`/instances/Sds::${leaving.id}/action/removeSds`, {});
  const during = (await servers()).find(({ id }) => id === leaving.id);
  if (during !== undefined) t.is(during.sdsState, 'RemovePending');
  await until(
    'the server is gone',
    async () => ((await servers()).some(({ id }) => id === leaving.id) ? null : true),
    REMOVAL_MS,
  );
  t.is((await load).exitCode, 0);
  await cluster.allInSync();
  const { stdout } = await execa('qemu-io', [
    ...['-f', 'raw', '-c', 'read -P 0x5a 0 32M', '-c', 'read -P 0x3c 1G 8M'],
    ...['-c', 'read -P 0 1032M 8M', uri],
  ]);
  t.false(stdout.includes('failed'), stdout);
  // Three are left: another may go, and then no more.
  const [second, third] = await servers();
  await rest.post(`/instances/Sds::${second?.id ?? ''}/action/removeSds`, {});
  const refused = await rest.post(
    `/instances/Sds::${third?.id ?? ''}/action/removeSds`,
    {},
    {
      validateStatus: () => true,
    },
  );
  t.is(refused.status, 500);
  t.regex(JSON.stringify(refused.data), /fewer than two SDSs/);
});
