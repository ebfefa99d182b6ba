// Runs beside the guest, in a network namespace of its own with it: `outside FOLDER PROGRAM ARGUMENT...` starts MDM and storage
// servers there, runs the machine's program, and ends the servers with it.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './checks.js';
import { OUTSIDE, Storage } from './storage.js';

const [folder = '', program = '', ...rest] = process.argv.slice(2);

const END_MS = 20_000;

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), END_MS);
  await gone;
  clearTimeout(timer);
}

async function main(): Promise<void> {
  run('ip', 'link', 'set', 'lo', 'up');
  for (const host of [OUTSIDE.mdmHost, ...OUTSIDE.serverHosts])
    run('ip', 'address', 'add', `${host}/32`, 'dev', 'lo');
  const servers: ChildProcess[] = [];
  const home = join(folder, 'outside');
  mkdirSync(home, { mode: 0o700 });
  const secret = Buffer.from(readFileSync(join(folder, 'secret'), 'utf8'), 'hex');
  const storage = new Storage(OUTSIDE, home, secret, ([command = '', ...args]) => {
    servers.push(spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'] }));
  });
  storage.startServers();
  const machine = spawn(program, rest, { stdio: 'inherit' });
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => machine.kill('SIGKILL'));
  storage.makeVolume().catch((error: unknown) => {
    process.stdout.write(`GUEST outside: ${String(error)}\n`);
    machine.kill('SIGKILL');
  });
  await once(machine, 'exit');
  await Promise.all(servers.map(ended));
}

await main();
process.exit(0);
