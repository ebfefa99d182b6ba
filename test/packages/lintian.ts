// Debian's own judge of packages. An error is a failure; warnings are counted, and named where there are few.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';

/** @throws Error with every error that lintian found */
export async function judge(folder: string): Promise<readonly string[]> {
  const packages = readdirSync(folder)
    .filter((name) => name.endsWith('.deb'))
    .map((name) => join(folder, name));
  if (packages.length === 0) throw new Error(`${folder} holds no package`);
  const { stdout, stderr, exitCode } = await execa(
    'lintian',
    ['--no-cfg', '--allow-root', '--tag-display-limit', '0', '--fail-on', 'error', ...packages],
    { reject: false, stdin: 'ignore' },
  );
  const lines = stdout.split('\n').filter((line) => line !== '');
  const errors = lines.filter((line) => line.startsWith('E:'));
  if (errors.length > 0 || exitCode !== 0)
    throw new Error(`exit ${String(exitCode)}\n${errors.join('\n')}\n${stderr}`);
  const warnings = lines.filter((line) => line.startsWith('W:'));
  return [`${packages.length} packages, ${warnings.length} warnings`, ...warnings.slice(0, 10)];
}
