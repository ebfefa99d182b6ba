// Contradictions in the tables that types cannot find. It must never repair anything: it throws, naming the row.

import type { Field, FieldKind, FixedRow } from '../tables/fields.js';
import { integerBounds, pascal } from './model.js';
import type { Model } from './model.js';

function fail(where: string, what: string): never {
  throw new Error(`${where}: ${what}`);
}

function checkUnique(where: string, values: readonly (string | number)[]): void {
  const seen = new Set<string | number>();
  for (const value of values) {
    if (seen.has(value)) fail(where, `${value} is used twice`);
    seen.add(value);
  }
}

function checkInteger(where: string, kind: Parameters<typeof integerBounds>[0]): void {
  const { min, max } = integerBounds(kind);
  const widest = integerBounds({ kind: kind.kind }).max;
  if (!Number.isInteger(min) || min < 0 || max < min || max > widest)
    fail(where, `bounds ${min} to ${max} do not fit ${kind.kind}`);
}

function checkKind(model: Model, where: string, kind: FieldKind): void {
  switch (kind.kind) {
    case 'u8':
    case 'u16':
    case 'u32':
    case 'u53':
      checkInteger(where, kind);
      return;
    case 'bool':
      return;
    case 'str':
    case 'bytes':
      if (kind.maxBytes < 1) fail(where, 'needs a bound above 0');
      return;
    case 'choice':
      if (!(kind.of in model.choices)) fail(where, `unknown choice ${kind.of}`);
      return;
    case 'struct':
      if (!(kind.of in model.structs)) fail(where, `unknown structure ${kind.of}`);
      return;
    case 'list':
      if (kind.maxItems < 1) fail(where, 'needs a bound above 0');
      if (kind.item.kind === 'list' || kind.item.kind === 'optional')
        fail(where, 'a list of lists or optionals needs a structure in between');
      checkKind(model, where, kind.item);
      return;
    case 'optional':
      if (kind.item.kind === 'list' || kind.item.kind === 'optional')
        fail(where, 'an optional list or optional needs a structure in between');
      checkKind(model, where, kind.item);
  }
}

function checkFields(model: Model, where: string, fields: readonly Field[]): void {
  checkUnique(
    where,
    fields.map((field) => field.name),
  );
  let since = model.versionMin;
  for (const field of fields) {
    const place = `${where}.${field.name}`;
    checkKind(model, place, field.type);
    if (field.since < since) fail(place, 'later fields stand behind earlier ones');
    if (field.since > model.versionMax) fail(place, `version ${field.since} does not exist yet`);
    if (field.since > model.versionMin && field.absent === undefined)
      fail(place, 'a later field needs `absent`');
    since = Math.max(since, field.since);
  }
}

function checkAcyclic(model: Model): void {
  const visit = (name: string, above: readonly string[]): void => {
    if (above.includes(name)) fail(name, 'contains itself');
    const inner = (kind: FieldKind): void => {
      if (kind.kind === 'struct') visit(kind.of, [...above, name]);
      if (kind.kind === 'list' || kind.kind === 'optional') inner(kind.item);
    };
    for (const field of model.structs[name]?.fields ?? []) inner(field.type);
  };
  for (const name of Object.keys(model.structs)) visit(name, []);
}

const FIXED_BYTES = { u8: 1, u16: 2, u32: 4, u53: 8 };

function checkFixed(where: string, row: FixedRow): void {
  let end = 0;
  for (const [name, field] of Object.entries(row.fields)) {
    const size = field.type === 'bytes' ? (field.length ?? 0) : FIXED_BYTES[field.type];
    if (size < 1) fail(`${where}.${name}`, 'has no length');
    if (field.at < end)
      fail(`${where}.${name}`, `overlaps the field before it at byte ${field.at}`);
    end = field.at + size;
  }
  if (end > row.sizeBytes) fail(where, `its fields end at ${end}, beyond ${row.sizeBytes} bytes`);
}

function checkCodes(model: Model): void {
  checkUnique('codes of messages and commands', [
    ...Object.values(model.messages).map((row) => row.code),
    ...Object.values(model.commands).map((row) => row.code),
  ]);
  for (const [name, row] of Object.entries(model.messages)) {
    if (row.code < 1 || row.code > 0x0fff) fail(name, 'message codes are 0x0001 to 0x0fff');
    if (row.head === 'data' && row.fields.length > 0) fail(name, 'a data body is raw');
    if (row.answer !== undefined && !(row.answer in model.messages))
      fail(name, `unknown answer ${row.answer}`);
  }
  for (const [name, row] of Object.entries(model.commands)) {
    if (row.code < 0x1000 || row.code > 0x7fff) fail(name, 'command codes are 0x1000 to 0x7fff');
    if (name in model.messages) fail(name, 'is also the name of a message');
  }
}

