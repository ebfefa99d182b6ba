// The words of the judges inside the guest: every check prints a line that begins with GUEST; the host reads them.

import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const DIST = join(import.meta.dirname, '..', '..');
const WAIT_MS = 240_000;
const POLL_MS = 200;
const BUSYBOX = '/bin/busybox';

export const say = (text: string): void => {
  process.stdout.write(`GUEST${text}\n`);
};

export async function until(what: string, probe: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + WAIT_MS;
  while (!(await probe())) {
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await pause(POLL_MS);
  }
}

let failures = 0;

/** Checks that failed so far. */
export const failed = (): number => failures;

export async function check(name: string, act: () => void | Promise<void>): Promise<void> {
  const began = Date.now();
  try {
    await act();
    say(`-PASSED ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failures += 1;
    const reason = error instanceof Error ? error.message : String(error);
    say(`-FAILED ${name}: ${reason.replace(/\s*\n\s*/g, ' | ')}`);
  }
}

export function same(actual: unknown, expected: unknown): void {
  if (actual !== expected) throw new Error(`${String(actual)} instead of ${String(expected)}`);
}

export function isTrue(holds: boolean, what: string): void {
  if (!holds) throw new Error(`not so: ${what}`);
}

/** Starts a program of ours, below dist/. */
export function start(program: string, ...args: string[]): ChildProcess {
  return spawn(process.execPath, [join(DIST, program), ...args], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
}

/** Runs a program to its end; its output. */
export function run(program: string, ...args: string[]): string {
  const { error, status, stdout, stderr } = spawnSync(program, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (error !== undefined) throw error;
  if (status !== 0)
    throw new Error(`${program} ${args.join(' ')}: ${stdout.slice(-1000)} ${stderr}`);
  return stdout.trim();
}

/** Runs a program in the background; its exit code, or what it said. */
export function running(program: string, ...args: string[]): Promise<string> {
  return new Promise((done) => {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let words = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      words = (words + chunk).slice(-500);
    });
    child.once('close', (code) => {
      done(code === 0 ? '' : `exit ${String(code)}: ${words}`);
    });
  });
}

export const busybox = (...args: string[]): string => run(BUSYBOX, ...args);

export const digest = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex');
