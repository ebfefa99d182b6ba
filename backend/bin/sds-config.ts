// The configurations of the two processes of a storage server: sds.json, which an operator writes, and the file that the
// control process writes for each data process. It owns their schemas; it must never start anything.

import type { JSONSchemaType } from 'ajv';
import { LIMIT } from '../protocol/generated/constants.js';
import type { Address } from '../protocol/generated/types.js';
import {
  ABSOLUTE_PATH,
  ENDPOINT,
  LOG_LEVEL,
  OWN_ADDRESSES,
  PORT,
  ConfigError,
  configReader,
  readConfigFile,
  readJsonFile,
} from '../runtime/config-file.js';
import type { LogLevel } from '../runtime/log-sink.js';
import { optionsFault, optionsSchema } from '../runtime/options-schema.js';
import type { OptionsOf } from '../runtime/options-schema.js';

interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export interface SdsConfig {
  readonly name: string;
  readonly addresses: readonly Address[];
  readonly mdm: readonly Endpoint[];
  readonly secretFile: string;
  readonly stateDir: string;
  readonly logLevel: LogLevel;
  readonly port: number;
  readonly dataPortFirst: number;
  readonly deviceSearch: readonly string[];
  readonly options: OptionsOf<'sds'>;
  readonly dataOptions: OptionsOf<'sdsData'>;
}

/** What the control process tells a data process, beside the secret file and the MDM addresses. */
export interface SdsDataConfig {
  readonly name: string;
  readonly addresses: readonly Address[];
  readonly mdm: readonly Endpoint[];
  readonly secretFile: string;
  readonly logLevel: LogLevel;
  readonly port: number;
  readonly deviceSearch: readonly string[];
  readonly sdsKey: number;
  readonly systemId: string;
  readonly deviceKey: number;
  readonly poolKey: number;
  readonly path: string;
  readonly task: 'format' | 'open';
  readonly force: boolean;
  /** Devices of the same system whose disk may be formatted, and is looked for. */
  readonly replaces: readonly number[];
  readonly direct: boolean;
  readonly options: OptionsOf<'sdsData'>;
}

const COMMON = {
  name: { type: 'string', maxLength: 31, default: '' },
  addresses: OWN_ADDRESSES,
  mdm: {
    type: 'array',
    minItems: 1,
    maxItems: 64,
    items: ENDPOINT,
  },
  secretFile: ABSOLUTE_PATH,
  logLevel: { ...LOG_LEVEL, default: 'info' },
  deviceSearch: { type: 'array', maxItems: 256, items: ABSOLUTE_PATH, default: [] },
};

const SDS_SCHEMA = {
  type: 'object',
  properties: {
    ...COMMON,
    stateDir: ABSOLUTE_PATH,
    port: { ...PORT, default: 7072 },
    dataPortFirst: { ...PORT, default: 7073 },
    options: optionsSchema('sds'),
    dataOptions: optionsSchema('sdsData'),
  },
  required: ['addresses', 'mdm', 'secretFile', 'stateDir'],
  additionalProperties: false,
} as unknown as JSONSchemaType<SdsConfig>;

const KEY = { type: 'integer', minimum: 1, maximum: 0xffffffff };
const DATA_SCHEMA = {
  type: 'object',
  properties: {
    ...COMMON,
    port: PORT,
    sdsKey: KEY,
    systemId: { type: 'string', pattern: '^[0-9a-f]{16}$' },
    deviceKey: KEY,
    poolKey: KEY,
    path: { type: 'string' },
    task: { type: 'string', enum: ['format', 'open'] },
    force: { type: 'boolean' },
    replaces: { type: 'array', maxItems: LIMIT.replacedDevicesMax, items: KEY, default: [] },
    direct: { type: 'boolean' },
    options: optionsSchema('sdsData'),
  },
  required: [
    ...['addresses', 'mdm', 'secretFile', 'port', 'sdsKey', 'systemId', 'deviceKey'],
    ...['poolKey', 'path', 'task', 'force', 'direct'],
  ],
  additionalProperties: false,
} as unknown as JSONSchemaType<SdsDataConfig>;

/** Checks a value that is to become the file `source`. @throws ConfigError with the place and what would be right */
export function checkSdsConfig(source: string, value: unknown): SdsConfig {
  const config = configReader(SDS_SCHEMA)(source, value);
  const fault = optionsFault(config.options) ?? optionsFault(config.dataOptions);
  if (fault !== null) throw new ConfigError(`Configuration ${source}: ${fault}`);
  return config;
}

/** @throws ConfigError with the place and what would be right */
export function readSdsConfig(path: string): SdsConfig {
  return checkSdsConfig(path, readJsonFile(path));
}

/** @throws ConfigError with the place and what would be right */
export function readSdsDataConfig(path: string): SdsDataConfig {
  return readConfigFile(path, DATA_SCHEMA);
}
