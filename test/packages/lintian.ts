// Debian's own judge of packages, manual pages included. An error or a warning is a failure; what the product does on purpose is
// overridden in the packages, with the reason.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';

/** @throws Error with everything that lintian found */
export async function judge(folder: string): Promise<readonly string[]> {
  const packages = readdirSync(folder)
    .filter((name) => name.endsWith('.deb'))
    .map((name) => join(folder, name));
  if (packages.length === 0) throw new Error(`${folder} holds no package`);
  const { stdout, stderr, exitCode } = await execa(
    'lintian',
    [
      '--no-cfg',
      '--allow-root',
      '--tag-display-limit',
      '0',
      '--fail-on',
      'error,warning',
      ...packages,
    ],
    { reject: false, stdin: 'ignore' },
  );
  const lines = stdout.split('\n').filter((line) => line !== '');
  const faults = lines.filter((line) => /^[EW]:/.test(line));
  if (faults.length > 0 || exitCode !== 0)
    throw new Error(`exit ${String(exitCode)}\n${faults.join('\n')}\n${stderr}`);
  return [`${packages.length} packages without an error or a warning`];
}
