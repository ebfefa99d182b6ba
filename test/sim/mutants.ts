// Builds each mutation of mutations.ts in a folder of its own and lets the simulator find it. The seed that found it last is
// tried first. Prints a table, keeps it in mutants.json on request; ends with status 1 when a broken build survives, or
// when a mutation does not fit the code any more.

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { readFlags, runTool, UsageError, wholeNumber } from '../../backend/runtime/flags.js';
import { makeBuild, removeBuild } from './broken-build.js';
import { FIXES } from './fixes.js';
import type { Mutation } from './mutations.js';
import { MUTATIONS } from './mutations.js';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
const RECORD = join(ROOT, 'test', 'sim', 'mutants.json');
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

const JOBS_MAX = 64;
const RULES = [...new Set(MUTATIONS.map(({ rule }) => rule))];
const SCENARIOS = FIXES.map(({ rule }) => rule);
const HELP = `Usage: npm run sim:mutants -- [flags]
Breaks one rule of the product after the other, each in a build of its own, and lets the simulator find it.
With --fixes it puts back one fault after the other that was found before, and lets its kept scenario find it.
  --rule R     only this rule, one of ${RULES.join(', ')}; may be given more than once
  --fixes      faults of before instead of rules; --rule takes names of scenarios then
  --seeds N    scenarios after which a broken build has survived (5000)
  --seed S     the first of them (1)
  --jobs J     threads, 1 to ${JOBS_MAX} (2)
  --anew       do not try the seed first that found it last
  --record     write what was found to test/sim/mutants.json, or the seed to the kept scenario
  --help       this text
Exit codes: 0 every broken build was found, 1 one survived, 2 wrong usage.
`;

/** What the simulator is told, by its flags. */
interface Range {
  readonly seeds: number;
  readonly seed: number;
  readonly jobs: number;
}

interface Row {
  readonly rule: string;
  readonly about: string;
  readonly seed: number;
  /** Scenarios from the first seed on until it was found. */
  readonly scenarios: number;
  readonly checker: string;
  readonly failure: string;
}

/** Which check saw it, by the words that only that check uses. */
const CHECKERS: readonly (readonly [RegExp, string])[] = [
  [/was acknowledged in generation/, 'copies of an acknowledged write'],
  [/ served comb /, 'one server per generation'],
  [/was served while volume/, 'nothing served without a mapping'],
  [/never written there/, 'content of the right place'],
  [/differs between device/, 'copies equal at rest'],
  [/possible: |cannot have taken effect|torn between/, 'linearizability and durability'],
  [
    /is frozen changed|after the snapshot was there|never had there|and volume \d+ has what was/,
    'one moment',
  ],
  [/certified cut|did not certify it/, 'who held certifies'],
  [/ logged /, 'errors in the log'],
  [/got errno/, 'errors at clients'],
  [/slow device|was taken out and is in sync|treated at once/, 'slow devices'],
  [/^not within/, 'liveness'],
  [/AssertionError/, 'an assertion of the product'],
];

function checkerOf(failure: string): string {
  return CHECKERS.find(([words]) => words.test(failure))?.[1] ?? 'other';
}

function recorded(): Row[] {
  return JSON.parse(readFileSync(RECORD, 'utf8')) as Row[];
}

