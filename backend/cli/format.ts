// Numbers and words as the original prints them; scripts take them apart by position.

import type { AddressRole, Approval, Liveness, UserRole } from '../protocol/generated/types.js';
import type { Bandwidth } from '../runtime/statistics/values.js';

const KIB = 1024;
const UNITS = ['Bytes', 'KB', 'MB', 'GB', 'TB', 'PB'] as const;
const TRAFFIC_COLUMN = 41;

/**
 * A size with its unit and, in brackets, in the next smaller one: `8.0 GB (8192 MB)`. Below a kilobyte: `512 Bytes`.
 * @param bytes - whole, not negative
 */
export function sizeText(bytes: number): string {
  let unit = 0;
  while (unit < UNITS.length - 1 && bytes >= KIB ** (unit + 1)) unit += 1;
  if (unit === 0) return `${bytes} Bytes`;
  const amount = (bytes / KIB ** unit).toFixed(1);
  const smaller = Math.floor(bytes / KIB ** (unit - 1));
  return `${amount} ${UNITS[unit] ?? ''} (${smaller} ${UNITS[unit - 1] ?? ''})`;
}

/** A size given in kilobytes. */
export function kbText(kilobytes: number): string {
  return sizeText(kilobytes * KIB);
}

/** Whole gigabytes, rounded down. */
export function wholeGb(bytes: number): string {
  return `${Math.floor(bytes / KIB ** 3)} GB`;
}

/** Operations and bytes per second: `19 IOPS 390.4 KB (399769 Bytes) per-second`. */
export function bandwidthText({ numSeconds, totalWeightInKb, numOccured }: Bandwidth): string {
  const seconds = Math.max(1, numSeconds);
  const bytes = Math.round((totalWeightInKb * KIB) / seconds);
  return `${Math.round(numOccured / seconds)} IOPS ${sizeText(bytes)} per-second`;
}

/** A line of the traffic block: the name padded to its column. */
export function trafficLine(name: string, value: Bandwidth): string {
  return `${name.padEnd(TRAFFIC_COLUMN)}${bandwidthText(value)}`;
}

/** "1 volume", "2 volumes". */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** "N/A" for an object without a name. */
export function nameOrNone(name: string): string {
  return name === '' ? 'N/A' : name;
}

export const ADDRESS_ROLES: Readonly<Record<AddressRole, string>> = {
  all: 'All (SDS and SDC)',
  sdsOnly: 'SDS Only',
  sdcOnly: 'SDC Only',
  management: 'Management',
};

export const USER_ROLES: Readonly<Record<UserRole, string>> = {
  monitor: 'Monitor',
  configure: 'Configure',
  administrator: 'Administrator',
  security: 'Security',
  frontendConfigure: 'FrontEndConfigure',
  backendConfigure: 'BackEndConfigure',
};

/** The role in the form of the option `--user_role`, in any case; null when it is none. */
export function userRole(text: string): UserRole | null {
  const wanted = text.toLowerCase().replaceAll('_', '');
  const entries = Object.entries(USER_ROLES) as [UserRole, string][];
  return entries.find(([, word]) => word.toLowerCase() === wanted)?.[0] ?? null;
}

export function connectionState(liveness: Liveness | undefined): string {
  return liveness === 'connected' ? 'Connected' : 'Disconnected';
}

/** How the restricted mode reads; `enabled` whatever is checked. */
export function restrictedMode(approval: Approval): string {
  return approval === 'none' ? 'disabled' : 'enabled';
}

/** The version as the original writes it: `R3_5.0.1.0`. */
export function versionText(version: string): string {
  return version === '' ? 'N/A' : version;
}
