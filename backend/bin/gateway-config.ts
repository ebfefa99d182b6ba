// The configuration of the gateway process, gateway.json: its schema and its defaults. It must never start anything.

import type { JSONSchemaType } from 'ajv';

import {
  ABSOLUTE_PATH,
  ENDPOINT,
  LOG_LEVEL,
  configReader,
  readJsonFile,
} from '../runtime/config-file.js';
import type { LogLevel } from '../runtime/log-sink.js';

const API_VERSION = '3.5';

interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export interface GatewayConfig {
  readonly name: string;
  readonly mdm: readonly Endpoint[];
  readonly secretFile: string;
  readonly stateDir: string;
  readonly logLevel?: LogLevel;
  readonly listen: readonly Endpoint[];
  readonly names: readonly string[];
  readonly caFile?: string;
  readonly certificateFile?: string;
  readonly keyFile?: string;
  readonly apiVersion: string;
}

const ENDPOINTS = {
  type: 'array',
  minItems: 1,
  maxItems: 64,
  items: ENDPOINT,
} as const;

const SCHEMA = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 31, default: 'gateway' },
    mdm: ENDPOINTS,
    secretFile: ABSOLUTE_PATH,
    stateDir: ABSOLUTE_PATH,
    logLevel: { ...LOG_LEVEL, nullable: true },
    listen: ENDPOINTS,
    names: {
      type: 'array',
      maxItems: 64,
      items: { type: 'string', maxLength: 253 },
      default: [],
    },
    caFile: { ...ABSOLUTE_PATH, nullable: true },
    certificateFile: { ...ABSOLUTE_PATH, nullable: true },
    keyFile: { ...ABSOLUTE_PATH, nullable: true },
    apiVersion: { type: 'string', pattern: '^\\d+(\\.\\d+)*$', default: API_VERSION },
  },
  required: ['mdm', 'secretFile', 'stateDir', 'listen'],
  additionalProperties: false,
} as unknown as JSONSchemaType<GatewayConfig>;

/** Checks a value that is to become the file `source`. @throws ConfigError with the place and what would be right */
export function checkGatewayConfig(source: string, value: unknown): GatewayConfig {
  return configReader(SCHEMA)(source, value);
}

/** @throws ConfigError with the place and what would be right */
export function readGatewayConfig(path: string): GatewayConfig {
  return checkGatewayConfig(path, readJsonFile(path));
}
