// What an operator relies on when a server goes to another protection domain under load: no I/O error, no wrong byte, the
// MDM and the server may die on the way, it may be called off, and it works where it went. Real processes.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { LocalCluster } from '../support/local-cluster.js';
import { act, listServers, make, verifiedLoad } from '../support/server-story.js';
import type { ListedServer } from '../support/server-story.js';
import { until } from '../support/until.js';

const MOVE_MS = 240_000;

let cluster: LocalCluster;
let home = '';
let other = '';
let otherPool = '';
test.before(async () => {
  cluster = await LocalCluster.start('--sds', '4', '--device-size', '4G');
  const [first] = await listServers(cluster);
  home = first?.protectionDomainId ?? '';
  other = await make(cluster, 'ProtectionDomain', { name: 'other' });
  const pool = { protectionDomainId: other, name: 'otherPool', mediaType: 'HDD' };
  otherPool = await make(cluster, 'StoragePool', pool);
});
test.after.always(async () => {
  await cluster.remove();
});

/** The spare of four servers does not cover one of three. */
const target = (force = 'TRUE'): object => ({
  ...{ protectionDomainId: other, storagePoolId: otherPool, force },
});

async function serverOf(id: string): Promise<ListedServer> {
  const found = (await listServers(cluster)).find((server) => server.id === id);
  if (found === undefined) throw new Error(`server ${id}`);
  return found;
}

async function settled(id: string, domainId: string): Promise<void> {
  await until(
    'the server has moved',
    async () => {
      const { moveState, protectionDomainId } = await serverOf(id);
      return moveState === 'NotMoving' && protectionDomainId === domainId ? true : null;
    },
    MOVE_MS,
  );
}

async function scli(words: readonly string[], input = ''): Promise<string> {
  const program = join(cluster.dir, 'bin', 'scli');
  return (await execa(program, words, { reject: false, input, all: true })).all;
}

test.serial('servers go to another domain, and no I/O fails', async (t) => {
  const uri = await cluster.volumeUri('kept');
  await execa('qemu-io', ['-f', 'raw', '-c', 'write -P 0x5a 0 32M', uri]);
  const load = verifiedLoad(uri, 300);
  const [moved, second, third] = await listServers(cluster);
  if (moved === undefined || second === undefined || third === undefined)
    throw new Error('servers');

  const uncovered = await act(cluster, 'Sds', moved.id, 'moveSds', target('FALSE'));
  t.regex(uncovered.message, /the spare of storage pool .*25 %.* at least 34 % are needed/);
  t.is((await serverOf(moved.id)).moveState, 'NotMoving');
  // Called off at once: all is as it was.
  t.is((await act(cluster, 'Sds', moved.id, 'moveSds', target())).status, 200);
  t.is((await act(cluster, 'Sds', moved.id, 'abortMoveSds')).status, 200);
  t.like(await serverOf(moved.id), { moveState: 'NotMoving', protectionDomainId: home });

  t.is((await act(cluster, 'Sds', moved.id, 'moveSds', target())).status, 200);
  t.is((await serverOf(moved.id)).moveState, 'Leaving');
  const refused = await act(cluster, 'Sds', moved.id, 'removeSds');
  t.regex(refused.message, /on its way to another Protection Domain/);
  const [mdm] = cluster.processes('mdm');
  if (mdm !== undefined) await cluster.killAndWait(mdm);
  const row = cluster.processes('sds').find(({ name }) => name === moved.name);
  if (row !== undefined) await cluster.killAndWait(row);
  await settled(moved.id, other);
  t.is((await load).exitCode, 0);
  await cluster.allInSync();
  const { stdout } = await execa('qemu-io', ['-f', 'raw', '-c', 'read -P 0x5a 0 32M', uri]);
  t.false(stdout.includes('failed'), stdout);

  // One server keeps no two copies; with another one, the other domain works.
  const lone = await act(cluster, 'StoragePool', otherPool, 'setStoragePoolName', { name: 'p2' });
  t.is(lone.status, 200);
  const { username, passwordFile } = cluster.file;
  await scli(['--login', '--username', username], readFileSync(passwordFile, 'utf8'));
  const began = await scli([
    ...['--move_sds', '--sds_name', second.name, '--protection_domain_name', 'other'],
    ...['--storage_pool_name', 'p2', '--i_am_sure', '--force'],
  ]);
  t.regex(began, /Moving SDS .* to Protection Domain other began/);
  await settled(second.id, other);
  t.regex(
    await scli(['--query_sds', '--sds_name', second.name]),
    /Protection Domain: \w+, Name: other/,
  );
  const volume = {
    ...{ protectionDomainId: other, storagePoolId: otherPool, name: 'there' },
    ...{ volumeType: 'ThinProvisioned', volumeSizeInKb: String(8 * 1048576) },
  };
  const there = await make(cluster, 'Volume', volume);
  const uriThere = `nbd+unix:///?socket=${await cluster.mapVolume(there)}`;
  const done = await execa('qemu-io', [
    ...['-f', 'raw', '-c', 'write -P 0x11 0 16M', '-c', 'read -P 0x11 0 16M', uriThere],
  ]);
  t.false(done.stdout.includes('failed'), done.stdout);

  // Two are left in either domain: none of them may go.
  const third2 = await act(cluster, 'Sds', third.id, 'moveSds', target());
  t.is(third2.status, 500);
  t.regex(third2.message, /fewer than two SDSs/);
  t.is((await serverOf(third.id)).moveState, 'NotMoving');
  await cluster.allInSync();
});
