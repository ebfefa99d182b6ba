// Owns the result file: its shape, how it is read back, and what is derived from its runs (medians,
// best values, ratios to the floor of the same repetition). It holds every raw run, so that nobody
// has to believe a median.
import { readFile, rename, writeFile } from 'node:fs/promises';

import { Ajv } from 'ajv';

import type { FioResult } from './fio.js';
import { jobNamed } from './jobs.js';
import type { MachineDescription } from './machine.js';
import { REPORT_SCHEMA } from './report-schema.js';
import { FLUSHED_FLOOR, PLAIN_FLOOR, type TargetDescription } from './targets.js';

export const REPORT_FORMAT = 'meshsan-bench';
export const REPORT_VERSION = 1;

/** One fio run that succeeded. CPU is in microseconds per I/O. */
export interface Run extends FioResult {
  readonly job: string;
  readonly target: string;
  readonly repetition: number;
  /** UTC, when it began. */
  readonly at: string;
  /** utime + stime of all processes of the system under test, fio not among them. */
  readonly cpuUsPerIo: number;
  readonly cpuByRole: Readonly<Record<string, { userUs: number; systemUs: number }>>;
  readonly fioCpuUsPerIo: number;
  /** What everything else used, kernel threads included, in percent of one core. */
  readonly otherCpuPercent: number;
  /** What the hypervisor gave to others, in percent of one core. */
  readonly stealPercent: number;
  /** One-minute load average before the run. */
  readonly loadBefore: number;
  /** Whether the machine was quiet before the run; null when that was not waited for. */
  readonly quiet: boolean | null;
}

export interface FailedRun {
  readonly job: string;
  readonly target: string;
  readonly repetition: number;
  readonly error: string;
}

export interface Report {
  readonly format: typeof REPORT_FORMAT;
  readonly version: typeof REPORT_VERSION;
  readonly startedAt: string;
  /** null while it runs or when it was interrupted. */
  finishedAt: string | null;
  /** The words after `npm run bench --`. */
  readonly command: readonly string[];
  readonly machine: MachineDescription;
  readonly sizeBytes: number;
  readonly runtimeS: number;
  readonly targets: readonly TargetDescription[];
  /** Resident MiB of each process before the first I/O, by process name. */
  readonly idleResidentMib: Readonly<Record<string, number>>;
  readonly runs: Run[];
  readonly failures: FailedRun[];
  /** Derived from `runs`; recomputed when a file is read. */
  summary: readonly SummaryRow[];
}

/** Medians of one job on one target, and the best of its runs. */
export interface SummaryRow {
  readonly job: string;
  readonly target: string;
  readonly runs: number;
  readonly iops: number;
  readonly iopsBest: number;
  readonly mbPerS: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly cpuUsPerIo: number;
  readonly cpuUsPerIoBest: number;
  readonly cpuByRole: Run['cpuByRole'];
  readonly fioCpuUsPerIo: number;
  readonly otherCpuPercent: number;
  readonly loadBefore: number;
  /**
   * Against the floor of equal durability; null for the floor itself or when it was not measured.
   */
  readonly floor: Ratio | null;
}

/** Medians of the ratios of runs of the same repetition. */
export interface Ratio {
  readonly target: string;
  readonly iops: number;
  readonly cpu: number;
}

/** The file is no result of this benchmark. */
export class ReportError extends Error {
  override readonly name = 'ReportError';
}

/** The median of at least one number. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.ceil(sorted.length / 2) - 1];
  if (upper === undefined || lower === undefined) throw new RangeError('the median of nothing');
  return (lower + upper) / 2;
}

/** Derives the summary, in the order in which jobs and targets were measured. */
export function summarise(report: Pick<Report, 'runs' | 'targets'>): SummaryRow[] {
  const jobs = [...new Set(report.runs.map((run) => run.job))];
  return jobs.flatMap((job) =>
    report.targets.flatMap((target) => {
      const runs = runsOf(report.runs, job, target.name);
      return runs.length === 0 ? [] : [summaryRow(job, target, runs, report.runs)];
    }),
  );
}

