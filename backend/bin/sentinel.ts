// The sentinel process: watches how pools treat a small steady user, and says so in the cluster until it is told to end.

import { setTimeout as pause } from 'node:timers/promises';

import { ClusterError } from '../runtime/cluster.js';
import { openLog } from '../runtime/log-sink.js';
import type { ProcessLog } from '../runtime/log-sink.js';
import { MdmSession } from '../runtime/mdm-session.js';
import { readSecretFile } from '../runtime/secret-file.js';

import { daemonConfigFile } from './daemon-manuals.js';
import { onStopSignal, runDaemon } from './process-exit.js';
import { readSentinelConfig } from './sentinel-config.js';
import { ProbedVolumes } from './sentinel-io.js';
import { SentinelPools } from './sentinel-pools.js';

/** Pools come and go rarely; a verdict that could not be written down is written soon. */
const LOOK_MS = 15_000;
const TELL_MS = 1000;
/** Whoever ends the sentinel does not wait for a pool that answers nobody. */
const LEAVE_MS = 10_000;

/** A cluster that does not answer is asked again. */
async function looked(pools: SentinelPools, log: ProcessLog): Promise<boolean> {
  try {
    await pools.look();
    return true;
  } catch (error) {
    if (!(error instanceof ClusterError)) throw error;
    log.event('warn', 'sentinel.no-look', { reason: error.message });
    return false;
  }
}

/** Looks and tells until `ending`. */
async function watch(pools: SentinelPools, log: ProcessLog, ending: AbortSignal): Promise<void> {
  let lookMs = 0;
  while (!ending.aborted) {
    if (Date.now() >= lookMs)
      lookMs = Date.now() + ((await looked(pools, log)) ? LOOK_MS : TELL_MS);
    await pools.tell();
    await pause(TELL_MS, undefined, { signal: ending }).catch((error: unknown) => {
      if (!ending.aborted) throw error;
    });
  }
}

async function main(): Promise<void> {
  const file = daemonConfigFile('sentinel');
  if (file === null) return;
  const config = readSentinelConfig(file);
  const secret = readSecretFile(config.secretFile);
  const log = openLog({ component: config.name, level: config.logLevel });
  const session = new MdmSession({ addresses: config.mdm, secret, log });
  session.start();
  const ending = new AbortController();
  const volumes = new ProbedVolumes(config);
  const pools = new SentinelPools(session, config, volumes, log);
  onStopSignal(() => {
    ending.abort();
  });
  log.event('info', 'sentinel.started', { boundMs: config.boundMs, clearMs: config.clearMs });
  await watch(pools, log, ending.signal);
  await Promise.race([pools.leave(), pause(LEAVE_MS)]);
  volumes.close();
  session.close();
  log.event('info', 'sentinel.stopped', {});
  await log.close();
  process.exit(0);
}

runDaemon('sentinel', main);
