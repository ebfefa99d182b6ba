// Configuration of a process: one JSON file, checked by a schema before anything starts. It owns the words in which a
// wrong file is refused: which file, which place, what would be right. Paths in files are absolute.

import { isIP } from 'node:net';
import { isAbsolute } from 'node:path';

import { Ajv } from 'ajv';
import type { ErrorObject, JSONSchemaType } from 'ajv';

import { PrivateFileError, readPrivateFile } from './secret-file.js';

/** A configuration that cannot be used; the message is for people. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** Number of single-character edits between two words (Levenshtein). */
export function editDistance(from: string, to: string): number {
  let above = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row += 1) {
    const line = [row];
    for (let column = 1; column <= to.length; column += 1) {
      const cost = from[row - 1] === to[column - 1] ? 0 : 1;
      line.push(
        Math.min(
          (line[column - 1] ?? 0) + 1,
          (above[column] ?? 0) + 1,
          (above[column - 1] ?? 0) + cost,
        ),
      );
    }
    above = line;
  }
  return above[to.length] ?? 0;
}

/** The known word that is most like a wrong one, or null when none is near. */
export function nearest(word: string, known: readonly string[]): string | null {
  let best: string | null = null;
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Checks of strings that schemas name under `format`. */
export const FORMATS = {
  'absolute-path': (text: string) => isAbsolute(text),
  address: (text: string) => isIP(text) !== 0,
};

/** Schema parts that most configurations share. */
export const ABSOLUTE_PATH = {
  type: 'string',
  format: 'absolute-path',
  maxLength: 1024,
} as const;
export const IP_ADDRESS = { type: 'string', format: 'address' } as const;
export const PORT = { type: 'integer', minimum: 1, maximum: 65535 } as const;
/** Where a process listens or is reached. */
export const ENDPOINT = {
  type: 'object',
  properties: { host: IP_ADDRESS, port: PORT },
  required: ['host', 'port'],
  additionalProperties: false,
} as const;
/** Where a process listens and what it announces, by what each address is for. */
export const OWN_ADDRESSES = {
  type: 'array',
  minItems: 1,
  maxItems: 8,
  items: {
    type: 'object',
    properties: {
      host: IP_ADDRESS,
      role: {
        type: 'string',
        enum: ['all', 'sdsOnly', 'sdcOnly', 'management'],
        default: 'all',
      },
    },
    required: ['host'],
    additionalProperties: false,
  },
} as const;
export const LOG_LEVEL = { type: 'string', enum: ['error', 'warn', 'info', 'debug'] } as const;

function place(error: ErrorObject): string {
  return error.instancePath === '' ? 'the file' : error.instancePath.slice(1).replaceAll('/', '.');
}

/** Says in a sentence what a schema found wrong: the place and what would be right. */
export function describeFault(error: ErrorObject): string {
  const params = error.params as Readonly<Record<string, unknown>>;
  if (error.keyword === 'additionalProperties') {
    const unknown = String(params['additionalProperty']);
    const parent = error.parentSchema as { properties?: Record<string, unknown> } | undefined;
    const names = Object.keys(parent?.properties ?? {});
    const near = nearest(unknown, names);
    const hint = near === null ? `known are ${names.join(', ')}` : `did you mean "${near}"?`;
    return `unknown key "${unknown}" in ${place(error)}; ${hint}`;
  }
  if (error.keyword === 'enum')
    return `${place(error)} must be one of ${JSON.stringify(params['allowedValues'])}`;
  if (error.keyword === 'format')
    return `${place(error)} must be ${params['format'] === 'address' ? 'an IP address' : 'an absolute path'}`;
  return `${place(error)} ${error.message ?? 'is wrong'}`;
}

/** A function that checks a value and says what is wrong with it, or gives it back with defaults filled in. */
export function configReader<T>(schema: JSONSchemaType<T>): (source: string, value: unknown) => T {
  const ajv = new Ajv({ useDefaults: true, verbose: true, formats: FORMATS });
  const validate = ajv.compile(schema);
  return (source, value) => {
    if (validate(value)) return value;
    const [first] = validate.errors ?? [];
    const fault = first === undefined ? 'it is wrong' : describeFault(first);
    throw new ConfigError(`Configuration ${source}: ${fault}`);
  };
}

/**
 * Reads and checks a configuration file.
 * @throws ConfigError with the file, the place and what would be right
 */
export function readConfigFile<T>(path: string, schema: JSONSchemaType<T>): T {
  return configReader(schema)(path, readJsonFile(path));
}

/** The content of a JSON file that only its owner may read. @throws ConfigError */
export function readJsonFile(path: string): unknown {
  try {
    return JSON.parse(readPrivateFile(path)) as unknown;
  } catch (error) {
    const reason =
      error instanceof PrivateFileError
        ? error.message
        : `it is not JSON: ${error instanceof Error ? error.message : String(error)}`;
    throw new ConfigError(`Configuration ${path}: ${reason}`);
  }
}
