// Programs of Debian that the package test uses as tools and judges; as root they are installed where they are missing.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';

const NEEDS: Readonly<Record<string, string>> = {
  'dpkg-shlibdeps': 'dpkg-dev',
  readelf: 'binutils',
  lintian: 'lintian',
  'systemd-nspawn': 'systemd-container',
  rpmbuild: 'rpm',
  'qemu-system-x86_64': 'qemu-system-x86',
  cpio: 'cpio',
  busybox: 'busybox-static',
  'mkfs.ext4': 'e2fsprogs',
  curl: 'curl',
};

const FOLDERS = ['/usr/sbin', '/usr/bin', '/sbin', '/bin'];

export async function installMissing(say: (text: string) => void): Promise<void> {
  const missing = Object.entries(NEEDS)
    .filter(([program]) => !FOLDERS.some((folder) => existsSync(join(folder, program))))
    .map(([, name]) => name);
  if (missing.length === 0) return;
  say(`installing for the test: ${missing.join(' ')}`);
  const wait = ['-o', 'DPkg::Lock::Timeout=600'];
  const settings = { env: { DEBIAN_FRONTEND: 'noninteractive' }, stdin: 'ignore' } as const;
  await execa('apt-get', [...wait, 'update', '-qq'], settings);
  const install = ['install', '-y', '--no-install-recommends', ...missing];
  await execa('apt-get', [...wait, ...install], settings);
}
