// Owns the cluster that the benchmark starts by the project's own `npm start`, and its end.
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { execa } from 'execa';

import { GIB } from '../../backend/core/units.js';
import { startTicksOf } from './accounting.js';
import { readCluster } from './cluster.js';
import { endForeign } from './daemons.js';

const REPOSITORY = resolve(import.meta.dirname, '../../..');
const START_TIMEOUT_MS = 300_000;
const GRACE_S = 20;

/**
 * Starts three SDSs and what belongs to them. Two copies on three sparse devices need two thirds of
 * the size each; the rest is for the log and spare.
 */
export async function startCluster(
  dir: string,
  sizeBytes: number,
  flags: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const deviceGib = Math.max(16, Math.ceil(sizeBytes / GIB) + 8);
  const words = ['--dir', dir, '--device-size', `${deviceGib}G`, '--detach', ...flags];
  await project('start', words, signal);
}

/**
 * Stops the cluster by its own command; what that leaves running is ended by pid and start time.
 */
export async function stopCluster(dir: string, say: (line: string) => void): Promise<void> {
  if (existsSync(join(dir, 'cluster.json'))) {
    const { processes } = await readCluster(dir);
    const running = processes.map((one) => ({ ...one, startTicks: startTicksOf(one.pid) }));
    await project('stop', ['--dir', dir], AbortSignal.timeout(START_TIMEOUT_MS));
    for (const { name, pid, startTicks } of running) {
      if (startTicks === null || startTicksOf(pid) !== startTicks) continue;
      say(`MeshSAN: ${name} (pid ${pid}) still runs after npm run stop; ending it`);
      await endForeign(pid, startTicks, GRACE_S);
    }
  }
  await rm(dir, { recursive: true, force: true });
}

async function project(
  script: 'start' | 'stop',
  words: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const result = await execa('npm', ['run', script, '--', ...words], {
    cwd: REPOSITORY,
    stdin: 'ignore',
    reject: false,
    all: true,
    timeout: START_TIMEOUT_MS,
    cancelSignal: signal,
  });
  signal.throwIfAborted();
  if (result.failed)
    throw new Error(
      `npm run ${script} -- ${words.join(' ')} failed: ${result.all.trim().slice(-2000)}`,
    );
}
