// Upgrades a running cluster, or takes it back, node by node: every node rests while its packages are replaced, and the next
// one begins only when all data has all its copies again. It owns the order and the stop at the first fault; what comes next is
// judged by plan/upgrade.ts from what nodes and cluster say, so a run that stopped is simply run again.

import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ClusterError } from '../runtime/cluster.js';
import { AgentError } from '../runtime/node-agent/client.js';
import { signPackage, signingKey } from '../runtime/node-agent/signature.js';
import { copiesMissing, faultsOf, oldPackages, stepsOf, turns } from './plan/upgrade.js';
import type { UpgradeCluster, UpgradeGoal, UpgradeNode, UpgradeStep } from './plan/upgrade.js';
import { ClusterDoor, NodeDoor, UpgradeStuck, untilNothing } from './shell/upgrade.js';
import type { SignedFile } from './shell/upgrade.js';

const INSTALL_MS = 900_000;
const START_MS = 300_000;
/** Copies of what changed meanwhile. */
const COPY_MS = 3_600_000;
const ACTOR = 'admin';

/** The upgrade may not begin; nothing was changed. */
export class UpgradeRefused extends Error {
  override readonly name = 'UpgradeRefused';
}

/** Where the upgrade stopped; what was done stays. */
export class UpgradeStopped extends Error {
  override readonly name = 'UpgradeStopped';
}

export interface UpgradeRun {
  /** Where the agents of all nodes of the cluster listen. */
  readonly hosts: readonly string[];
  /** Where MDMs listen; empty: on the nodes that run one. */
  readonly mdms: readonly string[];
  /** Of the agents, 32 bytes. */
  readonly token: Uint8Array;
  /** Of the system. */
  readonly secret: Uint8Array;
  /** Vouches for packages. */
  readonly signingKeyPem: string;
  /** Folder with manifest.json. */
  readonly packages: string;
  readonly resume: boolean;
  /** The cluster version is raised at the end. */
  readonly finish: boolean;
  readonly dryRun: boolean;
  readonly say: (line: string) => void;
}

export interface UpgradeReport {
  readonly version: string;
  readonly protocolMax: number;
  readonly clusterVersion: number;
  readonly nodes: readonly {
    readonly name: string;
    readonly host: string;
    readonly from: readonly string[];
    readonly steps: readonly string[];
    readonly seconds: number;
  }[];
  readonly changed: number;
}

interface Manifest extends UpgradeGoal {
  readonly files: ReadonlyMap<string, SignedFile>;
}

function readManifest(folder: string, signingKeyPem: string): Manifest {
  const path = join(folder, 'manifest.json');
  if (!existsSync(path))
    throw new UpgradeRefused(
      `${path} is missing: name the folder that npm run packages makes with --packages`,
    );
  const { version, protocolMax, packages } = JSON.parse(readFileSync(path, 'utf8')) as {
    readonly version: string;
    readonly protocolMax?: number;
    readonly packages: readonly { name: string; file: string; sha256: string }[];
  };
  const key = signingKey(signingKeyPem, 'the signing key');
  const files = packages.map(({ name, file, sha256 }): [string, SignedFile] => [
    name,
    { name, path: join(folder, file), sha256, signature: signPackage(key, sha256) },
  ]);
  // Release 0.1.0 did not say it.
  return { version, protocolMax: protocolMax ?? 1, files: new Map(files) };
}

export function stepText(step: UpgradeStep): string {
  switch (step.kind) {
    case 'handOver':
      return `MDM ${step.heir} becomes the master`;
    case 'rest':
      return `SDS ${step.sds} enters instant maintenance mode`;
    case 'install':
      return `${step.packages.length} packages are installed, their services restarted`;
    case 'return':
      return `SDS ${step.sds} leaves maintenance mode and gets what changed`;
  }
}

const versionsOf = (node: UpgradeNode): readonly string[] =>
  [...new Set(node.packages.map(({ version }) => version))].sort();

class Upgrade {
  readonly #run: UpgradeRun;
  readonly #goal: Manifest;
  readonly #doors = new Map<string, NodeDoor>();
  readonly #stamp = randomBytes(4).toString('hex');
  readonly #done: UpgradeReport['nodes'][number][] = [];
  #cluster: ClusterDoor | null = null;
  #changed = 0;

  constructor(run: UpgradeRun) {
    this.#run = run;
    this.#goal = readManifest(run.packages, run.signingKeyPem);
    for (const host of run.hosts) this.#doors.set(host, new NodeDoor(host, run.token));
  }

