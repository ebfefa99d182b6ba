// Owns the system that this benchmark exists for: a 3-SDS cluster started by the project's own `npm
// start`, or a running one, with one volume that is measured in each durability mode. All modes
// share the volume: the mode is a setting of its pool and is switched between runs.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { MIB } from '../../backend/core/units.js';
import { residentMib, startTicksOf } from './accounting.js';
import type { DurabilityMode } from './arguments.js';
import { GatewayClient, readCluster, type Pool } from './cluster.js';
import { waitUntil } from './daemons.js';
import { fill, nbdEngine, runJob, type Engine } from './fio.js';
import { jobNamed } from './jobs.js';
import { filesystemAt } from './machine.js';
import { startCluster, stopCluster } from './started.js';
import type { System, SystemSettings, Target, TargetDescription } from './targets.js';

/** Devices are opened again within this time when the way in which they are opened changes. */
const REOPEN_S = 90;
/** Unmeasured I/O after the data processes started anew: until then their code is not compiled. */
const WARM_UP_S = 5;
const WARM_UP_JOB = 'randwrite-4k-qd32';
const DATA_ROLE = 'sds-data';

const MODES: Readonly<
  Record<DurabilityMode, Pick<TargetDescription, 'acknowledgement' | 'durable'>>
> = {
  media: { acknowledgement: 'flushed', durable: 'both copies flushed to media (group commit)' },
  device: {
    acknowledgement: 'handed-to-device',
    durable: 'both copies handed to the device, whose own cache may hold them (O_DIRECT, no flush)',
  },
  memory: {
    acknowledgement: 'cached',
    durable: "both copies in the servers' page caches; on media only after a flush",
  },
};

/** Starts a cluster in the work directory, or uses that of `clusterDir`, and fills a new volume. */
export async function startMeshsan(
  settings: SystemSettings,
  modes: readonly DurabilityMode[],
  clusterDir: string | null,
): Promise<System> {
  const { sizeBytes, workDir, signal, say } = settings;
  const dir = clusterDir === null ? join(workDir, 'cluster') : resolve(clusterDir);
  const undo: (() => Promise<void>)[] = [];
  const stop = async (): Promise<void> => {
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step();
  };
  try {
    if (clusterDir === null) {
      say('MeshSAN: starting a cluster of three SDSs');
      undo.push(() => stopCluster(dir, say));
      await startCluster(dir, sizeBytes, [], signal);
    }
    const cluster = await readCluster(dir);
    const idle = cluster.processes.map((one) => [`meshsan ${one.name}`, residentMib(one)] as const);
    const gateway = await GatewayClient.login(cluster);
    const pool = await gateway.pool();
    const name = `bench-${randomBytes(6).toString('hex')}`;
    const volumeId = await gateway.createVolume(pool.id, name, sizeBytes);
    // A session expires in the course of a long benchmark, so each later step logs in anew.
    undo.push(async () => (await relogin(dir)).removeVolume(volumeId));
    undo.push(async () => (await relogin(dir)).setDurability(pool.id, pool.durability));
    await gateway.mapVolume(volumeId);
    const socket = join(cluster.nbdDir, `${volumeId}.sock`);
    await waitUntil(`the export ${socket}`, 30, signal, () => existsSync(socket));
    say(`MeshSAN: writing ${sizeBytes / MIB} MiB`);
    const engine = nbdEngine(socket);
    // A cluster that was started elsewhere need not share the disk of the floor.
    const { type, device } = await filesystemAt(dir);
    const where =
      clusterDir === null ? '' : `, running cluster with its state on ${type} (${device})`;
    await fill(engine, sizeBytes, signal);
    const switcher = new ModeSwitch(dir, pool, engine, settings);
    await switcher.warmUp();
    return {
      targets: modes.map((mode) => modeTarget(mode, dir, switcher, engine, where)),
      idleResidentMib: Object.fromEntries(idle),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Switches the pool between modes, and waits until the cluster serves in the new one. */
class ModeSwitch {
  readonly #dir: string;
  readonly #pool: Pool;
  readonly #engine: Engine;
  readonly #settings: SystemSettings;
  #mode: DurabilityMode;

  constructor(dir: string, pool: Pool, engine: Engine, settings: SystemSettings) {
    this.#dir = dir;
    this.#pool = pool;
    this.#engine = engine;
    this.#settings = settings;
    this.#mode = pool.durability;
  }

  async to(mode: DurabilityMode): Promise<void> {
    const from = this.#mode;
    if (mode === from) return;
    const before = await this.#dataProcesses();
    await (await relogin(this.#dir)).setDurability(this.#pool.id, mode);
    this.#mode = mode;
    // Devices are opened direct in the one mode only, which takes new data processes.
    if ((mode === 'device') === (from === 'device')) return;
    const { signal } = this.#settings;
    await waitUntil('new data processes', REOPEN_S, signal, async () => {
      const now = await this.#dataProcesses();
      const anew = ([name, pid]: [string, number]): boolean =>
        before.get(name) !== pid && startTicksOf(pid) !== null;
      return now.size === before.size && [...now].every(anew);
    });
    await this.warmUp();
  }

  /** Requests wait inside the SDC until the devices are served. */
  async warmUp(): Promise<void> {
    const { sizeBytes, signal } = this.#settings;
    const warmUp = { sizeBytes, runtimeS: WARM_UP_S };
    const job = jobNamed(WARM_UP_JOB);
    if (job !== undefined) await runJob(job, this.#engine, warmUp, signal);
  }

  async #dataProcesses(): Promise<Map<string, number>> {
    const { processes } = await readCluster(this.#dir);
    const data = processes.filter(({ role }) => role === DATA_ROLE);
    return new Map(data.map(({ name, pid }) => [name, pid]));
  }
}

function modeTarget(
  mode: DurabilityMode,
  dir: string,
  switcher: ModeSwitch,
  engine: Engine,
  where: string,
): Target {
  return {
    description: {
      name: `meshsan-${mode}`,
      version: `MeshSAN, pool durability ${mode}${where}`,
      copies: 2,
      ...MODES[mode],
      cached: "the primary SDS's page cache, as far as memory holds the measured range",
    },
    engine,
    takes: () => true,
    prepare: () => switcher.to(mode),
    processes: async () => (await readCluster(dir)).processes,
  };
}

async function relogin(dir: string): Promise<GatewayClient> {
  return GatewayClient.login(await readCluster(dir));
}
