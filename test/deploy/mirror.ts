// The distribution's mirror as the machines of the deployment test see it: a folder in each of them with Debian's packages
// that a deployment installs, since they reach nothing outside. It must never change the host's own packages.

import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { STORE_PACKAGE } from '../../backend/protocol/lia.js';
import type { Lab, Machine } from './machines.js';

const INSIDE = '/opt/mirror';
const LIST = '/etc/apt/sources.list.d/mirror.list';

/** Brings the packages and their index to a folder of the test. */
export async function makeMirror(lab: Lab): Promise<string> {
  const folder = join(lab.dir, 'mirror');
  mkdirSync(folder, { recursive: true });
  const run = { cwd: folder, stdin: 'ignore' } as const;
  await execa('apt-get', ['download', STORE_PACKAGE], run);
  const { stdout } = await execa('dpkg-scanpackages', ['--multiversion', '.'], run);
  writeFileSync(join(folder, 'Packages'), `${stdout}\n`);
  return folder;
}

/** The machine knows this mirror and no other. Before it boots. */
export function layMirror(machine: Machine, folder: string): void {
  rmSync(machine.path('/etc/apt/sources.list'), { force: true });
  const lists = machine.path('/etc/apt/sources.list.d');
  mkdirSync(lists, { recursive: true });
  for (const name of readdirSync(lists)) rmSync(join(lists, name));
  for (const name of readdirSync(machine.path('/var/lib/apt/lists')))
    rmSync(machine.path(join('/var/lib/apt/lists', name)), { recursive: true, force: true });
  cpSync(folder, machine.path(INSIDE), { recursive: true });
  writeFileSync(machine.path(LIST), `deb [trusted=yes] file:${INSIDE} ./\n`);
}

/** Once it has booted. */
export async function readMirror(machine: Machine): Promise<void> {
  await machine.run('apt-get', 'update', '-qq');
}
