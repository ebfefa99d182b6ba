// The log of a process: what becomes of its lines when they cannot be written.

import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import test from 'ava';

const SINK = join(import.meta.dirname, '..', '..', '..', 'backend', 'runtime', 'log-sink.js');

test('a process whose log has no room on its disk goes on', (t) => {
  const program = `
    const { openLog } = await import(${JSON.stringify(pathToFileURL(SINK).href)});
    const log = openLog({ component: 'test' });
    for (let i = 0; i < 3; i++) {
      log.event('info', 'test.line', { i });
      await new Promise((done) => setTimeout(done, 20));
    }
    await log.close();
    process.stdout.write('alive');
  `;
  const full = openSync('/dev/full', 'w');
  try {
    const args = ['--input-type=module', '--eval', program];
    const { stdout } = spawnSync(process.execPath, args, {
      stdio: ['ignore', 'pipe', full],
      encoding: 'utf8',
    });
    t.is(stdout, 'alive');
  } finally {
    closeSync(full);
  }
});
