// What becomes of output that nobody takes.

import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';

import test from 'ava';

const SCLI = join(import.meta.dirname, '..', '..', '..', 'backend', 'bin', 'scli.js');

test('output that cannot be written is an error in one sentence', (t) => {
  const full = openSync('/dev/full', 'w');
  try {
    const { status, stderr } = spawnSync(process.execPath, [SCLI, '--help'], {
      stdio: ['ignore', full, 'pipe'],
      encoding: 'utf8',
    });
    t.is(status, 1);
    t.regex(stderr, /^Error: The output cannot be written: .*no space left on device.*\n$/);
  } finally {
    closeSync(full);
  }
});
