// Owns the system that this benchmark exists for: a 3-SDS cluster started by the project's own `npm
// start`, or a running one, with one volume that is measured in each durability mode. All modes
// share the volume: the mode is a setting of its pool and is switched between runs.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { execa } from 'execa';

import { GIB, MIB } from '../../backend/core/units.js';
import { residentMib, startTicksOf } from './accounting.js';
import type { DurabilityMode } from './arguments.js';
import { GatewayClient, readCluster, type Pool } from './cluster.js';
import { endForeign, waitUntil } from './daemons.js';
import { fill, nbdEngine, type Engine } from './fio.js';
import { filesystemAt } from './machine.js';
import type { System, SystemSettings, Target, TargetDescription } from './targets.js';

const REPOSITORY = resolve(import.meta.dirname, '../../..');
const START_TIMEOUT_MS = 300_000;
const GRACE_S = 20;

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
      await project('start', startWords(dir, sizeBytes), signal);
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
    return {
      targets: modes.map((mode) => modeTarget(mode, dir, pool, engine, where)),
      idleResidentMib: Object.fromEntries(idle),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/**
 * Two copies on three sparse devices need two thirds of the size each; the rest is for the log and
 * spare.
 */
function startWords(dir: string, sizeBytes: number): string[] {
  const deviceGib = Math.max(16, Math.ceil(sizeBytes / GIB) + 8);
  return ['--dir', dir, '--device-size', `${deviceGib}G`, '--detach'];
}

function modeTarget(
  mode: DurabilityMode,
  dir: string,
  pool: Pool,
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
    prepare: async () => {
      const gateway = await relogin(dir);
      await gateway.setDurability(pool.id, mode);
    },
    processes: async () => (await readCluster(dir)).processes,
  };
}

async function relogin(dir: string): Promise<GatewayClient> {
  return GatewayClient.login(await readCluster(dir));
}

/**
 * Stops the cluster by its own command; what that leaves running is ended by pid and start time.
 */
async function stopCluster(dir: string, say: (line: string) => void): Promise<void> {
  if (existsSync(join(dir, 'cluster.json'))) {
    const { processes } = await readCluster(dir);
    const running = processes.map((one) => ({ ...one, startTicks: startTicksOf(one.pid) }));
    await project('stop', ['--dir', dir], AbortSignal.timeout(START_TIMEOUT_MS));
    for (const { name, pid, startTicks } of running) {
      if (startTicks === null || startTicksOf(pid) !== startTicks) continue;
      say(`MeshSAN: ${name} (pid ${pid}) still runs after npm run stop; ending it`);
      await endForeign(pid, startTicks, GRACE_S);
    }
  }
  await rm(dir, { recursive: true, force: true });
}

async function project(
  script: 'start' | 'stop',
  words: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const result = await execa('npm', ['run', script, '--', ...words], {
    cwd: REPOSITORY,
    stdin: 'ignore',
    reject: false,
    all: true,
    timeout: START_TIMEOUT_MS,
    cancelSignal: signal,
  });
  signal.throwIfAborted();
  if (result.failed)
    throw new Error(
      `npm run ${script} -- ${words.join(' ')} failed: ${result.all.trim().slice(-2000)}`,
    );
}
