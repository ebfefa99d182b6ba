// What an operator relies on when all metadata is lost and an old backup is all that is left: everything acknowledged is
// readable, the copy that missed it is not served, and a file or place that cannot be used changes nothing. Real processes.

import { createHash } from 'node:crypto';
import {
  existsSync,
  readFileSync,
  statSync,
  truncateSync,
  copyFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import test from 'ava';
import { execa } from 'execa';

import { VERSION_MAX } from '../../backend/protocol/generated/constants.js';
import { readBackup, takeBackup } from '../../backend/runtime/backup-file.js';
import { MdmSession } from '../../backend/runtime/mdm-session.js';
import { readSecretFile } from '../../backend/runtime/secret-file.js';
import { LocalCluster } from '../support/local-cluster.js';
import { until } from '../support/until.js';

const RESTORE = join(import.meta.dirname, '../../backend/bin/mdm-restore.js');

let cluster: LocalCluster;
test.before(async () => {
  cluster = await LocalCluster.start('--sds', '3');
});
test.after.always(async () => {
  await cluster.remove();
});

function session(): MdmSession {
  const [mdm] = cluster.processes('mdm');
  return new MdmSession({
    addresses: [{ host: mdm?.address ?? '', port: mdm?.port ?? 0 }],
    secret: readSecretFile(join(cluster.dir, 'secret')),
    log: { event: () => undefined },
  });
}

async function asked<T>(ask: (session: MdmSession) => Promise<T>): Promise<T> {
  const one = session();
  try {
    return await ask(one);
  } finally {
    one.close();
  }
}

const configPath = (): string => join(cluster.dir, 'config', 'mdm.json');
const storePath = (): string => {
  const { stateDir } = JSON.parse(readFileSync(configPath(), 'utf8')) as { stateDir: string };
  return join(stateDir, 'store', 'metadata.mdb');
};
const digest = (path: string): string =>
  createHash('sha256').update(readFileSync(path)).digest('hex');

const restore = (file: string, ...flags: string[]) =>
  execa(process.execPath, [RESTORE, file, '--config', configPath(), ...flags], { reject: false });

async function image(uri: string, ...commands: string[]): Promise<string> {
  const { stdout } = await execa('qemu-io', [
    ...['-f', 'raw'],
    ...commands.flatMap((command) => ['-c', command]),
    uri,
  ]);
  return stdout;
}

/** Ids of the data processes of a server. */
async function dataProcesses(pid: number): Promise<number[]> {
  const { stdout } = await execa('pgrep', ['-P', String(pid)], { reject: false });
  return stdout.split('\n').filter(Boolean).map(Number);
}

test.serial(
  'an old backup: what was acknowledged since is readable, stale copies are not',
  async (t) => {
    const uri = await cluster.volumeUri('kept');
    await image(uri, 'write -P 0x11 0 64M', 'flush');
    await cluster.allInSync();
    const file = join(cluster.dir, 'metadata.backup');
    const facts = { systemId: 'x', systemName: 'x', software: 'test', takenAtMs: Date.now() };
    const before = await asked(async (one) => {
      const taken = await takeBackup(one, 'admin', file, facts);
      const [system] = await one.query('system');
      return { ...taken, epoch: system?.clusterEpoch ?? 0 };
    });
    t.is(statSync(file).mode & 0o777, 0o600);
    t.is(readBackup(file).pairs, before.pairs);

    // A server misses everything from here on: the others go on without it.
    const [victim] = cluster.processes('sds');
    const stopped = [victim?.pid ?? 0, ...(await dataProcesses(victim?.pid ?? 0))];
    for (const pid of stopped) process.kill(pid, 'SIGSTOP');
    await image(uri, 'write -P 0x22 0 64M', 'flush');
    const later = await cluster.addVolume('later');
    const other = `nbd+unix:///?socket=${await cluster.mapVolume(later)}`;
    await image(other, 'write -P 0x33 0 8M', 'flush');

    const running = await restore(file, '--force');
    t.is(running.exitCode, 2, running.stderr);
    t.regex(running.stderr, /an MDM runs here .*stop it first/);
    for (const pid of stopped) process.kill(pid, 'SIGKILL');
    await cluster.stop();
    const intact = digest(storePath());
    const unforced = await restore(file);
    t.is(unforced.exitCode, 2, unforced.stderr);
    t.regex(unforced.stderr, /holds metadata \(commit \d+\); with --force it is kept beside/);
    const damaged = join(cluster.dir, 'damaged.backup');
    copyFileSync(file, damaged);
    truncateSync(damaged, statSync(file).size - 100);
    const cut = await restore(damaged, '--force');
    t.is(cut.exitCode, 2);
    t.regex(cut.stderr, /its checksum is wrong: it is cut short or damaged/);
    t.is(digest(storePath()), intact, 'nothing was changed');

    const done = await restore(file, '--force', '--json');
    t.is(done.exitCode, 0, done.stderr);
    const {
      kept: [kept = ''],
    } = JSON.parse(done.stdout) as { kept: string[] };
    t.is(digest(kept), intact);
    await cluster.startAgain();
    await cluster.allInSync();
    const read = await image(uri, 'read -P 0x22 0 64M');
    t.false(read.includes('failed'), read);
    await asked(async (one) => {
      const [system] = await one.query('system');
      t.true((system?.clusterEpoch ?? 0) > before.epoch, 'a new life has a new epoch');
      const volumes = await one.query('volume');
      t.deepEqual(
        volumes.map(({ name }) => name),
        ['kept'],
        'what was made since the backup is not known',
      );
      const found = await until('devices report what they hold', async () => {
        const checked = await one.command('CHECK_METADATA', 'admin', {});
        return checked.findings.some(({ kind }) => kind === 'volumeUnknown') ? checked : null;
      });
      t.deepEqual([...new Set(found.findings.map(({ kind }) => kind))], ['volumeUnknown']);
      t.true(found.devices === 3 && found.combs > 0 && !found.restoring);
      const api = await cluster.rest();
      const rest = await api.post<{ inAgreement: boolean; total: number }>(
        '/instances/System/action/checkMetadata',
      );
      t.like(rest.data, { inAgreement: false, total: found.total });
      const taken = await api.post<{ content: string; objects: number; sizeInBytes: number }>(
        '/instances/System/action/backupMetadata',
      );
      const fetched = join(cluster.dir, 'fetched.backup');
      writeFileSync(fetched, Buffer.from(taken.data.content, 'base64'));
      t.is(statSync(fetched).size, taken.data.sizeInBytes);
      t.is(readBackup(fetched).pairs, taken.data.objects);
      const raised = api.post('/instances/System/action/raiseClusterVersion', { version: 99 });
      await t.throwsAsync(raised, { message: /status code [45]/ });
      const raise = await api.post<object>('/instances/System/action/raiseClusterVersion');
      t.deepEqual(raise.data, { version: VERSION_MAX });
      t.true(volumes.every(({ key }) => key < (system?.nextKey ?? 0)));
    });
    t.true(existsSync(kept));
    const scli = join(cluster.dir, 'bin', 'scli');
    const password = readFileSync(cluster.file.passwordFile, 'utf8');
    await execa(scli, ['--login', '--username', 'admin'], { input: password });
    const checked = await execa(scli, ['--check_metadata', '--json'], { reject: false });
    t.is(checked.exitCode, 3, checked.stderr);
    t.like(JSON.parse(checked.stdout), { inAgreement: false, restoring: false, devices: 3 });
    const again = join(cluster.dir, 'again.backup');
    const saved = await execa(scli, ['--backup_metadata', '--file', again]);
    t.regex(saved.stdout, /Successfully backed up the metadata: \d+ objects of commit \d+/);
    t.is((await restore(again, '--check')).exitCode, 0);
    const twice = await execa(scli, ['--backup_metadata', '--file', again], { reject: false });
    t.is(twice.exitCode, 1);
    t.regex(twice.stderr, /exists already; backups are never overwritten/);
  },
);
