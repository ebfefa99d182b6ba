// Restores a backup of the metadata as the own store of an MDM that does not run. It owns the order in which files change: what
// was there stays beside, and the new store takes its place in one step. It must never start anything, and never touch a store
// that is in use.

import { randomInt } from 'node:crypto';
import {
  chownSync,
  existsSync,
  linkSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';

import { formatId } from '../core/ids.js';
import { VERSION } from '../core/version.js';
import { RenewalError, renewed } from '../mdm/renewal.js';
import { ContentError } from '../mdm/state.js';
import { leftRecord } from '../protocol/node-state.js';
import { BackupError, readBackup } from '../runtime/backup-file.js';
import { ConfigError } from '../runtime/config-file.js';
import { makePrivateDirectory, syncDirectory } from '../runtime/durable-files.js';
import { UsageError, readCommandLine } from '../runtime/flags.js';
import { helpText, manualAnswer } from '../runtime/manual.js';
import type { Manual } from '../runtime/manual.js';
import { removeOthers } from '../runtime/mdm-node/member.js';
import { RecordError, readRecord, writeRecord } from '../runtime/mdm-node/record.js';
import { LmdbStore, StoreError } from '../runtime/metadata-store.js';
import { openLog } from '../runtime/log-sink.js';
import { PrivateFileError, readSecretFile } from '../runtime/secret-file.js';

import { readMdmConfig } from './mdm-config.js';
import type { MdmConfig } from './mdm-config.js';

const EXIT = { done: 0, usage: 1, refused: 2 } as const;
const CONNECT_MS = 2000;
const DATABASE = 'metadata.mdb';
const DRAWS = 2 ** 32;

const RESTORE_MANUAL: Manual = {
  name: 'meshsan-mdm-restore',
  section: 8,
  summary: 'restores a backup of the metadata on an MDM that does not run',
  synopsis: [
    'meshsan-mdm-restore FILE [--config FILE] [--force] [--json]',
    'meshsan-mdm-restore FILE --check',
  ],
  description: [
    'Makes the content of a backup (scli --backup_metadata) the store of this MDM, alone and under a new cluster epoch. When the MDM is started it changes nothing and serves nobody before every device that may know something newer told what it remembers (scli --check_metadata says which are missing; scli --confirm_restore gives devices up). Volumes go on meanwhile. Other MDMs are taken in again afterwards.',
    'Mappings, users and settings are those of the backup. Volumes that were made since are not known; what devices hold of them is kept.',
  ],
  parts: [
    {
      title: 'Flags',
      rows: [
        { term: '--config FILE', about: 'configuration of the MDM; /etc/meshsan/mdm.json' },
        {
          term: '--force',
          about:
            'although this MDM has metadata, or takes part in a cluster; its store stays beside',
        },
        { term: '--check', about: 'only read the file and say what it is' },
        { term: '--json', about: 'one JSON object on standard output' },
        { term: '--help', about: 'this text' },
        { term: '--man', about: 'this text as a manual page' },
      ],
    },
    {
      title: 'Exit codes',
      rows: [
        { term: String(EXIT.done), about: 'done' },
        { term: String(EXIT.usage), about: 'wrong usage' },
        { term: String(EXIT.refused), about: 'refused; nothing was changed' },
      ],
    },
  ],
  seeAlso: ['scli(1)', 'meshsan-mdm(8)'],
};

/** It is not restored; the text says why. */
class RestoreRefused extends Error {
  override readonly name = 'RestoreRefused';
}

/** Whether somebody listens at an address. */
function isTaken(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: CONNECT_MS });
    const answer = (taken: boolean) => (): void => {
      socket.destroy();
      resolve(taken);
    };
    socket
      .once('connect', answer(true))
      .once('error', answer(false))
      .once('timeout', answer(false));
  });
}

/** Files of the service stay the service's. */
function giveAway(directory: string, like: string): void {
  const { uid, gid } = statSync(like);
  chownSync(directory, uid, gid);
  for (const name of readdirSync(directory)) chownSync(join(directory, name), uid, gid);
}

async function storeOf(
  directory: string,
  secret: Uint8Array,
  config: MdmConfig,
): Promise<LmdbStore> {
  return LmdbStore.open(directory, secret, openLog({ component: config.name, level: 'error' }));
}

/** @throws RestoreRefused when something is here that a restore would replace */
async function checkPlace(config: MdmConfig, secret: Uint8Array, force: boolean): Promise<void> {
  const { stateDir, port, addresses } = config;
  for (const { host } of addresses)
    if (await isTaken(host, port))
      throw new RestoreRefused(
        `an MDM runs here (${host}:${port}); stop it first: systemctl stop meshsan-mdm`,
      );
  if (force) return;
  const { part, token } = readRecord(stateDir);
  if (part !== 'none')
    throw new RestoreRefused(
      `this MDM takes part in the MDM cluster ${token}; with --force it is restored as the only MDM, and the others must never run again with what they have`,
    );
  const directory = join(stateDir, 'store');
  if (!existsSync(join(directory, DATABASE))) return;
  const store = await storeOf(directory, secret, config);
  const { sequence } = store.content;
  await store.close();
  if (sequence > 0)
    throw new RestoreRefused(
      `${directory} holds metadata (commit ${sequence}); with --force it is kept beside and replaced`,
    );
}

