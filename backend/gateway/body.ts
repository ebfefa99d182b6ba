// Bodies of requests: the forms in which clients send values, and the words in which a wrong one is refused. Clients
// send booleans as "TRUE", "True", "true" or true, numbers as "8" or 8, null for absent, and keys that we do not know.

import { Ajv } from 'ajv';
import type { ErrorObject, SchemaObject, ValidateFunction } from 'ajv';

import { ApiError } from './api-error.js';
import type { Body } from './route.js';

const TEXT_CHARS_MAX = 1024;
const LIST_MAX = 4096;
const LEVELS_MAX = 32;

/** Forms of values; `description` is what the refusal says. */
export const TEXT: SchemaObject = {
  type: 'string',
  maxLength: TEXT_CHARS_MAX,
  // JSON can say halves of characters, which no other text can hold.
  pattern: '^\\P{Cs}*$',
  description: `must be a string of at most ${TEXT_CHARS_MAX} whole characters`,
};
export const FLAG: SchemaObject = {
  type: ['boolean', 'string'],
  pattern: '^\\s*([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])\\s*$',
  description: 'must be TRUE or FALSE',
};
export const WHOLE: SchemaObject = {
  type: ['integer', 'string'],
  minimum: 0,
  maximum: 999_999_999_999_999,
  pattern: '^\\s*[0-9]{1,15}\\s*$',
  description: 'must be a whole number, not negative, of at most 15 digits',
};
/** Anything: only its presence counts. */
export const PRESENT: SchemaObject = {};
export const TEXTS: SchemaObject = {
  type: 'array',
  maxItems: LIST_MAX,
  items: TEXT,
  description: `must be a list of at most ${LIST_MAX} strings`,
};
/** A list of objects. */
export function listOf(item: SchemaObject, maxItems: number): SchemaObject {
  return {
    type: 'array',
    maxItems,
    items: item,
    description: `must be a list of at most ${maxItems} objects`,
  };
}

/** A word of a closed set. */
export function oneOf(words: readonly string[]): SchemaObject {
  return { type: 'string', enum: words, description: `must be one of ${words.join(', ')}` };
}

/** An object with these keys; others are ignored. */
export function object(
  properties: Readonly<Record<string, SchemaObject>>,
  required: readonly string[] = [],
): SchemaObject {
  return { type: 'object', properties, required, description: 'must be an object' };
}

/** Compiles schemas once and checks bodies by them. */
export class BodyChecker {
  private readonly ajv = new Ajv({ verbose: true, allErrors: true, allowUnionTypes: true });
  private readonly compiled = new Map<SchemaObject, ValidateFunction>();

  /** @throws ApiError naming the key and what would be right */
  check(schema: SchemaObject | undefined, body: Body): void {
    if (schema === undefined) return;
    let validate = this.compiled.get(schema);
    if (validate === undefined) {
      validate = this.ajv.compile(schema);
      this.compiled.set(schema, validate);
    }
    if (!validate(body)) throw ApiError.invalid(describe(validate.errors ?? []));
  }
}

function describe(errors: readonly ErrorObject[]): string {
  const missing = errors
    .filter(({ keyword }) => keyword === 'required')
    .map(({ instancePath, params }) =>
      keyPath(
        `${instancePath}/${String((params as { missingProperty: unknown }).missingProperty)}`,
      ),
    );
  if (missing.length > 0)
    return `The following parameter(s) must be part of the request body: ${missing.join(', ')}.`;
  const [first] = errors;
  if (first === undefined) return 'the body is wrong';
  const schema = first.parentSchema as { description?: string } | undefined;
  return `${keyPath(first.instancePath)} ${schema?.description ?? first.message ?? 'is wrong'}`;
}

function keyPath(pointer: string): string {
  return pointer === '' ? 'the body' : pointer.slice(1).replaceAll('/', '.');
}

/**
 * A copy without null values, at any depth: clients send null for "not given".
 * @throws ApiError when it is nested deeper than any request is: a mebibyte has room for more levels than the stack
 */
export function withoutNulls(value: unknown, levels = LEVELS_MAX): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (levels === 0) throw ApiError.invalid(`the body must have at most ${LEVELS_MAX} levels`);
  if (Array.isArray(value))
    return value.filter((item) => item !== null).map((item) => withoutNulls(item, levels - 1));
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== null && item !== undefined)
      .map(([key, item]) => [key, withoutNulls(item, levels - 1)]),
  );
}

/** A text of a checked body, trimmed; undefined where absent. */
export function textOf(body: Body, key: string): string | undefined {
  const value = body[key];
  return typeof value === 'string' ? value.trim() : undefined;
}

/** A text that the schema requires. */
export function textIn(body: Body, key: string): string {
  const value = textOf(body, key);
  if (value === undefined)
    throw ApiError.invalid(`The following parameter(s) must be part of the request body: ${key}.`);
  return value;
}

/** A boolean in any of its forms. */
export function flagOf(body: Body, key: string): boolean | undefined {
  const value = body[key];
  if (typeof value === 'boolean') return value;
  return typeof value === 'string' ? value.trim().toLowerCase() === 'true' : undefined;
}

/** A number in either of its forms. */
export function wholeOf(body: Body, key: string): number | undefined {
  const value = body[key];
  if (typeof value === 'number') return value;
  return typeof value === 'string' ? Number(value.trim()) : undefined;
}

/** A list of texts, trimmed. */
export function textsOf(body: Body, key: string): readonly string[] | undefined {
  const value = body[key];
  return Array.isArray(value) ? value.map((item) => String(item).trim()) : undefined;
}
