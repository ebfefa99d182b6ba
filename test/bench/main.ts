// The benchmark of the data path: `npm run bench -- --help`. Starts what is to be measured, runs
// fio in alternation, writes the result after every run, prints the table, and leaves nothing
// behind.
import { mkdir, readdir, rm, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import { UsageError } from '../../backend/runtime/flags.js';
import {
  HELP,
  parseArguments,
  type CorruptionOptions,
  type LimitOptions,
  type MeasureOptions,
  type SnapshotOptions,
} from './arguments.js';
import { startCeph } from './ceph.js';
import { measureCorruptions } from './corruptions.js';
import { startFloor } from './floor.js';
import type { Job } from './jobs.js';
import { describeMachine, type MachineDescription } from './machine.js';
import { measure, type MeasureSettings } from './measure.js';
import { limitsTable } from './limit-stages.js';
import { measureLimits } from './limits.js';
import { startMeshsan } from './meshsan.js';
import { CEPH_PACKAGES, FLOOR_PACKAGES, LIMIT_PACKAGES, needPackages } from './packages.js';
import { planRuns } from './plan.js';
import { REPORT_FORMAT, REPORT_VERSION, readReport, writeReport, type Report } from './report.js';
import { measureSnapshots } from './snapshots.js';
import { renderTable } from './table.js';
import type { System, SystemSettings, Target } from './targets.js';

const EXIT_FAILED = 1;
/** Of what is spoiled, and how. */
const SEED = 1;
const EXIT_USAGE = 2;
const EXIT_INTERRUPTED = 130;
/** A system that fails so often in a row is broken; each further run could hang for minutes. */
const FAILURES_IN_A_ROW_MAX = 3;

const interrupt = new AbortController();

function say(line: string): void {
  process.stderr.write(`bench: ${line}\n`);
}

async function main(words: readonly string[]): Promise<number> {
  const options = parseArguments(words);
  if (options.action === 'help') {
    process.stdout.write(HELP);
    return 0;
  }
  if (options.action === 'table') {
    process.stdout.write(renderTable(await readReport(options.file)));
    return 0;
  }
  // Whoever read the output is gone (a pipe, a terminal): ending without cleaning up would leave
  // servers and gigabytes behind.
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', () => {
      interrupt.abort();
    });
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(name, () => {
      say(`${name}: ending what was started`);
      interrupt.abort();
    });
  const { signal } = interrupt;
  switch (options.action) {
    case 'limits':
      return await limits(options, words, signal);
    case 'snapshots':
      return await snapshots(options, signal);
    case 'corruptions':
      return await corruptions(options);
    case 'measure':
      return await benchmark(options, words, signal);
  }
}

/** Runs something with a directory of its own below `base`, which is gone afterwards. */
async function inWorkDir<T>(base: string, body: (workDir: string) => Promise<T>): Promise<T> {
  const made = await mkdir(base, { recursive: true });
  const workDir = join(base, `run-${process.pid}`);
  await mkdir(workDir, { mode: 0o700 });
  try {
    return await body(workDir);
  } finally {
    await rm(workDir, { recursive: true, force: true });
    // Another benchmark may have put its data beside ours meanwhile.
    if (made !== undefined && (await readdir(base)).length === 0) await rmdir(base);
  }
}

async function limits(
  options: LimitOptions,
  words: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  await needPackages([...LIMIT_PACKAGES], signal, say);
  if (options.transports.includes('device') && process.getuid?.() !== 0)
    throw new UsageError('--limits device needs root: the host gets a block device');
  const jsonFile = options.jsonFile === null ? null : resolve(options.jsonFile);
  if (jsonFile !== null) await mkdir(dirname(jsonFile), { recursive: true });
  await inWorkDir(resolve(options.workDir), async (workDir) => {
    const machine = await describeMachine(workDir);
    const rows = await measureLimits(options, { workDir, signal, say });
    const result = { startedAt: new Date().toISOString(), command: words, machine, rows };
    if (jsonFile !== null) await writeFile(jsonFile, `${JSON.stringify(result, null, 2)}\n`);
    const { cpuModel, cores, memoryGib, kernel } = machine;
    process.stdout.write(`${cpuModel}, ${cores} cores, ${memoryGib} GiB, Linux ${kernel}\n\n`);
    process.stdout.write(limitsTable(rows));
  });
  return 0;
}

async function snapshots(options: SnapshotOptions, signal: AbortSignal): Promise<number> {
  const jsonFile = options.jsonFile === null ? null : resolve(options.jsonFile);
  if (jsonFile !== null) await mkdir(dirname(jsonFile), { recursive: true });
  const table = await inWorkDir(resolve(options.workDir), (workDir) =>
    measureSnapshots(options, jsonFile, { workDir, signal, say }),
  );
  process.stdout.write(table);
  return 0;
}

