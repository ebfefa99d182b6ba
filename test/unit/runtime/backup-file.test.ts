// A backup of the metadata as a file: private, whole or not there, and every damage named.

import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';
import { BackupError, readBackup, takeBackup } from '../../../backend/runtime/backup-file.js';
import { ClusterError } from '../../../backend/runtime/cluster.js';
import type { Cluster } from '../../../backend/runtime/cluster.js';
import type { StoredPair } from '../../../backend/protocol/generated/types.js';

const FACTS = { systemId: 'aa', systemName: 'rack', software: '1.0', takenAtMs: 1000 };
const PAIRS: readonly StoredPair[] = Array.from({ length: 25 }, (_, index) => ({
  key: Uint8Array.from([7, 0, 0, 0, index]),
  value: new Uint8Array(index * 40).fill(index),
}));

/** Gives ten pairs at a time; @param gone - at which pair the backup is not kept any more */
function source(gone = Infinity): Pick<Cluster, 'command'> {
  const command = (
    _name: string,
    _actor: string,
    { sequence, from }: { sequence: number; from: number },
  ): Promise<unknown> => {
    if (from >= gone) return Promise.reject(ClusterError.named('BACKUP_GONE'));
    if (from > 0 && sequence !== 77) return Promise.reject(new Error('another backup'));
    const pairs = PAIRS.slice(from, from + 10);
    return Promise.resolve({ term: 3, sequence: 77, total: PAIRS.length, pairs });
  };
  return { command: command as unknown as Cluster['command'] };
}

function place(): { readonly file: string; readonly remove: () => void } {
  const directory = mkdtempSync(join(tmpdir(), 'meshsan-backup-'));
  const remove = (): void => {
    rmSync(directory, { recursive: true, force: true });
  };
  return { file: join(directory, 'b'), remove };
}

test('what was written is read, and only its owner may', async (t) => {
  const { file, remove } = place();
  t.teardown(remove);
  t.deepEqual(await takeBackup(source(), 'admin', file, FACTS), { pairs: 25, sequence: 77 });
  t.is(statSync(file).mode & 0o777, 0o600);
  const { entries, ...head } = readBackup(file);
  t.deepEqual(head, { ...FACTS, term: 3, sequence: 77, pairs: 25 });
  t.deepEqual(
    entries.map(({ key, value }) => ({ key: [...key], value: [...value] })),
    PAIRS.map(({ key, value }) => ({ key: [...key], value: [...value] })),
  );
  await t.throwsAsync(takeBackup(source(), 'admin', file, FACTS), {
    instanceOf: BackupError,
    message: /exists already; backups are never overwritten/,
  });
});

test('a backup that does not come to its end leaves no file', async (t) => {
  const { file, remove } = place();
  t.teardown(remove);
  await t.throwsAsync(takeBackup(source(20), 'admin', file, FACTS), { instanceOf: ClusterError });
  t.false(existsSync(file));
  t.false(existsSync(`${file}.part`));
});

test('every damage is found and named', async (t) => {
  const { file, remove } = place();
  t.teardown(remove);
  await takeBackup(source(), 'admin', file, FACTS);
  const right = readFileSync(file);
  const refused = (bytes: Uint8Array): string => {
    writeFileSync(file, bytes);
    return t.throws(() => readBackup(file), { instanceOf: BackupError }).message;
  };
  for (let at = right.indexOf(10) + 1; at < right.length; at += 97) {
    const flipped = Buffer.from(right);
    flipped.writeUInt8((flipped[at] ?? 0) ^ 1, at);
    t.regex(refused(flipped), /its checksum is wrong/);
  }
  for (const length of [right.length - 1, right.length - 500, 300])
    t.regex(
      refused(right.subarray(0, length)),
      /its checksum is wrong: it is cut short or damaged/,
    );
  t.regex(refused(Buffer.from('')), /it is no backup of metadata/);
  t.regex(refused(Buffer.from('something else\n')), /it is no backup of metadata/);
  const newer = Buffer.from(
    right.toString('latin1').replace('"version":1', '"version":2'),
    'latin1',
  );
  t.regex(refused(newer), /it has version 2, this program reads 1/);
  rmSync(file);
  t.throws(() => readBackup(file), { message: /cannot be used: ENOENT/ });
});
