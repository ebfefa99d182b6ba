// Restores a backup of the metadata as the own store of an MDM that does not run, or has such an MDM forget what it was part
// of (mdm-restore-place.ts). It owns the command line and what is said. It must never start anything.

import { randomInt } from 'node:crypto';

import { formatId } from '../core/ids.js';
import { VERSION } from '../core/version.js';
import { RenewalError, renewed } from '../mdm/renewal.js';
import { ContentError } from '../mdm/state.js';
import { BackupError, readBackup } from '../runtime/backup-file.js';
import { ConfigError } from '../runtime/config-file.js';
import { makePrivateDirectory } from '../runtime/durable-files.js';
import { UsageError, readCommandLine } from '../runtime/flags.js';
import { helpText, manualAnswer } from '../runtime/manual.js';
import type { Manual } from '../runtime/manual.js';
import { RecordError } from '../runtime/mdm-node/record.js';
import { StoreError } from '../runtime/metadata-store.js';
import { PrivateFileError, readSecretFile } from '../runtime/secret-file.js';

import { readMdmConfig } from './mdm-config.js';
import { RestorePlace, RestoreRefused } from './mdm-restore-place.js';

const EXIT = { done: 0, usage: 1, refused: 2 } as const;
const CONFIG = '/etc/meshsan/mdm.json';
const DRAWS = 2 ** 32;

const RESTORE_MANUAL: Manual = {
  name: 'meshsan-mdm-restore',
  section: 8,
  summary: 'restores a backup of the metadata on an MDM that does not run',
  synopsis: [
    'meshsan-mdm-restore FILE [--config FILE] [--force] [--json]',
    'meshsan-mdm-restore FILE --check',
    'meshsan-mdm-restore --forget [--config FILE] [--force] [--json]',
  ],
  description: [
    'Makes the content of a backup (scli --backup_metadata) the store of this MDM, alone and under a new cluster epoch. When the MDM is started it changes nothing and serves nobody before every device that may know something newer told what it remembers (scli --check_metadata says which are missing; scli --confirm_restore gives devices up). Volumes go on meanwhile.',
    'Where several MDMs ran, all of them are stopped first; the backup is restored on one manager, and every other MDM and tie-breaker forgets the former cluster (--forget) before it is started. The restored MDM is the only one then and knows the others as standbys: scli --switch_cluster_mode takes them in. While one of them still runs in the former cluster nothing is restored, and what was restored is not used.',
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
        {
          term: '--forget',
          about:
            'have this MDM, which does not run, forget the cluster that it took part in; its files stay beside',
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

interface Restored {
  readonly systemId: string;
  readonly systemName: string;
  readonly takenAtMs: number;
  readonly objects: number;
  /** What was here. */
  readonly kept: readonly string[];
  /** Other MDMs, by name. */
  readonly others: readonly string[];
  /** Those of them that did not answer, and why. */
  readonly unseen: readonly string[];
}

function placeOf(configPath: string) {
  const config = readMdmConfig(configPath);
  const secret = readSecretFile(config.secretFile);
  makePrivateDirectory(config.stateDir);
  return { config, place: new RestorePlace(config, secret) };
}

async function restore(path: string, configPath: string, force: boolean): Promise<Restored> {
  const backup = readBackup(path);
  const { config, place } = placeOf(configPath);
  const { systemId, systemName, others, content } = renewed(
    backup,
    Date.now(),
    () => randomInt(DRAWS) / DRAWS,
    ({ host, port }) =>
      port === config.port && config.addresses.some((address) => address.host === host),
  );
  await place.checkStopped();
  if (!force) await place.checkEmpty();
  const unseen = await place.checkOthers(others);
  const store = await place.openFresh();
  store.import('restored', content, 'restored');
  await store.close();
  const kept = await place.take();
  const { takenAtMs } = backup;
  return {
    systemId: formatId(systemId.idPrefix, systemId.key),
    ...{ systemName, takenAtMs, objects: content.entries.length, kept, unseen },
    others: others.map(({ name }) => name),
  };
}

function restoredLines({ kept, others, unseen, ...done }: Restored): string[] {
  return [
    `restored ${done.systemName} (${done.systemId}), ${done.objects} objects, backup of ${new Date(done.takenAtMs).toISOString()}`,
    ...kept.map((path) => `what was here is kept: ${path}`),
    ...unseen.map(
      (reason) =>
        `did not answer: ${reason}; unless it is lost for good, have it forget the former cluster before it is started: meshsan-mdm-restore --forget`,
    ),
    'next: systemctl start meshsan-mdm; scli --check_metadata says which devices it waits for',
    ...(others.length === 0
      ? []
      : [
          `then: scli --switch_cluster_mode takes ${others.join(', ')} in again, which are standbys now`,
        ]),
  ];
}

async function forget(configPath: string, force: boolean): Promise<readonly string[]> {
  const { place } = placeOf(configPath);
  await place.checkStopped();
  return place.forget(force);
}

const FLAGS = {
  config: { type: 'string' },
  force: { type: 'boolean' },
  check: { type: 'boolean' },
  forget: { type: 'boolean' },
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
  const configPath = values.config ?? CONFIG;
  if (values.forget) {
    if (words.length > 0 || values.check)
      throw new UsageError('--forget takes no FILE; see --help');
    const kept = await forget(configPath, values.force);
    say(values.json, { kept }, [
      'this MDM belongs to no system any more: it can be started, and be taken in',
      ...kept.map((path) => `what was here is kept: ${path}`),
    ]);
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
  const done = await restore(file, configPath, values.force);
  say(values.json, done, restoredLines(done));
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
