// What an operator copies from the terminal when a local cluster is ready: a shell must read it as it was meant, wherever the
// directory is.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { ProcessPlan } from '../../../backend/deploy/local/configs.js';
import { pathsOf } from '../../../backend/deploy/local/layout.js';
import type { Layout } from '../../../backend/deploy/local/layout.js';
import { readyText } from '../../../backend/deploy/local/report.js';

const scratch = mkdtempSync(join(tmpdir(), 'meshsan-report-'));
test.after.always(() => {
  rmSync(scratch, { recursive: true, force: true });
});

const VOLUME = '3468c30f0000000c';

/** Prints its own path, its arguments and its input, each in brackets. */
const SHOW = '#!/bin/sh\nfor word in "$0" "$@"; do printf "[%s]" "$word"; done; cat\n';

/** The commands to try, as the shell that an operator uses runs them. */
function tried(dir: string, demo: boolean): string[] {
  const paths = pathsOf(dir);
  const programs = join(dir, 'programs');
  for (const folder of [paths.bin, paths.nbd, programs]) mkdirSync(folder, { recursive: true });
  for (const program of [join(paths.bin, 'scli'), join(programs, 'qemu-img')])
    writeFileSync(program, SHOW, { mode: 0o755 });
  writeFileSync(paths.password, 'the password');
  writeFileSync(join(paths.nbd, `${VOLUME}.sock`), '');
  const layout: Layout = {
    ...{ product: 'meshsan', layoutVersion: 1, madeAt: dir, network: '127.7.1', sdsCount: 3 },
    ...{ deviceBytes: 2 ** 30, gatewayPort: 8443, sdcGuid: 'GUID' },
  };
  const gateway: ProcessPlan = {
    ...{ name: 'gateway', role: 'gateway', address: '127.7.1.3', port: 8443 },
    ...{ program: '', configFile: '', stateDir: '' },
  };
  const state = { systemId: '3468c30f00000001', demoVolumeId: demo ? VOLUME : null };
  const text = readyText(paths, layout, gateway, state, { attach: false, cinderBridge: false });
  const [, tries = ''] = text.split('\nTry:\n');
  return tries.split('\n').map((line) =>
    execFileSync('/bin/sh', ['-c', line], {
      encoding: 'utf8',
      env: { PATH: `${programs}:/usr/bin:/bin` },
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  );
}

for (const name of ['plain', 'with space', `it's $HOME & "more"; #?%`])
  test(`the commands to try work in a directory called ${name}`, (t) => {
    const dir = join(scratch, name);
    const scli = join(dir, 'bin', 'scli');
    const [login = '', add = '', map = ''] = tried(dir, false);
    t.is(login, `[${scli}][--login][--username][admin]the password`);
    t.true(add.startsWith(`[${scli}][--add_volume]`), add);
    t.true(map.startsWith(`[${scli}][--map_volume_to_sdc]`), map);
    t.true(map.endsWith(`[info][nbd+unix:///?socket=${VOLUME}.sock]`), map);
    const [, , demo = ''] = tried(dir, true);
    const [, uri = ''] = /\[(nbd[^\]]+)\]/.exec(demo) ?? [];
    // As those who read the URI do it.
    t.is(new URL(uri).searchParams.get('socket'), join(dir, 'nbd', `${VOLUME}.sock`));
    t.is(readFileSync(join(dir, 'password'), 'utf8'), 'the password');
  });
