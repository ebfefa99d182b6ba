// Power cuts of the MDM's store: a real process commits under strace, and at every step of what it did the power is cut:
// nothing, everything, or any torn mixture of what was not yet flushed is on the disk. Whatever is there must open, hold
// every acknowledged commit whole and no half one, and go on.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';
import type { ExecutionContext } from 'ava';

import { Prng } from '../../backend/core/prng.js';
import { figure } from '../support/figure.js';
import { TracedDisk } from './mdm-disk.js';
import type { Tear } from './mdm-disk.js';
import { Judge } from './mdm-judge.js';
import { traced } from './mdm-trace.js';
import type { Step } from './mdm-trace.js';

const WRITER = join(import.meta.dirname, 'mdm-writer.js');
const SEED = 20260201;
const TERM = 3;
const COMMITS = 24;
const SECTOR = 512;
const PAGE = 4096;
/** Torn images per step beside the two plain ones. */
const TEARS: readonly Tear[] = [
  { kind: 'none' },
  { kind: 'all' },
  { kind: 'units', unitBytes: SECTOR },
  { kind: 'units', unitBytes: SECTOR },
  { kind: 'units', unitBytes: PAGE },
];
/** In memory where that is possible: the cuts are played, nothing of them has to last. */
const SCRATCH = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

function folderOf(t: ExecutionContext): string {
  const folder = mkdtempSync(join(SCRATCH, 'meshsan-power-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  mkdirSync(join(folder, 'state'));
  return folder;
}

const storeOf = (state: string): string => join(state, 'mdm', 'store');

/** Decides the call in which a process was killed by what the files hold, and compares all of them with the trace. */
function settleWithFiles(
  t: ExecutionContext,
  state: string,
  disk: TracedDisk,
  steps: readonly Step[],
): Step[] {
  const differing = (played: readonly Step[]): string[] => {
    const again = new TracedDisk(state);
    for (const step of played) again.play(step);
    return [...again.seen()]
      .filter(([path]) => !path.endsWith('-lock'))
      .filter(([path, content]) => !existsSync(path) || !readFileSync(path).equals(content))
      .map(([path]) => path);
  };
  const without = steps.filter((step) => step.kind !== 'maybe');
  const done = steps.flatMap((step) => (step.kind === 'maybe' ? step.steps : [step]));
  const played = differing(without).length === 0 ? without : done;
  t.deepEqual(differing(played), [], 'the trace explains every byte of the files');
  return played;
}

/** Cuts the power at every step; what was wrong, at most `enough` faults, and how many cuts were judged. */
async function replay(
  folder: string,
  steps: readonly Step[],
  enough = 5,
): Promise<{ readonly faults: string[]; readonly cuts: number }> {
  const disk = new TracedDisk(join(folder, 'state'));
  const prng = new Prng(SEED);
  const judge = new Judge();
  const faults: string[] = [];
  let [acknowledged, begun, cuts] = [0, 0, 0];
  for (const [index, step] of steps.entries()) {
    disk.play(step);
    if (step.kind === 'said' && step.word === 'begin') begun = step.number;
    if (step.kind === 'said' && step.word === 'ack') acknowledged = step.number;
    for (const tear of disk.unsettled ? TEARS : TEARS.slice(0, 1)) {
      const target = join(folder, `cut-${cuts++}`);
      mkdirSync(target);
      disk.rebuild(disk.cut(tear, prng), target);
      const directory = storeOf(target);
      const fault = await judge.ask({ directory, seed: SEED, term: TERM, acknowledged, begun });
      rmSync(target, { recursive: true });
      if (fault !== null) faults.push(`step ${index}, ${JSON.stringify(tear)}: ${fault}`);
      if (faults.length >= enough) break;
    }
    if (faults.length >= enough) break;
  }
  judge.end();
  return { faults, cuts };
}

/** Several lives of one store, each but the last killed in the middle of a call. */
async function lives(
  t: ExecutionContext,
  folder: string,
  kills: readonly string[],
): Promise<Step[]> {
  const state = join(folder, 'state');
  const steps: Step[] = [];
  for (const [life, kill] of [...kills, null].entries()) {
    const program = [
      WRITER,
      storeOf(state),
      SEED,
      TERM,
      life === kills.length ? COMMITS : 2 * COMMITS,
    ];
    const faults = kill === null ? [] : [`${kill}:signal=KILL`];
    const run = await traced(join(folder, `life-${life}`), state, program.map(String), faults);
    t.is(run.exitCode === 0, kill === null, run.errors);
    steps.push(...run.steps);
    const played = settleWithFiles(t, state, new TracedDisk(state), steps);
    steps.splice(0, steps.length, ...played);
  }
  return steps;
}

test.serial(
  'the power is cut at every step of a store: no acknowledged commit is lost, none is half there',
  async (t) => {
    const folder = folderOf(t);
    const steps = await lives(t, folder, []);
    const { faults, cuts } = await replay(folder, steps);
    t.deepEqual(faults, []);
    t.true(cuts > 5 * COMMITS, `${cuts} cuts`);
    figure(t, `${cuts} power cuts of the MDM's store`);

    // The replay notices a store that flushes less than it must.
    const isData = (step: Step): boolean => 'path' in step && step.path.endsWith('.mdb');
    const broken: Readonly<Record<string, (step: Step) => boolean>> = {
      'commits without a flush': (step) => !(step.kind === 'flush' && isData(step)),
      'a head without a flush of its own': (step) => step.kind !== 'settle',
      'names without a flush': (step) => !(step.kind === 'flush' && step.path.endsWith('/store')),
    };
    for (const [what, kept] of Object.entries(broken)) {
      const found = await replay(folder, steps.filter(kept), 1);
      t.is(found.faults.length, 1, what);
    }
  },
);

test.serial('kill -9 in the middle of calls, and then the power is cut', async (t) => {
  const folder = folderOf(t);
  const steps = await lives(t, folder, [
    'pwrite64:when=9',
    'fdatasync:when=4',
    'writev:when=2',
    'pwrite64:when=6',
  ]);
  const { faults, cuts } = await replay(folder, steps);
  t.deepEqual(faults, []);
  figure(t, `${cuts} power cuts of the MDM's store after kills`);
});

test.serial('after a failed write or flush nothing is acknowledged any more', async (t) => {
  for (const fault of [
    'fdatasync:error=EIO:when=4',
    'pwrite64:error=ENOSPC:when=5',
    'pwrite64:error=EIO:when=8',
    'writev:error=EIO:when=3',
  ]) {
    const folder = folderOf(t);
    const state = join(folder, 'state');
    const program = [WRITER, storeOf(state), String(SEED), String(TERM), '12'];
    const run = await traced(join(folder, 'life'), state, program, [fault]);
    const words = run.steps.flatMap((step) => (step.kind === 'said' ? [step] : []));
    const failed = words.findIndex(({ word }) => word === 'unknown');
    t.true(failed > 0, `${fault} was noticed: ${run.errors}`);
    t.false(
      words.slice(failed).some(({ word }) => word === 'ack'),
      fault,
    );
    t.regex(run.errors, /commit-failed.*metadata\.mdb/);
    const acknowledged = words.findLast(({ word }) => word === 'ack')?.number ?? 0;
    const judge = new Judge();
    const directory = storeOf(state);
    const begun = acknowledged + 1;
    t.is(await judge.ask({ directory, seed: SEED, term: TERM, acknowledged, begun }), null, fault);
    judge.end();
  }
});
