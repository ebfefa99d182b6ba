// The agent of a node (LIA): reads its configuration, takes up jobs that were left, serves those who know the token until it
// is told to end.

import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';

import { VERSION } from '../core/version.js';
import { LIMITS } from '../protocol/tables/limits.js';
import { Connections } from '../runtime/connections.js';
import { ConfigError } from '../runtime/config-file.js';
import { makePrivateDirectory } from '../runtime/durable-files.js';
import { closeServer, listenOn } from '../runtime/http-server.js';
import { openLog } from '../runtime/log-sink.js';
import { JobStore } from '../runtime/node-agent/job-store.js';
import { PackageStore } from '../runtime/node-agent/package-store.js';
import { serverOptions } from '../runtime/node-agent/pre-shared-tls.js';
import { signerKey } from '../runtime/node-agent/signature.js';
import { readSecretFile } from '../runtime/secret-file.js';

import { daemonConfigFile } from './daemon-manuals.js';
import { liaApp } from './lia-app.js';
import { readLiaConfig } from './lia-config.js';
import type { LiaConfig } from './lia-config.js';
import { JobRunner } from './lia-jobs.js';
import { bootId, nodeReport } from './lia-node.js';
import { onStopSignal, runDaemon } from './process-exit.js';

const HEADERS_MS_MAX = 20_000;
const HANDSHAKE_MS_MAX = 15_000;
/** A package file over a slow line. */
const REQUEST_MS_MAX = 900_000;
const DRAIN_MS = 5_000;

function packageStore({ stateDir, signerFile }: LiaConfig): PackageStore {
  if (signerFile !== undefined && !existsSync(signerFile))
    throw new ConfigError(`${signerFile} with the signer's public key does not exist`);
  const signer =
    signerFile === undefined ? null : signerKey(readFileSync(signerFile, 'utf8'), signerFile);
  return new PackageStore(join(stateDir, 'packages'), signer);
}

async function main(): Promise<void> {
  const file = daemonConfigFile('lia');
  if (file === null) return;
  const config = readLiaConfig(file);
  const token = readSecretFile(config.tokenFile);
  makePrivateDirectory(config.stateDir);
  const { options, logLevel, name } = config;
  const log = openLog({
    component: name,
    ...(logLevel === undefined ? {} : { level: logLevel }),
  });
  const packages = packageStore(config);
  const jobs = new JobStore(join(config.stateDir, 'jobs'));
  const { jobTimeoutSeconds, infoMiBMax, infoHours } = options;
  const runner = new JobRunner({ jobs, packages, bootId: bootId(), jobTimeoutSeconds, log });
  const app = liaApp({
    report: () => nodeReport(name),
    jobs: runner.machine,
    packages,
    bundle: { name, jobs: () => runner.machine.list(), infoMiBMax, infoHours },
    log,
  });
  const servers = config.listen.map(() => {
    const server = createServer(
      {
        ...serverOptions(token),
        ...{ handshakeTimeout: HANDSHAKE_MS_MAX, headersTimeout: HEADERS_MS_MAX },
        ...{ requestTimeout: REQUEST_MS_MAX, maxHeaderSize: 16_384 },
      },
      app,
    );
    server.on('checkContinue', app);
    new Connections(LIMITS.liaConnectionsMax.value, log, Date.now).watch(server, true);
    server.on('tlsClientError', (_, socket) => {
      log.event('warn', 'lia.refused', { host: socket.remoteAddress ?? '' });
    });
    return server;
  });
  await runner.resume();
  for (const [index, server] of servers.entries()) {
    const place = config.listen[index];
    if (place !== undefined) await listenOn(server, place);
  }
  log.event('info', 'lia.started', { version: VERSION, places: servers.length });
  const stop = async (): Promise<void> => {
    runner.close();
    await Promise.all(servers.map((server) => closeServer(server, DRAIN_MS)));
    log.event('info', 'lia.stopped', {});
    await log.close();
  };
  onStopSignal(() => void stop().then(() => process.exit(0)));
}

runDaemon('lia', main);
