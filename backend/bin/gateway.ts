// The gateway process: reads its configuration, connects to the MDM, serves the REST interface until it is told to end.

import { mkdirSync } from 'node:fs';
import { chmod, copyFile, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import type { JSONSchemaType } from 'ajv';

import { gatewayApp } from '../gateway/app.js';
import { certificateNames, startServer } from '../gateway/server.js';
import type { Listen } from '../gateway/server.js';
import {
  ABSOLUTE_PATH,
  ConfigError,
  IP_ADDRESS,
  LOG_LEVEL,
  PORT,
  readConfigFile,
} from '../runtime/config-file.js';
import { openLog } from '../runtime/log-sink.js';
import type { LogLevel } from '../runtime/log-sink.js';
import { MdmSession } from '../runtime/mdm-session.js';
import { readSecretFile } from '../runtime/secret-file.js';
import { ownTls, serverTls } from '../runtime/tls-store.js';
import type { ServerTls } from '../runtime/tls-store.js';

import { startFailureCode } from './process-exit.js';

const API_VERSION = '3.5';

interface GatewayConfig {
  readonly name: string;
  readonly mdm: readonly Listen[];
  readonly secretFile: string;
  readonly stateDir: string;
  readonly logLevel?: LogLevel;
  readonly listen: readonly Listen[];
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
  items: {
    type: 'object',
    properties: { host: IP_ADDRESS, port: PORT },
    required: ['host', 'port'],
    additionalProperties: false,
  },
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

function readConfig(): GatewayConfig {
  const { values } = parseArgs({ options: { config: { type: 'string' } } });
  if (values.config === undefined) throw new ConfigError('Use: gateway --config FILE');
  return readConfigFile(values.config, SCHEMA);
}

/** The certificate now, and a copy of the authority's where clients look for it. */
async function currentTls(config: GatewayConfig): Promise<ServerTls> {
  if (config.certificateFile !== undefined && config.keyFile !== undefined)
    return ownTls(config.certificateFile, config.keyFile);
  const names = certificateNames(config.listen, config.names);
  const tls = await serverTls(join(config.stateDir, 'tls'), names, config.name, Date.now());
  if (config.caFile !== undefined) await publish(tls.caFile, config.caFile);
  return tls;
}

async function publish(from: string, to: string): Promise<void> {
  const [wanted, present] = await Promise.all([readFile(from, 'utf8'), textOrEmpty(to)]);
  if (wanted === present) return;
  const beside = `${to}.new`;
  await copyFile(from, beside);
  await chmod(beside, 0o644);
  await rename(beside, to);
}

async function textOrEmpty(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

async function main(): Promise<void> {
  const config = readConfig();
  const secret = readSecretFile(config.secretFile);
  mkdirSync(config.stateDir, { recursive: true, mode: 0o700 });
  const log = openLog({
    component: config.name,
    ...(config.logLevel === undefined ? {} : { level: config.logLevel }),
  });
  const session = new MdmSession({ addresses: config.mdm, secret, log });
  session.start();
  const app = gatewayApp({
    cluster: session,
    secret,
    apiVersion: config.apiVersion,
    log,
    nowMs: Date.now,
  });
  const server = await startServer({
    app,
    listen: config.listen,
    tls: () => currentTls(config),
    log,
  });
  for (const { host, port } of server.addresses)
    log.event('info', 'gateway.started', { host, port });
  const stop = async (): Promise<void> => {
    await server.close();
    session.close();
    log.event('info', 'gateway.stopped', {});
    await log.close();
  };
  let stopping: Promise<void> | null = null;
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      stopping ??= stop().then(() => process.exit(0));
    });
}

main().catch((error: unknown) => {
  process.stderr.write(`gateway: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(startFailureCode(error));
});
