// The MDM process: reads its configuration, opens its store, serves until it is told to end. It must never go on after
// the machine stepped down: the next start reads what was committed.

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';

import { Mdm } from '../mdm/mdm.js';
import { MDM_DEFAULTS } from '../mdm/options.js';
import type { InitialSystem, MdmOptions } from '../mdm/options.js';
import { Refusal } from '../mdm/refusal.js';
import { ContentError } from '../mdm/state.js';
import { makePrivateDirectory } from '../runtime/durable-files.js';
import { handshakeRules } from '../runtime/links/authentication.js';
import { LINK_TIMING, TcpLinks } from '../runtime/links/tcp-links.js';
import { openLog } from '../runtime/log-sink.js';
import type { ProcessLog } from '../runtime/log-sink.js';
import { Loop, monotonicUs } from '../runtime/loop.js';
import { LmdbStore, StoreError } from '../runtime/metadata-store.js';
import { readSecretFile } from '../runtime/secret-file.js';

import { daemonConfigFile } from './daemon-manuals.js';
import { readMdmConfig } from './mdm-config.js';
import type { MdmConfig } from './mdm-config.js';
import {
  EXIT_CONFIGURATION,
  EXIT_FAILED,
  onStopSignal,
  runDaemon,
  startFailureCode,
} from './process-exit.js';

function initialSystem({ initialAdmin, systemName }: MdmConfig): InitialSystem | null {
  if (initialAdmin === undefined) return null;
  const { name, saltHex, hashHex } = initialAdmin;
  return {
    systemName,
    // Half of all random prefixes look like negative numbers to clients that read ids as signed: the upper bit stays 0.
    idPrefix: (randomBytes(4).readUInt32LE() & 0x7fffffff) | 1,
    installId: randomBytes(8).toString('hex'),
    admin: { name, salt: Buffer.from(saltHex, 'hex'), hash: Buffer.from(hashHex, 'hex') },
  };
}

function machineOptions(config: MdmConfig, wallMsAtZero: number): MdmOptions {
  const { options, name, addresses, port } = config;
  return {
    ...MDM_DEFAULTS,
    ...{ name, addresses, port, wallMsAtZero },
    leaseMs: options.leaseMs ?? MDM_DEFAULTS.leaseMs,
    detectionMs: options.detectionMs ?? MDM_DEFAULTS.detectionMs,
    driftPercent: options.driftPercent ?? MDM_DEFAULTS.driftPercent,
    drainTimeoutMs: options.drainTimeoutMs ?? MDM_DEFAULTS.drainTimeoutMs,
    deviceAddTimeoutMs: options.deviceAddTimeoutMs ?? MDM_DEFAULTS.deviceAddTimeoutMs,
    combCountLog2: options.combCountLog2 ?? MDM_DEFAULTS.combCountLog2,
    overProvisioningFactor: options.overProvisioningFactor ?? MDM_DEFAULTS.overProvisioningFactor,
    initial: initialSystem(config),
  };
}

/** Ends the process without waiting for anybody: nothing that it could still say is true any more. */
function stepDown(log: ProcessLog, reason: string): void {
  process.stderr.write(`mdm: ${reason}\n`);
  void log.close().finally(() => process.exit(EXIT_FAILED));
}

function makeLinks(config: MdmConfig, secret: Uint8Array, loop: Loop, log: ProcessLog): TcpLinks {
  const { options } = config;
  return new TcpLinks({
    ...{ loop, log },
    rules: handshakeRules('mdm', ['sds', 'sdsData', 'sdc', 'admin', 'lia'], secret),
    identity: { key: 0, incarnation: 0, run: 0, systemId: '' },
    connectTimeoutMs: options.connectTimeoutMs ?? LINK_TIMING.connectTimeoutMs,
    handshakeTimeoutMs: options.handshakeTimeoutMs ?? LINK_TIMING.handshakeTimeoutMs,
    pingIdleMs: options.pingIdleMs ?? LINK_TIMING.pingIdleMs,
    pingDeadMs: options.pingDeadMs ?? LINK_TIMING.pingDeadMs,
  });
}

async function main(): Promise<void> {
  const file = daemonConfigFile('mdm');
  if (file === null) return;
  const config = readMdmConfig(file);
  const { name, stateDir, addresses, port, logLevel } = config;
  const secret = readSecretFile(config.secretFile);
  makePrivateDirectory(stateDir);
  const log = openLog({ component: name, ...(logLevel === undefined ? {} : { level: logLevel }) });
  const store = await LmdbStore.open(join(stateDir, 'store'), secret, log);
  const loop = new Loop();
  const links = makeLinks(config, secret, loop, log);
  const host = {
    steppedDown: (_: number, reason: string): void => {
      stepDown(log, reason);
    },
  };
  const wallMsAtZero = Date.now() - Math.floor(monotonicUs() / 1000);
  const ports = { links, store, log, host };
  const mdm = new Mdm(ports, store.content, machineOptions(config, wallMsAtZero));
  store.attach(loop, mdm);
  links.attach(mdm);
  // The addresses are taken before the term: a second process on the same configuration must not depose the first.
  for (const address of addresses) await links.listen(address.host, port);
  loop.begin();
  mdm.start(loop.nowUs);
  loop.end();
  loop.attach(mdm);
  log.event('info', 'mdm.started', { port });
  onStopSignal(() => {
    links.stop();
    loop.stop();
    log.event('info', 'mdm.stopped', {});
    void store
      .close()
      .then(() => log.close())
      .then(() => process.exit(0));
  });
}

runDaemon('mdm', main, (error) => {
  const isRefused = [StoreError, ContentError, Refusal].some((kind) => error instanceof kind);
  return isRefused ? EXIT_CONFIGURATION : startFailureCode(error);
});
