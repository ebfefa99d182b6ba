// Configuration of the Cinder bridge, cinder-bridge.json: its keys, their bounds, and what contradicts what. The bridge reads
// it, meshsan-setup writes it. It must never hold a secret: those lie in files of their own that only their owner can read.

import { isIP } from 'node:net';

import type { JSONSchemaType } from 'ajv';

import {
  ABSOLUTE_PATH,
  ConfigError,
  LOG_LEVEL,
  PORT,
  configReader,
  readConfigFile,
} from './config-file.js';
import type { LogLevel } from './log-sink.js';

export interface BridgeConfig {
  readonly name: string;
  readonly logLevel?: LogLevel;
  /** Base addresses of gateways, in order of preference. */
  readonly gateways: readonly string[];
  readonly caFile: string;
  readonly username: string;
  readonly passwordFile: string;
  /** 64 hex digits that the driver holds too. */
  readonly tokenFile: string;
  /** One of both: a unix socket, or an address of loopback. */
  readonly listen: { readonly socket?: string; readonly host?: string; readonly port?: number };
  readonly requestTimeoutSeconds: number;
  readonly hosts: Readonly<Record<string, string>>;
  readonly defaultSdcGuid?: string;
}

/** sun_path of a unix socket, less its closing zero. */
const SOCKET_PATH_BYTES_MAX = 107;
const GUID = {
  type: 'string',
  pattern: '^\\{?[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\\}?$',
} as const;

const SCHEMA = {
  type: 'object',
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 31, default: 'cinder-bridge' },
    logLevel: { ...LOG_LEVEL, nullable: true },
    gateways: {
      type: 'array',
      minItems: 1,
      maxItems: 16,
      uniqueItems: true,
      items: { type: 'string', pattern: '^https://[^/\\s]+/?$', maxLength: 512 },
    },
    caFile: ABSOLUTE_PATH,
    username: { type: 'string', minLength: 1, maxLength: 31 },
    passwordFile: ABSOLUTE_PATH,
    tokenFile: ABSOLUTE_PATH,
    listen: {
      type: 'object',
      properties: {
        socket: { ...ABSOLUTE_PATH, nullable: true },
        host: { type: 'string', nullable: true },
        port: { ...PORT, nullable: true },
      },
      additionalProperties: false,
    },
    requestTimeoutSeconds: { type: 'integer', minimum: 5, maximum: 600, default: 50 },
    hosts: { type: 'object', additionalProperties: GUID, required: [], default: {} },
    defaultSdcGuid: { ...GUID, nullable: true },
  },
  required: ['gateways', 'caFile', 'username', 'passwordFile', 'tokenFile', 'listen'],
  additionalProperties: false,
} as unknown as JSONSchemaType<BridgeConfig>;

function isLoopback(host: string): boolean {
  return (isIP(host) === 4 && host.startsWith('127.')) || host === '::1';
}

/** @throws ConfigError for what the schema cannot say */
function checked(source: string, config: BridgeConfig): BridgeConfig {
  const { socket, host, port } = config.listen;
  const refuse = (reason: string): never => {
    throw new ConfigError(`Configuration ${source}: ${reason}`);
  };
  if ((socket === undefined) === (host === undefined))
    refuse('listen must have a socket, or a host and a port');
  if ((host === undefined) !== (port === undefined))
    refuse('listen.host and listen.port stand together');
  if (host !== undefined && !isLoopback(host))
    refuse(`listen.host ${host} must be an address of loopback, such as 127.0.0.1`);
  if (socket !== undefined && Buffer.byteLength(socket) > SOCKET_PATH_BYTES_MAX)
    refuse(`listen.socket must have at most ${SOCKET_PATH_BYTES_MAX} bytes`);
  return config;
}

/** @throws ConfigError with the file, the place and what would be right */
export function readBridgeConfig(path: string): BridgeConfig {
  return checked(path, readConfigFile(path, SCHEMA));
}

/** The same for a value that is no file. @throws ConfigError */
export function checkBridgeConfig(source: string, value: unknown): BridgeConfig {
  return checked(source, configReader(SCHEMA)(source, value));
}
