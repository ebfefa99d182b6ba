// The command line of `npm run chaos`: help and the validation of every flag. Pure: it opens no file and starts nothing.

import { UsageError, listOf, readFlags, wholeNumber } from '../../backend/runtime/flags.js';
import { FIGURES } from './figure-bench.js';
import type { FigureName } from './figure-bench.js';
import { KINDS, USUAL_KINDS } from './plan.js';
import type { Kind } from './plan.js';

export interface ChaosOptions {
  readonly seed: number;
  /** How many runs, each with the next seed. */
  readonly runs: number;
  readonly seconds: number;
  readonly sdsCount: number;
  /** A file with a plan, instead of one that is drawn. */
  readonly planFile: string | null;
  readonly kinds: readonly Kind[];
  /** Plans of so many power cuts instead; null: none. */
  readonly powerCuts: number | null;
  readonly showPlan: boolean;
  /** Broken builds, which must fail, instead of this one. */
  readonly selfTest: boolean;
  /** Figures to measure, instead of plans. */
  readonly figures: readonly FigureName[] | null;
  readonly minutes: number;
  readonly jsonFile: string | null;
  readonly dir: string | null;
  readonly keep: boolean;
}

const DEFAULTS = { seconds: 60, sdsCount: 3 } as const;
const SECONDS_MAX = 86_400;
const SDS_MIN = 2;
const SDS_MAX = 16;
const MINUTES_MAX = 600;
const RUNS_MAX = 10_000;
const CUTS_MAX = 100_000;
export const SEED_MAX = 999_999_999;

export const HELP = `Usage: npm run chaos -- [flags]
Runs a cluster of real processes, one network namespace per node, under load while processes are killed and stopped, nodes
are cut off, links clogged and disks filled; every answer is judged. Needs root, or user namespaces; without either it runs
what needs no network of its own, and says how much was left out.
  --seed S         what goes wrong, and when (drawn anew)
  --runs N         so many runs, each with the next seed (1)
  --seconds N      length of a plan, about; start and judgement take some 30 s more (${DEFAULTS.seconds})
  --sds N          storage servers, ${SDS_MIN} to ${SDS_MAX} (${DEFAULTS.sdsCount})
  --only KIND,...  of ${KINDS.join(', ')} (all but power and disk)
  --power-cuts N   nothing but N power cuts, of one server, several, or all at once, MDM too: what was not flushed is
                   lost in any part; runs of 20 cuts, each with the next seed
  --plan FILE      do what the file says, such as plan.json of a run that failed
  --self-test      let builds that break a rule run under plans that they cannot survive: each must be found;
                   with --power-cuts only those that do not flush
  --figures LIST   measure instead: ${FIGURES.join(', ')}, or all
  --minutes M      of --figures: how long all MDMs are down, and a server is away (1)
  --show           print the plan and run nothing
  --json FILE      write the outcome there
  --dir DIR        where directories of runs are made (the system's for temporary files)
  --keep           keep the logs of runs that went well too
Exit codes: 0 all went well, 1 something failed (its logs are kept and named) or a broken build survived, 2 wrong usage, 130 interrupted.
`;

function figuresOf(text: string | null): readonly FigureName[] | null {
  if (text === null) return null;
  return text === 'all' ? FIGURES : listOf('--figures', text, FIGURES);
}

/** @throws UsageError */
export function parseArguments(args: readonly string[]): ChaosOptions {
  const given = readFlags(args, {
    seed: { type: 'string' },
    runs: { type: 'string' },
    seconds: { type: 'string' },
    sds: { type: 'string' },
    only: { type: 'string' },
    'power-cuts': { type: 'string' },
    plan: { type: 'string' },
    show: { type: 'boolean' },
    'self-test': { type: 'boolean' },
    figures: { type: 'string' },
    minutes: { type: 'string' },
    json: { type: 'string' },
    dir: { type: 'string' },
    keep: { type: 'boolean' },
  });
  for (const flag of ['seed', 'runs', 'seconds', 'sds', 'only'] as const)
    if (given.plan !== null && given[flag] !== null)
      throw new UsageError(`--plan FILE says everything, and goes without --${flag}`);
  for (const flag of ['seed', 'runs', 'seconds', 'sds', 'only', 'plan'] as const)
    for (const other of ['self-test', 'figures'] as const)
      if (given[other] !== null && given[other] !== false && given[flag] !== null)
        throw new UsageError(`--${other} has plans of its own, and goes without --${flag}`);
  for (const flag of ['runs', 'seconds', 'only', 'plan', 'figures'] as const)
    if (given['power-cuts'] !== null && given[flag] !== null)
      throw new UsageError(`--power-cuts has plans of its own, and goes without --${flag}`);
  if (given.minutes !== null && given.figures === null)
    throw new UsageError('--minutes belongs to --figures');
  return {
    seed:
      given.seed === null
        ? Math.floor(Math.random() * SEED_MAX)
        : wholeNumber('--seed', given.seed, 0, SEED_MAX),
    runs: wholeNumber('--runs', given.runs ?? '1', 1, RUNS_MAX),
    seconds: wholeNumber('--seconds', given.seconds ?? String(DEFAULTS.seconds), 1, SECONDS_MAX),
    sdsCount: wholeNumber('--sds', given.sds ?? String(DEFAULTS.sdsCount), SDS_MIN, SDS_MAX),
    planFile: given.plan,
    kinds: given.only === null ? USUAL_KINDS : listOf('--only', given.only, KINDS),
    powerCuts:
      given['power-cuts'] === null
        ? null
        : wholeNumber('--power-cuts', given['power-cuts'], 1, CUTS_MAX),
    showPlan: given.show,
    selfTest: given['self-test'],
    figures: figuresOf(given.figures),
    minutes: wholeNumber('--minutes', given.minutes ?? '1', 1, MINUTES_MAX),
    jsonFile: given.json,
    dir: given.dir,
    keep: given.keep,
  };
}
