// Words of a command line. It owns how flags are written and what is said about wrong ones; what a flag means is its
// command's. It must never end a process.

import { parseArgs } from 'node:util';

import { nearest } from './config-file.js';

/** A command line that cannot be used; the message says what was given and what would be right. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

interface FlagKind {
  readonly type: 'string' | 'boolean';
  /** It may be given more than once. */
  readonly multiple?: boolean;
}

export type Flags = Readonly<Record<string, FlagKind>>;

type FlagValue<K extends FlagKind> = K extends { readonly type: 'boolean' }
  ? boolean
  : K extends { readonly multiple: true }
    ? readonly string[]
    : string | null;

/** By name; a flag that was not given is false, null, or an empty list. */
export type FlagValues<F extends Flags> = { readonly [N in keyof F]: FlagValue<F[N]> };

function unknownFlag(written: string, name: string, flags: Flags): UsageError {
  const names = Object.keys(flags);
  const near = nearest(name, names);
  if (near !== null) return new UsageError(`${written} is not known; is --${near} meant?`);
  const all = names.map((known) => `--${known}`).join(', ');
  return new UsageError(
    `${written} is not known; ${all === '' ? 'no flags are' : `there are ${all}`}`,
  );
}

/**
 * Reads flags and, among them, words that are none.
 *
 * @throws UsageError for a flag that is unknown, lacks its value, has one that it does not take, or is given twice
 */
export function readCommandLine<const F extends Flags>(
  args: readonly string[],
  flags: F,
): { readonly values: FlagValues<F>; readonly words: readonly string[] } {
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, { type }]) => [name, { type }]),
  );
  const { tokens } = parseArgs({ args: [...args], options, strict: false, tokens: true });
  const found = new Map<string, string[]>();
  const words: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') words.push(token.value);
    if (token.kind !== 'option') continue;
    const { name, rawName, value, inlineValue } = token;
    const kind = Object.hasOwn(flags, name) ? flags[name] : undefined;
    if (kind === undefined || !rawName.startsWith('--')) throw unknownFlag(rawName, name, flags);
    // A value that looks like a flag is more likely to be the next flag: who means it writes --name=value.
    const isMissing = value === undefined || (!inlineValue && /^-./.test(value));
    if (kind.type === 'string' && isMissing) throw new UsageError(`${rawName} needs a value`);
    if (kind.type === 'boolean' && value !== undefined)
      throw new UsageError(`${rawName} takes no value`);
    const given = found.get(name) ?? [];
    if (given.length > 0 && kind.multiple !== true)
      throw new UsageError(`${rawName} is given more than once`);
    found.set(name, [...given, value ?? '']);
  }
  const values = Object.entries(flags).map(([name, { type, multiple }]) => {
    const given = found.get(name) ?? [];
    if (type === 'boolean') return [name, given.length > 0];
    return [name, multiple === true ? given : (given[0] ?? null)];
  });
  return { values: Object.fromEntries(values) as FlagValues<F>, words };
}

/** As `readCommandLine`, for a command that takes flags only. @throws UsageError */
export function readFlags<const F extends Flags>(args: readonly string[], flags: F): FlagValues<F> {
  const { values, words } = readCommandLine(args, flags);
  if (words.length > 0) throw new UsageError(`"${words.join(' ')}" is not a flag`);
  return values;
}

/** @throws UsageError unless the value of a flag is a whole number in a range */
export function wholeNumber(flag: string, text: string, min: number, max: number): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  if (value >= min && value <= max) return value;
  throw new UsageError(`${flag} must be a whole number from ${min} to ${max}, not "${text}"`);
}

/**
 * Runs a command of this repository: answers `--help`; a wrong command line is a sentence and exit code 2.
 *
 * @param act - is given the words and returns the exit code
 */
export async function runTool(
  help: string,
  act: (args: readonly string[]) => number | Promise<number>,
): Promise<void> {
  const args = process.argv.slice(2);
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(help);
    return;
  }
  try {
    process.exitCode = await act(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}\nTry --help.\n`);
    process.exitCode = 2;
  }
}

/** Words of a list with commas. @throws UsageError for one that is not among those known */
export function listOf<W extends string>(flag: string, text: string, known: readonly W[]): W[] {
  return text.split(',').map((word) => {
    const found = known.find((candidate) => candidate === word);
    if (found !== undefined) return found;
    throw new UsageError(`${flag} takes ${known.join(', ')}; "${word}" is none of them`);
  });
}
