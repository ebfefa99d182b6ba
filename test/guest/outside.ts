// Runs beside the guest, in a network namespace of its own with it: `outside FOLDER FATE PROGRAM ARGUMENT...` starts MDM and
// storage servers there, runs the machine's program, and ends the servers with it. With the fate `deaths` one of them after the
// other is killed and started again, as long as the machine runs.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { run } from './checks.js';
import { OUTSIDE, Storage } from './storage.js';

const [folder = '', fate = 'quiet', program = '', ...rest] = process.argv.slice(2);

const END_MS = 20_000;
/** Nothing is decided while an emulated machine thinks. */
const PATIENT_DETECTION_MS = 60_000;
/** Whoever is away for longer is replaced by its copy. */
const DEADLY_DETECTION_MS = 3000;
const AWAY_MS = 6000;
const BETWEEN_MS = 4000;
const LOOK_MS = 500;

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), END_MS);
  await gone;
  clearTimeout(timer);
}

/** Programs that run here, by the place of their configuration. */
class Servers {
  #isOver = false;
  readonly #running = new Map<string, { readonly argv: readonly string[]; child: ChildProcess }>();
  readonly #deaths = new Map<string, number>();

  start(argv: readonly string[]): void {
    const [command = '', ...args] = argv;
    const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });
    this.#running.set(args.at(-1) ?? '', { argv, child });
  }

  /** The machine has ended: nobody dies any more. */
  over(): void {
    this.#isOver = true;
  }

  hasEnded(): boolean {
    return this.#isOver;
  }

  async end(): Promise<void> {
    await Promise.all([...this.#running.values()].map(({ child }) => ended(child)));
  }

  /** One after the other, again and again; the next only when all copies are there again, or one would be the last. */
  async die(storage: Storage): Promise<void> {
    for (;;)
      for (const [file, { argv, child }] of [...this.#running]) {
        await pause(BETWEEN_MS);
        while (!(await storage.isWhole())) {
          if (this.hasEnded()) return;
          await pause(LOOK_MS);
        }
        if (this.hasEnded()) return;
        const gone = once(child, 'exit');
        child.kill('SIGKILL');
        await gone;
        const name = basename(file, '.json');
        this.#deaths.set(name, (this.#deaths.get(name) ?? 0) + 1);
        process.stdout.write(`GUEST outside: ${name} was killed\n`);
        await pause(AWAY_MS);
        if (this.hasEnded()) return;
        this.start(argv);
      }
  }

  /** A check that nobody died in would prove nothing. */
  judge(): void {
    const names = [...this.#running.keys()].map((file) => basename(file, '.json'));
    const counts = names.map((name) => `${name} ${this.#deaths.get(name) ?? 0}`).join(', ');
    const isEnough = names.every((name) => (this.#deaths.get(name) ?? 0) > 0);
    process.stdout.write(`GUEST-${isEnough ? 'PASSED' : 'FAILED'} each of them died: ${counts}\n`);
  }
}

async function main(): Promise<void> {
  run('ip', 'link', 'set', 'lo', 'up');
  for (const host of [OUTSIDE.mdmHost, ...OUTSIDE.serverHosts])
    run('ip', 'address', 'add', `${host}/32`, 'dev', 'lo');
  const servers = new Servers();
  const home = join(folder, 'outside');
  mkdirSync(home, { mode: 0o700 });
  const secret = Buffer.from(readFileSync(join(folder, 'secret'), 'utf8'), 'hex');
  const isDeadly = fate === 'deaths';
  const detectionMs = isDeadly ? DEADLY_DETECTION_MS : PATIENT_DETECTION_MS;
  const storage = new Storage(
    OUTSIDE,
    home,
    secret,
    (argv) => {
      servers.start(argv);
    },
    detectionMs,
  );
  storage.startServers();
  const machine = spawn(program, rest, { stdio: 'inherit' });
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => machine.kill('SIGKILL'));
  const machineEnded = once(machine, 'exit').then(() => {
    servers.over();
  });
  const story = async (): Promise<void> => {
    await storage.makeVolume();
    if (isDeadly) await servers.die(storage);
  };
  story().catch((error: unknown) => {
    process.stdout.write(`GUEST outside: ${String(error)}\n`);
    machine.kill('SIGKILL');
  });
  await machineEnded;
  if (isDeadly) servers.judge();
  await servers.end();
}

await main();
process.exit(0);
