// Owns the processes that the harness starts and the waiting for them. A process is ended by its
// own handle or by pid and start time, never by name.
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import { execa } from 'execa';

import { startTicksOf, type ProcessRef } from './accounting.js';

export interface Daemon extends ProcessRef {
  /** Whether it still runs. */
  alive(): boolean;
  /** Asks it to end, kills it after `graceS` seconds, and returns when it is gone. */
  stop(graceS?: number): Promise<void>;
}

export interface DaemonSettings {
  readonly name: string;
  readonly role: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Receives what the process prints. */
  readonly logFile: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts a process that stays in the foreground of its own. It dies with the harness. */
export function startDaemon(settings: DaemonSettings): Daemon {
  const log = { file: settings.logFile, append: true };
  const subprocess = execa(settings.command, settings.args, {
    stdin: 'ignore',
    stdout: log,
    stderr: log,
    buffer: false,
    reject: false,
    env: settings.env ?? {},
  });
  let alive = true;
  const ended = subprocess.then(() => {
    alive = false;
  });
  const { pid } = subprocess;
  if (pid === undefined) throw new Error(`${settings.command} could not be started`);
  return {
    name: settings.name,
    role: settings.role,
    pid,
    alive: () => alive,
    stop: async (graceS = 20) => {
      if (!alive) return;
      subprocess.kill('SIGTERM');
      await Promise.race([ended, delay(graceS * 1000, undefined, { ref: false })]);
      subprocess.kill('SIGKILL');
      await ended;
    },
  };
}

/**
 * Polls until `condition` holds. Throws when `limitS` seconds passed, or at once when one of the
 * daemons that it depends on ended, with the end of what that daemon printed.
 */
export async function waitUntil(
  what: string,
  limitS: number,
  signal: AbortSignal,
  condition: () => Promise<boolean> | boolean,
  daemons: readonly { readonly daemon: Daemon; readonly logFile: string }[] = [],
): Promise<void> {
  const endMs = performance.now() + limitS * 1000;
  while (!(await condition())) {
    const dead = daemons.find(({ daemon }) => !daemon.alive());
    if (dead !== undefined) {
      const said = (await readFile(dead.logFile, 'utf8')).trim().slice(-1000);
      throw new Error(`${dead.daemon.name} ended while waiting for ${what}: ${said}`);
    }
    if (performance.now() > endMs) throw new Error(`gave up after ${limitS} s waiting for ${what}`);
    await delay(100, undefined, { signal });
  }
}

/** Ends a process that is not our child, if it still is the one that started at `startTicks`. */
export async function endForeign(pid: number, startTicks: number, graceS: number): Promise<void> {
  const same = (): boolean => startTicksOf(pid) === startTicks;
  if (!same()) return;
  process.kill(pid, 'SIGTERM');
  for (let tenth = 0; tenth < graceS * 10 && same(); tenth++) await delay(100);
  if (same()) process.kill(pid, 'SIGKILL');
}
