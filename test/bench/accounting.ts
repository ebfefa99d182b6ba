// Owns CPU and memory accounting from /proc: of the processes of the system under test (all their
// threads), of fio (the reaped children of this process), and of the machine. Kernel threads
// (writeback, journal) belong to no process: they show up as what others used.
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** A process of a system under test. Several processes may share a role. */
export interface ProcessRef {
  readonly name: string;
  readonly role: string;
  readonly pid: number;
}

/** utime, stime and start time of a process, in clock ticks. */
export interface ProcessTimes {
  readonly userTicks: number;
  readonly systemTicks: number;
  /** Of children that were waited for. */
  readonly childTicks: number;
  /** Since boot; together with the pid it identifies the process. */
  readonly startTicks: number;
}

export interface MachineTimes {
  readonly busyTicks: number;
  readonly stealTicks: number;
}

export interface CpuSample {
  readonly atMs: number;
  readonly processes: readonly (ProcessRef & ProcessTimes)[];
  readonly fioTicks: number;
  readonly machine: MachineTimes;
}

/** What was used between two samples, in microseconds. */
export interface CpuUse {
  readonly wallUs: number;
  readonly systemUs: number;
  readonly byRole: Readonly<Record<string, { userUs: number; systemUs: number }>>;
  readonly fioUs: number;
  readonly otherUs: number;
  readonly stealUs: number;
}

/** A process of the system under test ended: figures without it would be wrong. */
export class ProcessGone extends Error {
  override readonly name = 'ProcessGone';
}

/** USER_HZ is 100 on every Linux that Node runs on. */
const TICK_US = 10_000;
/** A machine is quiet when less than this share of one core was used in one second. */
const QUIET_BUSY_PERCENT_MAX = 20;

/** Parses /proc/PID/stat. The command name may hold spaces and parentheses. */
export function parseProcessStat(text: string): ProcessTimes {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  // proc(5) counts from 1 and this list begins with its field 3.
  const field = (number: number): number => Number(fields[number - 3]);
  const times = {
    userTicks: field(14),
    systemTicks: field(15),
    childTicks: field(16) + field(17),
    startTicks: field(22),
  };
  if (Object.values(times).some((ticks) => !Number.isFinite(ticks)))
    throw new Error(`not a /proc/PID/stat line: ${text.slice(0, 100)}`);
  return times;
}

/** Parses the first line of /proc/stat; idle and waiting for I/O are not busy. */
export function parseMachineStat(text: string): MachineTimes {
  const [label, ...fields] = (text.split('\n')[0] ?? '').trim().split(/\s+/);
  const [user, nice, system, , , irq, softirq, steal] = fields.map(Number);
  const busyTicks = [user, nice, system, irq, softirq].reduce<number>(
    (sum, ticks) => sum + (ticks ?? Number.NaN),
    0,
  );
  if (label !== 'cpu' || !Number.isFinite(busyTicks) || steal === undefined)
    throw new Error(`not a /proc/stat: ${text.slice(0, 100)}`);
  return { busyTicks, stealTicks: steal };
}

/** Samples every clock. Throws ProcessGone when one of the processes does not run. */
export function sampleCpu(processes: readonly ProcessRef[]): CpuSample {
  return {
    atMs: performance.now(),
    processes: processes.map((one) => ({ ...one, ...processTimes(one) })),
    fioTicks: parseProcessStat(readFileSync('/proc/self/stat', 'utf8')).childTicks,
    machine: parseMachineStat(readFileSync('/proc/stat', 'utf8')),
  };
}

/**
 * The difference of two samples of the same processes. Throws ProcessGone when one was replaced.
 */
export function cpuUsed(before: CpuSample, after: CpuSample): CpuUse {
  const byRole: Record<string, { userUs: number; systemUs: number }> = {};
  let systemUs = 0;
  for (const [index, earlier] of before.processes.entries()) {
    const later = after.processes[index];
    if (later?.pid !== earlier.pid || later.startTicks !== earlier.startTicks)
      throw new ProcessGone(`${earlier.name} (pid ${earlier.pid}) was replaced during the run`);
    const role = (byRole[earlier.role] ??= { userUs: 0, systemUs: 0 });
    role.userUs += (later.userTicks - earlier.userTicks) * TICK_US;
    role.systemUs += (later.systemTicks - earlier.systemTicks) * TICK_US;
    systemUs += (ticksOf(later) - ticksOf(earlier)) * TICK_US;
  }
  const fioUs = (after.fioTicks - before.fioTicks) * TICK_US;
  const busyUs = (after.machine.busyTicks - before.machine.busyTicks) * TICK_US;
  return {
    wallUs: (after.atMs - before.atMs) * 1000,
    systemUs,
    byRole,
    fioUs,
    // The kernel rounds per process and per core, so the remainder may be a little below zero.
    otherUs: Math.max(0, busyUs - fioUs - systemUs),
    stealUs: (after.machine.stealTicks - before.machine.stealTicks) * TICK_US,
  };
}

/**
 * Waits until the whole machine, the idle systems under test included, is quiet for one second.
 * Returns whether it became quiet within `limitS` seconds; 0 does not wait and returns null.
 */
export async function waitQuiet(limitS: number, signal: AbortSignal): Promise<boolean | null> {
  if (limitS === 0) return null;
  for (let second = 0; second < limitS; second++) {
    const before = sampleCpu([]);
    await delay(1000, undefined, { signal });
    const used = cpuUsed(before, sampleCpu([]));
    if ((used.otherUs / used.wallUs) * 100 < QUIET_BUSY_PERCENT_MAX) return true;
  }
  return false;
}

/** Start time of a process in ticks since boot, or null when there is no such process. */
export function startTicksOf(pid: number): number | null {
  try {
    return parseProcessStat(readFileSync(`/proc/${pid}/stat`, 'utf8')).startTicks;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** Resident memory of a process in MiB. Throws ProcessGone when it does not run. */
export function residentMib(process: ProcessRef): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readProcFile(process, 'status'));
  return line === null ? 0 : Math.round(Number(line[1]) / 102.4) / 10;
}

function ticksOf(times: ProcessTimes): number {
  return times.userTicks + times.systemTicks;
}

function processTimes(process: ProcessRef): ProcessTimes {
  return parseProcessStat(readProcFile(process, 'stat'));
}

function readProcFile(process: ProcessRef, file: string): string {
  try {
    return readFileSync(`/proc/${process.pid}/${file}`, 'utf8');
  } catch (error) {
    if (!isMissing(error)) throw error;
    throw new ProcessGone(`${process.name} (pid ${process.pid}) does not run any more`);
  }
}

function isMissing(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'ENOENT' || code === 'ESRCH';
}
