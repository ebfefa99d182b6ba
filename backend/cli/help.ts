// Help and documentation, made from the command table.

import type { Manual, ManualRow } from '../runtime/manual.js';

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

const EXIT_CODES: readonly ManualRow[] = [
  { term: '0', about: 'done' },
  { term: '1', about: 'wrong usage' },
  { term: '2', about: 'configuration refused' },
  { term: '3', about: 'something was found (check_metadata)' },
  { term: '4', about: 'no MDM reached' },
  { term: '7', about: 'refused or not found' },
];

/** The manual page: every command, and every option once. */
export function manualOf(commands: readonly Command[]): Manual {
  const options = new Map<string, string>();
  for (const { options: own } of commands)
    for (const option of own)
      if (!options.has(written(option))) options.set(written(option), option.about);
  const sorted = [...options].sort(([one], [other]) => (one < other ? -1 : 1));
  return {
    name: 'scli',
    section: 1,
    summary: 'manages a MeshSAN system',
    synopsis: ['scli --COMMAND [--OPTION [VALUE] ...]', 'scli --help [--COMMAND]'],
    description: [
      'Manages a system with the commands and flags of ScaleIO. Names are read without case and by unique prefix.',
    ],
    parts: [
      ...byTopic(commands).map(([topic, list]) => ({
        title: topic,
        rows: list.map((command) => ({ term: usageOf(command).slice(5), about: command.about })),
      })),
      {
        title: 'Options of commands',
        rows: sorted.map(([term, about]) => ({ term, about })),
      },
      {
        title: 'Options of every command',
        rows: [
          ...GLOBAL_OPTIONS.map((option) => ({ term: written(option), about: option.about })),
          { term: '--man', about: 'alone: this page' },
        ],
      },
      {
        title: 'Environment',
        rows: [
          {
            term: 'MESHSAN_SCLI_CONFIG',
            about: 'configuration instead of /etc/meshsan/scli.json',
          },
        ],
      },
      { title: 'Exit codes', rows: EXIT_CODES },
    ],
    seeAlso: ['meshsan-setup(8)', 'meshsan-lia(1)', 'drv_cfg(1)'],
  };
}

/** The reference page. */
export function referencePage(commands: readonly Command[]): string {
  const lines = [
    '# scli',
    '',
    'Made from the command table (`backend/cli/commands.ts`); the test of the table compares.',
    '',
    'Option names are read without case and by unique prefix, also with the dashes that web pages put in place of `--`.',
    `Exit codes: ${EXIT_CODES.map(({ term, about }) => `${term} ${about}`).join(', ')}.`,
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
