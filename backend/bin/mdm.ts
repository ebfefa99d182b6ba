// The MDM process: reads its configuration, becomes what its disk says (mdm-node.ts), serves until it is told to end. It
// must never go on after the machine stepped down: the next start reads what was committed.

import { Refusal } from '../mdm/refusal.js';
import { ContentError } from '../mdm/state.js';
import { makePrivateDirectory } from '../runtime/durable-files.js';
import { ForeignPrefixError } from '../runtime/etcd/layout.js';
import { MemberError } from '../runtime/etcd/member.js';
import { handshakeRules } from '../runtime/links/authentication.js';
import { LINK_TIMING, TcpLinks } from '../runtime/links/tcp-links.js';
import { openLog } from '../runtime/log-sink.js';
import type { ProcessLog } from '../runtime/log-sink.js';
import { Loop, monotonicUs } from '../runtime/loop.js';
import { RecordError } from '../runtime/mdm-node/record.js';
import { StoreError } from '../runtime/metadata-store.js';
import { readSecretFile } from '../runtime/secret-file.js';

import { daemonConfigFile } from './daemon-manuals.js';
import { readMdmConfig } from './mdm-config.js';
import type { MdmConfig } from './mdm-config.js';
import { MdmNode } from './mdm-node.js';
import { machineOptions } from './mdm-options.js';
import {
  EXIT_CONFIGURATION,
  EXIT_FAILED,
  onStopSignal,
  runDaemon,
  startFailureCode,
} from './process-exit.js';

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
  const { name, stateDir, logLevel, addresses, port } = config;
  const secret = readSecretFile(config.secretFile);
  makePrivateDirectory(stateDir);
  const log = openLog({ component: name, ...(logLevel === undefined ? {} : { level: logLevel }) });
  const loop = new Loop();
  const links = makeLinks(config, secret, loop, log);
  const options = machineOptions(config, Date.now() - Math.floor(monotonicUs() / 1000));
  const failed = (error: Error): void => {
    stepDown(log, error.message, startFailure(error));
  };
  const node = new MdmNode({ config, secret, log, loop, links, options, failed });
  links.attach(node.machine);
  // The addresses are taken before the term: a second process on the same configuration must not depose the first.
  for (const { host } of addresses) await links.listen(host, port);
  loop.attach(node.machine);
  await node.start();
  log.event('info', 'mdm.started', { port, is: node.report().state });
  onStopSignal(() => {
    // The master key is given up before the links end, so that their clients find another master.
    void node.stop().then(async () => {
      links.stop();
      loop.stop();
      log.event('info', 'mdm.stopped', {});
      await log.close();
      process.exit(0);
    });
  });
}

function startFailure(error: unknown): number {
  const kinds = [StoreError, ContentError, Refusal, ForeignPrefixError, MemberError, RecordError];
  return kinds.some((kind) => error instanceof kind) ? EXIT_CONFIGURATION : startFailureCode(error);
}

runDaemon('mdm', main, startFailure);
