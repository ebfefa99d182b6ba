// Values of protocol fields made from the tables: random ones for properties, fixed ones for golden bytes. It must never
// know a message: a new row is covered without a change here.

import fc from 'fast-check';

import { integerBounds, MODEL } from '../../../backend/protocol/generator/model.js';
import type { Field, FieldKind } from '../../../backend/protocol/tables/fields.js';

const LIST_ITEMS_MAX = 4;
const TEXT_BYTES_MAX = 64;

function fieldsOf(struct: string): readonly Field[] {
  const row = MODEL.structs[struct];
  if (row === undefined) throw new Error(`no structure ${struct}`);
  return row.fields;
}

function utf8Bytes(text: string): number {
  return new TextEncoder().encode(text).length;
}

function arbitraryOf(kind: FieldKind): fc.Arbitrary<unknown> {
  switch (kind.kind) {
    case 'u8':
    case 'u16':
    case 'u32':
    case 'u53': {
      const { min, max } = integerBounds(kind);
      return fc.oneof(fc.integer({ min, max }), fc.constant(min), fc.constant(max));
    }
    case 'bool':
      return fc.boolean();
    case 'str':
      return fc
        .string({ unit: 'grapheme', maxLength: Math.min(kind.maxBytes, TEXT_BYTES_MAX) })
        .filter((text) => utf8Bytes(text) <= kind.maxBytes);
    case 'bytes':
      return fc.uint8Array({ maxLength: Math.min(kind.maxBytes, TEXT_BYTES_MAX) });
    case 'choice':
      return fc.constantFrom(...Object.keys(MODEL.choices[kind.of]?.values ?? {}));
    case 'struct':
      return arbitraryFields(fieldsOf(kind.of));
    case 'list':
      return fc.array(arbitraryOf(kind.item), {
        maxLength: Math.min(kind.maxItems, LIST_ITEMS_MAX),
      });
    case 'optional':
      return fc.option(arbitraryOf(kind.item));
  }
}

/** Random values of a list of fields. */
export function arbitraryFields(fields: readonly Field[]): fc.Arbitrary<Record<string, unknown>> {
  return fc.record(
    Object.fromEntries(fields.map((field) => [field.name, arbitraryOf(field.type)])),
    { noNullPrototype: true },
  );
}

/** A number that depends on the path alone. */
function spread(path: string): number {
  let mix = 0x811c9dc5;
  for (let at = 0; at < path.length; at++)
    mix = Math.imul(mix ^ path.charCodeAt(at), 0x01000193) >>> 0;
  return mix;
}

function sampleOf(kind: FieldKind, path: string, version: number): unknown {
  switch (kind.kind) {
    case 'u8':
    case 'u16':
    case 'u32':
    case 'u53': {
      const { min, max } = integerBounds(kind);
      return min + (spread(path) % (Math.min(max - min, 0xffffffff) + 1));
    }
    case 'bool':
      return spread(path) % 2 === 0;
    case 'str': {
      const name = path.slice(path.lastIndexOf('.') + 1);
      return `${name}é`.slice(-Math.max(1, Math.min(name.length, kind.maxBytes - 1)));
    }
    case 'bytes':
      return Uint8Array.from(
        { length: Math.min(kind.maxBytes, 32) },
        (_, index) => spread(`${path}${index}`) & 0xff,
      );
    case 'choice': {
      const words = wordsOf(kind.of, version);
      return words[spread(path) % words.length];
    }
    case 'struct':
      return sampleFields(fieldsOf(kind.of), path, version);
    case 'list':
      return [0, 1]
        .slice(0, kind.maxItems)
        .map((index) => sampleOf(kind.item, `${path}[${index}]`, version));
    case 'optional':
      return spread(path) % 4 === 0 ? null : sampleOf(kind.item, path, version);
  }
}

/** Words of a choice that a version knows. */
function wordsOf(choice: string, version: number): readonly string[] {
  const { values = {}, since = {} } = MODEL.choices[choice] ?? {};
  return Object.keys(values).filter((word) => (since[word] ?? 1) <= version);
}

/** The one sample of a list of fields, as a version knows them: it depends on their names and types alone. */
export function sampleFields(
  fields: readonly Field[],
  path: string,
  version: number = MODEL.versionMax,
): Record<string, unknown> {
  return Object.fromEntries(
    fields
      .filter((field) => field.since <= version)
      .map((field) => [field.name, sampleOf(field.type, `${path}.${field.name}`, version)]),
  );
}
