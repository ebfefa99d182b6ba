// `npm run chaos`: real processes under failure. Draws or reads a plan, has it done by inside.ts in namespaces of its own,
// says what came of it, keeps what is needed to look into a failure, and leaves nothing else behind.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { UsageError, runTool } from '../../backend/runtime/flags.js';
import { renderFigures } from '../bench/figure-table.js';
import { describeMachine } from '../bench/machine.js';
import { makeBuild, removeBuild } from '../sim/broken-build.js';
import { HELP, parseArguments } from './arguments.js';
import type { ChaosOptions } from './arguments.js';
import { POWER_TRIALS, TRIALS } from './broken.js';
import type { FigureName } from './figure-bench.js';
import { obstacle, runInside } from './isolation.js';
import {
  NEEDS_NAMESPACES,
  cutsPower,
  drawPlan,
  inWords,
  needsOwnDisks,
  parsePlan,
} from './plan.js';
import type { Plan } from './plan.js';
import { drawPowerPlan } from './power-plan.js';
import { powerObstacle } from './power.js';
import { readResult, writeTask } from './task.js';
import type { Result } from './task.js';
import { removeThrottle } from './throttle.js';
import type { Verdict } from './verdict.js';

const EXIT_INTERRUPTED = 130;
const INSIDE = join(import.meta.dirname, 'inside.js');

const say = (text: string): void => {
  process.stderr.write(`chaos: ${text}\n`);
};
const print = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

const interrupt = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(name, () => {
    say(`${name}: ending what was started`);
    interrupt.abort();
  });
// Whoever read the output is gone: everything is taken away as after a signal.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', () => {
    interrupt.abort();
  });

/** How the failure of a run begins that did not come to its end. */
const BROKE_OFF = 'the run broke off';

/** One run's line of the outcome. */
interface Outcome {
  readonly seed: number;
  readonly plan: Plan;
  readonly verdict: Verdict;
  /** Directory with what is left of it, or null. */
  readonly kept: string | null;
}

/** So many power cuts are a run of their own, which takes three minutes. */
const CUTS_PER_RUN = 20;

function powerPlans({ seed, sdsCount }: ChaosOptions, cuts: number): Plan[] {
  return Array.from({ length: Math.ceil(cuts / CUTS_PER_RUN) }, (_, index) =>
    drawPowerPlan(seed + index, sdsCount, Math.min(CUTS_PER_RUN, cuts - index * CUTS_PER_RUN)),
  );
}

function plansOf(options: ChaosOptions, isolated: boolean): Plan[] {
  const { seed, runs, sdsCount, seconds, planFile, powerCuts } = options;
  if (powerCuts !== null) return powerPlans(options, powerCuts);
  if (planFile !== null) {
    if (!existsSync(planFile)) throw new UsageError(`--plan ${planFile} does not exist`);
    return [parsePlan(planFile, readFileSync(planFile, 'utf8'))];
  }
  const kinds = options.kinds.filter((kind) => isolated || !NEEDS_NAMESPACES.includes(kind));
  if (kinds.length === 0)
    throw new UsageError(`without namespaces nothing of --only ${options.kinds.join(',')} is left`);
  return Array.from({ length: runs }, (_, index) =>
    drawPlan(seed + index, sdsCount, seconds, kinds),
  );
}

/** Without namespaces, what needs them is left out, and counted. */
function possible(plan: Plan, isolated: boolean): Plan {
  if (isolated) return plan;
  const steps = plan.steps.map((step) => ({
    ...step,
    troubles: step.troubles.filter(({ kind }) => !NEEDS_NAMESPACES.includes(kind)),
  }));
  return { ...plan, steps };
}

const troublesOf = ({ steps }: Plan): number =>
  steps.reduce((sum, { troubles }) => sum + troubles.length, 0);

function describe(plan: Plan): string {
  const lines = plan.steps.map(
    ({ pauseMs, troubles }, index) =>
      `  ${index + 1}. after ${pauseMs} ms: ${troubles.map(inWords).join('; ')}`,
  );
  return [`plan of seed ${plan.seed}, ${plan.sdsCount} servers:`, ...lines].join('\n');
}

