// The block of capacity, job and traffic lines that `--query_all`, `--query_sds` and `--query_storage_pool` share. It
// owns their order and words; scripts look for the words and take the numbers in front of them.

import type { Bandwidth, Value, Values } from '../runtime/statistics/values.js';

import { kbText, trafficLine } from './format.js';

/** Words behind the size, and the property that holds it. */
const CAPACITIES: readonly (readonly [string, string])[] = [
  ['total', 'maxCapacityInKb'],
  ['unused', 'unusedCapacityInKb'],
  ['snapshots', 'snapCapacityInUseInKb'],
  ['in-use', 'capacityInUseInKb'],
  ['thin', 'thinCapacityInUseInKb'],
  ['protected', 'protectedCapacityInKb'],
  ['failed', 'failedCapacityInKb'],
  ['degraded-failed', 'degradedFailedCapacityInKb'],
  ['degraded-healthy', 'degradedHealthyCapacityInKb'],
  ['unreachable-unused', 'unreachableUnusedCapacityInKb'],
  ['active rebalance', 'activeRebalanceCapacityInKb'],
  ['pending rebalance', 'pendingRebalanceCapacityInKb'],
  ['active forward-rebuild', 'activeFwdRebuildCapacityInKb'],
  ['pending forward-rebuild', 'pendingFwdRebuildCapacityInKb'],
  ['active backward-rebuild', 'activeBckRebuildCapacityInKb'],
  ['pending backward-rebuild', 'pendingBckRebuildCapacityInKb'],
  ['rebalance', 'rebalanceCapacityInKb'],
  ['forward-rebuild', 'fwdRebuildCapacityInKb'],
  ['backward-rebuild', 'bckRebuildCapacityInKb'],
  ['active moving', 'activeMovingCapacityInKb'],
  ['pending moving', 'pendingMovingCapacityInKb'],
  ['total moving', 'movingCapacityInKb'],
  ['spare', 'spareCapacityInKb'],
  ['at-rest', 'atRestCapacityInKb'],
  ['semi-protected', 'semiProtectedCapacityInKb'],
  ['in-maintenance', 'inMaintenanceCapacityInKb'],
  ['decreased', 'decreasedCapacityInKb'],
];

const TRAFFIC: readonly (readonly [string, string])[] = [
  ['Primary-reads', 'primaryReadBwc'],
  ['Primary-writes', 'primaryWriteBwc'],
  ['Secondary-reads', 'secondaryReadBwc'],
  ['Secondary-writes', 'secondaryWriteBwc'],
  ['Backward-rebuild-reads', 'bckRebuildReadBwc'],
  ['Backward-rebuild-writes', 'bckRebuildWriteBwc'],
  ['Forward-rebuild-reads', 'fwdRebuildReadBwc'],
  ['Forward-rebuild-writes', 'fwdRebuildWriteBwc'],
  ['Rebalance-reads', 'rebalanceReadBwc'],
  ['Rebalance-writes', 'rebalanceWriteBwc'],
];

/**
 * Words, and the properties that are counted for them. These lines know no maintenance: what is moved away before it is
 * moved data, what is copied back afterwards a backward rebuild.
 */
const JOBS: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  ['forward-rebuild', ['InFwdRebuild'], ['OutFwdRebuild']],
  [
    'backward-rebuild',
    ['InBckRebuild', 'InExitProtectedMaintenanceMode'],
    ['OutBckRebuild', 'OutExitProtectedMaintenanceMode'],
  ],
  [
    'rebalance',
    ['InRebalance', 'InEnterProtectedMaintenanceMode'],
    ['Rebalance', 'OutEnterProtectedMaintenanceMode'],
  ],
];

/** A number among values; 0 where there is none. */
export function numberIn(values: Values, name: string): number {
  const value: Value | undefined = values[name];
  return typeof value === 'number' ? value : 0;
}

export function bandwidthIn(values: Values, name: string): Bandwidth {
  const value: Value | undefined = values[name];
  if (typeof value === 'object' && 'numOccured' in value) return value;
  return { numSeconds: 0, totalWeightInKb: 0, numOccured: 0 };
}

/** `<size> <word> capacity`, 27 lines. */
export function capacityLines(values: Values, indent: string): readonly string[] {
  return CAPACITIES.map(
    ([word, name]) => `${indent}${kbText(numberIn(values, name))} ${word} capacity`,
  );
}

/** Twelve lines on jobs of rebuild and rebalance. */
export function jobLines(values: Values, indent: string): readonly string[] {
  const line = (stage: 'active' | 'pending', way: string, job: string, names: readonly string[]) =>
    `${indent}${sumOf(values, stage, names)} ${stage} moving-${way} ${job} jobs`;
  return JOBS.flatMap(([job, ins, outs]) => [
    line('active', 'in', job, ins),
    line('active', 'out', job, outs),
    line('pending', 'in', job, ins),
    line('pending', 'out', job, outs),
  ]);
}

function sumOf(values: Values, stage: string, names: readonly string[]): number {
  return names.reduce((sum, name) => sum + numberIn(values, `${stage}Moving${name}Jobs`), 0);
}

/** Ten lines of traffic. */
export function trafficLines(values: Values, indent: string): readonly string[] {
  return TRAFFIC.map(([word, name]) => indent + trafficLine(word, bandwidthIn(values, name)));
}
