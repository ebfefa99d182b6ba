// Owns one measured run: the machine is brought to rest, the clocks are read, fio runs, the clocks
// are read again.
import { loadavg } from 'node:os';

import { execa } from 'execa';

import { cpuUsed, sampleCpu, waitQuiet } from './accounting.js';
import { runJob } from './fio.js';
import type { PlannedRun } from './plan.js';
import type { Run } from './report.js';
import type { Target } from './targets.js';

export interface MeasureSettings {
  readonly sizeBytes: number;
  readonly runtimeS: number;
  readonly quietS: number;
  /** A directory on each file system that holds data of the targets. */
  readonly dataDirs: readonly string[];
  readonly signal: AbortSignal;
}

/** Performs one run. Throws when fio fails or a process of the target ends meanwhile. */
export async function measure(
  planned: PlannedRun<Target>,
  settings: MeasureSettings,
): Promise<Run> {
  const { job, target, repetition } = planned;
  const { sizeBytes, runtimeS, signal } = settings;
  await target.prepare();
  // What the run before left in the page cache would be written back during this one.
  await execa('sync', ['-f', ...settings.dataDirs], { stdin: 'ignore', cancelSignal: signal });
  const quiet = await waitQuiet(settings.quietS, signal);
  const processes = await target.processes();
  const at = new Date().toISOString();
  const loadBefore = loadavg()[0] ?? 0;
  const before = sampleCpu(processes);
  const result = await runJob(job, target.engine, { sizeBytes, runtimeS }, signal);
  const used = cpuUsed(before, sampleCpu(processes));
  const perIo = (us: number): number => round(us / result.ios, 1000);
  return {
    job: job.name,
    target: target.description.name,
    repetition,
    at,
    ios: result.ios,
    iops: round(result.iops, 10),
    mbPerS: round(result.mbPerS, 100),
    p50Us: round(result.p50Us, 10),
    p99Us: round(result.p99Us, 10),
    p999Us: round(result.p999Us, 10),
    cpuUsPerIo: perIo(used.systemUs),
    cpuByRole: Object.fromEntries(
      Object.entries(used.byRole).map(([role, { userUs, systemUs }]) => [
        role,
        { userUs: perIo(userUs), systemUs: perIo(systemUs) },
      ]),
    ),
    fioCpuUsPerIo: perIo(used.fioUs),
    otherCpuPercent: round((used.otherUs / used.wallUs) * 100, 10),
    stealPercent: round((used.stealUs / used.wallUs) * 100, 10),
    loadBefore: round(loadBefore, 100),
    quiet,
  };
}

function round(value: number, steps: number): number {
  return Math.round(value * steps) / steps;
}
