// Emits numbers and names: message codes, errors, limits, choices. It must never emit code that decides.

import { BANNER } from './emit-types.js';
import { hex4, pascal, quote, screaming } from './model.js';
import type { Model } from './model.js';

function record(name: string, about: string, lines: readonly string[]): string {
  return `/** ${about} */\nexport const ${name} = {\n${lines.map((line) => `  ${line},\n`).join('')}} as const;\n\n`;
}

/** Codes, names, limits, versions, flags and choices. */
export function emitConstants(model: Model): string {
  let out = `${BANNER}import type * as T from './types.js';\n\n`;
  out += `export const VERSION_MIN = ${model.versionMin};\nexport const VERSION_MAX = ${model.versionMax};\n\n`;
  out += `/** In the code of a command's answer; the rest is the command's own code. */\n`;
  out += `export const COMMAND_ANSWER_BIT = ${hex4(model.commandAnswerBit)};\n\n`;
  const messages = Object.entries(model.messages);
  const commands = Object.entries(model.commands);
  const head = Object.entries(model.frame.fields);
  out += record('FRAME', 'Magic number of frames, and offsets in their header.', [
    `magic: ${hex4(model.frameMagic)}`,
    ...head.filter(([name]) => name !== 'magic').map(([name, field]) => `${name}: ${field.at}`),
    `dataHead: ${model.dataHeadAt}`,
  ]);
  out += record(
    'MSG',
    'Codes of messages.',
    messages.map(([name, row]) => `${name}: ${hex4(row.code)}`),
  );
  out += record(
    'CMD',
    'Codes of commands.',
    commands.map(([name, row]) => `${name}: ${hex4(row.code)}`),
  );
  out += emitCodes(model);
  out += record(
    'ERR',
    'Codes of errors; 0 is success.',
    Object.entries(model.errors).map(([name, row]) => `${name}: ${row.code}`),
  );
  out += record(
    'LIMIT',
    'Hard limits.',
    Object.entries(model.limits).map(([name, row]) => `${name}: ${row.value}`),
  );
  out += record(
    'FLAG',
    'Flags of data frames, as masks.',
    Object.entries(model.dataFlags).map(([name, row]) => `${name}: ${1 << row.bit}`),
  );
  out += record(
    'FEATURE',
    'Feature bits of HELLO, as masks.',
    Object.entries(model.features).map(([name, row]) => `${name}: ${2 ** row.bit}`),
  );
  for (const [name, row] of Object.entries(model.choices)) {
    const type = `T.${pascal(name)}`;
    const values = Object.entries(row.values);
    out += `export const ${screaming(name)}_CODES: ReadonlyMap<${type}, number> = new Map<${type}, number>([${values
      .map(([word, code]) => `[${quote(word)}, ${code}]`)
      .join(', ')}]);\n`;
    out += `export const ${screaming(name)}_WORDS: ReadonlyMap<number, ${type}> = new Map<number, ${type}>([${values
      .map(([word, code]) => `[${code}, ${quote(word)}]`)
      .join(', ')}]);\n\n`;
  }
  return out;
}

function emitCodes(model: Model): string {
  const messages = Object.entries(model.messages);
  const commands = Object.entries(model.commands);
  const pairs = [
    ...messages.map(([name, row]) => [row.code, name] as const),
    ...commands.map(([name, row]) => [row.code, name] as const),
    ...commands.map(
      ([name, row]) => [row.code + model.commandAnswerBit, `${name}_ANSWER`] as const,
    ),
  ];
  const codesSince = (since: number): readonly number[] =>
    pairs
      .filter(([, name]) => {
        const asked = name.endsWith('_ANSWER') ? name.slice(0, -'_ANSWER'.length) : name;
        return (model.messages[name]?.since ?? model.commands[asked]?.since ?? 1) === since;
      })
      .map(([code]) => code);
  const laterVersions = Array.from(
    { length: model.versionMax - model.versionMin },
    (_, index) => model.versionMin + 1 + index,
  );
  const later = laterVersions.flatMap((since) =>
    codesSince(since).map((code) => [code, since] as const),
  );
  const data = messages.filter(([, row]) => row.head === 'data').map(([, row]) => row.code);
  return (
    '/** Name of every code that may stand in a frame; answers of commands end in _ANSWER. */\n' +
    `export const CODE_NAMES: ReadonlyMap<number, string> = new Map([\n${pairs
      .map(([code, name]) => `  [${hex4(code)}, ${quote(name)}],\n`)
      .join('')}]);\n\n` +
    `/** Protocol version from which a code may stand in a frame, where that is not the first. */\nexport const LATER_CODES: ReadonlyMap<number, number> = new Map<number, number>([\n${later
      .map(([code, since]) => `  [${hex4(code)}, ${since}],\n`)
      .join('')}]);\n\n` +
    `/** Codes of commands by number. */\nexport const COMMAND_BY_CODE: ReadonlyMap<number, keyof T.CommandParams> = new Map<number, keyof T.CommandParams>([\n${commands
      .map(([name, row]) => `  [${hex4(row.code)}, ${quote(name)}],\n`)
      .join('')}]);\n\n` +
    `/** Messages whose header is a data header and whose body is raw. */\nexport const DATA_CODES: readonly number[] = [${data
      .map(hex4)
      .join(', ')}];\n\n`
  );
}

/** Everything about errors, for those who render them. */
export function emitErrors(model: Model): string {
  const rows = Object.entries(model.errors);
  const classes = [...new Set(rows.map(([, row]) => row.class))].sort();
  return (
    `${BANNER}export type ErrorClass = ${classes.map(quote).join(' | ')};\n\n` +
    `export type ErrorName =\n${rows.map(([name]) => `  | ${quote(name)}`).join('\n')};\n\n` +
    'export interface ErrorInfo {\n  readonly name: ErrorName;\n  readonly code: number;\n  readonly class: ErrorClass;\n' +
    '  readonly restCode: number;\n  readonly httpStatus: number;\n  readonly nbdErrno: number;\n  readonly text: string;\n}\n\n' +
    `export const ERROR_BY_NAME: Readonly<Record<ErrorName, ErrorInfo>> = {\n${rows
      .map(
        ([name, row]) =>
          `  ${name}: { name: ${quote(name)}, code: ${row.code}, class: ${quote(row.class)}, restCode: ${row.restCode}, httpStatus: ${row.httpStatus}, nbdErrno: ${row.nbdErrno}, text: ${quote(row.text)} },\n`,
      )
      .join('')}};\n\n` +
    'export const ERROR_BY_CODE: ReadonlyMap<number, ErrorInfo> = new Map(\n  Object.values(ERROR_BY_NAME).map((info) => [info.code, info]),\n);\n'
  );
}
