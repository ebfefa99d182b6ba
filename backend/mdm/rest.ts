// Which devices rest: their SDS is in maintenance, or about to be. Pure functions of the state; what follows from it is
// decided in reconcile.ts and in the mover.

import type { Sds } from '../protocol/generated/types.js';
import type { State } from './state.js';

/**
 * none: the device works as any other.
 * leaving: its data is copied elsewhere before it rests; until then it serves what has no two copies elsewhere.
 * out: nothing is read from it or written to it, and its data stays where it is.
 */
export type Rest = 'none' | 'leaving' | 'out';

export function restOfSds({ maintenance, maintenanceStage }: Sds): Rest {
  if (maintenanceStage !== 'entering' && maintenanceStage !== 'active') return 'none';
  return maintenance === 'protected' && maintenanceStage === 'entering' ? 'leaving' : 'out';
}

export function restOf(state: State, deviceKey: number): Rest {
  const sds = state.sds.get(state.devices.get(deviceKey)?.sdsKey ?? 0);
  return sds === undefined ? 'none' : restOfSds(sds);
}

/** Whether copies of a device are made elsewhere because it rests. */
export function isCoveredElsewhere(state: State, sdsKey: number): boolean {
  const sds = state.sds.get(sdsKey);
  return sds?.maintenance === 'protected' && restOfSds(sds) !== 'none';
}

/** Whether what a device missed while it rested is being copied back. */
export function isComingBack(state: State, deviceKey: number): boolean {
  const sds = state.sds.get(state.devices.get(deviceKey)?.sdsKey ?? 0);
  return sds?.maintenanceStage === 'exiting';
}
