// The two doors of a rolling upgrade: agents of nodes, and the MDM. It owns how they are asked while both are replaced
// underneath; it must never decide what comes next. Neither token nor secret is ever logged.

import { setTimeout as pause } from 'node:timers/promises';
import type { Job } from '../../protocol/lia.js';
import { LIA_PORT } from '../../protocol/lia.js';
import { ClusterError } from '../../runtime/cluster.js';
import type { Cluster } from '../../runtime/cluster.js';
import { MdmSession } from '../../runtime/mdm-session.js';
import { AgentError, LiaClient } from '../../runtime/node-agent/client.js';
import type { UpgradeCluster, UpgradeNode } from '../plan/upgrade.js';
import { MDM_PORT } from '../plan/parts.js';

const ANSWER_MS = 20_000;
const POLL_MS = 500;
/** A session finds the next master by itself; a question may fall into the time between. */
const ASK_MS = 60_000;
/** What only time heals. */
const TRANSIENT: ReadonlySet<string> = new Set([
  'NO_MASTER',
  'NOT_MASTER',
  'NOT_READY',
  'TIMED_OUT',
  'CLUSTER_BUSY',
]);

/** What did not come about in time; the message says what it looked like last. */
export class UpgradeStuck extends Error {
  override readonly name = 'UpgradeStuck';
}

/** Waits until `probe` finds nothing missing any more. @param probe - what is missing, in words; '' : nothing */
export async function untilNothing(
  what: string,
  limitMs: number,
  probe: () => Promise<string>,
): Promise<void> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const missing = await probe();
    if (missing === '') return;
    if (Date.now() > deadline)
      throw new UpgradeStuck(`${what}: not within ${limitMs / 1000} s: ${missing}`);
    await pause(POLL_MS);
  }
}

/** A package file that is to be on a node. */
export interface SignedFile {
  readonly name: string;
  readonly path: string;
  readonly sha256: string;
  readonly signature: string;
}

export class NodeDoor {
  readonly #agent: LiaClient;

  /** @param token - of the agents, 32 bytes */
  constructor(host: string, token: Uint8Array) {
    this.#agent = new LiaClient(host, LIA_PORT, token, ANSWER_MS);
  }

  close(): void {
    this.#agent.close();
  }

  /** @throws AgentError */
  async look(): Promise<UpgradeNode> {
    const { name, addresses, packages, services } = await this.#agent.report();
    return {
      ...{ host: this.#agent.host, name, services },
      addresses: addresses.map(({ address }) => address),
      packages: packages.filter(({ state }) => state !== 'config-files'),
    };
  }

  /** Installs files and waits for the end of that, while the agent itself is replaced. @throws UpgradeStuck, AgentError */
  async install(id: string, files: readonly SignedFile[], limitMs: number): Promise<void> {
    for (const { path, sha256, signature } of files)
      await this.#agent.bring(path, sha256, signature);
    const packages = files.map(({ sha256 }) => sha256);
    const request = { kind: 'install', packages, allowDowngrade: true } as const;
    let job: Job = await this.#agent.submit(id, request);
    await untilNothing('the installation', limitMs, async () => {
      try {
        job = await this.#agent.job(id);
      } catch (error) {
        // It is replaced in the middle; whoever has no answer to give is asked again.
        if (!(error instanceof AgentError) || error.error !== null) throw error;
        return error.message;
      }
      return job.state === 'done' || job.state === 'failed' ? '' : job.message;
    });
    if (job.state === 'failed')
      throw new UpgradeStuck(`the installation failed: ${job.message}\n${job.output}`.trim());
  }
}

export class ClusterDoor {
  readonly #session: MdmSession;

  constructor(hosts: readonly string[], secret: Uint8Array) {
    this.#session = new MdmSession({
      addresses: hosts.map((host) => ({ host, port: MDM_PORT })),
      secret,
      log: { event: () => undefined },
      requestTimeoutMs: ANSWER_MS,
    });
    this.#session.start();
  }

  close(): void {
    this.#session.close();
  }

  /** Asks, and again while the master is on its way from one MDM to another. @throws ClusterError */
  async ask<T>(question: (cluster: Cluster) => Promise<T>): Promise<T> {
    const deadline = Date.now() + ASK_MS;
    for (;;) {
      try {
        return await question(this.#session);
      } catch (error) {
        const passes = error instanceof ClusterError && TRANSIENT.has(error.info.name);
        if (!passes || Date.now() > deadline) throw error;
      }
      await pause(POLL_MS);
    }
  }

  look(): Promise<UpgradeCluster> {
    return this.ask(async (cluster) => {
      const state = await cluster.clusterState();
      const [system] = await cluster.query('system');
      const sds = await cluster.query('sds');
      const devices = await cluster.query('device');
      const here = async (kind: 'sds' | 'device'): Promise<ReadonlySet<number>> => {
        const { statuses } = await cluster.status(kind);
        return new Set(
          statuses.filter(({ liveness }) => liveness === 'connected').map(({ key }) => key),
        );
      };
      const connected = await here('sds');
      const up = await here('device');
      return {
        clusterVersion: system?.clusterVersion ?? 1,
        sds: sds.map(({ key, name, addresses, maintenance, maintenanceStage }) => ({
          ...{ key, name, maintenance, stage: maintenanceStage },
          hosts: addresses.map(({ host }) => host),
          connected: connected.has(key),
        })),
        mdms: state.members.map(({ key, name, host, role, member, master, up: isUp }) => ({
          ...{ key, name, host, isUp },
          ...{ isManager: role === 'manager', isMember: member, isMaster: master },
        })),
        devicesAway: devices
          .filter(({ key, failure }) => !up.has(key) && failure === '')
          .map(({ key, name, path }) => `device ${name === '' ? String(key) : name} (${path})`),
        degradedCombs: state.degradedCombs,
        unavailableCombs: state.unavailableCombs,
      };
    });
  }
}
