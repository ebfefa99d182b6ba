// What an operator relies on when the metadata of a system with several MDMs is lost: a backup is restored on one of them, never
// beside one that is still at work in the former cluster; what was acknowledged is readable, and the others are taken in
// again. Real processes, real etcd.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import test from 'ava';
import { execa } from 'execa';

import { takeBackup } from '../../backend/runtime/backup-file.js';
import { changed } from '../../backend/runtime/cluster-change.js';
import { ClusterError } from '../../backend/runtime/cluster.js';
import type { MdmSession } from '../../backend/runtime/mdm-session.js';
import { memberPid } from '../chaos/mdms.js';
import { LocalCluster } from '../support/local-cluster.js';
import { ManualCluster } from '../support/manual-cluster.js';
import { until } from '../support/until.js';

const RESTORE = join(import.meta.dirname, '../../backend/bin/mdm-restore.js');

async function image(uri: string, ...commands: string[]): Promise<string> {
  const { stdout } = await execa('qemu-io', [
    ...['-f', 'raw'],
    ...commands.flatMap((command) => ['-c', command]),
    uri,
  ]);
  return stdout;
}

async function children(pid: number): Promise<number[]> {
  const { stdout } = await execa('pgrep', ['-P', String(pid)], { reject: false });
  return stdout.split('\n').filter(Boolean).map(Number);
}

async function allInSync(session: MdmSession): Promise<void> {
  await until('all copies are in sync', async () => {
    const state = await session.clusterState().catch(() => null);
    return state !== null && state.combs > 0 && state.degradedCombs + state.unavailableCombs === 0
      ? true
      : null;
  });
}