/** Relations between limits on which code relies; each names itself when it does not hold. */
const LIMIT_RELATIONS: readonly (readonly [
  string,
  (limit: (name: string) => number) => boolean,
])[] = [
  [
    'blockBytes is a multiple of sectorBytes',
    (limit) => limit('blockBytes') % limit('sectorBytes') === 0,
  ],
  [
    'unitBytes is a multiple of blockBytes',
    (limit) => limit('unitBytes') % limit('blockBytes') === 0,
  ],
  [
    'chunkBytes is a multiple of unitBytes and of ioBytesMax',
    (limit) =>
      limit('chunkBytes') % limit('unitBytes') === 0 &&
      limit('chunkBytes') % limit('ioBytesMax') === 0,
  ],
  [
    'a frame takes ioBytesMax, one block more for a range that starts within a block, and their checksums',
    (limit) =>
      (limit('ioBytesMax') / limit('blockBytes') + 1) * (limit('blockBytes') + 4) <=
      limit('frameBodyBytesMax'),
  ],
  [
    'a frame header is a multiple of 8 bytes, as its checksum needs it',
    (limit) => limit('frameHeaderBytes') % 8 === 0,
  ],
  [
    'offsets in a chunk fit 16 bits',
    (limit) => limit('chunkBytes') / limit('sectorBytes') <= 0xffff,
  ],
  [
    'chunks of the largest volume fit 32 bits',
    (limit) => limit('volumeSectorsMax') * limit('sectorBytes') <= limit('chunkBytes') * 2 ** 32,
  ],
  [
    'the masks of a comb, 1 to 15, have one bit per member',
    (limit) => limit('combMembersMax') === 4,
  ],
];

function checkLimits(model: Model): void {
  const limit = (name: string): number => {
    const row = model.limits[name];
    if (row === undefined) fail(name, 'is no limit');
    return row.value;
  };
  for (const [name, row] of Object.entries(model.limits))
    if (!Number.isSafeInteger(row.value) || row.value < 1)
      fail(name, 'a limit is a whole number above 0');
  for (const [relation, holds] of LIMIT_RELATIONS)
    if (!holds(limit)) fail('limits', `it does not hold that ${relation}`);
}

/** Rows belong to a version that is spoken, and entries of combs to the first. */
function checkVersions(model: Model): void {
  // Entries are kept encoded and go out on links of every version, and to devices.
  for (const field of model.structs['CombEntry']?.fields ?? [])
    if (field.since > model.versionMin)
      fail('CombEntry', 'its layout is the same in every version');
  for (const [name, { since }] of [
    ...Object.entries(model.messages),
    ...Object.entries(model.commands),
  ])
    if (since < model.versionMin || since > model.versionMax)
      fail(name, `version ${since} is not spoken`);
}

/**
 * Looks for contradictions.
 *
 * @throws Error naming the row
 */
export function checkModel(model: Model): void {
  checkCodes(model);
  checkLimits(model);
  checkUnique('names of types', [
    ...Object.keys(model.choices).map(pascal),
    ...Object.keys(model.structs),
    ...Object.keys(model.messages).map((name) => `${pascal(name)}Body`),
    ...Object.keys(model.commands).flatMap((name) => [
      `${pascal(name)}Params`,
      `${pascal(name)}Result`,
    ]),
  ]);
  checkUnique(
    'codes of errors',
    Object.values(model.errors).map((row) => row.code),
  );
  for (const [name, row] of Object.entries(model.errors))
    if (row.code < 1 || row.code > 0xffff) fail(name, 'error codes are 1 to 65535');
  for (const [name, row] of Object.entries(model.choices)) {
    checkUnique(name, Object.values(row.values));
    for (const value of Object.values(row.values))
      if (value < 1 || value > 255) fail(name, 'numbers of words are 1 to 255');
    for (const [word, since] of Object.entries(row.since ?? {}))
      if (!(word in row.values) || since <= model.versionMin || since > model.versionMax)
        fail(name, `${word} cannot be new in version ${since}`);
  }
  for (const [name, row] of Object.entries(model.structs)) checkFields(model, name, row.fields);
  checkAcyclic(model);
  checkVersions(model);
  for (const [name, row] of Object.entries(model.messages)) checkFields(model, name, row.fields);
  for (const [name, row] of Object.entries(model.commands)) {
    checkFields(model, name, row.fields);
    checkFields(model, `${name} result`, row.result);
  }
  checkFixed('frame header', model.frame);
  for (const [name, row] of Object.entries(model.disk)) checkFixed(name, row);
  for (const [name, row] of Object.entries(model.options)) checkOption(name, row);
}

function checkOption(name: string, row: Model['options'][string]): void {
  if (typeof row.default !== row.type) fail(name, `its default is no ${row.type}`);
  if (row.choices?.includes(String(row.default)) === false)
    fail(name, 'its default is none of its choices');
  if (row.type !== 'number') return;
  if (row.min === undefined || row.max === undefined) fail(name, 'a number needs min and max');
  if (Number(row.default) < row.min || Number(row.default) > row.max)
    fail(name, 'its default lies outside of its bounds');
}
