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
import { ForeignPrefixError } from '../runtime/etcd/layout.js';
import { MemberError } from '../runtime/etcd/member.js';
import { openLog } from '../runtime/log-sink.js';
import type { ProcessLog } from '../runtime/log-sink.js';
import { Loop, monotonicUs } from '../runtime/loop.js';
import { LmdbStore, StoreError } from '../runtime/metadata-store.js';
import { readSecretFile } from '../runtime/secret-file.js';

import { daemonConfigFile } from './daemon-manuals.js';
import { startManager, startTieBreaker } from './mdm-cluster.js';
import type { ClusterNode, ClusterTools } from './mdm-cluster.js';
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
  const { options, addresses, port, cluster } = config;
  // In a cluster it is known by the name of its member.
  const name = cluster?.member ?? config.name;
  return {
    ...MDM_DEFAULTS,
    ...{ name, addresses, port, wallMsAtZero },
    leaseMs: options.leaseMs ?? MDM_DEFAULTS.leaseMs,
    detectionMs: options.detectionMs ?? MDM_DEFAULTS.detectionMs,
    driftPercent: options.driftPercent ?? MDM_DEFAULTS.driftPercent,
    drainTimeoutMs: options.drainTimeoutMs ?? MDM_DEFAULTS.drainTimeoutMs,
    rebuildDelayMs: options.rebuildDelayMs ?? MDM_DEFAULTS.rebuildDelayMs,
    rebalanceDelayMs: options.rebalanceDelayMs ?? MDM_DEFAULTS.rebalanceDelayMs,
    movesPerDevice: options.movesPerDevice ?? MDM_DEFAULTS.movesPerDevice,
    movesMax: options.movesMax ?? MDM_DEFAULTS.movesMax,
    deviceAddTimeoutMs: options.deviceAddTimeoutMs ?? MDM_DEFAULTS.deviceAddTimeoutMs,
    combCountLog2: options.combCountLog2 ?? MDM_DEFAULTS.combCountLog2,
    overProvisioningFactor: options.overProvisioningFactor ?? MDM_DEFAULTS.overProvisioningFactor,
    initial: initialSystem(config),
    members: (cluster?.members ?? []).map((member) => ({
      ...{ name: member.name, host: member.host, port: member.clientPort, role: member.role },
    })),
  };
}

/** Ends the process without waiting for anybody: nothing that it could still say is true any more. */
function stepDown(log: ProcessLog, reason: string, code: number = EXIT_FAILED): void {
  process.stderr.write(`mdm: ${reason}\n`);
  void log.close().finally(() => process.exit(code));
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
  const { name, stateDir, logLevel } = config;
  const secret = readSecretFile(config.secretFile);
  makePrivateDirectory(stateDir);
  const log = openLog({ component: name, ...(logLevel === undefined ? {} : { level: logLevel }) });
  const { cluster } = config;
  if (cluster === undefined) await runAlone(config, secret, log);
  else await runInCluster({ config, cluster, secret, log });
}

/** The one MDM of a system, with a store of its own. */
async function runAlone(config: MdmConfig, secret: Uint8Array, log: ProcessLog): Promise<void> {
  const { stateDir, addresses, port } = config;
  const store = await LmdbStore.open(join(stateDir, 'store'), secret, log);
  const loop = new Loop();
  const links = makeLinks(config, secret, loop, log);
  const host = {
    steppedDown: (_: number, reason: string): void => {
      stepDown(log, reason);
    },
  };
  const ports = { links, store, log, host };
  const mdm = new Mdm(ports, store.content, machineOptions(config, wallMsAtZero()));
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

async function runInCluster(tools: ClusterTools): Promise<void> {
  const { config, cluster, secret, log } = tools;
  const { port } = config;
  const role = cluster.members.find(({ name }) => name === cluster.member)?.role;
  const loop = new Loop();
  let node: ClusterNode;
  let links: TcpLinks | null = null;
  if (role === 'tieBreaker') node = await startTieBreaker(tools);
  else {
    links = makeLinks(config, secret, loop, log);
    const failed = (error: Error): void => {
      stepDown(log, error.message, startFailure(error));
    };
    const options = machineOptions(config, wallMsAtZero());
    node = await startManager(tools, loop, links, options, failed);
  }
  log.event('info', 'mdm.started', { port, role: role ?? '' });
  onStopSignal(() => {
    // The key is given up before the links end, so that their clients find another master.
    void node.stop().then(async () => {
      links?.stop();
      loop.stop();
      log.event('info', 'mdm.stopped', {});
      await log.close();
      process.exit(0);
    });
  });
}

function wallMsAtZero(): number {
  return Date.now() - Math.floor(monotonicUs() / 1000);
}

function startFailure(error: unknown): number {
  const kinds = [StoreError, ContentError, Refusal, ForeignPrefixError, MemberError];
  return kinds.some((kind) => error instanceof kind) ? EXIT_CONFIGURATION : startFailureCode(error);
}

runDaemon('mdm', main, startFailure);
