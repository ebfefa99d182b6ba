// Endpoints for how lost copies are made good and data is moved in a storage pool. It must never judge a policy beyond its
// form.

import {
  KEEP_POOL_COPYING,
  LIMIT_RANGES,
  REST_POLICIES,
  policyNamed,
} from '../../runtime/copy-policy-words.js';
import type { CopyPolicy, SetPoolCopyingParams } from '../../protocol/generated/types.js';
import { action, ask, objectOf, pathKey } from '../action.js';
import { ApiError } from '../api-error.js';
import { FLAG, WHOLE, flagOf, object, oneOf, textIn, wholeOf } from '../body.js';
import type { Call, Route } from '../route.js';

const POLICY = object(
  {
    policy: oneOf(Object.values(REST_POLICIES)),
    numOfConcurrentIosPerDevice: WHOLE,
    bwLimitPerDeviceInKbps: WHOLE,
    appIopsPerDeviceThreshold: WHOLE,
    appBwPerDeviceThresholdInKbps: WHOLE,
    quietPeriodInMsec: WHOLE,
  },
  ['policy'],
);

const MOVES_PER_DEVICE_MAX = 255;

/** A limit of the body, or what is. @throws ApiError out of range */
function limitIn(
  call: Call,
  key: string,
  limit: keyof Omit<CopyPolicy, 'policy'>,
  before: CopyPolicy,
): number {
  const value = wholeOf(call.body, key) ?? before[limit];
  const [least, most] = LIMIT_RANGES[limit];
  if (value < least || value > most)
    throw ApiError.invalid(`${key} must be from ${least} to ${most}, is ${value}`);
  return value;
}

function policyIn(call: Call, before: CopyPolicy): CopyPolicy {
  return {
    policy: policyNamed(REST_POLICIES, textIn(call.body, 'policy')) ?? before.policy,
    concurrentIos: limitIn(call, 'numOfConcurrentIosPerDevice', 'concurrentIos', before),
    bandwidthKbps: limitIn(call, 'bwLimitPerDeviceInKbps', 'bandwidthKbps', before),
    appIops: limitIn(call, 'appIopsPerDeviceThreshold', 'appIops', before),
    appKbps: limitIn(call, 'appBwPerDeviceThresholdInKbps', 'appKbps', before),
    quietMs: limitIn(call, 'quietPeriodInMsec', 'quietMs', before),
  };
}

function set(call: Call, change: Partial<Omit<SetPoolCopyingParams, 'key'>>): Promise<unknown> {
  return ask(call, 'SET_POOL_COPYING', { ...KEEP_POOL_COPYING, ...change, key: pathKey(call) });
}

function policyRoute(name: string, kind: 'rebuild' | 'rebalance'): Route {
  return action('StoragePool', name, POLICY, async (call) => {
    const id = call.params['id'] ?? '';
    const pool = await objectOf(call, 'storagePool', id, 'POOL_NOT_FOUND');
    await set(call, { [kind]: policyIn(call, pool[kind]) });
  });
}

export const COPYING_ROUTES: readonly Route[] = [
  policyRoute('setRebuildIoPriorityPolicy', 'rebuild'),
  policyRoute('setRebalanceIoPriorityPolicy', 'rebalance'),
  action(
    'StoragePool',
    'setRebuildEnabled',
    object({ rebuildEnabled: FLAG }, ['rebuildEnabled']),
    (call) => set(call, { rebuildEnabled: flagOf(call.body, 'rebuildEnabled') ?? null }),
  ),
  action(
    'StoragePool',
    'setRebalanceEnabled',
    object({ rebalanceEnabled: FLAG }, ['rebalanceEnabled']),
    (call) => set(call, { rebalanceEnabled: flagOf(call.body, 'rebalanceEnabled') ?? null }),
  ),
  action(
    'StoragePool',
    'setRebuildRebalanceParallelism',
    object({ limit: WHOLE }, ['limit']),
    (call) => {
      const limit = wholeOf(call.body, 'limit') ?? 0;
      if (limit < 1 || limit > MOVES_PER_DEVICE_MAX)
        throw ApiError.invalid(`limit must be from 1 to ${MOVES_PER_DEVICE_MAX}, is ${limit}`);
      return set(call, { movesPerDevice: limit });
    },
  ),
];
