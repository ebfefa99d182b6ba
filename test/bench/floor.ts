// Owns the floor: nbdkit's file plugin on one file, which is what a single copy without network,
// checksums or replication costs over the same protocol. Two servers share the file and so its
// page cache: one as it comes, one that flushes every write before its acknowledgement.
import { existsSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { MIB } from '../../backend/core/units.js';
import { residentMib } from './accounting.js';
import { startDaemon, waitUntil, type Daemon } from './daemons.js';
import { fill, nbdEngine } from './fio.js';
import { packageVersion } from './packages.js';
import {
  FLUSHED_FLOOR,
  PLAIN_FLOOR,
  type System,
  type SystemSettings,
  type Target,
  type TargetDescription,
} from './targets.js';

interface Server {
  readonly daemon: Daemon;
  readonly socket: string;
}

/** Starts both servers on a file that was written once through the first of them. */
export async function startFloor(settings: SystemSettings): Promise<System> {
  const { sizeBytes, workDir, signal, say } = settings;
  const file = join(workDir, 'floor.img');
  // The path of a unix socket is limited to 107 bytes, so sockets do not lie under a deep clone.
  const socketDir = await mkdtemp(join(tmpdir(), 'meshsan-bench-'));
  const servers: Server[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(servers.map(({ daemon }) => daemon.stop()));
    await rm(file, { force: true });
    await rm(socketDir, { recursive: true, force: true });
  };
  try {
    const handle = await open(file, 'wx', 0o600);
    await handle.truncate(sizeBytes);
    await handle.close();
    const plain = await serve(PLAIN_FLOOR, ['file', file], socketDir, workDir, signal);
    servers.push(plain);
    const flushing = ['--filter=fua', 'file', file, 'fuamode=force'];
    const flushed = await serve(FLUSHED_FLOOR, flushing, socketDir, workDir, signal);
    servers.push(flushed);
    const idleResidentMib = Object.fromEntries(
      servers.map(({ daemon }) => [daemon.name, residentMib(daemon)]),
    );
    say(`nbdkit: writing ${sizeBytes / MIB} MiB`);
    await fill(nbdEngine(plain.socket), sizeBytes, signal);
    const version = `nbdkit ${await packageVersion('nbdkit')}`;
    return {
      targets: [plainTarget(plain, version), flushedTarget(flushed, version)],
      idleResidentMib,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function serve(
  name: string,
  plugin: readonly string[],
  socketDir: string,
  workDir: string,
  signal: AbortSignal,
): Promise<Server> {
  const socket = join(socketDir, `${name}.sock`);
  const logFile = join(workDir, `${name}.log`);
  const args = [
    '--foreground',
    '--exit-with-parent',
    '--unix',
    socket,
    '--exportname',
    '',
    ...plugin,
  ];
  const daemon = startDaemon({ name, role: 'nbdkit', command: 'nbdkit', args, logFile });
  try {
    await waitUntil(`the socket of ${name}`, 20, signal, () => existsSync(socket), [
      { daemon, logFile },
    ]);
  } catch (error) {
    await daemon.stop();
    throw error;
  }
  return { daemon, socket };
}

function plainTarget(server: Server, version: string): Target {
  return floorTarget(server, () => true, {
    name: PLAIN_FLOOR,
    version,
    copies: 1,
    acknowledgement: 'cached',
    durable: 'one copy in the page cache; on media only after a flush',
    cached: 'page cache, as far as memory holds the measured range',
  });
}

function flushedTarget(server: Server, version: string): Target {
  // Reads, and writes that flush anyway, are the plain floor's.
  return floorTarget(server, (job) => job.writes && !job.flushes, {
    name: FLUSHED_FLOOR,
    version,
    copies: 1,
    acknowledgement: 'flushed',
    durable: 'one copy, fdatasync before each acknowledgement',
    cached: 'page cache, as far as memory holds the measured range',
  });
}

function floorTarget(
  server: Server,
  takes: Target['takes'],
  description: TargetDescription,
): Target {
  return {
    description,
    engine: nbdEngine(server.socket),
    takes,
    prepare: () => Promise.resolve(),
    processes: () => Promise.resolve([server.daemon]),
  };
}
