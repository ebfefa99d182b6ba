// Owns the cluster that figures of snapshots are measured on: three storage servers, one MDM, the gateway and two clients,
// each a process of its own, and volumes that are mapped to those.
import { basename, join } from 'node:path';

import { ADMIN_NAME, POOL_NAME, gatewayAddress } from '../../backend/deploy/local/layout.js';
import { GIB } from '../../backend/core/units.js';
import { SECOND_CLIENT } from '../chaos/plan.js';
import { Rig } from '../chaos/rig.js';
import { sampleCpu, type CpuSample, type ProcessRef } from './accounting.js';
import { GatewayClient, type ClusterFile } from './cluster.js';
import type { SystemSettings } from './targets.js';

const SDS_COUNT = 3;
const DEVICE_GIB = 64;
/** Volumes are thin, and hold little. */
const OVER_PROVISIONING = 1000;
/** Volumes that are made at the same time. */
const MADE_AT_ONCE = 16;
const CLIENTS = ['sdc', SECOND_CLIENT] as const;

export interface SnapshotSettings {
  /** Of a group. */
  readonly volumes: number;
  /** Of each thing that is measured. */
  readonly runs: number;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
  readonly row: (what: string, value: string) => void;
}

export interface BenchVolume {
  readonly id: string;
  readonly socket: string;
  readonly client: number;
}

export class SnapshotCluster {
  readonly #rig: Rig;
  readonly #signal: AbortSignal;

  private constructor(rig: Rig, signal: AbortSignal) {
    this.#rig = rig;
    this.#signal = signal;
  }

  static async start({
    workDir,
    signal,
    say,
  }: Omit<SystemSettings, 'sizeBytes'>): Promise<SnapshotCluster> {
    const rig = await Rig.start({
      ...{ dir: join(workDir, 'cluster'), sdsCount: SDS_COUNT, mdms: 1, isolated: false, say },
      ...{ smallDisks: false, throttle: [], powerSeed: null },
      mdmOptions: { overProvisioningFactor: OVER_PROVISIONING },
      deviceBytes: DEVICE_GIB * GIB,
    });
    return new SnapshotCluster(rig, signal);
  }

  /** Thin volumes, in turns at the one and the other client. */
  async addVolumes(count: number, gib: number, name: string): Promise<readonly BenchVolume[]> {
    const volumes: BenchVolume[] = [];
    for (let first = 0; first < count; first += MADE_AT_ONCE) {
      this.#signal.throwIfAborted();
      const some = Array.from({ length: Math.min(MADE_AT_ONCE, count - first) }, (_, index) =>
        this.#addVolume(`${name}${first + index}`, gib, (first + index) % CLIENTS.length),
      );
      volumes.push(...(await Promise.all(some)));
    }
    return volumes;
  }

  async #addVolume(name: string, gib: number, client: number): Promise<BenchVolume> {
    const at = CLIENTS[client] ?? 'sdc';
    const [socket = ''] = await this.#rig.addVolume(name, gib, [at]);
    return { id: basename(socket, '.sock'), socket, client };
  }

  /** A session with the gateway. */
  async gateway(): Promise<GatewayClient> {
    const { paths, layout } = this.#rig;
    const file: ClusterFile = {
      gateway: `https://${gatewayAddress(layout)}:${layout.gatewayPort}`,
      ...{ caFile: paths.caFile, username: ADMIN_NAME, passwordFile: paths.password },
      ...{ storagePool: POOL_NAME, sdcGuid: layout.sdcGuid, nbdDir: paths.nbd, processes: [] },
    };
    return GatewayClient.login(file);
  }

  /** The clocks of everything that runs. */
  sample(): CpuSample {
    const processes = (['mdm', 'sds', 'sdc', 'gateway'] as const).flatMap((role) =>
      this.#rig.keeper.pids(role).map((pid): ProcessRef => ({ name: `${role} ${pid}`, role, pid })),
    );
    return sampleCpu(processes);
  }

  /** What went wrong with its processes meanwhile: a figure with that says nothing. @throws Error */
  requireUnbroken(): void {
    const [first] = this.#rig.keeper.ended;
    if (first !== undefined) throw new Error(`${first.name} ended by itself`);
  }

  async stop(): Promise<void> {
    await this.#rig.stop();
  }
}
