// The drop-ins for compute hosts where they are in force: a running udevd with Debian's rules and ours, LVM with our file.
// What guests keep on their volumes must stay unseen by the host. Runs inside the guest.

import { mkdirSync } from 'node:fs';
import type { DeviceFacts } from '../../backend/bin/holder-attachment.js';
import { check, isTrue, run, same } from './checks.js';

/** LVM's settings as Debian ships them, without ours. */
const PLAIN_LVM = '/tmp/lvm-plain';

export function startUdev(): void {
  for (const folder of ['/run/udev', PLAIN_LVM]) mkdirSync(folder, { recursive: true });
  run('/lib/systemd/systemd-udevd', '--daemon');
  run('udevadm', 'trigger', '--action=add');
  run('udevadm', 'settle');
}

/** What udevd knows of a device, after it has looked at it again. */
export function udevProperties(device: string): Map<string, string> {
  run('udevadm', 'trigger', '--action=change', '--settle', `--name-match=${device}`);
  const lines = run('udevadm', 'info', '--query=property', `--name=${device}`).split('\n');
  return new Map(
    lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
}

const volumesSeen = (settings: string): string =>
  run('env', `LVM_SYSTEM_DIR=${settings}`, 'lvm', 'pvs', '--noheadings', '-o', 'pv_name');

/** @param what - in words, of the device */
export async function udevRule({ blockDevice }: DeviceFacts, what: string): Promise<void> {
  const name = blockDevice.replace('/dev/', '');
  await check(`udev does not look at what is on ${what}`, () => {
    const known = udevProperties(blockDevice);
    same(known.get('UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG'), '1');
    same(known.get('SYSTEMD_READY'), '0');
    same(known.get('DM_MULTIPATH_DEVICE_PATH'), '0');
    same(known.get('ID_FS_TYPE'), undefined);
    same(known.get('DEVLINKS'), `/dev/meshsan/${name}`);
  });
}

/** What is on the device is lost. */
export async function lvmRule({ blockDevice, device }: DeviceFacts, what: string): Promise<void> {
  await check(`LVM does not see a guest's physical volume on ${what}`, () => {
    run('env', `LVM_SYSTEM_DIR=${PLAIN_LVM}`, 'lvm', 'pvcreate', '-ff', '-y', blockDevice);
    isTrue(volumesSeen(PLAIN_LVM).includes(blockDevice), 'without our file LVM sees it');
    same(volumesSeen('/etc/lvm'), '');
    same(volumesSeen('/etc/lvm').includes(device), false);
  });
}
