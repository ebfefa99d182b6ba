// Which process is which: a pid alone may have been given to another program meanwhile, so a process is known by its
// pid and its start time. It must never look for a process by name.

import { readFileSync, readdirSync } from 'node:fs';

/** A process as recorded: start time in clock ticks since boot, from /proc. */
export interface ProcessId {
  readonly pid: number;
  readonly startTicks: number;
}

function statFields(pid: number): string[] | null {
  let line: string;
  try {
    line = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
  // The command name may contain blanks and brackets; the fields behind it start at the state.
  return line.slice(line.lastIndexOf(')') + 2).split(' ');
}

function isGone(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ESRCH';
}

/** The identity of a running process, or null when there is none (a zombie counts as none). */
export function identify(pid: number): ProcessId | null {
  const fields = statFields(pid);
  if (fields === null || fields[0] === 'Z') return null;
  return { pid, startTicks: Number(fields[19]) };
}

export function isRunning(process: ProcessId): boolean {
  return identify(process.pid)?.startTicks === process.startTicks;
}

/** Sends a signal if this very process still runs; true when it was sent. */
export function signal(target: ProcessId, name: NodeJS.Signals): boolean {
  if (!isRunning(target)) return false;
  try {
    process.kill(target.pid, name);
  } catch (error) {
    if (isGone(error)) return false;
    throw error;
  }
  return true;
}

/** Pids of all processes, but for those that end meanwhile. */
function allPids(): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number);
}

/** Pids whose parent is the given process. */
export function childrenOf(pid: number): number[] {
  return allPids().filter((candidate) => statFields(candidate)?.[1] === String(pid));
}

/**
 * The running processes of the session that a process led, itself among them. Empty when its pid names another process
 * by now: Linux gives a pid out again only when no session or group has that number any more.
 */
export function sessionOf(leader: ProcessId): ProcessId[] {
  const now = statFields(leader.pid);
  if (now !== null && Number(now[19]) !== leader.startTicks) return [];
  return allPids()
    .filter((candidate) => statFields(candidate)?.[3] === String(leader.pid))
    .map(identify)
    .filter((member) => member !== null);
}

/** Waits until none of the processes runs; false when the time is over first. */
export async function waitForEnd(targets: readonly ProcessId[], limitMs: number): Promise<boolean> {
  const deadline = Date.now() + limitMs;
  while (targets.some(isRunning)) {
    if (Date.now() > deadline) return false;
    await new Promise((done) => setTimeout(done, 50));
  }
  return true;
}
