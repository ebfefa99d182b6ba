// Runs the real `openstack` command as the administrator of a cloud, and reads its JSON.
import { execa } from 'execa';
import { clientEnvironment } from './config.js';
import { SERVICE_PATH } from './processes.js';
import { RunError } from './progress.js';
import type { CloudState } from './state.js';

const COMMAND_MS = 300_000;

/** Runs it; returns what it printed. @throws RunError with what it complained about */
export async function run(state: CloudState, words: readonly string[]): Promise<string> {
  const result = await execa('openstack', words, {
    extendEnv: false,
    env: { PATH: SERVICE_PATH, LC_ALL: 'C.UTF-8', HOME: state.root, ...clientEnvironment(state) },
    stdin: 'ignore',
    reject: false,
    timeout: COMMAND_MS,
  });
  if (result.exitCode !== 0)
    throw new RunError(`openstack ${words.join(' ')}: ${result.stderr || result.stdout}`);
  return result.stdout;
}

/** Runs it with `-f json`. */
export async function openstack(state: CloudState, words: readonly string[]): Promise<unknown> {
  return JSON.parse(await run(state, [...words, '-f', 'json']));
}

/** A text field of an answer. */
export function textOf(answer: unknown, field: string): string {
  const value = (answer as Record<string, unknown>)[field];
  if (typeof value !== 'string')
    throw new RunError(`openstack: field ${field} of its answer is no text`);
  return value;
}
