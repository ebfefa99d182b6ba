// npm run scale: runs the measurements, prints their tables, says which goals were missed.

import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { UsageError } from '../arguments.js';
import { HELP, parseScaleArguments } from './arguments.js';
import type { ScaleArguments } from './arguments.js';
import { ScaleCluster } from './cluster.js';
import { measureFailure, measureQuiet } from './failure.js';
import type { Failure, Quiet } from './failure.js';
import { measureGrowth } from './growth.js';
import type { Growth } from './growth.js';
import { measureMemory } from './memory.js';
import { measureRebuild } from './rebuild.js';
import type { Rebuild } from './rebuild.js';

const SIZES = [3, 4, 8, 16, 32, 64, 128] as const;
const GROWTH_COMBS_LOG2 = 14;
const MOVES_PER_DEVICE = 8;
const FAILURE_MS_MAX = 5000;
/** Part of the speed that twice the servers in half the time would have. */
const REBUILD_LAW_MIN = 0.9;
const GROWTH_MIN = 0.95;
/** Below, single combs are what is seen, not the law. */
const LAW_FROM = 4;

interface Figures {
  readonly machine: string;
  size?: { readonly sds: number; readonly combs: number; readonly sdcs: number };
  quiet?: Quiet;
  failure?: Failure;
  mdmMemoryMb?: number;
  rebuild?: readonly Rebuild[];
  growth?: readonly Growth[];
  readonly missed: string[];
}

const began = Date.now();

function progress(what: string): void {
  process.stderr.write(`${((Date.now() - began) / 1000).toFixed(0)} s: ${what}\n`);
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const fixed = (value: number, digits = 0): string => value.toFixed(digits);

function table(rows: readonly (readonly [string, string])[]): void {
  for (const [what, figure] of rows) say(`| ${what} | ${figure} |`);
  say('');
}

function failurePart({ servers, combCountLog2, clients }: ScaleArguments, figures: Figures): void {
  const size = { servers, combCountLog2, combsPerPair: 0, clients };
  const disks = { diskBytesPerSecond: 500e6, serverBytes: 256e9 };
  const cluster = new ScaleCluster({ ...size, ...disks }, progress);
  progress('nothing happens');
  const quiet = measureQuiet(cluster);
  progress('a server dies');
  const failure = measureFailure(cluster, quiet);
  progress('memory');
  const mdmMemoryMb = measureMemory(cluster);
  Object.assign(figures, { quiet, failure, mdmMemoryMb });
  figures.size = { sds: servers, combs: 1 << combCountLog2, sdcs: clients };
  say(`| ${servers} SDSs, ${1 << combCountLog2} combs, ${clients} SDCs, one SDS dies | |`);
  say('| --- | --- |');
  table([
    ['combs with a copy on it, of which it was primary', `${failure.combs}, ${failure.primaries}`],
    ['map changes, most of one comb', `${failure.changes}, ${failure.mostChangesOfOneComb}`],
    ['committed after its last word', `${fixed(failure.committedMs)} ms`],
    ['known to all clients after that', `${fixed(failure.allHeardMs)} ms`],
    ['commits, bytes', `${failure.commits}, ${fixed(failure.commitBytes / 1024)} KiB`],
    ['CPU of the MDM in the 10 s, beyond heartbeats', `${fixed(failure.cpuMs)} ms`],
    [
      'busiest second, longest turn',
      `${fixed(failure.busiestCore, 2)} of a core, ${fixed(failure.longestTurnMs)} ms`,
    ],
    [
      'map news per SDS, per SDC',
      `${fixed(failure.mapBytesPerServer)} B, ${fixed(failure.mapBytesPerClient)} B`,
    ],
    ['at rest: CPU of the MDM', `${fixed(quiet.core, 3)} of a core`],
    [
      'heartbeats, CPU for each',
      `${fixed(quiet.heartbeatsPerSecond)} /s, ${fixed(quiet.cpuMicrosPerHeartbeat, 1)} us`,
    ],
    ['traffic per node at rest', `${fixed(quiet.bytesPerSecondPerNode)} B/s`],
    ['memory of the MDM: what it has committed', `${fixed(mdmMemoryMb)} MB`],
  ]);
  if (failure.combsWithoutChange > 0)
    figures.missed.push(`${failure.combsWithoutChange} combs still name the dead server as good`);
  if (failure.mostChangesOfOneComb > 1) figures.missed.push('a comb changed more than once');
  if (failure.allHeardMs > FAILURE_MS_MAX) figures.missed.push('it took more than 5 s');
  if (failure.busiestCore >= 1) figures.missed.push('the MDM needed a whole core');
}

function rebuildPart(figures: Figures): void {
  const rows: Rebuild[] = [];
  say(
    '| SDSs | combs, lost | rebuild of one | by 1/N from 4 SDSs | of the law | disks alone | MDM CPU |',
  );
  say('| --- | --- | --- | --- | --- | --- | --- |');
  for (const servers of SIZES) {
    progress(`rebuild with ${servers} servers`);
    const row = measureRebuild(servers, MOVES_PER_DEVICE);
    rows.push(row);
    const base = rows.find((one) => one.servers === LAW_FROM) ?? row;
    const lawful = (base.seconds * (base.servers - 1)) / (servers - 1);
    say(
      `| ${servers} | ${row.poolCombs}, ${row.combs} | ${fixed(row.seconds, 1)} s | ${fixed(lawful, 1)} s | ${fixed((100 * lawful) / row.seconds)} % | ${fixed(row.idealSeconds, 1)} s | ${fixed(row.mdmCpuMs)} ms |`,
    );
    if (servers > LAW_FROM && lawful / row.seconds < REBUILD_LAW_MIN)
      figures.missed.push(`the rebuild with ${servers} servers is below 90 % of what 1/N says`);
  }
  say('');
  figures.rebuild = rows;
}

function growthPart(figures: Figures): void {
  progress('ceilings');
  const rows = measureGrowth([3, 7, 15, 31, 63, 127], GROWTH_COMBS_LOG2);
  say('| SDSs | ceiling of reads, writes (one SDS: 1) | of proportional to one SDS fewer |');
  say('| --- | --- | --- |');
  for (const { servers, reads, writes, readsShare, writesShare } of rows) {
    say(
      `| ${servers} | ${fixed(reads, 2)}, ${fixed(writes, 2)} | ${fixed(readsShare * 100, 1)} %, ${fixed(writesShare * 100, 1)} % |`,
    );
    if (Math.min(readsShare, writesShare) < GROWTH_MIN)
      figures.missed.push(`the ${servers}th server adds less than 95 % of its share`);
  }
  say('');
  figures.growth = rows;
}

function main(args: readonly string[]): number {
  if (args.includes('--help')) {
    say(HELP);
    return 0;
  }
  const wanted = parseScaleArguments(args);
  const machine = `${availableParallelism()} x ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}`;
  const figures: Figures = { machine, missed: [] };
  say(`${machine}\n`);
  if (wanted.parts.includes('growth')) growthPart(figures);
  if (wanted.parts.includes('rebuild')) rebuildPart(figures);
  if (wanted.parts.includes('failure')) failurePart(wanted, figures);
  if (wanted.json !== null) writeFileSync(wanted.json, `${JSON.stringify(figures, null, 2)}\n`);
  for (const what of figures.missed) say(`missed: ${what}`);
  return figures.missed.length === 0 ? 0 : 1;
}

try {
  process.exitCode = main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`${error.message}\nTry --help.\n`);
  process.exitCode = 2;
}
