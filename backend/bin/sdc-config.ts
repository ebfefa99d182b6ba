// The configuration of the client process, sdc.json: its schema and its defaults. It must never start anything.

import { join } from 'node:path';
import type { JSONSchemaType } from 'ajv';
import { normalizeGuid } from '../core/ids.js';
import type { Address } from '../protocol/generated/types.js';
import {
  ABSOLUTE_PATH,
  ENDPOINT,
  LOG_LEVEL,
  OWN_ADDRESSES,
  ConfigError,
  configReader,
  readJsonFile,
} from '../runtime/config-file.js';
import type { MdmEndpoint } from '../runtime/drv-cfg-file.js';
import type { LogLevel } from '../runtime/log-sink.js';
import { optionsSchema } from '../runtime/options-schema.js';
import type { OptionsOf } from '../runtime/options-schema.js';
import type { AttachRequest } from './holder-carrier.js';
import type { SciniKind } from './sdc-scini.js';

export interface SdcConfig {
  readonly name: string;
  readonly addresses: readonly Address[];
  /** MDMs of the first system; none: drv_cfg adds all. */
  readonly mdm: readonly MdmEndpoint[];
  readonly secretFile: string;
  readonly stateDir: string;
  /** The systems of this host, as drv_cfg changes them. */
  readonly drvCfgFile: string;
  readonly logLevel: LogLevel;
  readonly guid: string;
  readonly nbdDir: string;
  readonly controlSocket: string;
  /** Which mapped volumes become block devices. */
  readonly attach: 'none' | 'all';
  readonly deviceDir: string;
  /** /dev/scini for the original's programs: made in the way that this kernel allows, in one way only, or not at all. */
  readonly scini: 'none' | 'auto' | SciniKind;
  readonly options: SdcOptions;
}

/** Rows of the options table that this process takes. */
export type SdcOptions = OptionsOf<'sdc'> & { readonly attachMethod: AttachRequest['method'] };

const SCHEMA = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 31, default: '' },
    addresses: OWN_ADDRESSES,
    mdm: {
      type: 'array',
      minItems: 1,
      maxItems: 64,
      items: ENDPOINT,
    },
    secretFile: ABSOLUTE_PATH,
    stateDir: ABSOLUTE_PATH,
    drvCfgFile: ABSOLUTE_PATH,
    logLevel: { ...LOG_LEVEL, default: 'info' },
    guid: { type: 'string', maxLength: 38 },
    nbdDir: ABSOLUTE_PATH,
    controlSocket: ABSOLUTE_PATH,
    attach: { type: 'string', enum: ['none', 'all'], default: 'none' },
    deviceDir: { ...ABSOLUTE_PATH, default: '/dev' },
    scini: { type: 'string', enum: ['none', 'auto', 'cuse', 'fuse'], default: 'none' },
    options: optionsSchema('sdc'),
  },
  required: ['addresses', 'secretFile', 'stateDir', 'guid', 'nbdDir', 'controlSocket'],
  additionalProperties: false,
} as unknown as JSONSchemaType<SdcConfig>;

/** Bytes of a unix socket's path, less its closing zero. */
const SOCKET_PATH_BYTES_MAX = 107;
const SOCKET_NAME_BYTES = '/0123456789abcdef.sock'.length;

/** Which of these places would make the path of a unix socket in it too long, in a sentence; null: none. */
export function socketPathFault(places: {
  readonly nbdDir: string;
  readonly stateDir: string;
  readonly controlSocket?: string;
}): string | null {
  const { nbdDir, stateDir, controlSocket = '' } = places;
  const longest = [
    ['nbdDir', Buffer.byteLength(nbdDir) + SOCKET_NAME_BYTES],
    ['controlSocket', Buffer.byteLength(controlSocket)],
    ['stateDir', Buffer.byteLength(stateDir) + SOCKET_NAME_BYTES],
  ] as const;
  for (const [key, bytes] of longest)
    if (bytes > SOCKET_PATH_BYTES_MAX)
      return `${key} is too long: a unix socket there would have a path of ${bytes} bytes, the system allows ${SOCKET_PATH_BYTES_MAX}`;
  return null;
}

/** A file as its writer has it. */
type Written = Omit<SdcConfig, 'mdm' | 'drvCfgFile'> & Partial<SdcConfig>;

/** Checks a value that is to become the file `source`. @throws ConfigError with the place and what would be right */
export function checkSdcConfig(source: string, value: unknown): SdcConfig {
  const config: Written = configReader(SCHEMA)(source, value);
  const guid = normalizeGuid(config.guid);
  if (guid === null)
    throw new ConfigError(
      `Configuration ${source}: guid must be 8-4-4-4-12 hex digits, is "${config.guid}"`,
    );
  const fault = socketPathFault(config);
  if (fault !== null) throw new ConfigError(`Configuration ${source}: ${fault}`);
  const { mdm = [], drvCfgFile = join(config.stateDir, 'drv_cfg.txt') } = config;
  return { ...config, guid, mdm, drvCfgFile };
}

/** @throws ConfigError with the place and what would be right */
export function readSdcConfig(path: string): SdcConfig {
  return checkSdcConfig(path, readJsonFile(path));
}
