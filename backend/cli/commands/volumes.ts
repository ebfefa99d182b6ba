// Commands that create, change, map and remove volumes. It owns the original's rules of size on the command line:
// sizes are gigabytes and round up to a multiple of 8, with a line that says so.

import { LIMIT } from '../../protocol/generated/constants.js';
import { GIB } from '../../core/units.js';
import type { RemoveMode, Sdc, VolumeFullPolicy } from '../../protocol/generated/types.js';
import { whenNotBusy } from '../../runtime/busy-volumes.js';
import { ClusterError } from '../../runtime/cluster.js';
import type { ClusterReader } from '../../runtime/cluster-reader.js';
import { counted } from '../format.js';
import { POOL_REF, SDC_REF, VOLUME_REF, needed, poolOf, sdcOf, volumeOf } from '../lookup.js';
import { outcome } from '../option.js';
import type { Command, Option, Outcome, Run } from '../option.js';
import { UsageError } from '../parser.js';

const GRAIN_GIB = 8;
const SECTORS_PER_GIB = GIB / 512;
/** What a mapping can carry. */
const LIMIT_MAX = 0xffffffff;
const KB_PER_MB = 1024;
const topic = 'Volumes';
/** Version of a cluster that has snapshots. */
const SNAPSHOTS_SINCE = 2;
const REMOVE_MODES: Readonly<Record<string, RemoveMode>> = {
  ONLY_ME: 'onlyMe',
  INCLUDING_DESCENDANTS: 'includingDescendants',
  DESCENDANTS_ONLY: 'descendantsOnly',
  WHOLE_VTREE: 'wholeVtree',
};
const FULL_POLICIES: readonly VolumeFullPolicy[] = ['pool', 'wait', 'error'];
/** What writes do that find the pool full. */
export const FULL_WORDS: Readonly<Record<VolumeFullPolicy, string>> = {
  pool: 'follow the pool when it is full',
  wait: 'wait for space when the pool is full',
  error: 'end with an error when the pool is full',
};
const SIZE: Option = {
  name: 'size_gb',
  value: 'GB',
  about: 'rounded up to a multiple of 8',
  required: true,
};

/** The size of `--size_gb`, rounded up, and the line that tells of the rounding. */
export function roundedSize(text: string): {
  readonly gib: number;
  readonly lines: readonly string[];
} {
  const max = Math.floor(LIMIT.volumeSectorsMax / SECTORS_PER_GIB);
  if (!/^\d{1,9}$/.test(text.trim()) || Number(text) === 0 || Number(text) > max)
    throw new UsageError(
      `--size_gb must be a whole number of gigabytes from 1 to ${max}, is "${text}"`,
    );
  const wanted = Number(text);
  const gib = Math.ceil(wanted / GRAIN_GIB) * GRAIN_GIB;
  return { gib, lines: gib === wanted ? [] : [`Rounding up volume size to ${gib} GB`] };
}

async function addVolume(run: Run): Promise<Outcome> {
  const { values, reader } = run;
  const { gib, lines } = roundedSize(values.get('size_gb') ?? '');
  const pool = needed(await poolOf(reader, values), 'storage pool');
  const { key } = await run.cluster.command('ADD_VOLUME', run.user, {
    poolKey: pool.key,
    name: values.get('volume_name') ?? '',
    sizeSectors: gib * SECTORS_PER_GIB,
    provisioning: values.has('thin_provisioned') ? 'thin' : 'thick',
    rmcache: !values.has('dont_use_rmcache'),
  });
  const id = reader.id(key);
  return outcome([...lines, `Successfully created volume of size ${gib} GB. Object ID ${id}`], {
    id,
    sizeGb: gib,
  });
}

/** What `--remove_mode` says, in any case. @throws UsageError */
function removeModeOf(text: string): RemoveMode {
  const mode = REMOVE_MODES[text.trim().toUpperCase()];
  if (mode === undefined)
    throw new UsageError(
      `--remove_mode must be one of ${Object.keys(REMOVE_MODES).join(', ')}, is "${text}"`,
    );
  return mode;
}

async function removeVolume(run: Run): Promise<Outcome> {
  const mode = removeModeOf(run.values.get('remove_mode') ?? 'ONLY_ME');
  const { key } = needed(await volumeOf(run.reader, run.values), 'volume');
  const id = run.reader.id(key);
  // An MDM of before snapshots knows no modes: to it this would mean the volume itself, which has no descendants there.
  const isNone = mode === 'descendantsOnly' && run.reader.system.clusterVersion < SNAPSHOTS_SINCE;
  const { removed } = isNone
    ? { removed: 0 }
    : await whenNotBusy(() => run.cluster.command('REMOVE_VOLUME', run.user, { key, mode }));
  const head =
    mode === 'descendantsOnly'
      ? `Successfully removed the descendants of volume ID ${id}`
      : `Successfully removed volume ID ${id}`;
  const all = ` ${counted(removed, 'volume was', 'volumes were')} removed`;
  return outcome(mode === 'onlyMe' ? head : [head, all], { id, numberOfVolumes: removed });
}