async function corruptions({ count }: CorruptionOptions): Promise<number> {
  const figures = await measureCorruptions(count, SEED, say);
  process.stdout.write(`${JSON.stringify(figures, null, 2)}\n`);
  return figures.wrong === '' && figures.found === figures.repaired ? 0 : EXIT_FAILED;
}

async function benchmark(
  options: MeasureOptions,
  words: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  const jsonFile = options.jsonFile === null ? null : resolve(options.jsonFile);
  if (jsonFile !== null) await mkdir(dirname(jsonFile), { recursive: true });
  await needPackages([...FLOOR_PACKAGES, ...(options.peers ? CEPH_PACKAGES : [])], signal, say);
  const report = await inWorkDir(resolve(options.workDir), async (workDir) => {
    const systems: System[] = [];
    try {
      const machine = await describeMachine(workDir);
      await startSystems(systems, options, { sizeBytes: options.sizeBytes, workDir, signal, say });
      const empty = emptyReport(options, words, machine, systems);
      const dataDirs = options.clusterDir === null ? [workDir] : [workDir, options.clusterDir];
      await runAll(empty, systems, { ...options, jsonFile, dataDirs, signal });
      return empty;
    } finally {
      await stopAll(systems);
    }
  });
  process.stdout.write(renderTable(report));
  return report.failures.length === 0 ? 0 : EXIT_FAILED;
}

/** Appends what was started to `systems`, so that a failure half way leaves nothing running. */
async function startSystems(
  systems: System[],
  options: MeasureOptions,
  settings: SystemSettings,
): Promise<void> {
  if (options.modes.length > 0)
    systems.push(await startMeshsan(settings, options.modes, options.clusterDir));
  systems.push(await startFloor(settings));
  if (options.peers) systems.push(await startCeph(settings));
}

function emptyReport(
  options: MeasureOptions,
  words: readonly string[],
  machine: MachineDescription,
  systems: readonly System[],
): Report {
  return {
    format: REPORT_FORMAT,
    version: REPORT_VERSION,
    startedAt: new Date().toISOString(),
    finishedAt: null,
    command: words,
    machine,
    sizeBytes: options.sizeBytes,
    runtimeS: options.runtimeS,
    targets: systems.flatMap((system) => system.targets.map((target) => target.description)),
    idleResidentMib: Object.assign(
      {},
      ...systems.map((system) => system.idleResidentMib),
    ) as Record<string, number>,
    runs: [],
    failures: [],
    summary: [],
  };
}

interface RunSettings extends MeasureSettings {
  readonly jobs: readonly Job[];
  readonly runs: number;
  readonly jsonFile: string | null;
}

async function runAll(
  report: Report,
  systems: readonly System[],
  settings: RunSettings,
): Promise<void> {
  const targets = systems.flatMap((system) => system.targets);
  const plan = planRuns(settings.jobs, targets, settings.runs);
  const failuresInARow = new Map<Target, number>();
  for (const [index, planned] of plan.entries()) {
    const { job, target, repetition } = planned;
    const failed = failuresInARow.get(target) ?? 0;
    if (failed >= FAILURES_IN_A_ROW_MAX) continue;
    const where = { job: job.name, target: target.description.name, repetition };
    const label = `${index + 1}/${plan.length} ${where.job} on ${where.target}`;
    try {
      const run = await measure(planned, settings);
      report.runs.push(run);
      failuresInARow.delete(target);
      say(
        `${label}: ${Math.round(run.iops)} IOPS, p50 ${run.p50Us} us, CPU ${run.cpuUsPerIo} us/IO`,
      );
    } catch (error) {
      settings.signal.throwIfAborted();
      report.failures.push({ ...where, error: messageOf(error) });
      failuresInARow.set(target, failed + 1);
      say(`${label}: ${messageOf(error)}`);
      if (failed + 1 === FAILURES_IN_A_ROW_MAX)
        say(`${where.target}: given up, its other runs are left out`);
    }
    if (settings.jsonFile !== null) await writeReport(settings.jsonFile, report);
  }
  report.finishedAt = new Date().toISOString();
  if (settings.jsonFile !== null) await writeReport(settings.jsonFile, report);
}

/** Stops every system even when one of them resists, and then throws the first error. */
async function stopAll(systems: readonly System[]): Promise<void> {
  const errors: unknown[] = [];
  for (const system of systems.toReversed())
    await system.stop().catch((error: unknown) => {
      say(`cannot stop a system: ${messageOf(error)}`);
      errors.push(error);
    });
  if (errors.length > 0) throw errors[0];
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) {
    process.stderr.write(`bench: ${error.message}\n\nTry: npm run bench -- --help\n`);
    return EXIT_USAGE;
  }
  // Whatever was cancelled half way then failed in its own words, which say nothing more.
  if (interrupt.signal.aborted) return EXIT_INTERRUPTED;
  // Only a mistake of this program itself is better told by where it happened.
  const ours = error instanceof TypeError || error instanceof RangeError;
  say(ours ? (error.stack ?? error.message) : messageOf(error));
  return EXIT_FAILED;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.exitCode = exitCodeOf(error);
}
