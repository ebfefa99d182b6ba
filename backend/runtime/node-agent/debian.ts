// Packages of this host as dpkg knows them, and what a package file says of itself. It must never install anything.

import { execa } from 'execa';
import type { InstalledPackage } from '../../protocol/lia.js';

const COMMAND_MS = 60_000;
const FORMAT = '${Package}\\t${Version}\\t${db:Status-Status}\\n';
const OPTIONS = { timeout: COMMAND_MS, stdin: 'ignore', env: { LC_ALL: 'C' } } as const;
const NAME = /^[a-z0-9][a-z0-9+.-]+$/;
const VERSION = /^[0-9][A-Za-z0-9.+~:-]*$/;

/** Packages whose names match one of these patterns of dpkg's, those of which something is left too. */
export async function installedPackages(
  ...patterns: readonly string[]
): Promise<InstalledPackage[]> {
  // It fails when one of them matches nothing.
  const { stdout } = await execa('dpkg-query', ['-W', '-f', FORMAT, ...patterns], {
    ...OPTIONS,
    reject: false,
  });
  return stdout
    .split('\n')
    .map((line) => line.split('\t'))
    .filter(([name, , state]) => name !== '' && state !== undefined && state !== 'not-installed')
    .map(([name = '', version = '', state = '']) => ({ name, version, state }));
}

export interface PackageFacts {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
}

/** What a package file says of itself. @throws Error with dpkg's words when it is none */
export async function packageFacts(path: string): Promise<PackageFacts> {
  const { stdout } = await execa(
    'dpkg-deb',
    ['--field', path, 'Package', 'Version', 'Architecture'],
    OPTIONS,
  );
  const field = (label: string): string =>
    new RegExp(`^${label}: (.*)$`, 'm').exec(stdout)?.[1]?.trim() ?? '';
  const facts = {
    name: field('Package'),
    version: field('Version'),
    architecture: field('Architecture'),
  };
  if (!NAME.test(facts.name) || !VERSION.test(facts.version) || facts.architecture === '')
    throw new Error('its control file has no name, version or architecture');
  return facts;
}

/** Whether a version is below another, by Debian's order. */
export async function isLowerVersion(version: string, other: string): Promise<boolean> {
  const args = ['--compare-versions', version, 'lt', other];
  const { exitCode } = await execa('dpkg', args, { ...OPTIONS, reject: false });
  return exitCode === 0;
}
