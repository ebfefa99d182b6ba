// Owns what is installed from Debian's archive: which packages, what apt says it would do, and installing without a
// service being started now or at the next boot. It never removes a package: others may need it by then.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { execa } from 'execa';
import { EXIT, RunError, type Progress } from './progress.js';
import { updateLedger, type CloudState, type Scope } from './state.js';

/** What the short proof consists of; apt adds what these depend on, and no recommended packages. */
const CORE_PACKAGES = [
  'mariadb-server',
  'mariadb-client',
  'rabbitmq-server',
  'memcached',
  'keystone',
  // The openstack command asks for the image service's endpoint whenever it creates a volume.
  'glance-api',
  'cinder-api',
  'cinder-scheduler',
  'cinder-volume',
  'python3-openstackclient',
  'python3-pymysql',
  'python3-memcache',
  'uwsgi-core',
  'uwsgi-plugin-python3',
] as const;

/** What instances need beside it, and what the guest of the proofs is made of. */
const COMPUTE_PACKAGES = [
  'placement-api',
  'neutron-server',
  'nova-api',
  'nova-conductor',
  'nova-scheduler',
  'nova-compute',
  'libvirt-daemon-system',
  'libvirt-daemon-driver-qemu',
  'libvirt-clients',
  'qemu-system-x86',
  'qemu-block-extra',
  'qemu-utils',
  'linux-image-cloud-amd64',
  'busybox-static',
  'cpio',
  'syslinux',
  'syslinux-common',
  'mtools',
  'dosfstools',
  // MeshSAN's Python packages are installed by pip.
  'python3-pip',
  'python3-setuptools',
  'python3-wheel',
] as const;

/** The packages that a cloud needs. */
export function packagesOf(scope: Scope): readonly string[] {
  return scope === 'core' ? CORE_PACKAGES : [...CORE_PACKAGES, ...COMPUTE_PACKAGES];
}

/** While this file says so, no package starts its service. */
const POLICY = '/usr/sbin/policy-rc.d';
const POLICY_TEXT = '#!/bin/sh\n# Made by MeshSAN while packages are installed.\nexit 101\n';
const APT = ['-o', 'DPkg::Lock::Timeout=900', '-o', 'Dpkg::Options::=--force-confold', '-q', '-y'];
const APT_ENV = { DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' };

/** Refuses a machine that this command cannot work on, before anything is changed. */
export function requireDebian12AsRoot(): void {
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  const name = /^PRETTY_NAME="?([^"\n]*)/m.exec(release)?.[1] ?? 'an unknown system';
  if (!/^ID=debian$/m.test(release) || !/^VERSION_ID="12"$/m.test(release))
    throw new RunError(
      `this machine runs ${name}; the OpenStack packages are taken from Debian 12, so run it on Debian 12`,
      EXIT.unfit,
    );
  if (process.getuid?.() !== 0)
    throw new RunError(
      'this command installs packages and starts services: run it as root',
      EXIT.unfit,
    );
}

/** Those of them that are not installed. */
export async function missingPackages(scope: Scope): Promise<string[]> {
  const installed = await installedPackages();
  return packagesOf(scope).filter((name) => !installed.has(name));
}

async function installedPackages(): Promise<Set<string>> {
  const { stdout } = await execa('dpkg-query', ['-W', '-f', '${db:Status-Status} ${Package}\n']);
  return new Set(
    stdout
      .split('\n')
      .filter((line) => line.startsWith('installed '))
      .map((line) => line.slice('installed '.length)),
  );
}

/** Installs what is missing. No service is started by it and none will start at the next boot. */
export async function installPackages(state: CloudState, progress: Progress): Promise<void> {
  const missing = await missingPackages(state.scope);
  if (missing.length === 0) return;
  await apt(state, ['update']);
  const plan = await execa(
    'apt-get',
    [...APT, '-s', 'install', '--no-install-recommends', ...missing],
    {
      env: APT_ENV,
      reject: false,
    },
  );
  if (plan.exitCode !== 0)
    throw new RunError(`apt-get cannot install ${missing.join(' ')}:\n${plan.stderr}`, EXIT.unfit);
  const lines = plan.stdout.split('\n').filter((line) => line.startsWith('Inst '));
  const upgraded = lines
    .filter((line) => /^Inst \S+ \[/.test(line))
    .map((line) => line.split(' ')[1]);
  progress.say(
    `installing ${lines.length - upgraded.length} packages from Debian's archive` +
      (upgraded.length === 0 ? '' : `, upgrading ${upgraded.length}: ${upgraded.join(' ')}`),
  );
  const unitsBefore = await enabledUnits();
  const ownPolicy = !existsSync(POLICY);
  updateLedger(state, (ledger) => {
    ledger.packages = [...new Set([...ledger.packages, ...missing])];
    if (ownPolicy) ledger.created.push(POLICY);
  });
  try {
    if (ownPolicy) writeFileSync(POLICY, POLICY_TEXT, { mode: 0o755 });
    await apt(state, ['install', '--no-install-recommends', ...missing]);
  } finally {
    if (ownPolicy) {
      rmSync(POLICY, { force: true });
      updateLedger(state, (ledger) => {
        ledger.created = ledger.created.filter((file) => file !== POLICY);
      });
    }
  }
  const units = [...(await enabledUnits())].filter((unit) => !unitsBefore.has(unit));
  if (units.length > 0) {
    updateLedger(state, (ledger) => {
      ledger.disabledUnits = [...new Set([...ledger.disabledUnits, ...units])].sort();
    });
    await execa('systemctl', ['disable', '--quiet', ...units], { reject: false });
  }
}

/** Start-up units that are enabled; none where systemctl is not there. */
async function enabledUnits(): Promise<Set<string>> {
  const listing = await execa(
    'systemctl',
    ['list-unit-files', '--root=/', '--state=enabled', '--no-legend', '--plain'],
    { reject: false },
  );
  if (listing.exitCode !== 0) return new Set();
  return new Set(
    listing.stdout
      .split('\n')
      .map((line) => line.split(/\s/)[0] ?? '')
      .filter((unit) => unit !== ''),
  );
}

async function apt(state: CloudState, words: string[]): Promise<void> {
  const log = path.join(state.log, 'apt.log');
  const run = await execa('apt-get', [...APT, ...words], {
    env: APT_ENV,
    stdin: 'ignore',
    stdout: { file: log, append: true },
    stderr: ['pipe', { file: log, append: true }],
    reject: false,
  });
  if (run.exitCode !== 0)
    throw new RunError(
      `apt-get ${words[0] ?? ''} failed (log: ${log}):\n${run.stderr.split('\n').slice(-10).join('\n')}`,
    );
}

/** Whose code must be Debian's own for the proof to say anything. */
const PROVED_WITH: Readonly<Record<Scope, readonly string[]>> = {
  core: ['python3-cinder'],
  full: ['python3-cinder', 'python3-os-brick', 'python3-nova'],
};

/** What proves that OpenStack's code is Debian's own: versions, and the files that differ from the packages. */
export async function openstackCode(
  scope: Scope,
): Promise<{ versions: Record<string, string>; modified: string[] }> {
  const names = PROVED_WITH[scope];
  const { stdout } = await execa('dpkg-query', ['-W', '-f', '${Package} ${Version}\n', ...names]);
  const versions = Object.fromEntries(
    stdout.split('\n').map((line) => line.split(' ') as [string, string]),
  );
  const verified = await execa('dpkg', ['--verify', ...names], { reject: false });
  const modified = verified.stdout.split('\n').filter((line) => line.endsWith('.py'));
  return { versions, modified };
}
