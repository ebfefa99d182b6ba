// Emits the functions that write and read structures, control bodies, commands and results field by field. It must
// never emit a bound that is not in a table.

import type { Field, FieldKind } from '../tables/fields.js';
import { BANNER } from './emit-types.js';
import { bytesMin, hex4, integerBounds, pascal, quote, screaming, typeOf } from './model.js';
import type { Model } from './model.js';

/** Statements that write `expression` as a field called `name`; list items have the empty name. */
function writeKind(kind: FieldKind, name: string, expression: string, depth: number): string[] {
  const label = quote(name);
  switch (kind.kind) {
    case 'u8':
    case 'u16':
    case 'u32':
    case 'u53': {
      const { min, max } = integerBounds(kind);
      return [`w.${kind.kind}(${label}, ${expression}, ${min}, ${max});`];
    }
    case 'bool':
      return [`w.bool(${label}, ${expression});`];
    case 'str':
      return [`w.str(${label}, ${expression}, ${kind.maxBytes});`];
    case 'bytes':
      return [`w.bytesField(${label}, ${expression}, ${kind.maxBytes});`];
    case 'choice':
      return [`w.choice(${label}, ${expression}, ${screaming(kind.of)}_CODES);`];
    case 'struct': {
      const call = `encode${kind.of}(w, ${expression}, version);`;
      return name === '' ? [call] : [`w.enter(${label});`, call, 'w.leave();'];
    }
    case 'list':
      return [
        `w.count(${label}, ${expression}, ${kind.maxItems});`,
        `w.enter(${label});`,
        `${expression}.forEach((item${depth}, index${depth}) => {`,
        `  w.item(index${depth});`,
        ...indent(writeKind(kind.item, '', `item${depth}`, depth + 1)),
        '});',
        'w.leave();',
      ];
    case 'optional':
      return [
        `w.bool(${label}, ${expression} !== null);`,
        `if (${expression} !== null) {`,
        ...indent(writeKind(kind.item, name, expression, depth)),
        '}',
      ];
  }
}

/** Statements that read a field called `name` and hand the expression to `assign`. */
function readKind(
  model: Model,
  kind: FieldKind,
  name: string,
  assign: (expression: string) => string,
  depth: number,
): string[] {
  const label = quote(name);
  switch (kind.kind) {
    case 'u8':
    case 'u16':
    case 'u32':
    case 'u53': {
      const { min, max } = integerBounds(kind);
      return [assign(`r.${kind.kind}(${label}, ${min}, ${max})`)];
    }
    case 'bool':
      return [assign(`r.bool(${label})`)];
    case 'str':
      return [assign(`r.str(${label}, ${kind.maxBytes})`)];
    case 'bytes':
      return [assign(`r.bytesField(${label}, ${kind.maxBytes})`)];
    case 'choice':
      return [assign(`r.choice(${label}, ${screaming(kind.of)}_WORDS)`)];
    case 'struct': {
      const call = assign(`decode${kind.of}(r, version)`);
      return name === '' ? [call] : [`r.enter(${label});`, call, 'r.leave();'];
    }
    case 'list': {
      const items = `items${depth}`;
      const index = `index${depth}`;
      const push = (expression: string): string => `${items}.push(${expression});`;
      const element = typeOf(kind).replace('readonly ', '');
      return [
        `const count${depth} = r.count(${label}, ${kind.maxItems}, ${bytesMin(model, kind.item)});`,
        `r.enter(${label});`,
        `const ${items}: ${element} = [];`,
        `for (let ${index} = 0; ${index} < count${depth}; ${index}++) {`,
        `  r.item(${index});`,
        ...indent(readKind(model, kind.item, '', push, depth + 1)),
        '}',
        'r.leave();',
        assign(items),
      ];
    }
    case 'optional':
      return [
        `if (r.bool(${label})) {`,
        ...indent(readKind(model, kind.item, name, assign, depth + 1)),
        '} else {',
        `  ${assign('null')}`,
        '}',
      ];
  }
}