  async all(): Promise<UpgradeReport> {
    try {
      const nodes = await this.#lookAtNodes();
      this.#cluster = this.#openCluster(nodes);
      const cluster = await this.#mdm.look();
      this.#check(nodes, cluster);
      for (const { host } of turns(nodes, cluster)) await this.#node(host);
      if (this.#run.finish && !this.#run.dryRun) await this.#finish();
      return await this.#report();
    } catch (error) {
      if (error instanceof ClusterError)
        throw new UpgradeStopped(`the cluster: ${error.message}`, { cause: error });
      if (error instanceof AgentError || error instanceof UpgradeStuck)
        throw new UpgradeStopped(error.message, { cause: error });
      throw error;
    } finally {
      this.#cluster?.close();
      for (const door of this.#doors.values()) door.close();
    }
  }

  get #mdm(): ClusterDoor {
    if (this.#cluster === null) throw new UpgradeStopped('no MDM was found');
    return this.#cluster;
  }

  async #lookAtNodes(): Promise<UpgradeNode[]> {
    const seen = await Promise.allSettled([...this.#doors.values()].map((door) => door.look()));
    const faults = seen.flatMap((outcome) =>
      outcome.status === 'rejected' ? [(outcome.reason as Error).message] : [],
    );
    if (faults.length > 0) throw new UpgradeRefused(faults.join('; '));
    return seen.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  }

  #openCluster(nodes: readonly UpgradeNode[]): ClusterDoor {
    const { mdms, secret } = this.#run;
    const found = nodes
      .filter(({ services }) =>
        services.some(({ unit, state }) => unit === 'meshsan-mdm' && state === 'active'),
      )
      .map(({ host }) => host);
    const hosts = mdms.length > 0 ? mdms : found;
    if (hosts.length === 0) throw new UpgradeRefused('no node runs an MDM; name one with --mdm');
    return new ClusterDoor(hosts, secret);
  }

  #check(nodes: readonly UpgradeNode[], cluster: UpgradeCluster): void {
    const faults = [...faultsOf(nodes, cluster, this.#goal, this.#run.resume)];
    for (const node of nodes)
      for (const { name } of node.packages)
        if (!this.#goal.files.has(name))
          faults.push(`${this.#run.packages} has no ${name}, which ${node.name} has`);
    if (faults.length > 0) throw new UpgradeRefused(faults.join('; '));
  }

  /** What is left to be done on a node, judged again before each step. */
  async #node(host: string): Promise<void> {
    const before = await this.#door(host).look();
    const steps = stepsOf(before, await this.#mdm.look(), this.#goal);
    if (steps.length === 0) return;
    const began = Date.now();
    for (const step of steps) {
      const text = stepText(step);
      this.#run.say(`${before.name}: ${this.#run.dryRun ? 'would: ' : ''}${text}`);
      if (this.#run.dryRun) continue;
      try {
        await this.#step(before, step);
      } catch (error) {
        throw new UpgradeStopped(
          `stopped at node ${before.name} (${host}), ${text}: ${(error as Error).message}; when that is put right, run it again with --resume`,
          { cause: error },
        );
      }
      this.#changed++;
    }
    const seconds = Math.round((Date.now() - began) / 1000);
    const { name } = before;
    this.#done.push({ name, host, from: versionsOf(before), steps: steps.map(stepText), seconds });
  }

  #door(host: string): NodeDoor {
    const door = this.#doors.get(host);
    if (door === undefined) throw new UpgradeStopped(`${host} is no node of this run`);
    return door;
  }

  async #step(node: UpgradeNode, step: UpgradeStep): Promise<void> {
    switch (step.kind) {
      case 'handOver':
        return this.#handOver(step.heirKey);
      case 'rest':
        return this.#rest(step.sdsKey);
      case 'install':
        return this.#install(node, step.packages);
      case 'return':
        return this.#return(step.sdsKey);
    }
  }

  async #handOver(key: number): Promise<void> {
    await this.#mdm.ask((cluster) => cluster.command('SWITCH_MDM_OWNERSHIP', ACTOR, { key }));
    await untilNothing('the change of the master', START_MS, async () => {
      const { mdms } = await this.#mdm.look();
      return mdms.some((mdm) => mdm.key === key && mdm.isMaster) ? '' : 'it is still another one';
    });
  }

  async #rest(key: number): Promise<void> {
    // A new master hears of devices, and so of good copies, only as they come to it.
    await untilNothing('all copies', COPY_MS, async () => {
      const now = await this.#mdm.look();
      const away = now.sds.filter(({ connected }) => !connected).map(({ name }) => `SDS ${name}`);
      return [...away, ...copiesMissing(now)].join(', ');
    });
    const { sds: all } = await this.#mdm.look();
    // One that stopped on its way in is still on it.
    if (all.find((found) => found.key === key)?.maintenance === 'none')
      await this.#mdm.ask((cluster) =>
        cluster.command('ENTER_MAINTENANCE', ACTOR, { key, maintenance: 'instant' }),
      );
    await untilNothing('maintenance mode', START_MS, async () => {
      const sds = (await this.#mdm.look()).sds.find((found) => found.key === key);
      return sds?.stage === 'active' ? '' : `it is ${sds?.stage ?? 'gone'}`;
    });
  }

  async #install(node: UpgradeNode, packages: readonly string[]): Promise<void> {
    const files = packages.flatMap((name) => this.#goal.files.get(name) ?? []);
    const door = this.#door(node.host);
    await door.install(`upgrade-${this.#stamp}-${this.#done.length}`, files, INSTALL_MS);
    const active = node.services.filter(({ state }) => state === 'active').map(({ unit }) => unit);
    await untilNothing('the services', START_MS, async () => {
      const now = await door.look().catch((error: unknown) => {
        if (error instanceof AgentError) return error.message;
        throw error;
      });
      if (typeof now === 'string') return now;
      const old = oldPackages(now, this.#goal.version);
      if (old.length > 0) return `${old.join(', ')} are not of ${this.#goal.version}`;
      return active
        .filter((unit) => !now.services.some((row) => row.unit === unit && row.state === 'active'))
        .join(', ');
    });
    await untilNothing('the MDMs', START_MS, async () => {
      const { mdms } = await this.#mdm.look();
      return mdms
        .filter(({ isUp }) => !isUp)
        .map(({ name }) => name)
        .join(', ');
    });
  }

  async #return(key: number): Promise<void> {
    await untilNothing('the SDS', START_MS, async () => {
      const cluster = await this.#mdm.look();
      const sds = cluster.sds.find((found) => found.key === key);
      if (sds?.connected !== true) return 'it is not connected';
      return cluster.devicesAway.join(', ');
    });
    const { sds } = await this.#mdm.look();
    if (sds.find((found) => found.key === key)?.stage !== 'exiting')
      await this.#mdm.ask((cluster) =>
        cluster.command('EXIT_MAINTENANCE', ACTOR, { key, abort: false, force: false }),
      );
    await untilNothing('all copies', COPY_MS, async () => {
      const now = await this.#mdm.look();
      const own = now.sds.find((found) => found.key === key);
      if (own?.maintenance !== 'none') return `it is ${own?.stage ?? 'gone'}`;
      return copiesMissing(now).join(', ');
    });
  }

