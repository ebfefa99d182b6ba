// Commands on the metadata as a whole. The original has none; its words are ours.

import { keyOfId } from '../../core/ids.js';
import { VERSION } from '../../core/version.js';
import { BackupError, takeBackup } from '../../runtime/backup-file.js';
import { outcome } from '../option.js';
import type { Command, Outcome, Run } from '../option.js';
import { UsageError } from '../parser.js';

const topic = 'Metadata';

async function backup({ values, cluster, reader, user, nowMs }: Run): Promise<Outcome> {
  const file = values.get('file') ?? '';
  const { systemId } = reader;
  const facts = { systemId, systemName: reader.system.name, software: VERSION, takenAtMs: nowMs };
  try {
    const { pairs, sequence } = await takeBackup(cluster, user, file, facts);
    return outcome(`Successfully backed up the metadata: ${pairs} objects of commit ${sequence}`, {
      ...{ file, systemId, pairs, sequence },
    });
  } catch (error) {
    if (error instanceof BackupError) throw new UsageError(error.message);
    const { code, message } = error as NodeJS.ErrnoException;
    if (typeof code === 'string') throw new UsageError(`${file} cannot be written: ${message}`);
    throw error;
  }
}

async function check({ cluster, reader, user }: Run): Promise<Outcome> {
  const { restoring, combs, devices, total, findings } = await cluster.command(
    'CHECK_METADATA',
    user,
    {},
  );
  const id = (key: number): string | null => (key === 0 ? null : reader.id(key));
  const data = {
    ...{ restoring, inAgreement: total === 0, combs, devices, total },
    findings: findings.map(({ kind, deviceKey, poolKey, volumeKey, comb, combs: of, reason }) => ({
      ...{ kind, deviceId: id(deviceKey), poolId: id(poolKey), volumeId: id(volumeKey) },
      ...{ comb, combs: of, reason },
    })),
  };
  const head = restoring
    ? `The metadata was restored and is not in use yet: ${devices} devices said what they know, ${total} are waited for`
    : `${devices} devices with ${combs} combs were compared, ${total === 0 ? 'nothing differs' : `${total} differences`}`;
  const lines = findings.map(({ kind, reason }) => `    ${kind}: ${reason}`);
  const more = total > findings.length ? [`    and ${total - findings.length} more`] : [];
  return { lines: [head, ...lines, ...more], data, isFinding: total > 0 };
}

async function confirm({ cluster, reader, user, values }: Run): Promise<Outcome> {
  const ids = (values.get('lost_device_id') ?? '').split(',').filter((text) => text !== '');
  const deviceKeys = ids.map((text) => {
    const key = keyOfId(reader.system.idPrefix, text.replace(/^0x/i, ''));
    if (key === null) throw new UsageError(`--lost_device_id ${text} is no id of this system`);
    return key;
  });
  await cluster.command('CONFIRM_RESTORE', user, { deviceKeys });
  return outcome('Successfully confirmed: these devices are not waited for any more');
}

export const METADATA_COMMANDS: readonly Command[] = [
  {
    name: 'backup_metadata',
    topic,
    about: 'write everything that the MDM keeps to a file, which meshsan-mdm-restore reads',
    options: [
      {
        name: 'file',
        value: 'FILE',
        about: 'a new file; only its owner may read it',
        required: true,
      },
    ],
    run: backup,
  },
  {
    name: 'check_metadata',
    topic,
    about: 'compare the metadata with what the devices carry; exit code 3 when something differs',
    options: [],
    run: check,
  },
  {
    name: 'confirm_restore',
    topic,
    about: 'restored metadata does not wait for these devices; what only they hold is lost',
    sure: 'What was written to these devices alone since the backup will be lost.',
    options: [
      {
        ...{ name: 'lost_device_id', value: 'ID[,ID]', required: true },
        about: 'devices that will not come back',
      },
    ],
    run: confirm,
  },
];
