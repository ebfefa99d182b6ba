// Commands on storage pools.

import type {
  Durability,
  FullPolicy,
  SetStoragePoolParams,
  StoragePool,
} from '../../protocol/generated/types.js';
import type { ClusterReader } from '../../runtime/cluster-reader.js';
import { readFacts, scopeOfPools } from '../../runtime/statistics/facts.js';
import type { Facts } from '../../runtime/statistics/facts.js';
import { capacityValues, clientValues } from '../../runtime/statistics/values.js';
import { KEEP_POOL_SETTINGS } from '../../runtime/pool-settings.js';
import { capacityLines, jobLines, numberIn, trafficLines } from '../capacity.js';
import { counted, kbText, sizeText } from '../format.js';
import { DOMAIN_REF, POOL_REF, domainOf, needed, poolOf } from '../lookup.js';
import { NEW_NAME, outcome } from '../option.js';
import { copyingLines } from './copying.js';
import type { Command, Option, Outcome, Run } from '../option.js';
import { UsageError } from '../parser.js';
import { scannerLine } from './scanner.js';

const DURABILITIES: readonly Durability[] = ['media', 'device', 'memory'];
const FULL_POLICIES: readonly FullPolicy[] = ['wait', 'error'];
const MEDIA = ['HDD', 'SSD', 'Transitional'];
const CACHE_WRITES = ['passthrough', 'cached'] as const;
const CACHE_MODE: Option = {
  name: 'rmcache_write_handling_mode',
  value: 'MODE',
  about: `what the RAM read cache does with writes: ${CACHE_WRITES.join(', ')} (cached)`,
};
const SECONDS_PER_DAY = 86_400;
const SPARE_PERCENT = 10;
const SPARE_PERCENT_MAX = 90;

/** How fast a pool fills up; nothing while it does not. */
function growthLines(facts: Facts, pool: StoragePool): readonly string[] {
  const status = facts.poolStatus.get(pool.key);
  if (status === undefined || status.growthBytesPerDay === 0) return [];
  const { isFillingUp, fullInS, growthBytesPerDay } = status;
  const days = (fullInS / SECONDS_PER_DAY).toFixed(1);
  const when = isFillingUp ? `; full in ${days} days if it goes on like that` : '';
  return [`\tGrows by ${sizeText(growthBytesPerDay)} a day${when}`];
}

/** `Storage Pool <n> (Id: <id>) has ...` and what is set for it. */
export function poolLines(
  reader: ClusterReader,
  facts: Facts,
  pool: StoragePool,
): readonly string[] {
  const scope = scopeOfPools(facts, [pool]);
  const free = numberIn(capacityValues(facts, scope), 'capacityAvailableForVolumeAllocationInKb');
  return [
    `Storage Pool ${pool.name} (Id: ${reader.id(pool.key)}) has ${counted(scope.volumes.length, 'volume')} and ${kbText(free)} available for volume allocation`,
    ...copyingLines(pool),
    `\t${scannerLine(pool)}`,
    `\tZero padding is ${pool.zeroPadding ? 'enabled' : 'disabled'}`,
    `\tSpare policy: ${pool.sparePercent}% out of total`,
    `\tChecksum mode: ${pool.checksums ? 'enabled' : 'disabled'}`,
    `\tMedia type: ${pool.mediaType}`,
    `\tDurability mode: ${pool.durability}`,
    `\tWrites that find it full ${pool.fullPolicy === 'wait' ? 'wait for space' : 'end with an error'}`,
    ...growthLines(facts, pool),
    pool.rmcache ? '\tUses RAM Read Cache' : "\tDoesn't use RAM Read Cache",
    `\tRAM Read Cache write handling mode is '${pool.cacheWrites}'`,
    "\tDoesn't use Flash Read Cache",
    `\tCapacity alert thresholds: High: ${pool.capacityAlertHighPercent}, Critical: ${pool.capacityAlertCriticalPercent}`,
  ];
}