  async #finish(): Promise<void> {
    const { protocolMax } = this.#goal;
    const { clusterVersion } = await this.#mdm.look();
    if (clusterVersion >= protocolMax) return;
    this.#run.say(`the cluster version is raised from ${clusterVersion} to ${protocolMax}`);
    // Clients that were just restarted may not be back yet.
    const deadline = Date.now() + START_MS;
    for (;;) {
      try {
        await this.#mdm.ask((cluster) =>
          cluster.command('RAISE_CLUSTER_VERSION', ACTOR, { version: protocolMax }),
        );
        this.#changed++;
        return;
      } catch (error) {
        const waits = error instanceof ClusterError && error.info.name === 'COMPONENTS_OLD';
        if (!waits || Date.now() > deadline) throw error;
      }
      await new Promise((done) => setTimeout(done, 1000));
    }
  }

  async #report(): Promise<UpgradeReport> {
    const { version, protocolMax } = this.#goal;
    const { clusterVersion } = await this.#mdm.look();
    const done = { nodes: this.#done, changed: this.#changed };
    return { version, protocolMax, clusterVersion, ...done };
  }
}

/**
 * Brings all nodes to the version of a folder of packages, one after the other.
 *
 * @throws UpgradeRefused before anything was changed; UpgradeStopped at the first fault
 */
export async function upgrade(run: UpgradeRun): Promise<UpgradeReport> {
  return new Upgrade(run).all();
}
