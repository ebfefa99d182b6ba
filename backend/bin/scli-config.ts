// The configuration of the administrators' command line, scli.json: its schema and its defaults. It must never connect.

import type { JSONSchemaType } from 'ajv';

import {
  ABSOLUTE_PATH,
  ENDPOINT,
  LOG_LEVEL,
  configReader,
  readJsonFile,
} from '../runtime/config-file.js';
import type { LogLevel } from '../runtime/log-sink.js';

export interface ScliConfig {
  readonly name: string;
  readonly mdm: readonly { readonly host: string; readonly port: number }[];
  readonly secretFile: string;
  readonly stateDir: string;
  readonly logLevel: LogLevel;
}

const SCHEMA = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 31, default: 'scli' },
    mdm: {
      type: 'array',
      minItems: 1,
      maxItems: 64,
      items: ENDPOINT,
    },
    secretFile: ABSOLUTE_PATH,
    stateDir: ABSOLUTE_PATH,
    logLevel: { ...LOG_LEVEL, default: 'error' },
  },
  required: ['mdm', 'secretFile', 'stateDir'],
  additionalProperties: false,
} as unknown as JSONSchemaType<ScliConfig>;

/** Checks a value that is to become the file `source`. @throws ConfigError with the place and what would be right */
export function checkScliConfig(source: string, value: unknown): ScliConfig {
  return configReader(SCHEMA)(source, value);
}

/** @throws ConfigError with the place and what would be right */
export function readScliConfig(path: string): ScliConfig {
  return checkScliConfig(path, readJsonFile(path));
}
