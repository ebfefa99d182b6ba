// The gateway process: reads its configuration, connects to the MDM, serves the REST interface until it is told to end.

import { mkdirSync } from 'node:fs';
import { chmod, copyFile, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';

import { gatewayApp } from '../gateway/app.js';
import { certificateNames, startServer } from '../gateway/server.js';
import { openLog } from '../runtime/log-sink.js';
import { MdmSession } from '../runtime/mdm-session.js';
import { readSecretFile } from '../runtime/secret-file.js';
import { ownTls, serverTls } from '../runtime/tls-store.js';
import type { ServerTls } from '../runtime/tls-store.js';

import { daemonConfigFile } from './daemon-manuals.js';
import { readGatewayConfig } from './gateway-config.js';
import type { GatewayConfig } from './gateway-config.js';
import { onStopSignal, runDaemon } from './process-exit.js';

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
  const file = daemonConfigFile('gateway');
  if (file === null) return;
  const config = readGatewayConfig(file);
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
  onStopSignal(() => void stop().then(() => process.exit(0)));
}

runDaemon('gateway', main);
