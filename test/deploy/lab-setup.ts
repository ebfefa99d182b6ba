// Brings machines of the deployment test up: what the host lacks is installed, the packages and plugins are built, and each
// machine gets the parts of OpenStack that a deployment finds: configuration files and services of their names.

import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { Lab } from './machines.js';
import type { Machine } from './machines.js';
import { MACHINES } from './environment.js';
import { layMirror, makeMirror, readMirror } from './mirror.js';

export const ROOT = join(import.meta.dirname, '..', '..', '..');
export const DEPLOYER = join(ROOT, 'dist', 'backend', 'bin', 'deploy.js');
const PROGRAMS: Readonly<Record<string, string>> = {
  'systemd-nspawn': 'systemd-container',
  sshd: 'openssh-server',
  haproxy: 'haproxy',
  curl: 'curl',
  nbdcopy: 'libnbd-bin',
  'dpkg-scanpackages': 'dpkg-dev',
};
export const CINDER_CONF = `# made by hand
[DEFAULT]
transport_url = rabbit://openstack:secret@127.0.0.1
enabled_backends = lvm

[lvm]
volume_backend_name = lvm
`;
export const NOVA_CONF = '[DEFAULT]\ncompute_driver = libvirt.LibvirtDriver\n';

/** Installs what is missing. The services of these packages are not started on the host. */
export async function installPrograms(say: (text: string) => void): Promise<void> {
  const folders = ['/usr/sbin', '/usr/bin', '/sbin', '/bin'];
  const missing = Object.entries(PROGRAMS)
    .filter(([program]) => !folders.some((folder) => existsSync(join(folder, program))))
    .map(([, name]) => name);
  if (missing.length === 0) return;
  say(`installing ${missing.join(' ')}`);
  const policy = '/usr/sbin/policy-rc.d';
  const made = !existsSync(policy);
  if (made) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  const settings = { env: { DEBIAN_FRONTEND: 'noninteractive' }, stdin: 'ignore' } as const;
  const wait = ['-o', 'DPkg::Lock::Timeout=600'];
  try {
    await execa('apt-get', [...wait, 'update', '-qq'], settings);
    await execa(
      'apt-get',
      [...wait, 'install', '-y', '--no-install-recommends', ...missing],
      settings,
    );
  } finally {
    if (made) rmSync(policy);
  }
}

/** Builds packages, unless a folder with them is named, and the plugins. */
export async function build(
  packages: string | null,
  plugins: string,
  say: (text: string) => void,
): Promise<string> {
  const folder = packages ?? join(ROOT, 'dist', 'packages');
  const run = { cwd: ROOT, stdin: 'ignore' } as const;
  if (packages === null) {
    say('building the packages');
    await execa(process.execPath, ['dist/backend/bin/packages.js'], run);
  }
  const args = ['dist/fuel-plugin/main.js', '--packages', folder, '--out', plugins];
  await execa(process.execPath, args, run);
  return folder;
}

/** A service of OpenStack's name; what it does is no matter here, only that it is started again when its files change. */
function layService(machine: Machine, unit: string): void {
  const path = machine.path(`/etc/systemd/system/${unit}.service`);
  const text = `[Unit]\nDescription=${unit}\n[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n`;
  writeFileSync(path, text);
}

/** Configuration of OpenStack's services as a deployment finds it. */
function layOpenstack(machine: Machine): void {
  for (const [folder, file, text] of [
    ['/etc/cinder', 'cinder.conf', CINDER_CONF],
    ['/etc/nova', 'nova.conf', NOVA_CONF],
  ] as const) {
    rmSync(machine.path(folder), { recursive: true, force: true });
    mkdirSync(machine.path(folder), { recursive: true });
    writeFileSync(join(machine.path(folder), file), text, { mode: 0o640 });
  }
  for (const unit of ['cinder-volume', 'nova-compute']) layService(machine, unit);
}

/** No configuration of OpenStack: what a machine gets of it comes later, or never. */
function layNothing(machine: Machine): void {
  for (const folder of ['/etc/cinder/cinder.conf', '/etc/nova/nova.conf'])
    rmSync(machine.path(folder), { force: true });
}

/**
 * Boots the first machines of the environment. Machines that are not booted are prepared.
 *
 * @param standIns - each has configuration files and services of OpenStack's names; otherwise none has
 */
export async function startLab(
  count: number,
  standIns: boolean,
  say: (text: string) => void,
): Promise<Lab> {
  const lab = new Lab(MACHINES, standIns ? [] : [ROOT, process.execPath]);
  const began = Date.now();
  try {
    await lab.prepare();
    const mirror = await makeMirror(lab);
    for (const machine of lab.machines) {
      (standIns ? layOpenstack : layNothing)(machine);
      layMirror(machine, mirror);
    }
    await Promise.all(
      lab.machines
        .slice(0, count)
        .map((machine) => (standIns ? bootWithServices(machine) : boot(machine))),
    );
  } catch (error) {
    await lab.remove();
    throw error;
  }
  say(`${count} machines are up after ${((Date.now() - began) / 1000).toFixed(1)} s`);
  return lab;
}

async function boot(machine: Machine): Promise<void> {
  await machine.boot();
  await readMirror(machine);
}

export async function bootWithServices(machine: Machine): Promise<void> {
  await boot(machine);
  const user =
    'id cinder >/dev/null 2>&1 || useradd --system --user-group --shell /usr/sbin/nologin cinder';
  await machine.run('sh', '-c', user);
  await machine.run('systemctl', 'start', 'cinder-volume', 'nova-compute');
}
