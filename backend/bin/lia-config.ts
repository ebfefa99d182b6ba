// The configuration of a node's agent, lia.json: its schema and its defaults. It must never start anything.

import type { JSONSchemaType } from 'ajv';

import {
  ABSOLUTE_PATH,
  ENDPOINT,
  LOG_LEVEL,
  configReader,
  readJsonFile,
} from '../runtime/config-file.js';
import type { LogLevel } from '../runtime/log-sink.js';
import { optionsSchema } from '../runtime/options-schema.js';
import type { OptionsOf } from '../runtime/options-schema.js';

export interface LiaConfig {
  /** Of the node, as its other components are named. */
  readonly name: string;
  readonly listen: readonly { readonly host: string; readonly port: number }[];
  readonly tokenFile: string;
  /** Who vouches for package files; without it none is installed. */
  readonly signerFile?: string;
  readonly stateDir: string;
  readonly logLevel?: LogLevel;
  readonly options: OptionsOf<'lia'>;
}

const SCHEMA = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 31, default: 'lia' },
    listen: {
      type: 'array',
      minItems: 1,
      maxItems: 8,
      items: ENDPOINT,
    },
    tokenFile: ABSOLUTE_PATH,
    signerFile: { ...ABSOLUTE_PATH, nullable: true },
    stateDir: ABSOLUTE_PATH,
    logLevel: { ...LOG_LEVEL, nullable: true },
    options: optionsSchema('lia'),
  },
  required: ['listen', 'tokenFile', 'stateDir'],
  additionalProperties: false,
} as unknown as JSONSchemaType<LiaConfig>;

/** Checks a value that is to become the file `source`. @throws ConfigError with the place and what would be right */
export function checkLiaConfig(source: string, value: unknown): LiaConfig {
  return configReader(SCHEMA)(source, value);
}

/** @throws ConfigError with the place and what would be right */
export function readLiaConfig(path: string): LiaConfig {
  return checkLiaConfig(path, readJsonFile(path));
}
