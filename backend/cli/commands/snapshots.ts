// Commands that make snapshots, remove those of a consistency group, and give a volume the content of another one of its V-tree. It
// owns the lists of volumes and names on the command line; what may be done the MDM judges, all or nothing.

import { readFileSync } from 'node:fs';

import { LIMIT } from '../../protocol/generated/constants.js';
import type { Volume } from '../../protocol/generated/types.js';
import { whenNotBusy } from '../../runtime/busy-volumes.js';
import { ClusterError } from '../../runtime/cluster.js';
import type { ClusterReader } from '../../runtime/cluster-reader.js';
import { counted } from '../format.js';
import { idKey, needed, volumeOf } from '../lookup.js';
import { outcome } from '../option.js';
import type { Command, Option, Outcome, Run, Values } from '../option.js';
import { UsageError } from '../parser.js';

const topic = 'Volumes';

function linesOfFile(option: string, path: string): readonly string[] {
  try {
    return readFileSync(path, 'utf8').split('\n');
  } catch (error) {
    throw new UsageError(`--${option} ${path} cannot be read: ${(error as Error).message}`);
  }
}

/**
 * The entries of a list, on the command line or in a file, one to a line; null where neither is given.
 *
 * @throws UsageError for more than a group has
 */
function listFrom(values: Values, option: string): readonly string[] | null {
  const text = values.get(option);
  const path = values.get(`${option}_from_file`);
  if (text === undefined && path === undefined) return null;
  const parts = text?.split(',') ?? linesOfFile(`${option}_from_file`, path ?? '');
  const entries = parts.map((part) => part.trim()).filter((part) => part !== '');
  if (entries.length === 0) throw new UsageError(`--${option} names nothing`);
  if (entries.length > LIMIT.cutVolumesMax)
    throw new UsageError(
      `--${option} names ${entries.length} volumes, at most ${LIMIT.cutVolumesMax} go into one consistency group`,
    );
  return entries;
}

/** The volumes that a command line names, in its order. @throws UsageError, ClusterError */
async function volumesOf(reader: ClusterReader, values: Values): Promise<readonly Volume[]> {
  const ids = listFrom(values, 'volume_id');
  const names = listFrom(values, 'volume_name') ?? [];
  const all = await reader.all('volume');
  const found = (ids ?? names).map((text) => {
    const key = ids === null ? null : idKey(reader, text);
    const volume = all.find((one) => (ids === null ? one.name === text : one.key === key));
    if (volume === undefined) throw ClusterError.named('VOLUME_NOT_FOUND');
    return volume;
  });
  const twice = found.find((volume, index) => found.indexOf(volume) !== index);
  if (twice !== undefined)
    throw new UsageError(`Volume ${reader.id(twice.key)} is named twice: name each volume once`);
  return found;
}

/** The most that a mapping of the snapshots may allow. @throws UsageError */
function accessLimitOf(values: Values): 'readOnly' | 'readWrite' {
  const word = (values.get('access_mode') ?? 'read_write').toLowerCase().replaceAll('_', '');
  if (word !== 'readwrite' && word !== 'readonly')
    throw new UsageError('--access_mode must be read_write or read_only');
  return word === 'readonly' ? 'readOnly' : 'readWrite';
}

/** How long something is secure. @throws UsageError */
export function minutesOf(values: Values, option: string): number | null {
  const text = values.get(option);
  if (text === undefined) return null;
  const minutes = Number(text);
  if (!Number.isSafeInteger(minutes) || minutes < 1 || minutes > LIMIT.secureMinutesMax)
    throw new UsageError(`--${option} must be 1 to ${LIMIT.secureMinutesMax} minutes`);
  return minutes;
}

async function snapshotVolume(run: Run): Promise<Outcome> {
  const { reader, values, cluster, user } = run;
  const accessLimit = accessLimitOf(values);
  const secureMin = minutesOf(values, 'secure_snapshot_retention_time') ?? 0;
  const volumes = await volumesOf(reader, values);
  const wanted = listFrom(values, 'snapshot_name');
  if (wanted !== null && wanted.length !== volumes.length)
    throw new UsageError(
      `--snapshot_name gives ${counted(wanted.length, 'name')} for ${counted(volumes.length, 'volume')}: give one for each`,
    );
  const items = volumes.map(({ key }, index) => ({ volumeKey: key, name: wanted?.[index] ?? '' }));
  const { groupKey, keys } = await whenNotBusy(() =>
    cluster.command('SNAPSHOT_VOLUMES', user, { items, accessLimit, secureMin }),
  );
  const made = await cluster.query('volume', keys);
  const nameOf = (key: number): string => made.find((one) => one.key === key)?.name ?? '';
  const snapshots = volumes.map(({ key }, index) => ({
    sourceVolumeId: reader.id(key),
    id: reader.id(keys[index] ?? 0),
    name: nameOf(keys[index] ?? 0),
  }));
  const group = reader.id(groupKey);
  return outcome(
    [
      snapshots.length === 1
        ? 'Snapshot created successfully'
        : `Snapshots on ${snapshots.length} volumes created successfully.`,
      `Consistency group ID: ${group}`,
      ...snapshots.map(
        ({ sourceVolumeId, name }) => ` Source volume with ID ${sourceVolumeId} => ${name}`,
      ),
    ],
    { consistencyGroupId: group, snapshots },
  );
}

