// A control group that keeps the storage servers together within half of the machine, as a user's own load would. It owns
// that group: made before the first server, gone after the last.

import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { basename, join } from 'node:path';

import { until } from '../support/until.js';

const ROOT = '/sys/fs/cgroup';
/** Where version 1 has the controller of processors. */
const VERSION_1 = join(ROOT, 'cpu');
const PERIOD_US = 100_000;
const SHARE = 0.5;
/** Eight times the usual: the group is held down by its quota only, not by whatever else runs on the machine. */
const SHARES = 8 * 1024;
const WEIGHT = 8 * 100;

const parent = (): string => (existsSync(VERSION_1) ? VERSION_1 : ROOT);
const groupOf = (dir: string): string => join(parent(), basename(dir));

/**
 * Makes the group of a run.
 *
 * @param dir - of the run; its name is the group's
 * @returns words before a command that is to be a member; null: this user may not
 */
export function makeThrottle(dir: string): readonly string[] | null {
  const group = groupOf(dir);
  const quotaUs = Math.round(PERIOD_US * cpus().length * SHARE);
  try {
    mkdirSync(group, { recursive: true });
    if (parent() === VERSION_1) {
      writeFileSync(join(group, 'cpu.cfs_period_us'), String(PERIOD_US));
      writeFileSync(join(group, 'cpu.cfs_quota_us'), String(quotaUs));
      writeFileSync(join(group, 'cpu.shares'), String(SHARES));
    } else {
      writeFileSync(join(group, 'cpu.max'), `${quotaUs} ${PERIOD_US}`);
      writeFileSync(join(group, 'cpu.weight'), String(WEIGHT));
    }
  } catch (error) {
    if (!['EACCES', 'EPERM', 'ENOENT', 'EROFS'].includes((error as { code?: string }).code ?? ''))
      throw error;
    return null;
  }
  const enter = `echo 0 > '${join(group, 'cgroup.procs')}' && exec "$@"`;
  return ['sh', '-c', enter, 'sh'];
}

/** How often the servers used up what they have: periods so far, and those at whose end they stood still. */
export function throttling(dir: string): { readonly periods: number; readonly stood: number } {
  const file = join(groupOf(dir), 'cpu.stat');
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const value = (name: string): number =>
    Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1]);
  return { periods: value('nr_periods'), stood: value('nr_throttled') };
}

/** Takes the group away, once its last member has ended. */
export async function removeThrottle(dir: string): Promise<void> {
  const group = groupOf(dir);
  if (!existsSync(group)) return;
  await until('the control group is empty', () => {
    try {
      rmdirSync(group);
      return true;
    } catch (error) {
      if ((error as { code?: string }).code !== 'EBUSY') throw error;
      return false;
    }
  });
}
