// Configuration of a process: one JSON file, checked by a schema before anything starts. It owns the words in which a
// wrong file is refused: which file, which place, what would be right. It must never fill in secrets.

import { readFileSync } from 'node:fs';

import { Ajv } from 'ajv';
import type { ErrorObject, JSONSchemaType } from 'ajv';

const FILE_BYTES_MAX = 1024 * 1024;

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
  return `${place(error)} ${error.message ?? 'is wrong'}`;
}

/** A function that checks a value and says what is wrong with it, or gives it back with defaults filled in. */
export function configReader<T>(schema: JSONSchemaType<T>): (source: string, value: unknown) => T {
  const ajv = new Ajv({ allErrors: false, useDefaults: true, verbose: true, allowUnionTypes: true });
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

/** The content of a JSON file of at most 1 MiB. */
export function readJsonFile(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigError(`Configuration ${path}: it cannot be read: ${reasonOf(error)}`);
  }
  if (text.length > FILE_BYTES_MAX)
    throw new ConfigError(`Configuration ${path}: it must have at most ${FILE_BYTES_MAX} bytes`);
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new ConfigError(`Configuration ${path}: it is not JSON: ${reasonOf(error)}`);
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
