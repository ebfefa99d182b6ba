// Owns the command line of `npm run bench`: its help text and the validation of every option. Pure:
// it opens no file and starts nothing, so that bad usage is refused before anything was changed.
import { MIB, TIB, parseSize } from '../../backend/core/units.js';
import { LIMIT } from '../../backend/protocol/generated/constants.js';
import { UsageError, listOf, readFlags, wholeNumber } from '../../backend/runtime/flags.js';
import { JOBS, jobNamed, type Job } from './jobs.js';

export const DURABILITY_MODES = ['media', 'device', 'memory'] as const;
export type DurabilityMode = (typeof DURABILITY_MODES)[number];

export interface MeasureOptions {
  readonly action: 'measure';
  readonly jsonFile: string | null;
  readonly jobs: readonly Job[];
  /** Durability modes of MeshSAN to measure; empty means only the floor (and the peers). */
  readonly modes: readonly DurabilityMode[];
  /** Repetitions of each job on each target, 1..100. */
  readonly runs: number;
  /** Seconds of each fio run, 1..3600. */
  readonly runtimeS: number;
  /** Bytes that are written beforehand and then measured; a multiple of 1 MiB. */
  readonly sizeBytes: number;
  /** Seconds to wait at most before each run for the machine to become quiet; 0 does not wait. */
  readonly quietS: number;
  readonly peers: boolean;
  /** DIR of a running cluster to measure, or null to start one for the run. */
  readonly clusterDir: string | null;
  /** Where the data of everything started here lies while it runs. */
  readonly workDir: string;
}

/** Ways to a volume: its NBD socket; the same through QEMU's block layer; the block device on the host. */
export const TRANSPORTS = ['nbd', 'qemu', 'device'] as const;
export type Transport = (typeof TRANSPORTS)[number];

export interface LimitOptions {
  readonly action: 'limits';
  readonly transports: readonly Transport[];
  /** Measured seconds of each limit, 1..3600. */
  readonly runtimeS: number;
  readonly jsonFile: string | null;
  readonly workDir: string;
}

export const SNAPSHOT_FIGURES = ['pause', 'first-write', 'creation'] as const;
export type SnapshotFigure = (typeof SNAPSHOT_FIGURES)[number];

export interface SnapshotOptions {
  readonly action: 'snapshots';
  readonly figures: readonly SnapshotFigure[];
  /** Of a group snapshot. */
  readonly volumes: number;
  readonly runs: number;
  readonly jsonFile: string | null;
  readonly workDir: string;
}

export interface CorruptionOptions {
  readonly action: 'corruptions';
  readonly count: number;
}

export type BenchOptions =
  | CorruptionOptions
  | { readonly action: 'help' }
  | SnapshotOptions
  | { readonly action: 'table'; readonly file: string }
  | LimitOptions
  | MeasureOptions;

const DEFAULTS = {
  ...{ runs: '3', runtime: '5', size: '2G', quiet: '0', dir: '.bench', volumes: '1000' },
} as const;
const SNAPSHOT_RUNS = '10';

const SIZE_BYTES_MIN = 64 * MIB;
const SIZE_BYTES_MAX = TIB;