async function removeGroup(run: Run): Promise<Outcome> {
  const { reader, values, cluster, user } = run;
  const groupKey = idKey(reader, values.get('consistency_group_id') ?? '') ?? 0;
  const { removed } = await whenNotBusy(() =>
    cluster.command('REMOVE_GROUP_SNAPSHOTS', user, { groupKey }),
  );
  const id = reader.id(groupKey);
  return outcome(
    [
      `Consistency Group ${id} removed successfully.`,
      ` ${counted(removed, 'snapshot was', 'snapshots were')} removed`,
    ],
    { consistencyGroupId: id, numberOfVolumes: removed },
  );
}

/** A volume by the options of one side. */
async function sideOf({ reader, values }: Run, side: string): Promise<Volume> {
  const named = new Map(
    ['id', 'name'].flatMap((form) => {
      const text = values.get(`${side}_vol_${form}`);
      return text === undefined ? [] : [[`volume_${form}`, text] as const];
    }),
  );
  return needed(await volumeOf(reader, named), `${side} volume`);
}

async function overwrite(run: Run): Promise<Outcome> {
  const { reader } = run;
  const source = await sideOf(run, 'source');
  const { key } = await sideOf(run, 'destination');
  await whenNotBusy(() =>
    run.cluster.command('OVERWRITE_VOLUME', run.user, { key, sourceKey: source.key }),
  );
  const sourceId = reader.id(source.key);
  return outcome(
    `Successfully overwrote the content of volume with ID ${reader.id(key)} with that of volume with ID ${sourceId}`,
    { id: reader.id(key), sourceId },
  );
}

function sideOptions(side: string, about: string): readonly Option[] {
  return ['id', 'name'].map((form) => ({
    name: `${side}_vol_${form}`,
    aliases: [`${side}_volume_${form}`],
    value: form.toUpperCase(),
    about: `${about} by ${form}`,
    group: side,
    required: true,
  }));
}

function listOptions(name: string, value: string, about: string, group: string): Option[] {
  const required = group === 'volume';
  return [
    { name, value: `${value}[,${value}]`, about, group, required },
    { name: `${name}_from_file`, value: 'FILE', about: `the same, one to a line`, group, required },
  ];
}

export const SNAPSHOT_COMMANDS: readonly Command[] = [
  {
    name: 'snapshot_volume',
    topic,
    about: 'make snapshots of volumes as of one moment, all or none',
    options: [
      ...listOptions('volume_id', 'ID', 'volumes by id', 'volume'),
      ...listOptions('volume_name', 'NAME', 'volumes by name', 'volume'),
      ...listOptions('snapshot_name', 'NAME', 'names, in the order of the volumes', 'snapshot'),
      { name: 'access_mode', value: 'MODE', about: 'read_write (default) or read_only' },
      {
        name: 'secure_snapshot_retention_time',
        value: 'MINUTES',
        about: 'read-only, and nobody can remove them for so long',
      },
    ],
    run: snapshotVolume,
  },
  {
    name: 'remove_consistency_group_snapshots',
    topic,
    about: 'remove all snapshots of one snapshot command',
    options: [
      {
        name: 'consistency_group_id',
        value: 'ID',
        about: 'as --snapshot_volume printed it',
        required: true,
      },
    ],
    sure: 'All snapshots of the consistency group and their data will be removed.',
    run: removeGroup,
  },
  {
    name: 'overwrite_volume_content',
    topic,
    about: 'give a volume the content of another volume of its V-tree',
    options: [
      ...sideOptions('source', 'volume or snapshot to take it from'),
      ...sideOptions('destination', 'volume that loses its content'),
    ],
    sure: 'What the destination volume holds will be lost.',
    run: overwrite,
  },
];
