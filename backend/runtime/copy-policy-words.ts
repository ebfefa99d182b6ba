// The words for limits of copying that REST clients and the command line use, and what they mean to the MDM. It must never
// ask for a change.

import { LIMIT } from '../protocol/generated/constants.js';
import type { CopyLimits, CopyPolicy, SetPoolCopyingParams } from '../protocol/generated/types.js';

/** As the original's REST API spells them. */
export const REST_POLICIES: Readonly<Record<CopyLimits, string>> = {
  unlimited: 'unlimited',
  limitConcurrent: 'limitNumOfConcurrentIos',
  favorApplication: 'favorAppIos',
  dynamicBandwidth: 'dynamicBwThrottling',
};

/** As its command line takes them. */
export const SCLI_POLICIES: Readonly<Record<CopyLimits, string>> = {
  unlimited: 'no_limit',
  limitConcurrent: 'limit_concurrent_io',
  favorApplication: 'favor_application_io',
  dynamicBandwidth: 'dynamic_bw_throttling',
};

/** As its reports print them. */
export const REPORT_POLICIES: Readonly<Record<CopyLimits, string>> = {
  unlimited: 'Unlimited',
  limitConcurrent: 'Limit-Concurrent-IO',
  favorApplication: 'Favor-Application-IO',
  dynamicBandwidth: 'Dynamic-Bandwidth-Throttling',
};

/** The policy that a word of one of these tables names, or null. */
export function policyNamed(
  table: Readonly<Record<CopyLimits, string>>,
  word: string,
): CopyLimits | null {
  const wanted = word.toLowerCase();
  const found = (Object.keys(table) as CopyLimits[]).find(
    (policy) => table[policy].toLowerCase() === wanted,
  );
  return found ?? null;
}

/** Which of the limits a policy has; the others stay as they are and do nothing. */
export function limitsOf(policy: CopyLimits): readonly (keyof Omit<CopyPolicy, 'policy'>)[] {
  if (policy === 'unlimited') return [];
  if (policy === 'limitConcurrent') return ['concurrentIos'];
  if (policy === 'favorApplication') return ['concurrentIos', 'bandwidthKbps'];
  return ['concurrentIos', 'bandwidthKbps', 'appIops', 'appKbps', 'quietMs'];
}

const U32_MAX = 0xffffffff;
/** Least and most of each limit. */
export const LIMIT_RANGES: Readonly<Record<keyof Omit<CopyPolicy, 'policy'>, [number, number]>> = {
  concurrentIos: [1, LIMIT.concurrentCopiesMax],
  bandwidthKbps: [LIMIT.copyKbpsMin, U32_MAX],
  appIops: [0, U32_MAX],
  appKbps: [0, U32_MAX],
  quietMs: [0, U32_MAX],
};

/** Leaves everything about the copying of a pool as it is. */
export const KEEP_POOL_COPYING: Omit<SetPoolCopyingParams, 'key'> = {
  rebuildEnabled: null,
  rebalanceEnabled: null,
  rebuild: null,
  rebalance: null,
  movesPerDevice: null,
};
