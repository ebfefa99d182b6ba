// The configuration of the command drv_cfg, drv_cfg.json: its schema. It must never ask anybody.

import type { JSONSchemaType } from 'ajv';

import { normalizeGuid } from '../core/ids.js';
import { ABSOLUTE_PATH, ConfigError, configReader, readJsonFile } from '../runtime/config-file.js';

export interface DrvCfgConfig {
  readonly guid: string;
  readonly controlSocket: string;
}

const SCHEMA = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 31, nullable: true },
    mdm: { type: 'array', items: { type: 'object' }, nullable: true },
    guid: { type: 'string', maxLength: 38 },
    controlSocket: ABSOLUTE_PATH,
  },
  required: ['guid', 'controlSocket'],
  additionalProperties: false,
} as unknown as JSONSchemaType<DrvCfgConfig>;

/** Checks a value that is to become the file `source`. @throws ConfigError with the place and what would be right */
export function checkDrvCfgConfig(source: string, value: unknown): DrvCfgConfig {
  const config = configReader(SCHEMA)(source, value);
  const guid = normalizeGuid(config.guid);
  if (guid === null) throw new ConfigError(`Configuration ${source}: guid must be a GUID`);
  return { ...config, guid };
}

/** @throws ConfigError with the place and what would be right */
export function readDrvCfgConfig(path: string): DrvCfgConfig {
  return checkDrvCfgConfig(path, readJsonFile(path));
}