/** A directory of a run. */
function makeDirectory({ dir }: Pick<ChaosOptions, 'dir'>): string {
  const base = resolve(dir ?? tmpdir());
  mkdirSync(base, { recursive: true });
  return mkdtempSync(join(base, 'meshsan-chaos-'));
}

function resultOf(dir: string): Result {
  if (existsSync(join(dir, 'result.json'))) return readResult(dir);
  return { kind: 'broken', reason: 'it ended without a result' };
}

/** @param program - the inner part, of this build or of another */
async function run(
  plan: Plan,
  isolated: boolean,
  options: Pick<ChaosOptions, 'dir' | 'keep'>,
  program = INSIDE,
): Promise<Outcome> {
  const dir = makeDirectory(options);
  let kept: string | null = null;
  try {
    writeTask(dir, { kind: 'story', plan: possible(plan, isolated), isolated });
    writeFileSync(join(dir, 'plan.json'), `${JSON.stringify(plan, null, 2)}\n`);
    await runInside(program, [dir], isolated, interrupt.signal);
    interrupt.signal.throwIfAborted();
    const verdict = verdictOf(dir);
    if (verdict.failures.length > 0 || options.keep) kept = dir;
    return { seed: plan.seed, plan, verdict, kept };
  } finally {
    if (kept === null) rmSync(dir, { recursive: true, force: true });
    else for (const name of largeParts(plan)) rmSync(join(dir, 'cluster', name), { force: true });
  }
}

/** Of a run that is kept, everything but the devices. */
const largeParts = ({ sdsCount }: Plan): string[] =>
  Array.from({ length: sdsCount }, (_, index) => `sds${index + 1}/device0`);

function verdictOf(dir: string): Verdict {
  const result = resultOf(dir);
  if (result.kind === 'story') return result.verdict;
  const reason = result.kind === 'broken' ? result.reason : 'it measured instead';
  const none = { troubles: 0, operations: 0, unanswered: 0, longestMs: 0, longest: '' };
  return {
    ...{ failures: [`${BROKE_OFF}: ${reason}`], ...none },
    ...{ sectorsGivenUp: 0, seconds: 0, snapshots: null, power: null },
  };
}

function report({ seed, verdict, kept }: Outcome): void {
  const { failures, troubles, operations, unanswered, longestMs, longest, seconds } = verdict;
  const went = failures.length === 0 ? 'well' : `FAILED: ${failures.join('; ')}`;
  const given =
    verdict.sectorsGivenUp === 0 ? '' : `, ${verdict.sectorsGivenUp} sectors not judged`;
  print(
    `seed ${seed}: ${troubles} troubles, ${operations} requests (${unanswered} of unknown outcome, the longest ${longestMs} ms: ${longest}${given}), ${seconds} s: ${went}`,
  );
  if (verdict.power !== null && verdict.power.cuts > 0)
    print(`seed ${seed}: ${cutsInWords([verdict])}`);
  if (kept !== null)
    print(`seed ${seed}: kept in ${kept}; again: --plan ${join(kept, 'plan.json')}`);
}

/** What the power cuts of some runs met. */
function cutsInWords(verdicts: readonly Verdict[]): string {
  const sum = (of: 'cuts' | 'unflushed' | 'torn'): number =>
    verdicts.reduce((total, { power }) => total + (power?.[of] ?? 0), 0);
  return `${sum('cuts')} power cuts with ${sum('unflushed')} writes that were not flushed, of which ${sum('torn')} were lost or torn`;
}

