// One bridge: its parts put together, and what needs several of them. It keeps nothing that another bridge would have to
// know, so any number may run.

import type { Log } from '../backend/core/ports.js';

import { Attachments } from './attachments.js';
import { Copies } from './copies.js';
import { ExistingSnapshots } from './existing-snapshots.js';
import { KB_PER_GIB } from './gateway/cluster.js';
import type { Cluster } from './gateway/cluster.js';
import type { GatewayState } from './gateway/client.js';
import type { HostRules } from './hosts.js';
import { compare, ledgerRows } from './ledger.js';
import type { Finding, Known, LedgerRow, LedgerState, Repair } from './ledger.js';
import { Volumes } from './volumes.js';
import type { PoolName } from './volumes.js';

/** What this release can do; the driver asks before it promises anything to Cinder. */
export const FEATURES = {
  thin: true,
  thick: true,
  extendAttached: true,
  multiattach: true,
  manage: true,
  sizeGranularityGib: 1,
  snapshots: true,
  groupSnapshots: true,
  clones: true,
  revert: true,
  poolMigration: false,
  qos: true,
  encryption: false,
} as const;

export interface Health {
  readonly status: 'up' | 'degraded' | 'down';
  readonly gateways: readonly GatewayState[];
  readonly version: string;
}

/** Whole GiB; free and total are what mirrored volumes can hold. */
export interface CapacityView {
  readonly totalGib: number;
  readonly freeGib: number;
  readonly provisionedGib: number;
  readonly volumes: number;
}

export type RepairOutcome = 'done' | 'replaced';

const gib = (kb: number): number => Math.floor(kb / KB_PER_GIB);

export class Bridge {
  readonly volumes: Volumes;
  readonly attachments: Attachments;
  readonly copies: Copies;
  readonly existingSnapshots: ExistingSnapshots;
  private readonly cluster: Cluster;
  private readonly log: Log;
  private readonly version: string;

  constructor(cluster: Cluster, rules: HostRules, log: Log, version: string) {
    this.cluster = cluster;
    this.log = log;
    this.version = version;
    this.volumes = new Volumes(cluster, log);
    this.copies = new Copies(cluster, this.volumes, log);
    this.existingSnapshots = new ExistingSnapshots(cluster, this.volumes, log);
    this.attachments = new Attachments(cluster, this.volumes, rules, log);
  }

  /** `down`: Cinder's requests would fail now. */
  async health(): Promise<Health> {
    const [gateways, ready] = await Promise.all([
      this.cluster.client.health(),
      this.cluster.client.isReady(),
    ]);
    const all = gateways.every(({ reachable }) => reachable);
    let status: Health['status'] = 'down';
    if (ready) status = all ? 'up' : 'degraded';
    return { status, gateways, version: this.version };
  }

  async capacity(at: PoolName): Promise<CapacityView> {
    const pool = await this.volumes.pool(at);
    const capacity = await this.cluster.capacity(pool.id);
    const { netCapacityInUseInKb: used, netUnusedCapacityInKb: unused } = capacity;
    return {
      totalGib: gib(used + unused),
      freeGib: gib(unused),
      provisionedGib: gib(capacity.netProvisionedAddressesInKb),
      volumes: capacity.numOfVolumes,
    };
  }

  async ledger(): Promise<readonly LedgerRow[]> {
    return ledgerRows(await this.ledgerState());
  }

  /** What differs between the cluster and Cinder. @param nowSeconds - wall clock */
  async findings(
    known: Known,
    nowSeconds: number,
    minAgeSeconds: number,
  ): Promise<readonly Finding[]> {
    return compare(await this.ledgerState(), known, nowSeconds, minAgeSeconds);
  }

  /** Takes steps of a report; a step whose generation has been replaced meanwhile does nothing. */
  async repair(steps: readonly Repair[]): Promise<readonly RepairOutcome[]> {
    const outcomes: RepairOutcome[] = [];
    for (const step of steps) {
      const { meshsanId, generation } = step;
      const done =
        step.step === 'unmap'
          ? await this.cluster.unmap(meshsanId, step.sdcId, generation)
          : (await this.cluster.release(meshsanId, step.holder, generation)) !== null;
      this.log.event('warn', 'bridge.repaired', { ...step, done });
      outcomes.push(done ? 'done' : 'replaced');
    }
    return outcomes;
  }

  private async ledgerState(): Promise<LedgerState> {
    const [volumes, sdcs, attachments] = await Promise.all([
      this.cluster.volumes(),
      this.cluster.sdcs(),
      this.cluster.attachments(null),
    ]);
    return { volumes, sdcs, attachments };
  }
}
