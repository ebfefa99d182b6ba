// The configuration of the MDM process, mdm.json: its schema and its defaults. It must never start anything.

import type { JSONSchemaType } from 'ajv';

import type { Address } from '../protocol/generated/types.js';
import {
  ABSOLUTE_PATH,
  ConfigError,
  ENDPOINT,
  LOG_LEVEL,
  OWN_ADDRESSES,
  PORT,
  configReader,
  readJsonFile,
} from '../runtime/config-file.js';
import type { MemberAddress } from '../runtime/etcd/member.js';
import type { LogLevel } from '../runtime/log-sink.js';
import { optionsSchema } from '../runtime/options-schema.js';
import type { OptionsOf } from '../runtime/options-schema.js';

const MDM_PORT = 6611;

interface ConfiguredMember extends MemberAddress {
  /** A tie-breaker runs a member of etcd and no MDM. */
  readonly role: 'manager' | 'tieBreaker';
}

/** The MDM cluster that this node belongs to. */
export interface ClusterConfig {
  /** Of the system's keys in etcd. */
  readonly prefix: string;
  /** Every node with a member of etcd: all managers and tie-breakers. */
  readonly members: readonly ConfiguredMember[];
  /** The member that runs on this node, by name. */
  readonly member: string;
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
  readonly cluster?: ClusterConfig;
  readonly options: Partial<OptionsOf<'mdm'>>;
}

const HEX = { type: 'string', pattern: '^([0-9a-f]{2}){16,64}$' } as const;

const NAME = { type: 'string', minLength: 1, maxLength: 31, pattern: '^[A-Za-z0-9._-]+$' } as const;
const ETCD_CLIENT_PORT = 9012;
const ETCD_PEER_PORT = 9013;

const CLUSTER = {
  type: 'object',
  nullable: true,
  properties: {
    prefix: {
      type: 'string',
      maxLength: 120,
      pattern: '^(/[A-Za-z0-9._-]+)+$',
      default: '/meshsan',
    },
    members: {
      type: 'array',
      minItems: 1,
      maxItems: 5,
      items: {
        type: 'object',
        properties: {
          name: NAME,
          host: { type: 'string', format: 'address' },
          clientPort: { ...PORT, default: ETCD_CLIENT_PORT },
          peerPort: { ...PORT, default: ETCD_PEER_PORT },
          role: { type: 'string', enum: ['manager', 'tieBreaker'], default: 'manager' },
        },
        required: ['name', 'host'],
        additionalProperties: false,
      },
    },
    member: NAME,
    program: { ...ABSOLUTE_PATH, default: '/usr/bin/etcd' },
  },
  required: ['members', 'member'],
  additionalProperties: false,
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
  const config = configReader(SCHEMA)(source, value);
  const fault = config.cluster === undefined ? null : clusterFault(config.cluster);
  if (fault !== null) throw new ConfigError(`${source}: cluster${fault}`);
  return config;
}

/** What the schema cannot say. */
function clusterFault({ members, member }: ClusterConfig): string | null {
  if (members.length % 2 === 0)
    return `.members must be 1, 3 or 5, are ${members.length}: an even number survives no more failures than one less`;
  for (const key of ['name', 'host'] as const)
    if (new Set(members.map((each) => each[key])).size !== members.length)
      return `.members must each have a ${key} of their own`;
  if (!members.some(({ role }) => role === 'manager'))
    return '.members must have a manager among them';
  if (!members.some(({ name }) => name === member))
    return `.member must be one of the members: ${members.map(({ name }) => name).join(', ')}`;
  return null;
}

/** @throws ConfigError with the place and what would be right */
export function readMdmConfig(path: string): MdmConfig {
  return checkMdmConfig(path, readJsonFile(path));
}