async function renameVolume(run: Run): Promise<Outcome> {
  const volume = needed(await volumeOf(run.reader, run.values), 'volume');
  const name = run.values.get('new_name') ?? '';
  await run.cluster.command('RENAME_VOLUME', run.user, { key: volume.key, name });
  return outcome(`Successfully renamed volume with ID ${run.reader.id(volume.key)} to ${name}`);
}

async function resizeVolume(run: Run): Promise<Outcome> {
  const { gib, lines } = roundedSize(run.values.get('size_gb') ?? '');
  const volume = needed(await volumeOf(run.reader, run.values), 'volume');
  await run.cluster.command('RESIZE_VOLUME', run.user, {
    key: volume.key,
    sizeSectors: gib * SECTORS_PER_GIB,
  });
  return outcome([...lines, `Successfully modified volume size to ${gib} GB`], { sizeGb: gib });
}

async function setFullPolicy(run: Run): Promise<Outcome> {
  const { key } = needed(await volumeOf(run.reader, run.values), 'volume');
  const wanted = run.values.get('full_policy') ?? '';
  const fullPolicy = FULL_POLICIES.find((policy) => policy === wanted);
  if (fullPolicy === undefined)
    throw new UsageError(
      `--full_policy must be one of ${FULL_POLICIES.join(', ')}, is "${wanted}"`,
    );
  await run.cluster.command('SET_VOLUME_FULL_POLICY', run.user, { key, fullPolicy });
  return outcome(`Writes to volume ${run.reader.id(key)} ${FULL_WORDS[fullPolicy]}`, {
    fullPolicy,
  });
}

/** How messages name an SDC: by its first address, by id where it has none. */
function sdcWord(reader: ClusterReader, sdc: Sdc): string {
  return sdc.addresses[0]?.host ?? `with ID ${reader.id(sdc.key)}`;
}

async function mapVolume(run: Run): Promise<Outcome> {
  const { reader, values } = run;
  const volume = needed(await volumeOf(reader, values), 'volume');
  const sdc = needed(await sdcOf(reader, values), 'SDC');
  const access = (values.get('access_mode') ?? 'read_write').toLowerCase().replaceAll('_', '');
  if (access !== 'readwrite' && access !== 'readonly')
    throw new UsageError('--access_mode must be read_write or read_only');
  await run.cluster.command('MAP_VOLUME', run.user, {
    volumeKey: volume.key,
    sdcKey: sdc.key,
    allowMultiple: values.has('allow_multi_map'),
    access: access === 'readonly' ? 'readOnly' : 'readWrite',
  });
  const id = reader.id(volume.key);
  return outcome(`Successfully mapped volume with ID ${id} to SDC ${sdcWord(reader, sdc)}`, {
    volumeId: id,
    sdcId: reader.id(sdc.key),
  });
}

async function unmapVolume(run: Run): Promise<Outcome> {
  const { reader, values } = run;
  const volume = needed(await volumeOf(reader, values), 'volume');
  const all = values.has('all_sdcs');
  const sdc = all ? null : needed(await sdcOf(reader, values), 'SDC');
  await run.cluster.command('UNMAP_VOLUME', run.user, {
    volumeKey: volume.key,
    sdcKeys: sdc === null ? [] : [sdc.key],
    generation: 0,
  });
  const from = sdc === null ? 'all SDCs' : `SDC ${sdcWord(reader, sdc)}`;
  return outcome(`Successfully un-mapped volume with ID ${reader.id(volume.key)} from ${from}`);
}

/** A limit of `--iops_limit` or `--bandwidth_limit`; null where not given. */
function limitFrom(run: Run, option: string, max: number): number | null {
  const text = run.values.get(option);
  if (text === undefined) return null;
  if (!/^\d{1,10}$/.test(text) || Number(text) > max)
    throw new UsageError(`--${option} must be a whole number from 0 to ${max}, is "${text}"`);
  return Number(text);
}

