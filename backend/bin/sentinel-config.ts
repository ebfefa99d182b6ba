// The configuration of the sentinel process, sentinel.json: its schema and its defaults. It must never start anything.

import type { JSONSchemaType } from 'ajv';

import { normalizeGuid } from '../core/ids.js';
import {
  ABSOLUTE_PATH,
  ConfigError,
  ENDPOINT,
  LOG_LEVEL,
  configReader,
  readJsonFile,
} from '../runtime/config-file.js';
import type { MdmEndpoint } from '../runtime/drv-cfg-file.js';
import type { LogLevel } from '../runtime/log-sink.js';

export interface SentinelConfig {
  readonly name: string;
  readonly mdm: readonly MdmEndpoint[];
  readonly secretFile: string;
  readonly logLevel: LogLevel;
  /** User of the system in whose name volumes are made, mapped and named: with the rights of a frontend. */
  readonly username: string;
  /** Of this host's client, and where that has its sockets. */
  readonly guid: string;
  readonly nbdDir: string;
  /** Names of pools; none: all pools. */
  readonly pools: readonly string[];
  /** From one read and write to the next. */
  readonly intervalMs: number;
  /** A request that takes longer is starved. */
  readonly boundMs: number;
  /** So long requests have to take less than half of that until the alert ends. */
  readonly clearMs: number;
}

const SCHEMA = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 31, default: 'sentinel' },
    mdm: { type: 'array', minItems: 1, maxItems: 64, items: ENDPOINT },
    secretFile: ABSOLUTE_PATH,
    logLevel: { ...LOG_LEVEL, default: 'info' },
    username: { type: 'string', minLength: 1, maxLength: 31, default: 'admin' },
    guid: { type: 'string', maxLength: 38 },
    nbdDir: ABSOLUTE_PATH,
    pools: {
      type: 'array',
      maxItems: 1024,
      items: { type: 'string', minLength: 1, maxLength: 31 },
      default: [],
    },
    intervalMs: { type: 'integer', minimum: 10, maximum: 1000, default: 100 },
    boundMs: { type: 'integer', minimum: 10, maximum: 600_000, default: 3000 },
    clearMs: { type: 'integer', minimum: 100, maximum: 3_600_000, default: 30_000 },
  },
  required: ['mdm', 'secretFile', 'guid', 'nbdDir'],
  additionalProperties: false,
} as unknown as JSONSchemaType<SentinelConfig>;

/** Checks a value that is to become the file `source`. @throws ConfigError with the place and what would be right */
export function checkSentinelConfig(source: string, value: unknown): SentinelConfig {
  const config = configReader(SCHEMA)(source, value);
  const guid = normalizeGuid(config.guid);
  if (guid === null)
    throw new ConfigError(
      `Configuration ${source}: guid must be 8-4-4-4-12 hex digits, is "${config.guid}"`,
    );
  return { ...config, guid };
}

/** @throws ConfigError with the place and what would be right */
export function readSentinelConfig(path: string): SentinelConfig {
  return checkSentinelConfig(path, readJsonFile(path));
}