export const HELP = `usage: npm run bench -- [options]

Measures one volume of a 3-SDS MeshSAN cluster with fio over NBD, and beside it, alternating in the same run,
nbdkit's file plugin as the floor (one copy, no network): plain, and flushing every write (FUA).

  --json FILE       write every run, the medians and the description of the machine there
  --table FILE      print the table of such a file and measure nothing
  --jobs LIST       comma separated; default all of
${JOBS.map((job) => `                      ${job.name.padEnd(24)} ${job.title}`).join('\n')}
  --modes LIST      durability modes of MeshSAN: ${DURABILITY_MODES.join(', ')} (default all), or none
  --runs N          repetitions of each job on each target, 1 to 100 (default ${DEFAULTS.runs})
  --runtime SECONDS length of each fio run, 1 to 3600 (default ${DEFAULTS.runtime})
  --size SIZE       size that is pre-written and measured, like 512M or 2G (default ${DEFAULTS.size})
  --quiet SECONDS   before each run wait, at most this long, until the machine is quiet (default ${DEFAULTS.quiet})
  --peers           also measure Ceph (Debian's packages, three OSDs, pool of size 2)
  --cluster DIR     measure the running cluster of DIR instead of starting one
  --limits LIST     measure instead whether limits (QoS) hold, second by second after the first, changed while fio runs;
                    ways to the volume: ${TRANSPORTS.join(', ')} (a block device, as root), or all; takes --runtime, --json, --dir
  --snapshots LIST  measure instead what snapshots cost, on a cluster with two clients: ${SNAPSHOT_FIGURES.join(', ')},
                    or all; takes --runs (then ${SNAPSHOT_RUNS} unless given), --volumes, --json, --dir
  --corruptions N   spoil instead so many blocks of a device, 1 to 40000, and tell what clients read wrong; exit code 1 if anything
  --volumes N       of a group snapshot, 1 to ${LIMIT.cutVolumesMax} (default ${DEFAULTS.volumes})
  --dir DIR         where the data lies while measuring; removed afterwards (default ${DEFAULTS.dir})
  --help            print this

Exit code: 0 when every run succeeded, 1 when one failed, 2 for bad usage, 130 when interrupted.
`;

/**
 * Parses the words after `npm run bench --`. Throws UsageError, whose message is meant for the
 * user.
 */
export function parseArguments(words: readonly string[]): BenchOptions {
  const given = readFlags(words, OPTIONS);
  if (given.help) return { action: 'help' };
  if (given.table !== null) {
    const others = Object.entries(given)
      .filter(([key, value]) => key !== 'table' && value !== null && value !== false)
      .map(([key]) => key);
    if (others.length > 0)
      throw new UsageError(
        `--table prints an earlier result and goes alone, without --${others.join(', --')}`,
      );
    return { action: 'table', file: nonEmpty('table', given.table) };
  }
  if (given.limits !== null) return limitOptions(given.limits, given);
  if (given.snapshots !== null) return snapshotOptions(given.snapshots, given);
  if (given.corruptions !== null) return corruptionOptions(given.corruptions, given);
  if (given.volumes !== null) throw new UsageError('--volumes belongs to --snapshots');
  const modes = parseModes(given.modes);
  const clusterDir = given.cluster === null ? null : nonEmpty('cluster', given.cluster);
  if (clusterDir !== null && modes.length === 0)
    throw new UsageError(
      '--cluster DIR contradicts --modes none: name the modes to measure on that cluster',
    );
  return {
    action: 'measure',
    jsonFile: given.json === null ? null : nonEmpty('json', given.json),
    jobs: parseJobs(given.jobs),
    modes,
    runs: wholeNumber('--runs', given.runs ?? DEFAULTS.runs, 1, 100),
    runtimeS: wholeNumber('--runtime', given.runtime ?? DEFAULTS.runtime, 1, 3600),
    sizeBytes: parseBytes(given.size ?? DEFAULTS.size),
    quietS: wholeNumber('--quiet', given.quiet ?? DEFAULTS.quiet, 0, 3600),
    peers: given.peers,
    clusterDir,
    workDir: nonEmpty('dir', given.dir ?? DEFAULTS.dir),
  };
}

/** Beside a flag that measures something else most others mean nothing. @throws UsageError */
function refuseOthers(what: keyof Given, given: Given, taken: readonly (keyof Given)[]): void {
  const others = Object.entries(given)
    .filter(([, value]) => value !== null && value !== false)
    .map(([key]) => key as keyof Given)
    .filter((key) => key !== what && !taken.includes(key));
  if (others.length > 0)
    throw new UsageError(`--${what} measures only ${what}, without --${others.join(', --')}`);
}