async function setLimits(run: Run): Promise<Outcome> {
  const { reader, values } = run;
  const iopsLimit = limitFrom(run, 'iops_limit', LIMIT_MAX);
  const bandwidthMbps = limitFrom(run, 'bandwidth_limit', Math.floor(LIMIT_MAX / KB_PER_MB));
  const iopsPerGib = limitFrom(run, 'iops_per_gb', LIMIT_MAX);
  const kbpsPerGib = limitFrom(run, 'bandwidth_per_gb', LIMIT_MAX);
  if ([iopsLimit, bandwidthMbps, iopsPerGib, kbpsPerGib].every((limit) => limit === null))
    throw new UsageError(
      'One of --iops_limit, --bandwidth_limit, --iops_per_gb, --bandwidth_per_gb is needed',
    );
  if (iopsLimit !== null && iopsLimit !== 0 && iopsLimit <= 10)
    throw ClusterError.named(
      'LIMIT_ILLEGAL',
      `iopsLimit (${iopsLimit}) must be a number larger than 10`,
    );
  const volume = needed(await volumeOf(reader, values), 'volume');
  const sdc = needed(await sdcOf(reader, values), 'SDC');
  await run.cluster.command('SET_MAPPING_LIMITS', run.user, {
    volumeKey: volume.key,
    sdcKey: sdc.key,
    iopsLimit,
    bandwidthLimitKbps: bandwidthMbps === null ? null : bandwidthMbps * KB_PER_MB,
    ...{ iopsPerGib, kbpsPerGib },
  });
  return outcome(`Successfully set limits of volume with ID ${reader.id(volume.key)}`);
}

const ALL_SDCS: Option = {
  name: 'all_sdcs',
  aliases: ['all_sdc'],
  about: 'from every SDC',
  group: 'sdc',
  required: true,
};

export const VOLUME_COMMANDS: readonly Command[] = [
  {
    name: 'add_volume',
    topic,
    about: 'create a volume',
    options: [
      ...POOL_REF,
      SIZE,
      { name: 'volume_name', value: 'NAME', about: 'at most 31 characters' },
      {
        name: 'thin_provisioned',
        about: 'take capacity when it is written',
        group: 'provisioning',
      },
      {
        name: 'thick_provisioned',
        about: 'reserve capacity now (the default)',
        group: 'provisioning',
      },
      {
        name: 'use_rmcache',
        about: 'its reads use the RAM read cache where the pool does (the default)',
        group: 'rmcache',
      },
      { name: 'dont_use_rmcache', about: 'they do not', group: 'rmcache' },
    ],
    run: addVolume,
  },
  {
    name: 'remove_volume',
    topic,
    about: 'remove a volume and its data',
    options: [
      ...VOLUME_REF,
      {
        name: 'remove_mode',
        value: 'MODE',
        about: 'ONLY_ME (default), INCLUDING_DESCENDANTS, DESCENDANTS_ONLY or WHOLE_VTREE',
      },
    ],
    sure: 'The volume and its data will be removed.',
    run: removeVolume,
  },
  {
    name: 'rename_volume',
    topic,
    about: 'rename a volume',
    options: [
      ...VOLUME_REF,
      { name: 'new_name', value: 'NAME', about: 'at most 31 characters', required: true },
    ],
    run: renameVolume,
  },
  {
    name: 'modify_volume_capacity',
    topic,
    about: 'enlarge a volume',
    options: [...VOLUME_REF, SIZE],
    run: resizeVolume,
  },
  {
    name: 'set_volume_full_policy',
    topic,
    about:
      'choose whether writes that find the pool full wait, end with an error, or as the pool says',
    options: [
      ...VOLUME_REF,
      { name: 'full_policy', value: 'POLICY', about: FULL_POLICIES.join(', '), required: true },
    ],
    run: setFullPolicy,
  },
  {
    name: 'map_volume_to_sdc',
    topic,
    about: 'allow an SDC to use a volume',
    options: [
      ...VOLUME_REF,
      ...SDC_REF,
      {
        name: 'allow_multi_map',
        aliases: ['allow_multiple_mappings'],
        about: 'although others have it mapped',
      },
      { name: 'access_mode', value: 'MODE', about: 'read_write (default) or read_only' },
    ],
    run: mapVolume,
  },
  {
    name: 'unmap_volume_from_sdc',
    topic,
    about: 'take a volume away from an SDC, or from all',
    options: [
      ...VOLUME_REF,
      ...SDC_REF,
      ALL_SDCS,
      { name: 'ignore_scsi_initiators', about: 'accepted' },
    ],
    sure: 'The volume will not be accessible to the SDC.',
    run: unmapVolume,
  },
  {
    name: 'set_sdc_volume_limits',
    topic,
    about: 'limit what an SDC may do on a volume; 0 removes a limit',
    options: [
      ...VOLUME_REF,
      ...SDC_REF,
      { name: 'iops_limit', value: 'IOPS', about: 'operations a second, more than 10' },
      { name: 'bandwidth_limit', value: 'MBPS', about: 'megabytes a second' },
      { name: 'iops_per_gb', value: 'IOPS', about: 'operations a second for each GB' },
      { name: 'bandwidth_per_gb', value: 'KBPS', about: 'kilobytes a second for each GB' },
    ],
    run: setLimits,
  },
];
