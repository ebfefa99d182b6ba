// `npm run kills`: the long form of a test of `npm test`: fio verifies on an attached block device while the client process
// is killed with -9, again and again. It owns the number of kills; the test itself is cluster.test.ts.

import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { execa } from 'execa';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const KILLS_MAX = 1000;

const { values } = parseArgs({ options: { kills: { type: 'string', default: '20' } } });
const kills = Number(values.kills);
if (!Number.isInteger(kills) || kills < 1 || kills > KILLS_MAX) {
  process.stderr.write(
    `--kills must be a whole number from 1 to ${KILLS_MAX}, not "${values.kills}"\n`,
  );
  process.exit(2);
}
const { exitCode } = await execa(
  'npx',
  ['--no-install', 'ava', '--match=*client process is killed*', 'dist/test/attach/cluster.test.js'],
  {
    ...{ cwd: ROOT, stdio: 'inherit', reject: false },
    env: { MESHSAN_KILLS: String(kills) },
  },
);
process.exit(exitCode ?? 1);
