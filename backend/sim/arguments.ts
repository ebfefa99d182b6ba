// Command line of the simulator. It owns the flags and what is wrong with them; it must never run anything.

import { parseArgs } from 'node:util';

export interface SimArguments {
  readonly help: boolean;
  /** 0: the seed of the scenario file. */
  readonly firstSeed: number;
  readonly seeds: number;
  readonly jobs: number;
  readonly json: boolean;
  readonly verbose: boolean;
  readonly twicePercent: number;
  readonly stopAtFailure: boolean;
  /** Operators take snapshots in every scenario that can have them. */
  readonly snapshots: boolean;
  /** File to which the outcome is added; empty: none. */
  readonly ledger: string;
  /** File with the scenario to run instead of one that a seed draws; empty: none. */
  readonly scenario: string;
  /** File to write the smallest scenario to that fails in the same way; empty: none. */
  readonly minimise: string;
}

export const HELP = `Usage: npm run sim -- [--seeds N] [--seed S] [--jobs J] [--twice P] [--stop] [--snapshots] [--ledger FILE] [--json]
       npm run sim -- --seed S [--snapshots] [--verbose]
       npm run sim -- --scenario FILE [--seed S] [--seeds N] [--verbose]
       npm run sim -- (--seed S | --scenario FILE) --minimise FILE

Runs scenarios of a whole cluster (MDM, servers, clients) in virtual time, with faults, and checks that every client
could have worked with one correct disk. A seed decides everything: the same seed is the same run.

  --seeds N    how many scenarios (default 1000; 1 when only --seed is given)
  --seed S     the first seed, 1 to 2^53-1; the others follow it (default: drawn from the clock and printed)
  --jobs J     threads, 1 to 64 (default: 2)
  --twice P    percent of the scenarios that run twice and must leave the same trace (default: 2)
  --stop       stop at the first failure
  --snapshots  operators take snapshots in every scenario that can have them
  --ledger F   add a line to F: code, seeds, what failed
  --scenario F run the scenario that file F holds with all its options (test/sim/scenarios); --seed and --seeds run it
               with other seeds than its own
  --minimise F make a failing scenario smaller while it fails in the same way, and write it to file F
  --json       print one JSON object instead of text
  --verbose    print a readable trace; with one seed only
  --help       print this

Ends with status 0 when nothing failed, 1 when something did, 2 when the command line is wrong.`;

/** A command line that cannot be used; the message says why. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

function integer(
  name: string,
  text: string | undefined,
  min: number,
  max: number,
  or: number,
): number {
  if (text === undefined) return or;
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(value) || value < min || value > max)
    throw new UsageError(`--${name} must be an integer from ${min} to ${max}, is "${text}"`);
  return value;
}

function parse(args: readonly string[]): ReturnType<typeof parseValues> {
  try {
    return parseValues(args);
  } catch (error) {
    // The parser's own errors name the flag.
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function parseValues(args: readonly string[]): Record<string, string | boolean | undefined> {
  const { values, tokens } = parseArgs({
    args: [...args],
    strict: true,
    tokens: true,
    options: {
      seeds: { type: 'string' },
      seed: { type: 'string' },
      jobs: { type: 'string' },
      twice: { type: 'string' },
      stop: { type: 'boolean' },
      ledger: { type: 'string' },
      scenario: { type: 'string' },
      minimise: { type: 'string' },
      json: { type: 'boolean' },
      verbose: { type: 'boolean' },
      snapshots: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  const given = new Set<string>();
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    if (given.has(token.name))
      throw new UsageError(`--${token.name} is given more than once: give it once`);
    given.add(token.name);
  }
  return values;
}

/** @throws UsageError */
export function parseSimArguments(args: readonly string[], drawnSeed: number): SimArguments {
  const values = parse(args);
  const text = (name: string): string | undefined => {
    const value = values[name];
    return typeof value === 'string' ? value : undefined;
  };
  const flag = (name: string): boolean => values[name] === true;
  const scenario = text('scenario') ?? '';
  if (flag('snapshots') && (scenario !== '' || text('ledger') !== undefined))
    throw new UsageError(
      '--snapshots changes what seeds draw: give it without --scenario and --ledger',
    );
  if (scenario !== '' && text('ledger') !== undefined)
    throw new UsageError('--ledger counts scenarios that seeds draw: give it without --scenario');
  const alone = (scenario !== '' || text('seed') !== undefined) && text('seeds') === undefined;
  const seeds = integer('seeds', text('seeds'), 1, 1_000_000_000, alone ? 1 : 1000);
  if (flag('verbose') && seeds !== 1)
    throw new UsageError(
      '--verbose prints the trace of one seed: give --seed or --scenario, and not --seeds',
    );
  const minimise = text('minimise') ?? '';
  if (minimise !== '' && (seeds !== 1 || flag('verbose')))
    throw new UsageError(
      '--minimise takes one scenario: give --seed or --scenario, and neither --seeds nor --verbose',
    );
  return {
    help: flag('help'),
    firstSeed: integer(
      ...(['seed', text('seed'), 1, Number.MAX_SAFE_INTEGER - seeds] as const),
      scenario === '' ? drawnSeed : 0,
    ),
    seeds,
    jobs: integer('jobs', text('jobs'), 1, 64, 2),
    json: flag('json'),
    verbose: flag('verbose'),
    twicePercent: integer('twice', text('twice'), 0, 100, 2),
    stopAtFailure: flag('stop'),
    snapshots: flag('snapshots'),
    ledger: text('ledger') ?? '',
    scenario,
    minimise,
  };
}
