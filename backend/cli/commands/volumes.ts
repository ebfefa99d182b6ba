// Commands that create, change, map, remove and show volumes. It owns the original's rules of size on the command line:
// sizes are gigabytes and round up to a multiple of 8, with a line that says so.

import { limitsOf } from '../../cluster-map/mapping-limits.js';
import { LIMIT } from '../../protocol/generated/constants.js';
import { GIB } from '../../core/units.js';
import type { Mapping, Sdc, Volume } from '../../protocol/generated/types.js';
import { ClusterError } from '../../runtime/cluster.js';
import type { ClusterReader } from '../../runtime/cluster-reader.js';
import { grouped } from '../../runtime/statistics/facts.js';
import { counted, nameOrNone, sizeText } from '../format.js';
import {
  DOMAIN_REF_OPTIONAL,
  POOL_REF,
  SDC_REF,
  VOLUME_REF,
  domainOf,
  needed,
  poolOf,
  sdcOf,
  volumeOf,
} from '../lookup.js';
import { outcome } from '../option.js';
import type { Command, Option, Outcome, Run } from '../option.js';
import { UsageError } from '../parser.js';

const GRAIN_GIB = 8;
const SECTORS_PER_GIB = GIB / 512;
/** What a mapping can carry. */
const LIMIT_MAX = 0xffffffff;
const KB_PER_MB = 1024;
const topic = 'Volumes';
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
  });
  const id = reader.id(key);
  return outcome([...lines, `Successfully created volume of size ${gib} GB. Object ID ${id}`], {
    id,
    sizeGb: gib,
  });
}

