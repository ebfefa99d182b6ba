// Owns how fio is called and how its report is read. The report is input from outside: every field
// that is used is checked, and a run whose report lacks one fails by name instead of giving a zero.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { execa } from 'execa';

import type { Job } from './jobs.js';

/** What fio measured in one run. Latencies are from submission to completion, in microseconds. */
export interface FioResult {
  /** Reads and writes; a flush is not counted. */
  readonly ios: number;
  readonly iops: number;
  /** Megabytes (10^6) per second. */
  readonly mbPerS: number;
  /**
   * For a flushing job: latency of the write plus that of its flush, as the sum of the two
   * percentiles.
   */
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
}

/** How fio reaches a system: its I/O engine with the address, and variables of its environment. */
export interface Engine {
  readonly words: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** fio failed, or its report is not what this version of the harness understands. */
export class FioError extends Error {
  override readonly name = 'FioError';
}

const PERCENTILES = { p50Us: '50.000000', p99Us: '99.000000', p999Us: '99.900000' } as const;
/**
 * Beyond its run time fio may wait for I/O that a failure holds up; after this long the run counts
 * as hung.
 */
const GRACE_MS = 120_000;

/** Reaches an NBD server on a unix socket. */
export function nbdEngine(socketPath: string): Engine {
  return { words: ['--ioengine=nbd', `--uri=nbd+unix:///?socket=${socketPath}`], env: {} };
}

/** The words of one measured run. */
export function runArguments(
  job: Job,
  engine: Engine,
  run: { readonly sizeBytes: number; readonly runtimeS: number; readonly scratchDir: string },
): readonly string[] {
  return [
    `--name=${job.name}`,
    ...engine.words,
    ...job.fio,
    `--size=${run.sizeBytes}`,
    `--runtime=${run.runtimeS}`,
    '--time_based=1',
    // Without the map of blocks fio spends less itself; a block may repeat, as in real use.
    '--norandommap=1',
    '--randrepeat=0',
    '--thread=1',
    '--group_reporting=1',
    // The mixed report leaves the flushes out, and a flushing job only writes.
    ...(job.flushes ? [] : ['--unified_rw_reporting=mixed']),
    '--clat_percentiles=0',
    '--lat_percentiles=1',
    '--percentile_list=50:99:99.9',
    '--output-format=json',
    '--eta=never',
    `--aux-path=${run.scratchDir}`,
  ];
}

/** The words of a run that does every place of the range once, in an order that is the same each time. */
export function onceArguments(
  job: Job,
  engine: Engine,
  run: { readonly sizeBytes: number; readonly scratchDir: string },
): readonly string[] {
  return [
    `--name=${job.name}`,
    ...engine.words,
    ...job.fio,
    `--size=${run.sizeBytes}`,
    ...['--randrepeat=1', '--randseed=4711', '--thread=1', '--group_reporting=1'],
    ...['--unified_rw_reporting=mixed', '--clat_percentiles=0', '--lat_percentiles=1'],
    ...['--percentile_list=50:99:99.9', '--output-format=json', '--eta=never'],
    `--aux-path=${run.scratchDir}`,
  ];
}

/** The words that write the whole measured range once, in order, and flush it. */
export function fillArguments(engine: Engine, sizeBytes: number): readonly string[] {
  return [
    '--name=fill',
    ...engine.words,
    '--rw=write',
    '--bs=1m',
    '--iodepth=8',
    `--size=${sizeBytes}`,
    '--thread=1',
    '--end_fsync=1',
    '--output-format=json',
    '--eta=never',
  ];
}

/**
 * Reads fio's JSON report of one run of `job`. fio prints notes of its engines before the report.
 * Throws FioError when the report is missing, malformed, or reports an I/O error.
 */
export function parseReport(text: string, job: Job): FioResult {
  const entry = firstJob(text);
  const error = numberIn(entry, 'error');
  if (error !== 0) throw new FioError(`${job.name}: fio reports I/O error ${error}`);
  const io = objectIn(entry, job.flushes ? 'write' : 'mixed');
  const ios = numberIn(io, 'total_ios');
  if (ios === 0) throw new FioError(`${job.name}: fio completed no I/O`);
  const latencyUs = (percentile: string): number =>
    (percentileNs(io, percentile) +
      (job.flushes ? percentileNs(objectIn(entry, 'sync'), percentile) : 0)) /
    1000;
  return {
    ios,
    iops: numberIn(io, 'iops'),
    mbPerS: numberIn(io, 'bw_bytes') / 1e6,
    p50Us: latencyUs(PERCENTILES.p50Us),
    p99Us: latencyUs(PERCENTILES.p99Us),
    p999Us: latencyUs(PERCENTILES.p999Us),
  };
}

/**
 * Runs one job and returns what fio measured. The scratch directory holds only fio's own temporary
 * files.
 */
export async function runJob(
  job: Job,
  engine: Engine,
  run: { readonly sizeBytes: number; readonly runtimeS: number },
  signal: AbortSignal,
): Promise<FioResult> {
  return withScratch(async (scratchDir) => {
    const words = runArguments(job, engine, { ...run, scratchDir });
    return parseReport(await fio(words, engine, run.runtimeS * 1000 + GRACE_MS, signal), job);
  });
}

/** Runs a job that does every place once, and returns what fio measured. */
export async function runOnce(
  job: Job,
  engine: Engine,
  sizeBytes: number,
  signal: AbortSignal,
): Promise<FioResult> {
  return withScratch(async (scratchDir) => {
    const words = onceArguments(job, engine, { sizeBytes, scratchDir });
    return parseReport(await fio(words, engine, GRACE_MS, signal), job);
  });
}

async function withScratch<T>(use: (scratchDir: string) => Promise<T>): Promise<T> {
  const scratchDir = await mkdtemp(join(tmpdir(), 'meshsan-bench-fio-'));
  try {
    return await use(scratchDir);
  } finally {
    await rm(scratchDir, { recursive: true, force: true });
  }
}

/** Writes the measured range once so that no run pays for a first write. */
export async function fill(engine: Engine, sizeBytes: number, signal: AbortSignal): Promise<void> {
  // 4 MB/s is slower than any disk worth measuring on.
  const timeoutMs = GRACE_MS + sizeBytes / 4000;
  const entry = firstJob(await fio(fillArguments(engine, sizeBytes), engine, timeoutMs, signal));
  const written = numberIn(objectIn(entry, 'write'), 'io_bytes');
  if (written !== sizeBytes) throw new FioError(`fill: fio wrote ${written} of ${sizeBytes} bytes`);
}

async function fio(
  words: readonly string[],
  engine: Engine,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<string> {
  const result = await execa('fio', words, {
    stdin: 'ignore',
    reject: false,
    env: engine.env,
    timeout: Math.round(timeoutMs),
    cancelSignal: signal,
  });
  signal.throwIfAborted();
  if (result.timedOut)
    throw new FioError(`fio did not end ${GRACE_MS / 1000} s after its time: I/O hangs`);
  if (result.failed) {
    const said = `${result.stderr}\n${result.stdout}`.trim().slice(0, 2000);
    throw new FioError(
      `fio ${words.join(' ')} failed (exit ${result.exitCode ?? 'none'}): ${said}`,
    );
  }
  return result.stdout;
}

type JsonObject = Record<string, unknown>;

function firstJob(text: string): JsonObject {
  const start = text.indexOf('{');
  let report: unknown;
  try {
    report = JSON.parse(text.slice(start < 0 ? text.length : start, text.lastIndexOf('}') + 1));
  } catch (error) {
    throw new FioError(`fio printed no JSON report: ${text.trim().slice(0, 500)}`, {
      cause: error,
    });
  }
  const jobs = isObject(report) ? report['jobs'] : undefined;
  const entry: unknown = Array.isArray(jobs) ? jobs[0] : undefined;
  if (!isObject(entry)) throw new FioError('the report of fio has no job');
  return entry;
}

function percentileNs(part: JsonObject, percentile: string): number {
  return numberIn(objectIn(objectIn(part, 'lat_ns'), 'percentile'), percentile);
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function objectIn(parent: JsonObject, key: string): JsonObject {
  const value = parent[key];
  if (!isObject(value)) throw new FioError(`the report of fio has no object "${key}"`);
  return value;
}

function numberIn(parent: JsonObject, key: string): number {
  const value = parent[key];
  if (typeof value !== 'number' || !Number.isFinite(value))
    throw new FioError(`the report of fio has no number "${key}"`);
  return value;
}
