// Help and documentation, made from the command table.

import { GLOBAL_OPTIONS } from './option.js';
import type { Command, Option } from './option.js';

const NAME_COLUMNS = 34;

function written(option: Option): string {
  return option.value === undefined ? `--${option.name}` : `--${option.name} ${option.value}`;
}

/** The options of a command as its usage shows them: `(--a | --b) [--c]`. */
function usageOf(command: Command): string {
  const groups = new Map<string, Option[]>();
  for (const option of command.options) {
    const group = option.group ?? option.name;
    groups.set(group, [...(groups.get(group) ?? []), option]);
  }
  const parts = [...groups.values()].map((options) => {
    const text = options.map(written).join(' | ');
    if (!options.some(({ required }) => required === true)) return `[${text}]`;
    return options.length === 1 ? text : `(${text})`;
  });
  return [`scli --${command.name}`, ...parts].join(' ');
}

function optionLine(option: Option): string {
  const aliases = (option.aliases ?? []).map((alias) => `--${alias}`);
  const also = aliases.length === 0 ? '' : ` (also ${aliases.join(', ')})`;
  return `    ${written(option).padEnd(NAME_COLUMNS)} ${option.about}${also}`;
}

function byTopic(commands: readonly Command[]): readonly (readonly [string, readonly Command[]])[] {
  const topics = [...new Set(commands.map(({ topic }) => topic))];
  return topics.map((topic) => [topic, commands.filter((command) => command.topic === topic)]);
}

/** `--help` without a command. */
export function overview(commands: readonly Command[]): readonly string[] {
  return [
    'Usage: scli --<command> [--<option> [value] ...]',
    '       scli --help [--<command>]',
    ...byTopic(commands).flatMap(([topic, list]) => [
      '',
      `${topic}:`,
      ...list.map(({ name, about }) => `    ${`--${name}`.padEnd(NAME_COLUMNS)} ${about}`),
    ]),
    '',
    'Every command takes:',
    ...GLOBAL_OPTIONS.map(optionLine),
  ];
}

/** `--help --<command>`. */
export function commandHelp(command: Command): readonly string[] {
  const options =
    command.options.length === 0 ? [] : ['', 'Options:', ...command.options.map(optionLine)];
  return [`Usage: ${usageOf(command)}`, '', command.about, ...options];
}

/** The reference page. */
export function referencePage(commands: readonly Command[]): string {
  const lines = [
    '# scli',
    '',
    'Made from the command table (`backend/cli/commands.ts`); the test of the table compares.',
    '',
    'Option names are read without case and by unique prefix, also with the dashes that web pages put in place of `--`.',
    'Exit codes: 0 done, 1 wrong usage, 2 configuration refused, 4 no MDM reached, 7 refused or not found.',
    ...byTopic(commands).flatMap(([topic, list]) => [
      '',
      `## ${topic}`,
      '',
      '| command | what |',
      '| --- | --- |',
      ...list.map(
        (command) =>
          `| \`${usageOf(command).slice(5).replaceAll('|', '\\|')}\` | ${command.about} |`,
      ),
    ]),
    '',
    '## Every command',
    '',
    '| option | what |',
    '| --- | --- |',
    ...GLOBAL_OPTIONS.map((option) => `| \`${written(option)}\` | ${option.about} |`),
    '',
  ];
  return lines.join('\n');
}
