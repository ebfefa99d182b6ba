// The configuration of the MDM process, mdm.json: its schema and its defaults. It must never start anything.

import type { JSONSchemaType } from 'ajv';

import type { Address } from '../protocol/generated/types.js';
import {
  ABSOLUTE_PATH,
  ENDPOINT,
  LOG_LEVEL,
  OWN_ADDRESSES,
  PORT,
  configReader,
  readJsonFile,
} from '../runtime/config-file.js';
import type { LogLevel } from '../runtime/log-sink.js';
import { optionsSchema } from '../runtime/options-schema.js';
import type { OptionsOf } from '../runtime/options-schema.js';

const MDM_PORT = 6611;

/** What this node needs to take part in an MDM cluster; whether it does is not configured, but a command. */
export interface ClusterConfig {
  /** Of the system's keys in etcd. */
  readonly prefix: string;
  /** Of its member of etcd: for MDMs, and among members. */
  readonly clientPort: number;
  readonly peerPort: number;
  readonly program: string;
}

export interface MdmConfig {
  readonly name: string;
  readonly addresses: readonly Address[];
  readonly mdm?: readonly { readonly host: string; readonly port: number }[];
  readonly secretFile: string;
  readonly stateDir: string;
  readonly logLevel?: LogLevel;
  readonly port: number;
  readonly systemName: string;
  readonly initialAdmin?: {
    readonly name: string;
    readonly saltHex: string;
    readonly hashHex: string;
  };
  readonly cluster: ClusterConfig;
  readonly options: Partial<OptionsOf<'mdm'>>;
}

const HEX = { type: 'string', pattern: '^([0-9a-f]{2}){16,64}$' } as const;

const ETCD_CLIENT_PORT = 9012;
const ETCD_PEER_PORT = 9013;

const CLUSTER = {
  type: 'object',
  properties: {
    prefix: {
      type: 'string',
      maxLength: 120,
      pattern: '^(/[A-Za-z0-9._-]+)+$',
      default: '/meshsan',
    },
    clientPort: { ...PORT, default: ETCD_CLIENT_PORT },
    peerPort: { ...PORT, default: ETCD_PEER_PORT },
    program: { ...ABSOLUTE_PATH, default: '/usr/bin/etcd' },
  },
  additionalProperties: false,
  default: {},
} as const;

const SCHEMA = {
  type: 'object',
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 31, default: 'mdm' },
    addresses: OWN_ADDRESSES,
    mdm: {
      type: 'array',
      maxItems: 64,
      nullable: true,
      items: ENDPOINT,
    },
    secretFile: ABSOLUTE_PATH,
    stateDir: ABSOLUTE_PATH,
    logLevel: { ...LOG_LEVEL, nullable: true },
    port: { ...PORT, default: MDM_PORT },
    systemName: { type: 'string', minLength: 1, maxLength: 31, default: 'meshsan' },
    initialAdmin: {
      type: 'object',
      nullable: true,
      properties: {
        name: { type: 'string', minLength: 1, maxLength: 31 },
        saltHex: HEX,
        hashHex: HEX,
      },
      required: ['name', 'saltHex', 'hashHex'],
      additionalProperties: false,
    },
    cluster: CLUSTER,
    options: optionsSchema('mdm'),
  },
  required: ['addresses', 'secretFile', 'stateDir'],
  additionalProperties: false,
} as unknown as JSONSchemaType<MdmConfig>;

/** Checks a value that is to become the file `source`. @throws ConfigError with the place and what would be right */
export function checkMdmConfig(source: string, value: unknown): MdmConfig {
  return configReader(SCHEMA)(source, value);
}

/** @throws ConfigError with the place and what would be right */
export function readMdmConfig(path: string): MdmConfig {
  return checkMdmConfig(path, readJsonFile(path));
}