/** The floor with which a target compares for this job, or null for a floor. */
export function floorOf(
  job: string,
  target: Pick<TargetDescription, 'name' | 'acknowledgement'>,
): string | null {
  if (target.name === PLAIN_FLOOR || target.name === FLUSHED_FLOOR) return null;
  const kind = jobNamed(job);
  const flushed = target.acknowledgement === 'flushed' && kind?.writes === true && !kind.flushes;
  return flushed ? FLUSHED_FLOOR : PLAIN_FLOOR;
}

/** Writes the result so that a reader sees the old or the new file, never half of one. */
export async function writeReport(file: string, report: Report): Promise<void> {
  report.summary = summarise(report);
  const temporary = `${file}.${process.pid}.tmp`;
  await writeFile(temporary, `${JSON.stringify(report, null, 1)}\n`, { mode: 0o644 });
  await rename(temporary, file);
}

/** Reads a result file. Throws ReportError when it is missing or not one. */
export async function readReport(file: string): Promise<Report> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new ReportError(`cannot read ${file}: ${String(error)}`, { cause: error });
  }
  return parseReportFile(text, file);
}

/** Parses the text of a result file; `name` is for the message of a ReportError. */
export function parseReportFile(text: string, name: string): Report {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ReportError(`${name} is not JSON: ${String(error)}`, { cause: error });
  }
  const ajv = new Ajv({ allErrors: false });
  const validate = ajv.compile<Report>(REPORT_SCHEMA);
  if (!validate(value))
    throw new ReportError(
      `${name} is no result of this benchmark: ${ajv.errorsText(validate.errors)}`,
    );
  value.summary = summarise(value);
  return value;
}

function runsOf(runs: readonly Run[], job: string, target: string): Run[] {
  return runs.filter((run) => run.job === job && run.target === target);
}

function summaryRow(
  job: string,
  target: TargetDescription,
  runs: readonly Run[],
  all: readonly Run[],
): SummaryRow {
  const of = (value: (run: Run) => number): number => median(runs.map(value));
  const floor = floorOf(job, target);
  return {
    job,
    target: target.name,
    runs: runs.length,
    iops: of((run) => run.iops),
    iopsBest: Math.max(...runs.map((run) => run.iops)),
    mbPerS: of((run) => run.mbPerS),
    p50Us: of((run) => run.p50Us),
    p99Us: of((run) => run.p99Us),
    p999Us: of((run) => run.p999Us),
    cpuUsPerIo: of((run) => run.cpuUsPerIo),
    cpuUsPerIoBest: Math.min(...runs.map((run) => run.cpuUsPerIo)),
    cpuByRole: mediansByRole(runs),
    fioCpuUsPerIo: of((run) => run.fioCpuUsPerIo),
    otherCpuPercent: of((run) => run.otherCpuPercent),
    loadBefore: of((run) => run.loadBefore),
    floor: floor === null ? null : ratioTo(floor, runs, runsOf(all, job, floor)),
  };
}

function mediansByRole(runs: readonly Run[]): Run['cpuByRole'] {
  const roles = new Set(runs.flatMap((run) => Object.keys(run.cpuByRole)));
  const medians = [...roles].map((role) => [
    role,
    {
      userUs: median(runs.map((run) => run.cpuByRole[role]?.userUs ?? 0)),
      systemUs: median(runs.map((run) => run.cpuByRole[role]?.systemUs ?? 0)),
    },
  ]);
  return Object.fromEntries(medians) as Run['cpuByRole'];
}

function ratioTo(target: string, runs: readonly Run[], floorRuns: readonly Run[]): Ratio | null {
  const pairs = runs.flatMap((run) => {
    const floor = floorRuns.find((other) => other.repetition === run.repetition);
    return floor === undefined ? [] : [{ run, floor }];
  });
  if (pairs.length === 0) return null;
  return {
    target,
    iops: median(pairs.map(({ run, floor }) => run.iops / floor.iops)),
    // A run can be too short for one clock tick of a cheap server.
    cpu: median(pairs.map(({ run, floor }) => run.cpuUsPerIo / Math.max(floor.cpuUsPerIo, 0.1))),
  };
}