/** The new store takes the place of the present one, which stays beside it. @returns where that is, or '' */
function takePlace(fresh: string, directory: string): string {
  const present = join(directory, DATABASE);
  let kept = '';
  if (existsSync(present)) {
    for (let count = 1; ; count++) {
      kept = `${present}.before-restore-${count}`;
      if (!existsSync(kept)) break;
    }
    linkSync(present, kept);
  }
  renameSync(join(fresh, DATABASE), present);
  for (const name of readdirSync(directory))
    if (name.startsWith(`${DATABASE}-lock`)) rmSync(join(directory, name));
  syncDirectory(directory);
  rmSync(fresh, { recursive: true, force: true });
  return kept;
}

interface Restored {
  readonly systemId: string;
  readonly systemName: string;
  readonly takenAtMs: number;
  readonly objects: number;
  /** The store that was here, or empty. */
  readonly kept: string;
}

async function restore(path: string, configPath: string, force: boolean): Promise<Restored> {
  const backup = readBackup(path);
  const { systemId, systemName, content } = renewed(
    backup,
    Date.now(),
    () => randomInt(DRAWS) / DRAWS,
  );
  const config = readMdmConfig(configPath);
  const secret = readSecretFile(config.secretFile);
  const { stateDir } = config;
  makePrivateDirectory(stateDir);
  await checkPlace(config, secret, force);
  const fresh = join(stateDir, 'store.restoring');
  rmSync(fresh, { recursive: true, force: true });
  const store = await storeOf(fresh, secret, config);
  store.import('restored', content, 'restored');
  await store.close();
  const record = readRecord(stateDir);
  if (record.part !== 'none') {
    writeRecord(stateDir, leftRecord(record, record.term));
    const log = openLog({ component: config.name, level: 'error' });
    await removeOthers({ stateDir, program: config.cluster.program, secret, log }, '');
  }
  const directory = join(stateDir, 'store');
  makePrivateDirectory(directory);
  const kept = takePlace(fresh, directory);
  giveAway(directory, stateDir);
  if (existsSync(join(stateDir, 'cluster.json'))) {
    const { uid, gid } = statSync(stateDir);
    chownSync(join(stateDir, 'cluster.json'), uid, gid);
  }
  const { takenAtMs } = backup;
  const id = formatId(systemId.idPrefix, systemId.key);
  return { systemId: id, systemName, takenAtMs, objects: content.entries.length, kept };
}

const FLAGS = {
  config: { type: 'string' },
  force: { type: 'boolean' },
  check: { type: 'boolean' },
  json: { type: 'boolean' },
  help: { type: 'boolean' },
} as const;

function say(json: boolean, data: object, lines: readonly string[]): void {
  process.stdout.write(
    json ? `${JSON.stringify(data)}\n` : lines.map((line) => `${line}\n`).join(''),
  );
}

async function main(args: readonly string[]): Promise<void> {
  const manual = manualAnswer(args, RESTORE_MANUAL, VERSION);
  if (manual !== null) {
    process.stdout.write(manual);
    return;
  }
  const { values, words } = readCommandLine(args, FLAGS);
  const [file, ...rest] = words;
  if (values.help) {
    process.stdout.write(helpText(RESTORE_MANUAL));
    return;
  }
  if (file === undefined || rest.length > 0) throw new UsageError('name one FILE; see --help');
  if (values.check) {
    const { entries, ...head } = readBackup(file);
    const at = new Date(head.takenAtMs).toISOString();
    say(values.json, { ...head, pairs: entries.length }, [
      `${file}: metadata of ${head.systemName} (${head.systemId}), ${head.pairs} objects of commit ${head.sequence}, taken ${at} by ${head.software}`,
    ]);
    return;
  }
  const done = await restore(file, values.config ?? '/etc/meshsan/mdm.json', values.force);
  say(values.json, done, [
    `restored ${done.systemName} (${done.systemId}), ${done.objects} objects, backup of ${new Date(done.takenAtMs).toISOString()}`,
    ...(done.kept === '' ? [] : [`what was here is kept: ${done.kept}`]),
    'next: systemctl start meshsan-mdm; scli --check_metadata says which devices it waits for',
  ]);
}

const REFUSALS = [
  ...[RestoreRefused, BackupError, RenewalError, ContentError, StoreError],
  ...[RecordError, ConfigError, PrivateFileError],
];

main(process.argv.slice(2)).catch((error: unknown) => {
  const isRefusal = REFUSALS.some((kind) => error instanceof kind);
  if (!isRefusal && !(error instanceof UsageError)) throw error;
  process.stderr.write(`meshsan-mdm-restore: ${(error as Error).message}\n`);
  process.exitCode = isRefusal ? EXIT.refused : EXIT.usage;
});
