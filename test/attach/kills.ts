// `npm run kills`: the long form of tests of `npm test`: an attached block device while processes are killed with -9, again and
// again. It owns the number of kills; the tests themselves are cluster.test.ts and file-systems.test.ts.

import { join } from 'node:path';
import { execa } from 'execa';

import { listOf, readFlags, runTool, wholeNumber } from '../../backend/runtime/flags.js';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const KILLS_MAX = 1000;

const PARTS = ['client', 'file-systems'] as const;

/** What ava is given for each part. */
const TESTS: Readonly<Record<(typeof PARTS)[number], readonly string[]>> = {
  client: ['--match=*client process is killed*', 'dist/test/attach/cluster.test.js'],
  'file-systems': ['dist/test/attach/file-systems.test.js'],
};

const HELP = `Usage: npm run kills -- [--kills N] [--only PART,...]
As root, on attached block devices, N kills (-9) in each of the parts (1 to ${KILLS_MAX}; 20):
  client         fio verifies while the client process is killed
  file-systems   fio, stress-ng and a load like fsx on ext4, then on xfs, while devices' processes, MDM, servers and the
                 client are killed in turn; then fsck, and every file is compared
Exit codes: 0 nothing was lost, 1 something was, 2 wrong usage.
`;

await runTool(HELP, async (args) => {
  const { kills, only } = readFlags(args, { kills: { type: 'string' }, only: { type: 'string' } });
  const count = wholeNumber('--kills', kills ?? '20', 1, KILLS_MAX);
  const parts = only === null ? PARTS : listOf('--only', only, PARTS);
  let worst = 0;
  for (const part of parts) {
    const { exitCode } = await execa('npx', ['--no-install', 'ava', ...TESTS[part]], {
      ...{ cwd: ROOT, stdio: 'inherit', reject: false },
      env: { MESHSAN_KILLS: String(count) },
    });
    worst = Math.max(worst, exitCode ?? 1);
  }
  return worst;
});
