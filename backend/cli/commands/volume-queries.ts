// Commands that show volumes. It owns the lines of a volume that scripts take apart by position.

import { limitsOf } from '../../cluster-map/mapping-limits.js';
import { LIMIT } from '../../protocol/generated/constants.js';
import type { Mapping, Volume } from '../../protocol/generated/types.js';
import type { ClusterReader } from '../../runtime/cluster-reader.js';
import { grouped, sumRates } from '../../runtime/statistics/facts.js';
import type { Rate } from '../../runtime/statistics/facts.js';
import { isSnapshot } from '../../runtime/statistics/trees.js';
import { counted, nameOrNone, sizeText } from '../format.js';
import {
  DOMAIN_REF_OPTIONAL,
  POOL_REF,
  VOLUME_REF,
  domainOf,
  needed,
  poolOf,
  volumeOf,
} from '../lookup.js';
import { outcome } from '../option.js';
import type { Command, Outcome, Run } from '../option.js';
import { FULL_WORDS } from './volumes.js';

const topic = 'Volumes';
const MICROS_PER_MS = 1000;

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
    volumeType: isSnapshot(volume)
      ? 'Snapshot'
      : volume.provisioning === 'thick'
        ? 'ThickProvisioned'
        : 'ThinProvisioned',
    vtreeId: reader.id(volume.vtreeKey),
    ancestorVolumeId: reader.idOrNull(volume.ancestorKey),
    consistencyGroupId: reader.idOrNull(volume.groupKey),
    fullPolicy: volume.fullPolicy,
    accessModeLimit: volume.accessLimit === 'readOnly' ? 'ReadOnly' : 'ReadWrite',
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
  const [mappings, pools, { statuses }] = await Promise.all([
    reader.some('mapping', [volume.key]),
    reader.byKey('storagePool', [volume.poolKey]),
    reader.status('volume'),
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
      ...originLines(reader, volume),
      `   Creation time: ${new Date(volume.createdAtMs).toISOString()}`,
      ...(volume.fullPolicy === 'pool' ? [] : [`   Writes ${FULL_WORDS[volume.fullPolicy]}`]),
      ...(users.length === 0 ? ['   Volume is unmapped'] : ['   Mapped SDCs:', ...users]),
      ...waitingLines(statuses.find(({ key }) => key === volume.key)?.rates ?? []),
    ],
    volumeData(reader, volume, mappings),
  );
}

/** Where a snapshot comes from. */
function originLines(reader: ClusterReader, volume: Volume): readonly string[] {
  const { vtreeKey, ancestorKey, groupKey, accessLimit } = volume;
  if (!isSnapshot(volume)) return [];
  return [
    `   VTree ID: ${reader.id(vtreeKey)}`,
    `   Ancestor Volume ID: ${reader.idOrNull(ancestorKey) ?? 'removed'}`,
    ...(groupKey === 0 ? [] : [`   Consistency Group ID: ${reader.id(groupKey)}`]),
    ...(accessLimit === 'readOnly' ? ['   Access mode limit: Read-only'] : []),
    ...(volume.autoPolicyKey === 0
      ? []
      : [
          `   Auto snapshot of snapshot policy ${reader.id(volume.autoPolicyKey)}${volume.locked ? ', locked' : ''}${volume.lockedExpired ? ', marked for removal' : ''}`,
        ]),
    ...(volume.secureUntilMs === 0
      ? []
      : [`   Secure until ${new Date(volume.secureUntilMs).toISOString()}`]),
  ];
}

/** What the limits do to the volume's users now. */
function waitingLines(rates: readonly Rate[]): readonly string[] {
  const { throttledOps, throttledMicros } = sumRates(rates);
  if (throttledOps === 0) return [];
  const each = (throttledMicros / throttledOps / MICROS_PER_MS).toFixed(1);
  return [`   Throttled: ${Math.round(throttledOps)} requests per second wait ${each} ms each`];
}

/** What limits a mapping, for a line; empty: nothing does. */
function limitsText(mapping: Mapping, volume: Volume): string {
  const { iops, kbps } = limitsOf(mapping, volume.sizeSectors * LIMIT.sectorBytes);
  return `${iops === 0 ? '' : ` IOPS limit: ${iops}`}${kbps === 0 ? '' : ` Bandwidth limit: ${kbps} KB/s`}`;
}

export const VOLUME_QUERY_COMMANDS: readonly Command[] = [
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
