// `npm run kills`: the long form of a test of `npm test`: fio verifies on an attached block device while the client process
// is killed with -9, again and again. It owns the number of kills; the test itself is cluster.test.ts.

import { join } from 'node:path';
import { execa } from 'execa';

import { readFlags, runTool, wholeNumber } from '../../backend/runtime/flags.js';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const KILLS_MAX = 1000;

const HELP = `Usage: npm run kills -- [--kills N]
As root: fio verifies on an attached block device while the client process is killed with -9, N times (1 to ${KILLS_MAX}; 20).
Exit codes: 0 nothing was lost, 1 something was, 2 wrong usage.
`;

await runTool(HELP, async (args) => {
  const { kills } = readFlags(args, { kills: { type: 'string' } });
  const count = wholeNumber('--kills', kills ?? '20', 1, KILLS_MAX);
  const only = ['--match=*client process is killed*', 'dist/test/attach/cluster.test.js'];
  const { exitCode } = await execa('npx', ['--no-install', 'ava', ...only], {
    ...{ cwd: ROOT, stdio: 'inherit', reject: false },
    env: { MESHSAN_KILLS: String(count) },
  });
  return exitCode ?? 1;
});
