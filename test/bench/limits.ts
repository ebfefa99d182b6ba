// `npm run bench -- --limits`: whether the limits (QoS) of a mapping hold, second by second, on every way to a volume. It owns
// the cluster, the ways and the load; it measures and never judges.
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { MIB } from '../../backend/core/units.js';
import { MeasuredLoad, fill, overNbd } from '../support/io-log.js';
import type { LimitOptions, Transport } from './arguments.js';
import { GatewayClient, readCluster } from './cluster.js';
import { startDaemon, waitUntil, type Daemon } from './daemons.js';
import { LIMITED_JOBS, rowOf, type LimitedJob, type StageRow } from './limit-stages.js';
import { startCluster, stopCluster } from './started.js';

/** Of each stage; what begins in it is not counted. */
const FIRST_MS = 1000;
const SECOND_MS = 1000;
const WARM_MS = 5000;
const APPEARS_S = 30;
const SIZE_BYTES = 256 * MIB;

interface Place {
  readonly workDir: string;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

/** A volume, and how fio reaches it. */
interface Volume {
  readonly id: string;
  readonly socket: string;
}

/** Starts a cluster, measures, and stops it. */
export async function measureLimits(options: LimitOptions, place: Place): Promise<StageRow[]> {
  const { workDir, signal, say } = place;
  const dir = join(workDir, 'cluster');
  const daemons: Daemon[] = [];
  try {
    say('starting a cluster of three SDSs');
    const attached = options.transports.includes('device');
    await startCluster(dir, SIZE_BYTES, attached ? ['--attach'] : [], signal);
    const cluster = await readCluster(dir);
    const gateway = await GatewayClient.login(cluster);
    const id = await gateway.createVolume((await gateway.pool()).id, 'limits', SIZE_BYTES);
    await gateway.mapVolume(id);
    const volume = { id, socket: join(cluster.nbdDir, `${id}.sock`) };
    await waitUntil('the export', APPEARS_S, signal, () => existsSync(volume.socket));
    say(`writing ${SIZE_BYTES / MIB} MiB`);
    await fill(volume.socket, SIZE_BYTES / MIB);
    const rows: StageRow[] = [];
    for (const transport of options.transports) {
      const way = await wayOf(transport, volume, place, daemons);
      for (const job of LIMITED_JOBS) {
        const load = { ...job, sizeMib: SIZE_BYTES / MIB, iops: 0 };
        rows.push(
          ...(await stages(transport, job, { options, place, gateway, volume, way, load })),
        );
      }
    }
    return rows;
  } finally {
    for (const daemon of daemons) await daemon.stop();
    await stopCluster(dir, say);
  }
}

/** fio's words of a way to the volume. */
async function wayOf(
  transport: Transport,
  { id, socket }: Volume,
  { workDir, signal }: Place,
  daemons: Daemon[],
): Promise<readonly string[]> {
  if (transport === 'nbd') return overNbd(socket);
  if (transport === 'qemu') {
    // QEMU's own client of NBD and its block layer, as a virtual machine has them, behind a server that fio can ask.
    const behind = join(workDir, 'qemu.sock');
    const logFile = join(workDir, 'qemu-nbd.log');
    const ours = `nbd+unix:///?socket=${socket}`;
    const args = ['--socket', behind, '--format=raw', '--cache=none', '--persistent', ours];
    const daemon = startDaemon({
      ...{ name: 'qemu-nbd', role: 'qemu', command: 'qemu-nbd', args, logFile },
    });
    daemons.push(daemon);
    const served = (): boolean => existsSync(behind);
    await waitUntil('the socket of qemu-nbd', APPEARS_S, signal, served, [{ daemon, logFile }]);
    return overNbd(behind);
  }
  const system = id.slice(0, 8) + '00000001';
  const device = `/dev/disk/by-id/emc-vol-${system}-${id}`;
  await waitUntil(device, APPEARS_S, signal, () => existsSync(device));
  return ['--ioengine=libaio', '--direct=1', `--filename=${device}`];
}

interface Run {
  readonly options: LimitOptions;
  readonly place: Place;
  readonly gateway: GatewayClient;
  readonly volume: Volume;
  readonly way: readonly string[];
  readonly load: ConstructorParameters<typeof MeasuredLoad>[2];
}

/** One load, whose limits change while it runs. */
async function stages(transport: Transport, job: LimitedJob, run: Run): Promise<StageRow[]> {
  const { options, place, gateway, volume, way, load } = run;
  const folder = join(place.workDir, `log-${transport}-${job.blockBytes}`);
  await mkdir(folder);
  const begun: number[] = [];
  const measured = new MeasuredLoad(way, folder, load);
  try {
    await gateway.setLimits(volume.id, 0, 0);
    // Until then code is not compiled, and does less than what is allowed.
    await delay(WARM_MS, undefined, { signal: place.signal });
    for (const stage of job.stages) {
      await gateway.setLimits(volume.id, stage.iops, stage.kbps);
      begun.push(Date.now() + FIRST_MS);
      await delay(FIRST_MS + options.runtimeS * SECOND_MS, undefined, { signal: place.signal });
    }
  } catch (error) {
    // Whatever the load says of its end is second to why it was ended.
    await measured.end().catch((also: unknown) => {
      place.say(String(also));
    });
    throw error;
  }
  const log = await measured.end();
  return job.stages.map((stage, index) => {
    const fromMs = begun[index] ?? NaN;
    const perSecond = Array.from({ length: options.runtimeS }, (_, second) =>
      log.count(fromMs + second * SECOND_MS, fromMs + (second + 1) * SECOND_MS),
    );
    const row = rowOf({ transport, job: job.title, stage }, job.blockBytes, perSecond);
    place.say(`${transport}, ${job.title}: ${JSON.stringify(stage)}: ${perSecond.join(' ')}`);
    return row;
  });
}
