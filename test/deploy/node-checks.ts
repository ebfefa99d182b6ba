// What the deployment test asks of single machines: processes and their lives, servers that joined, content of a volume's
// block device.

import { until } from '../support/until.js';
import type { Lab, Machine } from './machines.js';
import { expect } from './report.js';

export const DATA_BYTES = 4 * 2 ** 20;

export async function mainPid(machine: Machine, unit: string): Promise<string> {
  return machine.run('systemctl', 'show', '-p', 'MainPID', '--value', unit);
}

/** Each service comes back after kill -9, stops and starts. */
export async function checkLife(machine: Machine, units: readonly string[]): Promise<undefined> {
  for (const unit of units) {
    const before = await mainPid(machine, unit);
    await machine.run('kill', '-9', before);
    await until(`${unit} of ${machine.name} comes back`, async () => {
      const now = await mainPid(machine, unit);
      const { stdout } = await machine.try('systemctl', 'is-active', unit);
      return now !== before && now !== '0' && stdout === 'active';
    });
    await machine.run('systemctl', 'stop', unit);
    const stopped = await machine.try('systemctl', 'is-active', unit);
    expect(stopped.stdout === 'inactive', `${unit} is ${stopped.stdout} after its stop`);
    await machine.run('systemctl', 'start', unit);
  }
  return undefined;
}

export const sdsStates = (lab: Lab): Promise<string> =>
  lab
    .machine('node-1')
    .run(
      'sh',
      '-c',
      'scli --login --username admin </etc/meshsan/admin-password >/dev/null && scli --query_all_sds',
    );

export async function allJoined(lab: Lab, count: number): Promise<boolean> {
  const { code, stdout } = await lab
    .machine('node-1')
    .try(
      'sh',
      '-c',
      'scli --login --username admin </etc/meshsan/admin-password >/dev/null && scli --query_all_sds',
    );
  return code === 0 && (stdout.match(/Connected, Joined/g) ?? []).length === count;
}

export function device(machine: Machine, volumeId: string): Promise<string> {
  return machine.run('sh', '-c', `readlink -f /dev/disk/by-id/emc-vol-*-${volumeId} | grep /dev/`);
}

export async function digest(machine: Machine, path: string): Promise<string> {
  const command = `dd if=${path} bs=1M count=${DATA_BYTES / 2 ** 20} iflag=direct status=none | sha256sum`;
  return machine.run('sh', '-c', command);
}