async function removeVolume(run: Run): Promise<Outcome> {
  const volume = needed(await volumeOf(run.reader, run.values), 'volume');
  await run.cluster.command('REMOVE_VOLUME', run.user, {
    key: volume.key,
    mode: 'onlyMe',
  });
  return outcome(`Successfully removed volume ID ${run.reader.id(volume.key)}`);
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

function provisioningWord(volume: Volume): string {
  return volume.provisioning === 'thick' ? 'Thick-provisioned' : 'Thin-provisioned';
}

/** The line of a volume in `--query_all_volumes`. */
export function volumeLine(
  reader: ClusterReader,
  volume: Volume,
  mappings: number,
  byKey: ReadonlyMap<number, Volume>,
): string {
  const mapped = mappings === 0 ? 'Unmapped' : `Mapped to ${mappings} SDC`;
  const origin = byKey.get(volume.ancestorKey);
  const snapshot =
    volume.ancestorKey === 0 ? '' : ` Snapshot of ${origin?.name ?? reader.id(volume.ancestorKey)}`;
  return ` Volume ID: ${reader.id(volume.key)} Name: ${nameOrNone(volume.name)} Size: ${sizeText(volume.sizeSectors * 512)} ${mapped}${snapshot} ${provisioningWord(volume)}`;
}

function volumeData(
  reader: ClusterReader,
  volume: Volume,
  mappings: readonly Mapping[],
): Record<string, unknown> {
  return {
    id: reader.id(volume.key),
    name: volume.name,
    sizeInKb: volume.sizeSectors / 2,
    storagePoolId: reader.id(volume.poolKey),
    volumeType: volume.provisioning === 'thick' ? 'ThickProvisioned' : 'ThinProvisioned',
    mappedSdcIds: mappings.map(({ sdcKey }) => reader.id(sdcKey)),
  };
}

async function queryAllVolumes(run: Run): Promise<Outcome> {
  const { reader, values } = run;
  const onlyPool = await poolOf(reader, values);
  const onlyDomain = await domainOf(reader, values);
  const [domains, pools, volumes, mappings] = await Promise.all([
    reader.all('protectionDomain'),
    reader.all('storagePool'),
    reader.all('volume'),
    reader.all('mapping'),
  ]);
  const byKey = new Map(volumes.map((volume) => [volume.key, volume]));
  const mappingsOf = grouped(mappings, ({ volumeKey }) => volumeKey);
  const lines: string[] = [];
  const shown: Volume[] = [];
  for (const domain of domains) {
    if (onlyDomain !== null && onlyDomain.key !== domain.key) continue;
    const own = pools.filter(
      (pool) => pool.domainKey === domain.key && (onlyPool === null || onlyPool.key === pool.key),
    );
    if (onlyPool !== null && own.length === 0) continue;
    lines.push(`Protection Domain ${reader.id(domain.key)} Name: ${domain.name}`);
    for (const pool of own) {
      const held = volumes.filter(({ poolKey }) => poolKey === pool.key);
      lines.push(`Storage Pool ${reader.id(pool.key)} Name: ${pool.name}`);
      if (held.length === 0) lines.push(' <No volumes defined>');
      for (const volume of held)
        lines.push(volumeLine(reader, volume, mappingsOf.get(volume.key)?.length ?? 0, byKey));
      lines.push('');
      shown.push(...held);
    }
  }
  return outcome(
    [`Query-all-volumes returned ${counted(shown.length, 'volume')}`, ...lines],
    shown.map((volume) => volumeData(reader, volume, mappingsOf.get(volume.key) ?? [])),
  );
}

async function queryVolume(run: Run): Promise<Outcome> {
  const { reader, values } = run;
  const volume = needed(await volumeOf(reader, values), 'volume');
  const [mappings, pools] = await Promise.all([
    reader.some('mapping', [volume.key]),
    reader.byKey('storagePool', [volume.poolKey]),
  ]);
  const sdcs = await reader.byKey(
    'sdc',
    mappings.map(({ sdcKey }) => sdcKey),
  );
  const pool = pools.get(volume.poolKey);
  const domain = (await reader.byKey('protectionDomain')).get(pool?.domainKey ?? 0);
  const users = mappings.map((mapping) => {
    const { sdcKey, access } = mapping;
    const sdc = sdcs.get(sdcKey);
    const host = sdc?.addresses[0]?.host ?? 'N/A';
    const mode = access === 'readOnly' ? ' Access: Read-only' : '';
    return `      SDC ID: ${reader.id(sdcKey)} IP: ${host} Name: ${nameOrNone(sdc?.name ?? '')}${mode}${limitsText(mapping, volume)}`;
  });
  return outcome(
    [
      `>> Volume ID: ${reader.id(volume.key)} Name: ${nameOrNone(volume.name)}`,
      `   Provisioning: ${provisioningWord(volume).replace('-provisioned', '')}`,
      `   Size: ${sizeText(volume.sizeSectors * 512)}`,
      `   Storage Pool ${reader.id(volume.poolKey)} Name: ${pool?.name ?? 'N/A'}`,
      `   Protection Domain ${reader.id(pool?.domainKey ?? 0)} Name: ${domain?.name ?? 'N/A'}`,
      `   Creation time: ${new Date(volume.createdAtMs).toISOString()}`,
      ...(users.length === 0 ? ['   Volume is unmapped'] : ['   Mapped SDCs:', ...users]),
    ],
    volumeData(reader, volume, mappings),
  );
}

/** What limits a mapping, for a line; empty: nothing does. */
function limitsText(mapping: Mapping, volume: Volume): string {
  const { iops, kbps } = limitsOf(mapping, volume.sizeSectors * LIMIT.sectorBytes);
  return `${iops === 0 ? '' : ` IOPS limit: ${iops}`}${kbps === 0 ? '' : ` Bandwidth limit: ${kbps} KB/s`}`;
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
      { name: 'use_rmcache', about: 'accepted', group: 'rmcache' },
      { name: 'dont_use_rmcache', about: 'accepted', group: 'rmcache' },
    ],
    run: addVolume,
  },
  {
    name: 'remove_volume',
    topic,
    about: 'remove a volume and its data',
    options: [...VOLUME_REF, { name: 'remove_mode', value: 'MODE', about: 'accepted' }],
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
  { name: 'query_volume', topic, about: 'one volume', options: VOLUME_REF, run: queryVolume },
  {
    name: 'query_all_volumes',
    topic,
    about: 'all volumes, or those of a pool or protection domain',
    options: [
      ...DOMAIN_REF_OPTIONAL,
      ...POOL_REF.filter(({ name }) => name.startsWith('storage_pool')).map((option) => ({
        ...option,
        required: false,
      })),
    ],
    run: queryAllVolumes,
  },
];