/** Lets the simulator run; the lowest seed that failed and how, or null. */
function run(
  folder: string,
  rule: string,
  args: readonly string[],
): { readonly seed: number; readonly failure: string } | null {
  const main = join(folder, 'dist', 'backend', 'sim', 'main.js');
  const done = spawnSync(process.execPath, [main, ...args], {
    encoding: 'utf8',
    maxBuffer: OUTPUT_BYTES_MAX,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const found = [...done.stdout.matchAll(/^(?:seed (\d+) )?FAILED: (.*)$/gm)]
    .map(([, seed = '0', failure = '']) => ({ seed: Number(seed), failure }))
    .sort((one, other) => one.seed - other.seed);
  if (found.length === 0 && done.status !== 0)
    throw new Error(`${rule}: the simulator ended with status ${String(done.status)}`);
  return found[0] ?? null;
}

function hunt(mutation: Mutation, known: Row | undefined, range: Range): Row | null {
  const { rule, about } = mutation;
  const folder = makeBuild(mutation, ['backend']);
  // Rules about cuts show only where snapshots are taken.
  const drawing = rule.startsWith('CUT') ? ['--snapshots'] : [];
  try {
    if (known !== undefined) {
      const { seed, scenarios } = known;
      const again = run(folder, rule, ['--seed', String(seed), ...drawing]);
      if (again !== null) return { rule, about, seed, scenarios, ...words(again.failure) };
    }
    const args = Object.entries(range).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const found = run(folder, rule, [...args, ...drawing, '--stop']);
    if (found === null) return null;
    const { seed, failure } = found;
    return { rule, about, seed, scenarios: seed - range.seed + 1, ...words(failure) };
  } finally {
    removeBuild(folder);
  }
}

/** A fault of before: the kept scenario with its own seed, then with others. Returns the seed that found it. */
function huntFix(mutation: Mutation, range: Range, anew: boolean): number | null {
  const { rule } = mutation;
  const folder = makeBuild(mutation, ['backend']);
  const scenario = ['--scenario', scenarioFile(rule)];
  try {
    if (!anew && run(folder, rule, scenario) !== null) return kept(rule).seed;
    const args = Object.entries(range).flatMap(([name, value]) => [`--${name}`, String(value)]);
    return run(folder, rule, [...scenario, ...args, '--stop'])?.seed ?? null;
  } finally {
    removeBuild(folder);
  }
}

function scenarioFile(name: string): string {
  return join(ROOT, 'test', 'sim', 'scenarios', `${name}.json`);
}

function kept(name: string): { readonly seed: number; readonly swarm: object } {
  return JSON.parse(readFileSync(scenarioFile(name), 'utf8')) as { seed: number; swarm: object };
}

/** Lets each fault of before be hunted; the number of those that survived. */
function huntFixes(range: Range, names: readonly string[], anew: boolean, record: boolean): number {
  let survivors = 0;
  for (const mutation of FIXES) {
    const { rule, about } = mutation;
    if (names.length > 0 && !names.includes(rule)) continue;
    const began = Date.now();
    const before = kept(rule);
    const seed = huntFix(mutation, range, anew);
    const seconds = Math.round((Date.now() - began) / 1000);
    if (seed === null) survivors += 1;
    else if (record && seed !== before.seed) {
      const changed = { ...before, seed, swarm: { ...before.swarm, seed } };
      writeFileSync(scenarioFile(rule), `${JSON.stringify(changed, null, 2)}\n`);
    }
    const outcome =
      seed === null ? 'SURVIVED' : seed === before.seed ? 'found' : `found by seed ${seed} only`;
    process.stdout.write(`${rule}: ${about}\n     ${outcome} (${seconds} s)\n`);
  }
  return survivors;
}

function words(failure: string): { readonly checker: string; readonly failure: string } {
  return { checker: checkerOf(failure), failure: failure.slice(0, 160) };
}

/** Lets each be hunted; the number of those that survived. */
function huntAll(range: Range, rules: readonly string[], anew: boolean, record: boolean): number {
  let survivors = 0;
  const before = recorded();
  const rows: Row[] = [];
  for (const mutation of MUTATIONS) {
    const { rule, about } = mutation;
    const known = before.find((row) => row.rule === rule && row.about === about);
    if (rules.length > 0 && !rules.includes(rule)) {
      if (known !== undefined) rows.push(known);
      continue;
    }
    const began = Date.now();
    const found = hunt(mutation, anew ? undefined : known, range);
    const seconds = Math.round((Date.now() - began) / 1000);
    if (found === null) survivors += 1;
    else rows.push(found);
    const outcome =
      found === null
        ? 'SURVIVED'
        : `seed ${found.seed} (${found.scenarios} scenarios), ${found.checker}: ${found.failure.slice(0, 110)}`;
    process.stdout.write(`${rule.padEnd(4)} ${about}\n     ${outcome} (${seconds} s)\n`);
  }
  if (record) writeFileSync(RECORD, `${JSON.stringify(rows, null, 2)}\n`);
  return survivors;
}

await runTool(HELP, (args) => {
  const { rule, fixes, seeds, seed, jobs, anew, record } = readFlags(args, {
    rule: { type: 'string', multiple: true },
    fixes: { type: 'boolean' },
    seeds: { type: 'string' },
    seed: { type: 'string' },
    jobs: { type: 'string' },
    anew: { type: 'boolean' },
    record: { type: 'boolean' },
  });
  const rules = fixes ? SCENARIOS : RULES;
  const unknown = rule.find((name) => !rules.includes(name));
  if (unknown !== undefined)
    throw new UsageError(`--rule takes ${rules.join(', ')}; "${unknown}" is none of them`);
  const range = {
    seeds: wholeNumber('--seeds', seeds ?? '5000', 1, 1_000_000_000),
    seed: wholeNumber('--seed', seed ?? '1', 1, Number.MAX_SAFE_INTEGER),
    jobs: wholeNumber('--jobs', jobs ?? '2', 1, JOBS_MAX),
  };
  const survivors = (fixes ? huntFixes : huntAll)(range, rule, anew, record);
  process.stdout.write(
    survivors === 0 ? 'every broken build was found\n' : `${survivors} broken builds survived\n`,
  );
  return survivors === 0 ? 0 : 1;
});
