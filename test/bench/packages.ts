// Owns the Debian packages that the measurement needs: finds what is missing, says so, and installs
// it as root or says exactly what to run. It changes nothing else on the system.
import { execa } from 'execa';

export const FLOOR_PACKAGES = ['fio', 'nbdkit'] as const;
export const LIMIT_PACKAGES = ['fio', 'qemu-utils'] as const;
export const CEPH_PACKAGES = ['ceph-mon', 'ceph-mgr', 'ceph-osd', 'ceph-common'] as const;

/** Something that the harness needs is not there and it may not install it. */
export class MissingPackages extends Error {
  override readonly name = 'MissingPackages';
}

const INSTALL = ['apt-get', 'install', '-y', '--no-install-recommends'] as const;

/** Makes sure that the packages are installed. Throws MissingPackages with the command to run. */
export async function needPackages(
  packages: readonly string[],
  signal: AbortSignal,
  say: (line: string) => void,
): Promise<void> {
  const missing: string[] = [];
  for (const name of packages) if (!(await isInstalled(name))) missing.push(name);
  if (missing.length === 0) return;
  const command = [...INSTALL, ...missing].join(' ');
  if (process.getuid?.() !== 0)
    throw new MissingPackages(`packages are missing; as root run: ${command}`);
  say(`installing Debian packages: ${missing.join(' ')} (${command})`);
  await apt(['update'], signal);
  // Another installation may hold the lock for a while; apt waits for it.
  await apt([...INSTALL.slice(1), '-o', 'DPkg::Lock::Timeout=600', ...missing], signal);
}

/** The installed version of a package, or `unknown` for a program that came another way. */
export async function packageVersion(name: string): Promise<string> {
  const query = await dpkgQuery('${Version}', name);
  return query ?? 'unknown';
}

async function isInstalled(name: string): Promise<boolean> {
  return (await dpkgQuery('${db:Status-Status}', name)) === 'installed';
}

async function dpkgQuery(format: string, name: string): Promise<string | null> {
  const query = await execa('dpkg-query', ['-W', '-f', format, name], {
    stdin: 'ignore',
    reject: false,
  });
  if (query.code === 'ENOENT')
    throw new MissingPackages('dpkg-query is missing: the benchmark needs Debian 12');
  return query.failed ? null : query.stdout.trim();
}

async function apt(words: readonly string[], signal: AbortSignal): Promise<void> {
  const result = await execa('apt-get', words, {
    stdin: 'ignore',
    reject: false,
    all: true,
    cancelSignal: signal,
    env: { DEBIAN_FRONTEND: 'noninteractive' },
  });
  if (result.failed)
    throw new MissingPackages(
      `apt-get ${words.join(' ')} failed: ${result.all.trim().slice(-1000)}`,
    );
}
