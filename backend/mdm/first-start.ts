// What a new system begins with.

import { LIMIT, VERSION_MAX } from '../protocol/generated/constants.js';
import { validName } from './names.js';
import type { InitialSystem } from './options.js';
import type { State } from './state.js';

/** Default thresholds of the original, in percent. */
const ALERT_HIGH_PERCENT = 80;
const ALERT_CRITICAL_PERCENT = 90;

/**
 * Makes the system and its first administrator. Called as work.
 *
 * @throws Refusal when a name is not acceptable
 */
export function makeSystem(state: State, initial: InitialSystem, wallMs: number): void {
  const { systemName, idPrefix, installId, admin } = initial;
  const key = 1;
  state.systems.put(key, {
    ...{ idPrefix, key, installId },
    name: validName(systemName.slice(0, LIMIT.nameBytesMax)),
    createdAtMs: wallMs,
    secureClockMs: 0,
    nextKey: key + 1,
    nextRun: 1,
    clusterEpoch: 1,
    clusterVersion: VERSION_MAX,
    approval: 'none',
    capacityAlertHighPercent: ALERT_HIGH_PERCENT,
    capacityAlertCriticalPercent: ALERT_CRITICAL_PERCENT,
  });
  const { name, salt, hash } = admin;
  const userKey = state.newKey();
  state.users.put(userKey, {
    ...{ key: userKey, name: validName(name), salt, hash },
    role: 'administrator',
  });
}
