// An MDM of a cluster as a process: the etcd member of its node, the shared store, and the machine that is standby or
// master. It must never end the member because the MDM ended: the others may need it for their majority.

import { join } from 'node:path';

import { Manager } from '../mdm/manager.js';
import type { MdmOptions } from '../mdm/options.js';
import { makeEtcdTls, writeEtcdTls } from '../runtime/etcd/certificates.js';
import type { EtcdTls } from '../runtime/etcd/client.js';
import { MemberHealth } from '../runtime/etcd/health.js';
import { EtcdMember } from '../runtime/etcd/member.js';
import { EtcdStore } from '../runtime/etcd/store.js';
import type { TcpLinks } from '../runtime/links/tcp-links.js';
import type { ProcessLog } from '../runtime/log-sink.js';
import type { Loop } from '../runtime/loop.js';
import { OPTIONS } from '../protocol/tables/options.js';

import type { ClusterConfig, MdmConfig } from './mdm-config.js';

const RENEW_MS = 24 * 3_600_000;
const CHECK_MS = 2000;

/** Part of the detection time for which a master that cannot be confirmed holds on to its links. */
const HOLD_ON_OF_DETECTION = 0.4;

/** What runs on a node of an MDM cluster. */
export interface ClusterNode {
  /** Ends everything in order. */
  stop(): Promise<void>;
}

export interface ClusterTools {
  readonly config: MdmConfig;
  readonly cluster: ClusterConfig;
  readonly secret: Uint8Array;
  readonly log: ProcessLog;
}

/** Starts the etcd member of the node. @throws MemberError */
async function startMember({ config, cluster, secret, log }: ClusterTools): Promise<{
  readonly member: EtcdMember;
  readonly tls: () => EtcdTls;
  readonly stop: () => Promise<void>;
}> {
  const self = cluster.members.find(({ name }) => name === cluster.member);
  if (self === undefined) throw new Error('the configuration was checked');
  const directory = join(config.stateDir, 'etcd');
  let material = await makeEtcdTls(secret, [self.host], Date.now());
  const write = (): void => {
    writeEtcdTls(join(directory, 'tls'), material);
  };
  write();
  const renewal = setInterval(() => {
    makeEtcdTls(secret, [self.host], Date.now())
      .then((made) => {
        material = made;
        write();
      })
      .catch((error: unknown) => {
        log.event('error', 'etcd.certificate-not-renewed', { reason: String(error) });
      });
  }, RENEW_MS);
  renewal.unref();
  const { program, members, prefix } = cluster;
  const member = new EtcdMember({
    ...{ program, directory, self, members, joins: false, log },
    clusterToken: `meshsan${prefix.replaceAll('/', '-')}`,
  });
  await member.start();
  const stop = async (): Promise<void> => {
    clearInterval(renewal);
    await member.stop();
  };
  return { member, tls: () => material, stop };
}

/** Runs a tie-breaker: a member of etcd, for the majority only. @throws MemberError */
export async function startTieBreaker(tools: ClusterTools): Promise<ClusterNode> {
  const { stop } = await startMember(tools);
  return { stop };
}

/**
 * Runs a manager: the member and an MDM, which begins as standby.
 *
 * @param failed - hears when it cannot go on
 * @throws MemberError; ForeignPrefixError when the prefix belongs to another system
 */
export async function startManager(
  tools: ClusterTools,
  loop: Loop,
  links: TcpLinks,
  options: MdmOptions,
  failed: (error: Error) => void,
): Promise<ClusterNode> {
  const { config, cluster, secret, log } = tools;
  const { tls, stop: stopMember } = await startMember(tools);
  const own = cluster.members.filter(({ name }) => name === cluster.member);
  const others = cluster.members.filter(({ name }) => name !== cluster.member);
  const endpoints = [...own, ...others].map(({ host, clientPort }) => ({ host, port: clientPort }));
  const store = new EtcdStore({ endpoints, tls, log, prefix: cluster.prefix, secret });
  await store.check(CHECK_MS);
  const [address] = config.addresses;
  const place = { name: cluster.member, host: address?.host ?? '', port: config.port };
  const beatMs = config.options.masterBeatMs ?? OPTIONS.masterBeatMs.default;
  const silenceMs = config.options.masterSilenceMs ?? OPTIONS.masterSilenceMs.default;
  const giveUpMs = silenceMs + Math.floor(options.detectionMs * HOLD_ON_OF_DETECTION);
  const health = new MemberHealth(cluster.members, { tls, log });
  const isMemberUp = (name: string): boolean => health.isUp(name);
  const ports = { links, store, log, isMemberUp };
  const manager = new Manager(ports, place, { beatMs, silenceMs, giveUpMs }, options);
  store.attach(loop, manager, failed);
  links.attach(manager);
  for (const { host } of config.addresses) await links.listen(host, config.port);
  loop.begin();
  manager.start(loop.nowUs);
  loop.end();
  loop.attach(manager);
  return {
    stop: async () => {
      manager.stop();
      health.stop();
      await store.close();
      await stopMember();
    },
  };
}