test('three MDMs: a backup is restored on one, beside no other that is at work; then they are three again', async (t) => {
  t.timeout(290_000);
  const local = await LocalCluster.start('--sds', '3');
  t.teardown(() => local.remove());
  const volume = await local.addVolume('kept');
  const uri = `nbd+unix:///?socket=${await local.mapVolume(volume)}`;
  await local.stop();
  const cluster = new ManualCluster(local.dir, 3);
  t.teardown(() => cluster.cleanUp());
  const [mdm, other, tieBreaker] = cluster.names('mdm');
  if (mdm === undefined || other === undefined || tieBreaker === undefined)
    throw new Error('three');
  const servers = cluster.names('sds');
  cluster.start(mdm, other, tieBreaker, ...servers, 'sdc');
  await cluster.form();
  const all = cluster.session(mdm, other, tieBreaker);
  t.teardown(() => {
    all.close();
  });
  await allInSync(all);
  const socket = join(local.file.nbdDir, `${volume}.sock`);
  const served = () => until('the volume is served', () => (existsSync(socket) ? true : null));
  await served();
  await image(uri, 'write -P 0x11 0 32M', 'flush');
  const file = join(local.dir, 'metadata.backup');
  const facts = { systemId: 'x', systemName: 'x', software: 'test', takenAtMs: Date.now() };
  await takeBackup(all, 'admin', file, facts);

  // A server misses what is written from here on. Nobody else may lack anything then, as on a busy machine after much was written.
  await allInSync(all);
  const victim = cluster.pid(servers[0] ?? '');
  const stopped = [victim, ...(await children(victim))];
  const killStopped = (): void => {
    for (const pid of stopped) if (existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGKILL');
  };
  t.teardown(killStopped);
  for (const pid of stopped) process.kill(pid, 'SIGSTOP');
  await image(uri, 'write -P 0x22 0 32M', 'flush');

  const run = (name: string, ...args: string[]) =>
    execa(process.execPath, [RESTORE, ...args, '--config', cluster.plan(name).configFile], {
      reject: false,
    });
  const stateOf = (name: string): string[] => readdirSync(cluster.plan(name).stateDir).sort();
  t.regex((await run(mdm, file, '--force')).stderr, /an MDM runs here .*stop it first/);
  t.regex((await run(other, '--forget')).stderr, /an MDM runs here .*stop it first/);
  await cluster.end('SIGTERM', mdm);
  const before = stateOf(mdm);
  t.regex(
    (await run(mdm, file)).stderr,
    /takes part in the MDM cluster .*meshsan-mdm-restore --forget/,
  );
  const beside = await run(mdm, file, '--force');
  t.is(beside.exitCode, 2);
  t.regex(beside.stderr, /mdm2 \(.*\) runs as an MDM of the former cluster: stop it there/);
  t.deepEqual(stateOf(mdm), before, 'nothing was changed');
  await until('the others go on', () => all.clusterState().catch(() => null));

  // A data process that is stopped does not see that its server ended, and would hold its device for ever.
  await cluster.end('SIGKILL', ...servers);
  killStopped();
  await until('the stopped processes are gone', () =>
    stopped.some((pid) => existsSync(`/proc/${pid}`)) ? null : true,
  );
  await cluster.end('SIGTERM', other, tieBreaker, 'sdc');
  const restored = await run(mdm, file, '--force', '--json');
  t.is(restored.exitCode, 0, restored.stderr);
  const told = JSON.parse(restored.stdout) as Record<'kept' | 'others' | 'unseen', string[]>;
  t.deepEqual([...told.others].sort(), [other, tieBreaker]);
  t.is(told.unseen.length, 2);
  t.true(
    told.kept.some((path) => path.includes('kept-etcd-') && existsSync(path)),
    restored.stdout,
  );

  // Somebody starts the others as they are: the former cluster has a majority again, and nothing is concluded.
  cluster.start(mdm, other, tieBreaker);
  const direct = cluster.session(mdm);
  const waits = await until('the restored MDM sees the former cluster', async () => {
    const check = await direct.command('CHECK_METADATA', 'admin', {}).catch((error: unknown) => {
      if (error instanceof ClusterError) return null;
      throw error;
    });
    return check?.findings.some(({ deviceKey }) => deviceKey === 0) === true ? check : null;
  });
  t.true(waits.restoring);
  t.regex(waits.findings[0]?.reason ?? '', /runs as an MDM of the former cluster: stop it/);
  cluster.start(...servers, 'sdc');
  const refused = await t.throwsAsync(
    direct.command('ADD_PROTECTION_DOMAIN', 'admin', { name: 'late' }),
  );
  t.regex(refused.message, /runs as an MDM of the former cluster: stop it/);
  direct.close();

  // One forgets, while nobody is there who would tell it to; the other one comes too late for that, and is told.
  await cluster.end('SIGTERM', mdm);
  await cluster.end('SIGTERM', other, tieBreaker);
  const forgot = await run(other, '--forget', '--json');
  t.is(forgot.exitCode, 0, forgot.stderr);
  const { kept } = JSON.parse(forgot.stdout) as { kept: string[] };
  t.true(
    kept.some((path) => path.includes('kept-etcd-') && existsSync(path)),
    forgot.stdout,
  );
  cluster.start(mdm, other);
  await allInSync(all);
  await served();
  t.false((await image(uri, 'read -P 0x22 0 32M')).includes('failed'));
  const before3 = await all.clusterState();
  t.is(before3.mode, 1);
  t.deepEqual(
    before3.members.map(({ name, member }) => [name, member]).sort(),
    [
      [mdm, true],
      [other, false],
      [tieBreaker, false],
    ].sort(),
  );
  cluster.start(tieBreaker);
  await until('the tie-breaker is told to leave the former cluster', () =>
    stateOf(tieBreaker).some((name) => name.startsWith('etcd-')) ||
    memberPid(cluster.plan(tieBreaker).stateDir) > 0
      ? null
      : true,
  );
  const add = before3.members.filter(({ member }) => !member).map(({ key }) => key);
  const { job } = await until('the cluster can be switched', () =>
    all
      .command('SWITCH_CLUSTER', 'admin', { mode: 3, add, remove: [], allowFailed: false })
      .catch((error: unknown) => {
        if (error instanceof ClusterError && error.info.name === 'MDM_NOT_CONNECTED') return null;
        throw error;
      }),
  );
  await changed(all, job);
  t.is((await all.clusterState()).mode, 3);
  await all.command('ADD_PROTECTION_DOMAIN', 'admin', { name: 'late' });
  t.false((await image(uri, 'read -P 0x22 0 32M')).includes('failed'));
});