/** Measures, and prints a table. @returns the exit code */
async function figures(
  names: readonly FigureName[],
  isolated: boolean,
  options: ChaosOptions,
): Promise<number> {
  const dir = makeDirectory(options);
  let isKept = options.keep;
  try {
    const machine = await describeMachine(dir);
    writeTask(dir, { kind: 'figures', names, minutes: options.minutes, isolated });
    await runInside(INSIDE, [dir], isolated, interrupt.signal);
    interrupt.signal.throwIfAborted();
    const result = resultOf(dir);
    if (result.kind !== 'figures') {
      isKept = true;
      print(`FAILED: ${result.kind === 'broken' ? result.reason : 'no figures'}; kept in ${dir}`);
      return 1;
    }
    process.stdout.write(renderFigures(machine, result.rows));
    if (options.jsonFile !== null)
      writeFileSync(options.jsonFile, `${JSON.stringify({ machine, ...result }, null, 2)}\n`);
    return 0;
  } finally {
    await removeThrottle(dir);
    if (!isKept) rmSync(dir, { recursive: true, force: true });
  }
}

/** Each broken build must fail. @returns the exit code */
async function selfTest(options: ChaosOptions): Promise<number> {
  let survivors = 0;
  const trials = options.powerCuts === null ? [...TRIALS, ...POWER_TRIALS] : POWER_TRIALS;
  for (const { mutation, plan } of trials) {
    interrupt.signal.throwIfAborted();
    say(`${mutation.rule}: ${mutation.about}`);
    const folder = makeBuild(mutation, ['backend', 'test']);
    try {
      const program = join(folder, 'dist', 'test', 'chaos', 'inside.js');
      const { verdict, kept } = await run(plan, true, options, program);
      if (kept !== null && !options.keep) rmSync(kept, { recursive: true, force: true });
      const found = verdict.failures.join('; ');
      if (found === '') survivors++;
      print(
        `${mutation.rule}: ${mutation.about}: ${found === '' ? 'SURVIVED' : `found: ${found}`}`,
      );
    } finally {
      removeBuild(folder);
    }
  }
  print(survivors === 0 ? 'every broken build was found' : `${survivors} broken builds survived`);
  return survivors === 0 ? 0 : 1;
}

async function main(args: readonly string[]): Promise<number> {
  const options = parseArguments(args);
  const why = options.showPlan ? null : await obstacle();
  const isolated = why === null;
  if (options.selfTest) {
    const lacks = why ?? powerObstacle();
    if (lacks === null) return selfTest(options);
    throw new UsageError(`--self-test cuts nodes off and their power, which ${lacks}`);
  }
  if (options.figures !== null) return figures(options.figures, isolated, options);
  const plans = plansOf(options, isolated);
  if (options.showPlan) {
    for (const plan of plans) print(describe(plan));
    return 0;
  }
  const powerless = plans.some(needsOwnDisks) ? (why ?? powerObstacle()) : null;
  if (powerless !== null)
    throw new UsageError(
      `power cuts and disks that fail need disks of their own, which ${powerless}`,
    );
  const outcomes: Outcome[] = [];
  let skipped = 0;
  for (const plan of plans) {
    say(describe(plan));
    skipped += troublesOf(plan) - troublesOf(possible(plan, isolated));
    const outcome = await run(plan, isolated, options);
    outcomes.push(outcome);
    report(outcome);
    if (options.jsonFile !== null)
      writeFileSync(options.jsonFile, `${JSON.stringify({ isolated, outcomes }, null, 2)}\n`);
  }
  if (why !== null)
    print(
      `skipped: ${NEEDS_NAMESPACES.length} kinds of trouble (${NEEDS_NAMESPACES.join(', ')}) and ${skipped} troubles of the plan: ${why}`,
    );
  const failed = outcomes.filter(({ verdict }) => verdict.failures.length > 0).length;
  if (plans.some(cutsPower))
    print(
      `${cutsInWords(outcomes.map(({ verdict }) => verdict))}, ${failed === 0 ? 'no acknowledged write was lost' : 'see the failures above'}`,
    );
  print(`${outcomes.length - failed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

try {
  await runTool(HELP, main);
} catch (error) {
  if (!interrupt.signal.aborted) throw error;
  process.exitCode = EXIT_INTERRUPTED;
}
