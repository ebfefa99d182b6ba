// What an operator relies on when a server is taken out under load: no I/O error, no wrong byte, and it goes only when its
// data is elsewhere. Real processes; judged by fio's own verification.

import test from 'ava';
import { execa } from 'execa';
import { LocalCluster } from '../support/local-cluster.js';
import { act, listServers, verifiedLoad } from '../support/server-story.js';
import { until } from '../support/until.js';

const REMOVAL_MS = 240_000;

let cluster: LocalCluster;
test.before(async () => {
  cluster = await LocalCluster.start('--sds', '4');
});
test.after.always(async () => {
  await cluster.remove();
});

test.serial('a server is removed under load: its data is elsewhere, none is lost', async (t) => {
  const uri = await cluster.volumeUri('moved');
  const pattern = ['-f', 'raw', '-c', 'write -P 0x5a 0 32M', '-c', 'write -P 0x3c 1G 8M', uri];
  await execa('qemu-io', pattern);
  const load = verifiedLoad(uri, 500);
  const [leaving] = await listServers(cluster);
  if (leaving === undefined) throw new Error('a server');
  t.is((await act(cluster, 'Sds', leaving.id, 'removeSds')).status, 200);
  const during = (await listServers(cluster)).find(({ id }) => id === leaving.id);
  if (during !== undefined) t.is(during.sdsState, 'RemovePending');
  await until(
    'the server is gone',
    async () => ((await listServers(cluster)).some(({ id }) => id === leaving.id) ? null : true),
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
  const [second, third] = await listServers(cluster);
  t.is((await act(cluster, 'Sds', second?.id ?? '', 'removeSds')).status, 200);
  const refused = await act(cluster, 'Sds', third?.id ?? '', 'removeSds');
  t.is(refused.status, 500);
  t.regex(refused.message, /fewer than two SDSs/);
});
