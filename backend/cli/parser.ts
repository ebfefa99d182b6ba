// The original's command line: `--verb --option value ...`. Names are compared without case, by unique prefix, and with
// the dashes that web pages put in place of `--`. It owns the words in which a wrong command line is refused.

import { nearest } from '../runtime/config-file.js';

import { GLOBAL_OPTIONS } from './option.js';
import type { Command, Option, Values } from './option.js';

const ARGUMENTS_MAX = 1024;
const ARGUMENT_CHARS_MAX = 65_536;
/** `--`, or an en dash, em dash, minus sign or two of them, before a letter. */
const DASHES = /^(?:--|[-\u2012-\u2015\u2212]{0,2}[\u2012-\u2015\u2212])(?=\p{L})/u;

/** A command line that cannot be understood; the message says what would be right. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export interface Parsed {
  readonly command: Command;
  readonly values: Values;
}

/** `--help`, alone or for a command. */
export interface HelpWanted {
  readonly help: Command | null;
}

interface Token {
  /** Lower case, without dashes; null: not an option. */
  readonly name: string | null;
  /** Behind `=`. */
  readonly inline: string | null;
  readonly text: string;
}

function tokenOf(text: string): Token {
  const dashes = DASHES.exec(text);
  if (dashes === null) return { name: null, inline: null, text };
  const bare = text.slice(dashes[0].length);
  const equals = bare.indexOf('=');
  const name = (equals < 0 ? bare : bare.slice(0, equals)).toLowerCase().replaceAll('-', '_');
  return { name, inline: equals < 0 ? null : bare.slice(equals + 1), text };
}

type Named = Pick<Option, 'name' | 'aliases'>;

/** The one entry that a written name means: the exact one, else the only one that begins with it. */
function resolve<T extends Named>(written: string, among: readonly T[]): T | readonly T[] {
  const namesOf = (entry: T): readonly string[] => [entry.name, ...(entry.aliases ?? [])];
  const exact = among.find((entry) => namesOf(entry).includes(written));
  if (exact !== undefined) return exact;
  const close = among.filter((entry) => namesOf(entry).some((name) => name.startsWith(written)));
  return close.length === 1 && close[0] !== undefined ? close[0] : close;
}

function isOne<T extends Named>(found: T | readonly T[]): found is T {
  return !Array.isArray(found);
}

function unknown(kind: string, written: string, among: readonly Named[]): UsageError {
  const names = among.flatMap((entry) => [entry.name, ...(entry.aliases ?? [])]);
  const near = nearest(written, names);
  const hint = near === null ? '' : `. Did you mean --${near}?`;
  return new UsageError(`Unknown ${kind} --${written}${hint}`);
}

function ambiguous(kind: string, written: string, close: readonly Named[]): UsageError {
  const names = close.slice(0, 8).map(({ name }) => `--${name}`);
  return new UsageError(`Ambiguous ${kind} --${written}: ${names.join(', ')}`);
}

const HELP: Named = { name: 'help' };

/** Where the verb stands: the first option that is not a global one with its value. */
function findVerb(tokens: readonly Token[], commands: readonly Command[]): number {
  for (let index = 0; index < tokens.length; index += 1) {
    const { name, inline } = tokens[index] ?? { name: null, inline: null };
    if (name === null) throw new UsageError(`Unexpected "${tokens[index]?.text ?? ''}"`);
    if (commands.some((command) => command.name === name)) return index;
    const global = resolve(name, GLOBAL_OPTIONS);
    if (!isOne(global)) return index;
    if (global.value !== undefined && inline === null) index += 1;
  }
  throw new UsageError('No command given');
}

/**
 * Reads a command line.
 * @param argv - without interpreter and script
 * @throws UsageError
 */
export function parseArguments(
  argv: readonly string[],
  commands: readonly Command[],
): Parsed | HelpWanted {
  if (argv.length > ARGUMENTS_MAX || argv.some((text) => text.length > ARGUMENT_CHARS_MAX))
    throw new UsageError('The command line is too long');
  const tokens = argv.map(tokenOf);
  if (tokens.some(({ name }) => name === 'help')) return helpFor(tokens, commands);
  const at = findVerb(tokens, commands);
  const verb = tokens[at]?.name ?? '';
  const command = resolve(verb, commands);
  if (!isOne(command))
    throw command.length > 1
      ? ambiguous('command', verb, command)
      : unknown('command', verb, commands);
  const rest = tokens.filter((_, index) => index !== at);
  const values = readOptions(rest, [...command.options, ...GLOBAL_OPTIONS]);
  checkGroups(command, values);
  return { command, values };
}

function helpFor(tokens: readonly Token[], commands: readonly Command[]): HelpWanted {
  const other = tokens.find(({ name }) => name !== null && name !== HELP.name);
  if (other?.name === undefined || other.name === null) return { help: null };
  const command = resolve(other.name, commands);
  if (isOne(command)) return { help: command };
  throw unknown('command', other.name, commands);
}

function readOptions(tokens: readonly Token[], options: readonly Option[]): Values {
  const values = new Map<string, string>();
  for (let index = 0; index < tokens.length; index += 1) {
    const token = tokens[index];
    if (token === undefined) break;
    if (token.name === null)
      throw new UsageError(`Unexpected "${token.text}": options begin with --`);
    const option = resolve(token.name, options);
    if (!isOne(option))
      throw option.length > 1
        ? ambiguous('option', token.name, option)
        : unknown('option', token.name, options);
    if (values.has(option.name)) throw new UsageError(`Option --${option.name} is given twice`);
    if (option.value === undefined) {
      if (token.inline !== null) throw new UsageError(`Option --${option.name} takes no value`);
      values.set(option.name, '');
      continue;
    }
    const next = token.inline ?? valueBehind(tokens, index, options);
    // An empty name is what a script's unset variable leaves.
    if (next === null || (next === '' && option.value === 'NAME'))
      throw new UsageError(`Option --${option.name} needs a value: ${option.value}`);
    if (token.inline === null) index += 1;
    values.set(option.name, next);
  }
  return values;
}

/** The text behind an option; null when the line ends there or another known option follows. */
function valueBehind(
  tokens: readonly Token[],
  index: number,
  options: readonly Option[],
): string | null {
  const next = tokens[index + 1];
  if (next === undefined) return null;
  if (next.name !== null && isOne(resolve(next.name, options))) return null;
  return next.text;
}

function checkGroups(command: Command, values: Values): void {
  for (const option of command.options) {
    if (option.required === true && option.group === undefined && !values.has(option.name))
      throw new UsageError(`Option --${option.name} is missing`);
  }
  const groups = new Set(
    command.options.flatMap(({ group }) => (group === undefined ? [] : [group])),
  );
  for (const group of groups) {
    const members = command.options.filter((option) => option.group === group);
    const given = members.filter(({ name }) => values.has(name));
    const names = members.map(({ name }) => `--${name}`).join(', ');
    if (given.length > 1)
      throw new UsageError(
        `Options ${given.map(({ name }) => `--${name}`).join(' and ')} exclude each other`,
      );
    if (given.length === 0 && members.some(({ required }) => required === true))
      throw new UsageError(`One of ${names} is needed`);
  }
}
