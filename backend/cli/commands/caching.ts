// Commands about the RAM read cache of SDSs and volumes. What a storage pool is set to is with its other settings.

import type { SetSdsCacheParams } from '../../protocol/generated/types.js';
import { SDS_REF, VOLUME_REF, needed, sdsOf, volumeOf } from '../lookup.js';
import { outcome } from '../option.js';
import type { Command, Option, Outcome, Run } from '../option.js';
import { UsageError } from '../parser.js';

const topicSds = 'SDS';
const topicVolumes = 'Volumes';

async function set(
  run: Run,
  change: Omit<SetSdsCacheParams, 'key'>,
  done: string,
): Promise<Outcome> {
  const sds = needed(await sdsOf(run.reader, run.values), 'SDS');
  await run.cluster.command('SET_SDS_CACHE', run.user, { key: sds.key, ...change });
  return outcome(`Successfully ${done} of SDS ${sds.name}`);
}

/** @throws UsageError */
function mibFrom(run: Run): number {
  const text = run.values.get('rmcache_size_mb') ?? '';
  if (!/^\d{1,9}$/.test(text))
    throw new UsageError(`--rmcache_size_mb must be a whole number of megabytes, is "${text}"`);
  return Number(text);
}

const SIZE: Option = {
  name: 'rmcache_size_mb',
  value: 'MB',
  about: 'of all devices of the SDS together, from 128 to 307200',
  required: true,
};

const USAGE: readonly Option[] = [
  { name: 'use_rmcache', about: 'they do', group: 'RAM read cache', required: true },
  { name: 'dont_use_rmcache', about: 'they do not', group: 'RAM read cache', required: true },
];

export const SDS_CACHING_COMMANDS: readonly Command[] = [
  {
    name: 'enable_sds_rmcache',
    topic: topicSds,
    about: 'let an SDS have a RAM read cache for pools that use it',
    options: SDS_REF,
    run: (run) => set(run, { enabled: true, mib: null }, 'enabled the RAM read cache'),
  },
  {
    name: 'disable_sds_rmcache',
    topic: topicSds,
    about: 'take the RAM read cache from an SDS; its memory is given back',
    options: SDS_REF,
    run: (run) => set(run, { enabled: false, mib: null }, 'disabled the RAM read cache'),
  },
  {
    name: 'set_sds_rmcache_size',
    topic: topicSds,
    about: 'change how much memory the RAM read cache of an SDS may take',
    options: [...SDS_REF, SIZE],
    run: (run) => set(run, { enabled: null, mib: mibFrom(run) }, 'set the RAM read cache size'),
  },
];

export const VOLUME_CACHING_COMMANDS: readonly Command[] = [
  {
    name: 'set_volume_rmcache_usage',
    topic: topicVolumes,
    about: 'let the reads of a volume use the RAM read cache where its pool does, or not',
    options: [...VOLUME_REF, ...USAGE],
    run: async (run) => {
      const volume = needed(await volumeOf(run.reader, run.values), 'volume');
      const rmcache = run.values.has('use_rmcache');
      await run.cluster.command('SET_VOLUME_CACHE', run.user, { key: volume.key, rmcache });
      return outcome(`Successfully modified volume ${volume.name}`);
    },
  },
];