async function queryPool(run: Run): Promise<Outcome> {
  const { reader } = run;
  const pool = needed(await poolOf(reader, run.values), 'storage pool');
  const facts = await readFacts(reader);
  const scope = scopeOfPools(facts, [pool]);
  const rates = scope.volumes.flatMap(({ key }) => facts.ratesByVolume.get(key) ?? []);
  const values = { ...capacityValues(facts, scope), ...clientValues(rates) };
  const domain = (await reader.byKey('protectionDomain')).get(pool.domainKey);
  return outcome(
    [
      ...poolLines(reader, facts, pool),
      `\tProtection Domain: ${reader.id(pool.domainKey)}, Name: ${domain?.name ?? 'N/A'}`,
      `\t${counted(scope.devices.length, 'device')}`,
      ...capacityLines(values, '\t'),
      ...jobLines(values, '\t'),
      ...trafficLines(values, '\t'),
    ],
    {
      id: reader.id(pool.key),
      name: pool.name,
      protectionDomainId: reader.id(pool.domainKey),
      durability: pool.durability,
      sparePercentage: pool.sparePercent,
      ...values,
    },
  );
}

/** Percentage of the capacity kept free. @throws UsageError */
function sparePercentFrom(run: Run): number {
  const text = run.values.get('spare_percentage') ?? String(SPARE_PERCENT);
  const percent = Number(text.replace(/%$/, ''));
  if (!Number.isInteger(percent) || percent < 0 || percent > SPARE_PERCENT_MAX)
    throw new UsageError(
      `--spare_percentage must be a whole number from 0 to ${SPARE_PERCENT_MAX}, is "${text}"`,
    );
  return percent;
}

function wordFrom<T extends string>(run: Run, option: string, words: readonly T[], fallback: T): T {
  const text = run.values.get(option) ?? fallback;
  const found = words.find((word) => word.toLowerCase() === text.toLowerCase());
  if (found === undefined)
    throw new UsageError(`--${option} must be one of ${words.join(', ')}, is "${text}"`);
  return found;
}

async function addPool(run: Run): Promise<Outcome> {
  const { values } = run;
  const domain = needed(await domainOf(run.reader, values), 'protection domain');
  const name = values.get('storage_pool_name') ?? '';
  const durability = wordFrom(run, 'durability', DURABILITIES, 'media');
  const { key } = await run.cluster.command('ADD_STORAGE_POOL', run.user, {
    domainKey: domain.key,
    name,
    mediaType: wordFrom(run, 'media_type', MEDIA, 'HDD'),
    durability,
    zeroPadding: !values.has('disable_zero_padding'),
    checksums: values.has('enable_checksum'),
    rmcache:
      values.has('use_rmcache') || (durability === 'device' && !values.has('dont_use_rmcache')),
    cacheWrites: wordFrom(run, CACHE_MODE.name, CACHE_WRITES, 'cached'),
    sparePercent: sparePercentFrom(run),
    combCountLog2: 0,
  });
  const id = run.reader.id(key);
  return outcome(`Successfully created a storage pool. Object ID ${id}`, { id });
}

const topicPools = 'Storage pools';

/** A command that changes settings of one pool. */
function setPool(
  name: string,
  about: string,
  options: readonly Option[],
  change: (run: Run) => Partial<Omit<SetStoragePoolParams, 'key'>>,
): Command {
  return {
    name,
    topic: topicPools,
    about,
    options: [...POOL_REF, ...options],
    run: async (run) => {
      const pool = needed(await poolOf(run.reader, run.values), 'storage pool');
      const params = { ...KEEP_POOL_SETTINGS, ...change(run), key: pool.key };
      await run.cluster.command('SET_STORAGE_POOL', run.user, params);
      return outcome(`Successfully modified storage pool ${pool.name}`);
    },
  };
}

/** Two flags of which one must be given. */
function either(on: string, off: string, about: string): readonly Option[] {
  return [
    { name: on, about: `${about}: yes`, group: about, required: true },
    { name: off, about: `${about}: no`, group: about, required: true },
  ];
}