function indent(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${line}`);
}

function writeField(model: Model, field: Field): string[] {
  const statements = writeKind(field.type, field.name, `v.${field.name}`, 0);
  if (field.since <= model.versionMin) return statements;
  return [`if (version >= ${field.since}) {`, ...indent(statements), '}'];
}

function readField(model: Model, field: Field): string[] {
  const target = `${field.name}Field`;
  const assign = (expression: string): string => `${target} = ${expression};`;
  const block = (guard: string, after: string[]): string[] => [
    `let ${target}: ${typeOf(field.type)};`,
    `${guard}{`,
    ...indent(readKind(model, field.type, field.name, assign, 0)),
    '}',
    ...after,
  ];
  if (field.since > model.versionMin)
    return block(`if (version >= ${field.since}) `, [`else ${assign(absent(field))}`]);
  const simple = readKind(model, field.type, field.name, (text) => `const ${target} = ${text};`, 0);
  const [only] = simple;
  return simple.length === 1 && only !== undefined ? [only] : block('', []);
}

function absent(field: Field): string {
  const value = field.absent ?? null;
  if (Array.isArray(value)) return '[]';
  return typeof value === 'string' ? quote(value) : String(value);
}

/** A pair of functions for a list of fields. */
function codec(model: Model, name: string, type: string, fields: readonly Field[]): string {
  const writes = fields.flatMap((field) => writeField(model, field));
  const reads = fields.flatMap((field) => readField(model, field));
  const result = fields.map((field) => `${field.name}: ${field.name}Field`).join(', ');
  const used = (lines: readonly string[], word: string): boolean =>
    lines.some((line) => new RegExp(`\\b${word}\\b`).test(line));
  const parameter = (lines: readonly string[], word: string): string =>
    used(lines, word) ? word : `_${word}`;
  const w = parameter(writes, 'w');
  const v = parameter(writes, 'v');
  const r = parameter(reads, 'r');
  return (
    `export function encode${name}(${w}: Writer, ${v}: ${type}, ${parameter(writes, 'version')}: number): void {\n` +
    `${indent(writes).join('\n')}\n}\n\n` +
    `export function decode${name}(${r}: Reader, ${parameter(reads, 'version')}: number): ${type} {\n` +
    `${indent([...reads, result === '' ? 'return {};' : `return { ${result} };`]).join('\n')}\n}\n\n`
  );
}

const WIRE_IMPORT = "import type { Reader, Writer } from '../wire.js';\n";

function choicesIn(kind: FieldKind, into: Set<string>): void {
  if (kind.kind === 'choice') into.add(kind.of);
  if (kind.kind === 'list' || kind.kind === 'optional') choicesIn(kind.item, into);
}

function structsIn(kind: FieldKind, into: Set<string>): void {
  if (kind.kind === 'struct') into.add(kind.of);
  if (kind.kind === 'list' || kind.kind === 'optional') structsIn(kind.item, into);
}

function imports(fields: readonly Field[], local: boolean): string {
  const choices = new Set<string>();
  const structs = new Set<string>();
  for (const field of fields) {
    choicesIn(field.type, choices);
    structsIn(field.type, structs);
  }
  let out = '';
  const constants = [...choices]
    .sort()
    .flatMap((name) => [`${screaming(name)}_CODES`, `${screaming(name)}_WORDS`]);
  if (constants.length > 0) out += `import { ${constants.join(', ')} } from './constants.js';\n`;
  if (!local && structs.size > 0) {
    const functions = [...structs].sort().flatMap((name) => [`decode${name}`, `encode${name}`]);
    out += `import { ${functions.join(', ')} } from './struct-codecs.js';\n`;
  }
  return out;
}

/** Codecs of all structures and a registry of them by name. */
export function emitStructCodecs(model: Model): string {
  const rows = Object.entries(model.structs);
  let out = `${BANNER}${WIRE_IMPORT}${imports(
    rows.flatMap(([, row]) => row.fields),
    true,
  )}import type * as T from './types.js';\n\n`;
  for (const name of typeNames(model)) out += `type ${name} = T.${name};\n`;
  out += '\n';
  for (const [name, row] of rows) out += codec(model, name, name, row.fields);
  out += registry(
    'STRUCT_CODECS',
    'T.StructTypes',
    rows.map(([name]) => [name, quote(name), name]),
  );
  return out;
}

function typeNames(model: Model): string[] {
  return [...Object.keys(model.choices).map(pascal), ...Object.keys(model.structs)];
}

function registry(
  name: string,
  types: string,
  rows: readonly (readonly [key: string, label: string, codec: string])[],
): string {
  const lines = rows.map(
    ([key, label, of]) =>
      `  ${key}: { name: ${label}, encode: encode${of}, decode: decode${of} },\n`,
  );
  return (
    `export const ${name}: {\n  readonly [K in keyof ${types}]: {\n    readonly name: string;\n` +
    `    readonly encode: (w: Writer, v: ${types}[K], version: number) => void;\n` +
    `    readonly decode: (r: Reader, version: number) => ${types}[K];\n  };\n} = {\n${lines.join('')}};\n`
  );
}

/** Codecs of all control bodies and a registry of them by code. */
export function emitMessageCodecs(model: Model): string {
  const rows = Object.entries(model.messages).filter(([, row]) => row.head === 'control');
  let out = `${BANNER}${WIRE_IMPORT}${imports(
    rows.flatMap(([, row]) => row.fields),
    false,
  )}import type * as T from './types.js';\n\n`;
  for (const name of typeNames(model)) out += `type ${name} = T.${name};\n`;
  out += '\n';
  for (const [name, row] of rows)
    out += codec(model, `${pascal(name)}Body`, `T.${pascal(name)}Body`, row.fields);
  return (
    out +
    registry(
      'CONTROL_CODECS',
      'T.ControlBodies',
      rows.map(([name, row]) => [hex4(row.code), quote(name), `${pascal(name)}Body`]),
    )
  );
}

/** Codecs of all commands and their results, and registries of both by name. */
export function emitCommandCodecs(model: Model): string {
  const rows = Object.entries(model.commands);
  let out = `${BANNER}${WIRE_IMPORT}${imports(
    rows.flatMap(([, row]) => [...row.fields, ...row.result]),
    false,
  )}import type * as T from './types.js';\n\n`;
  for (const name of typeNames(model)) out += `type ${name} = T.${name};\n`;
  out += '\n';
  for (const [name, row] of rows) {
    const type = pascal(name);
    out += codec(model, `${type}Params`, `T.${type}Params`, row.fields);
    out += codec(model, `${type}Result`, `T.${type}Result`, row.result);
  }
  const entries = (suffix: string): (readonly [string, string, string])[] =>
    rows.map(([name]) => [name, quote(name), `${pascal(name)}${suffix}`]);
  return (
    out +
    registry('PARAMS_CODECS', 'T.CommandParams', entries('Params')) +
    '\n' +
    registry('RESULT_CODECS', 'T.CommandResults', entries('Result'))
  );
}
