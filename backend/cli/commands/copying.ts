// Commands for how lost copies are made good and data is moved in a storage pool.

import type {
  CopyPolicy,
  SetPoolCopyingParams,
  StoragePool,
} from '../../protocol/generated/types.js';
import {
  KEEP_POOL_COPYING,
  LIMIT_RANGES,
  REPORT_POLICIES,
  SCLI_POLICIES,
  limitsOf,
  policyNamed,
} from '../../runtime/copy-policy-words.js';
import { POOL_REF, needed, poolOf } from '../lookup.js';
import { outcome } from '../option.js';
import type { Command, Option, Run } from '../option.js';
import { UsageError } from '../parser.js';

const topicPools = 'Storage pools';
const MOVES_PER_DEVICE_MAX = 255;

type Limit = keyof Omit<CopyPolicy, 'policy'>;

const LIMIT_OPTIONS: Readonly<Record<Limit, Option>> = {
  concurrentIos: {
    name: 'concurrent_io_limit',
    value: 'N',
    about: 'copies of a device at a time',
  },
  bandwidthKbps: {
    name: 'bandwidth_limit',
    aliases: ['bw_limit'],
    value: 'KBPS',
    about: 'KB per second and device',
  },
  appIops: {
    name: 'app_iops_threshold',
    value: 'N',
    about: 'requests of clients per second from which on a device counts as busy',
  },
  appKbps: {
    name: 'app_bw_threshold',
    value: 'KBPS',
    about: 'the same in KB per second',
  },
  quietMs: {
    name: 'quiet_period_msec',
    value: 'MS',
    about: 'how long a device has to be below both until it counts as idle',
  },
};

const LIMITS = Object.keys(LIMIT_OPTIONS) as Limit[];

const WORDS_OF_LIMITS: Readonly<Record<Limit, string>> = {
  concurrentIos: 'Number of concurrent IOs per device',
  bandwidthKbps: 'Bandwidth limit per device in KB per second',
  appIops: 'Application IOPS threshold per device',
  appKbps: 'Application bandwidth threshold per device in KB per second',
  quietMs: 'Quiet period in milliseconds',
};

/** A whole number of an option, or null where it is not given. @throws UsageError out of range */
function wholeFrom(run: Run, option: string, least: number, most: number): number | null {
  const text = run.values.get(option);
  if (text === undefined) return null;
  const value = Number(text);
  if (!Number.isInteger(value) || value < least || value > most)
    throw new UsageError(
      `--${option} must be a whole number from ${least} to ${most}, is "${text}"`,
    );
  return value;
}

function policyFrom(run: Run, before: CopyPolicy): CopyPolicy {
  const word = run.values.get('policy') ?? '';
  const policy = policyNamed(SCLI_POLICIES, word);
  if (policy === null)
    throw new UsageError(
      `--policy must be one of ${Object.values(SCLI_POLICIES).join(', ')}, is "${word}"`,
    );
  const next = { ...before, policy };
  for (const limit of LIMITS) {
    const { name } = LIMIT_OPTIONS[limit];
    const given = wholeFrom(run, name, ...LIMIT_RANGES[limit]);
    if (given === null) continue;
    if (!limitsOf(policy).includes(limit))
      throw new UsageError(`--${name} does not go with --policy ${SCLI_POLICIES[policy]}`);
    next[limit] = given;
  }
  return next;
}

function copying(
  name: string,
  about: string,
  options: readonly Option[],
  change: (run: Run, pool: StoragePool) => Partial<Omit<SetPoolCopyingParams, 'key'>>,
): Command {
  return {
    name,
    topic: topicPools,
    about,
    options: [...POOL_REF, ...options],
    run: async (run) => {
      const pool = needed(await poolOf(run.reader, run.values), 'storage pool');
      const params = { ...KEEP_POOL_COPYING, ...change(run, pool), key: pool.key };
      await run.cluster.command('SET_POOL_COPYING', run.user, params);
      return outcome(`Successfully modified storage pool ${pool.name}`);
    },
  };
}

function policyCommand(name: string, about: string, kind: 'rebuild' | 'rebalance'): Command {
  const policy = {
    name: 'policy',
    value: 'POLICY',
    about: Object.values(SCLI_POLICIES).join(', '),
    required: true,
  };
  return copying(
    name,
    about,
    [policy, ...LIMITS.map((limit) => LIMIT_OPTIONS[limit])],
    (run, pool) => ({
      [kind]: policyFrom(run, pool[kind]),
    }),
  );
}

function modeCommand(name: string, about: string, kind: 'rebuild' | 'rebalance'): Command {
  const options = [
    { name: `enable_${kind}`, about: 'yes', group: kind, required: true },
    { name: `disable_${kind}`, about: 'no', group: kind, required: true },
  ];
  return copying(name, about, options, ({ values }) => ({
    [`${kind}Enabled`]: values.has(`enable_${kind}`),
  }));
}

/** What is set for a pool, as its report says it. */
export function copyingLines(pool: StoragePool): readonly string[] {
  const lines = [`The number of parallel rebuild/rebalance jobs: ${pool.movesPerDevice}`];
  for (const [word, kind, enabled] of [
    ['Rebuild', pool.rebuild, pool.rebuildEnabled],
    ['Rebalance', pool.rebalance, pool.rebalanceEnabled],
  ] as const) {
    const limits = limitsOf(kind.policy);
    const colon = limits.length > 0 ? ' with the following parameters:' : '';
    lines.push(
      `${word} is ${enabled ? 'enabled' : 'disabled'} and using ${REPORT_POLICIES[kind.policy]} policy${colon}`,
      ...limits.map((limit) => `\t${WORDS_OF_LIMITS[limit]}: ${kind[limit]}`),
    );
  }
  return lines.map((line) => `\t${line}`);
}

export const COPYING_COMMANDS: readonly Command[] = [
  policyCommand(
    'set_rebuild_policy',
    'limit what making lost copies good takes of each device',
    'rebuild',
  ),
  policyCommand('set_rebalance_policy', 'limit what moving data takes of each device', 'rebalance'),
  modeCommand('set_rebuild_mode', 'make lost copies good or not', 'rebuild'),
  modeCommand('set_rebalance_mode', 'move data to spread it or not', 'rebalance'),
  copying(
    'set_rebuild_rebalance_parallelism',
    'change how many combs a device takes part in the moves of at a time',
    [{ name: 'limit', value: 'N', about: `1 to ${MOVES_PER_DEVICE_MAX}`, required: true }],
    (run) => ({ movesPerDevice: wholeFrom(run, 'limit', 1, MOVES_PER_DEVICE_MAX) }),
  ),
];