export const POOL_COMMANDS: readonly Command[] = [
  {
    name: 'add_storage_pool',
    topic: topicPools,
    about: 'create a storage pool',
    options: [
      ...DOMAIN_REF,
      {
        name: 'storage_pool_name',
        value: 'NAME',
        about: 'at most 31 characters',
        required: true,
      },
      { name: 'media_type', value: 'TYPE', about: MEDIA.join(', ') },
      {
        name: 'durability',
        value: 'MODE',
        about: `when a write is acknowledged: ${DURABILITIES.join(', ')} (media)`,
      },
      { name: 'spare_percentage', value: 'PERCENT', about: `kept free (${SPARE_PERCENT})` },
      {
        name: 'use_rmcache',
        about: 'use the RAM read cache (the default with durability device)',
        group: 'rmcache',
      },
      {
        name: 'dont_use_rmcache',
        about: 'do not use it (the default with the others: the system caches what is read)',
        group: 'rmcache',
      },
      CACHE_MODE,
      { name: 'enable_zero_padding', about: 'the default', group: 'zero padding' },
      {
        name: 'disable_zero_padding',
        about: 'report zero padding as disabled',
        group: 'zero padding',
      },
      { name: 'enable_checksum', about: 'report checksums as enabled' },
    ],
    run: addPool,
  },
  {
    name: 'remove_storage_pool',
    topic: topicPools,
    about: 'remove an empty storage pool',
    options: POOL_REF,
    sure: 'The storage pool will be removed.',
    run: async (run) => {
      const pool = needed(await poolOf(run.reader, run.values), 'storage pool');
      await run.cluster.command('REMOVE_STORAGE_POOL', run.user, { key: pool.key });
      return outcome(`Successfully removed storage pool ${pool.name}`);
    },
  },
  {
    name: 'rename_storage_pool',
    topic: topicPools,
    about: 'rename a storage pool',
    options: [...POOL_REF, NEW_NAME],
    run: async (run) => {
      const pool = needed(await poolOf(run.reader, run.values), 'storage pool');
      const name = run.values.get('new_name') ?? '';
      await run.cluster.command('RENAME_STORAGE_POOL', run.user, { key: pool.key, name });
      return outcome(`Successfully renamed storage pool to ${name}`);
    },
  },
  {
    name: 'query_storage_pool',
    topic: topicPools,
    about: 'one pool',
    options: POOL_REF,
    run: queryPool,
  },
  setPool(
    'modify_spare_policy',
    'change the capacity kept free',
    [
      { name: 'spare_percentage', value: 'PERCENT', about: 'of the pool', required: true },
      { name: 'force', about: 'although it is smaller than the largest SDS or fault set' },
    ],
    (run) => ({ sparePercent: sparePercentFrom(run), force: run.values.has('force') }),
  ),
  setPool(
    'modify_zero_padding_policy',
    'report zero padding as on or off; what was never written reads as zero either way',
    either('enable_zero_padding', 'disable_zero_padding', 'zero padding'),
    ({ values }) => ({ zeroPadding: values.has('enable_zero_padding') }),
  ),
  setPool(
    'set_checksum_mode',
    'report checksums as on or off; data is always checked',
    either('enable_checksum', 'disable_checksum', 'checksums'),
    ({ values }) => ({ checksums: values.has('enable_checksum') }),
  ),
  setPool(
    'set_rmcache_usage',
    'use the RAM read cache or not',
    either('use_rmcache', 'dont_use_rmcache', 'RAM read cache'),
    ({ values }) => ({ rmcache: values.has('use_rmcache') }),
  ),
  setPool(
    'set_rmcache_write_handling_mode',
    'choose whether the RAM read cache takes what is written, or only what is read',
    [{ ...CACHE_MODE, required: true }],
    (run) => ({ cacheWrites: wordFrom(run, CACHE_MODE.name, CACHE_WRITES, 'cached') }),
  ),
  setPool(
    'set_media_type',
    'say what kind of devices a storage pool is for; others in it are an alert, unless it is Transitional',
    [{ name: 'media_type', value: 'TYPE', about: MEDIA.join(', '), required: true }],
    (run) => ({ mediaType: wordFrom(run, 'media_type', MEDIA, 'HDD') }),
  ),
  setPool(
    'set_durability_mode',
    'change when a write is acknowledged',
    [{ name: 'durability', value: 'MODE', about: DURABILITIES.join(', '), required: true }],
    (run) => ({ durability: wordFrom(run, 'durability', DURABILITIES, 'media') }),
  ),
  setPool(
    'set_full_policy',
    'choose whether writes that find the pool full wait for space or end with an error',
    [{ name: 'full_policy', value: 'POLICY', about: FULL_POLICIES.join(', '), required: true }],
    (run) => ({ fullPolicy: wordFrom(run, 'full_policy', FULL_POLICIES, 'wait') }),
  ),
];