function snapshotOptions(list: string, given: Given): SnapshotOptions {
  refuseOthers('snapshots', given, ['runs', 'volumes', 'json', 'dir']);
  const volumes = given.volumes ?? DEFAULTS.volumes;
  return {
    action: 'snapshots',
    figures: list === 'all' ? SNAPSHOT_FIGURES : listOf('--snapshots', list, SNAPSHOT_FIGURES),
    volumes: wholeNumber('--volumes', volumes, 1, LIMIT.cutVolumesMax),
    runs: wholeNumber('--runs', given.runs ?? SNAPSHOT_RUNS, 1, 100),
    jsonFile: given.json === null ? null : nonEmpty('json', given.json),
    workDir: nonEmpty('dir', given.dir ?? DEFAULTS.dir),
  };
}

function corruptionOptions(count: string, given: Given): CorruptionOptions {
  refuseOthers('corruptions', given, []);
  return { action: 'corruptions', count: wholeNumber('--corruptions', count, 1, 40_000) };
}

function limitOptions(list: string, given: Given): LimitOptions {
  refuseOthers('limits', given, ['runtime', 'json', 'dir']);
  return {
    action: 'limits',
    transports: list === 'all' ? TRANSPORTS : listOf('--limits', list, TRANSPORTS),
    runtimeS: wholeNumber('--runtime', given.runtime ?? DEFAULTS.runtime, 1, 3600),
    jsonFile: given.json === null ? null : nonEmpty('json', given.json),
    workDir: nonEmpty('dir', given.dir ?? DEFAULTS.dir),
  };
}

const OPTIONS = {
  json: { type: 'string' },
  table: { type: 'string' },
  jobs: { type: 'string' },
  modes: { type: 'string' },
  runs: { type: 'string' },
  runtime: { type: 'string' },
  size: { type: 'string' },
  quiet: { type: 'string' },
  cluster: { type: 'string' },
  dir: { type: 'string' },
  limits: { type: 'string' },
  snapshots: { type: 'string' },
  corruptions: { type: 'string' },
  volumes: { type: 'string' },
  peers: { type: 'boolean' },
  help: { type: 'boolean' },
} as const;

type Given = ReturnType<typeof readFlags<typeof OPTIONS>>;

function nonEmpty(option: string, value: string): string {
  if (value.trim() === '') throw new UsageError(`--${option} needs a path, not an empty word`);
  return value;
}

function parseList(option: string, value: string): string[] {
  const items = value.split(',').map((item) => item.trim());
  if (items.includes(''))
    throw new UsageError(`--${option} ${value}: an item of the list is empty`);
  const twice = items.find((item, index) => items.indexOf(item) !== index);
  if (twice !== undefined) throw new UsageError(`--${option} names ${twice} twice`);
  return items;
}

function parseJobs(value: string | null): readonly Job[] {
  if (value === null) return JOBS;
  const wanted = parseList('jobs', value).map((name) => {
    const job = jobNamed(name);
    if (job === undefined)
      throw new UsageError(
        `--jobs: no job is named ${name}; jobs are ${JOBS.map((one) => one.name).join(', ')}`,
      );
    return job;
  });
  // The table's order stands, because large sequential jobs have to come last.
  return JOBS.filter((job) => wanted.includes(job));
}

function parseModes(value: string | null): readonly DurabilityMode[] {
  if (value === null) return DURABILITY_MODES;
  if (value.trim() === 'none') return [];
  const wanted = parseList('modes', value);
  const unknown = wanted.find((name) => !(DURABILITY_MODES as readonly string[]).includes(name));
  if (unknown !== undefined)
    throw new UsageError(
      `--modes: ${unknown} is not one of ${DURABILITY_MODES.join(', ')}, or none alone`,
    );
  return DURABILITY_MODES.filter((mode) => wanted.includes(mode));
}

function parseBytes(value: string): number {
  const bytes = parseSize(value);
  if (bytes === null || bytes % MIB !== 0)
    throw new UsageError(`--size ${value}: not a size in whole MiB, like 512M, 2G or 1T`);
  if (bytes < SIZE_BYTES_MIN || bytes > SIZE_BYTES_MAX)
    throw new UsageError(`--size ${value}: outside 64M to 1T`);
  return bytes;
}
