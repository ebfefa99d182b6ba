// Starts a local cluster and keeps it until it is told to stop. It owns the order of the start-up and what the operator
// sees of it; it must never keep state of its own: everything that lasts is in DIR.

import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { writePrivate } from '../../runtime/durable-files.js';
import { bootstrap } from './bootstrap.js';
import type { Bootstrapped } from './bootstrap.js';
import { planOf, writeConfigs } from './configs.js';
import type { ProcessPlan } from './configs.js';
import { releaseDevices } from './devices.js';
import { lockDirectory } from './directory-lock.js';
import type { Unlock } from './directory-lock.js';
import {
  ADMIN_NAME,
  DOMAIN_NAME,
  POOL_NAME,
  futurePath,
  openLayout,
  refuseContradictions,
  pathsOf,
  writeLayout,
} from './layout.js';
import type { Layout, Paths } from './layout.js';
import type { StartOptions } from './options.js';
import { UsageError } from '../../runtime/flags.js';
import { identify, isRunning } from '../../runtime/processes.js';
import type { ProcessId } from '../../runtime/processes.js';
import { readyText } from './report.js';
import { Supervisor, stopAll, writeRunFile } from './supervisor.js';
import type { ProcessRow } from './supervisor.js';

const PROCESSES_FILE = 'processes.json';

/** The line that says that everything works; scripts wait for it. */
export const READY_LINE = 'MeshSAN is ready';

/** Contents of DIR/cluster.json. */
export interface ClusterFile {
  readonly gateway: string;
  readonly caFile: string;
  readonly username: string;
  readonly passwordFile: string;
  readonly systemId: string;
  readonly protectionDomain: string;
  readonly storagePool: string;
  readonly sdcGuid: string;
  readonly nbdDir: string;
  /** Null where the bridge does not run. */
  readonly cinderBridge: { readonly socket: string; readonly tokenFile: string } | null;
  readonly processes: readonly ProcessRow[];
}

/** What the keeper wrote down; null: nothing. @throws UsageError when it is damaged: it says what may run */
function readRunFile(paths: Paths, name: string): unknown {
  const file = join(paths.run, name);
  if (!existsSync(file)) return null;
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as unknown;
  } catch (error) {
    throw new UsageError(
      `${file} cannot be used: ${(error as Error).message}; end the processes of this cluster by hand if any run, then remove that file`,
    );
  }
}

/** Who keeps the cluster of a directory, if it runs. */
export function runningSupervisor(paths: Paths): ProcessId | null {
  const id = readRunFile(paths, 'supervisor.json') as ProcessId | null;
  return id !== null && isRunning(id) ? id : null;
}

/** Processes that the cluster's keeper wrote down last; some may have ended since. */
export function recordedProcesses(paths: Paths): readonly ProcessRow[] {
  return (readRunFile(paths, PROCESSES_FILE) ?? []) as ProcessRow[];
}

/** Stops what a killed keeper left behind, clients first. @returns how many processes that were */
export async function stopRecorded(paths: Paths): Promise<number> {
  const left = recordedProcesses(paths).filter(isRunning);
  await stopAll(left.filter((row) => row.role === 'cinder-bridge'));
  await stopAll(left.filter((row) => row.role === 'gateway' || row.role === 'sdc'));
  await stopAll(left.filter((row) => row.role === 'sds' || row.role === 'sds-data'));
  await stopAll(left);
  return left.length;
}

async function refuseBusyAddresses(plans: readonly ProcessPlan[]): Promise<void> {
  for (const plan of plans) {
    if (plan.port === 0) continue;
    await new Promise<void>((done, failed) => {
      const probe = createServer();
      probe.once('error', (error: NodeJS.ErrnoException) => {
        const where = `${plan.address}:${plan.port}`;
        failed(
          new UsageError(
            error.code === 'EADDRINUSE'
              ? `port in use: ${where} (${plan.name}); stop what uses it, or name another --dir or --gateway-port`
              : `cannot listen on ${where} (${plan.name}): ${error.message}`,
          ),
        );
      });
      probe.listen(plan.port, plan.address, () =>
        probe.close(() => {
          done();
        }),
      );
    });
  }
}

function progress(): (text: string) => void {
  const began = Date.now();
  return (text) => {
    process.stdout.write(`[${((Date.now() - began) / 1000).toFixed(1).padStart(5)} s] ${text}\n`);
  };
}

function clusterFile(
  paths: Paths,
  layout: Layout,
  gateway: ProcessPlan,
  systemId: string,
  cinderBridge: boolean,
): Omit<ClusterFile, 'processes'> {
  return {
    gateway: `https://${gateway.address}:${layout.gatewayPort}`,
    caFile: paths.caFile,
    username: ADMIN_NAME,
    passwordFile: paths.password,
    systemId,
    protectionDomain: DOMAIN_NAME,
    storagePool: POOL_NAME,
    sdcGuid: layout.sdcGuid,
    nbdDir: paths.nbd,
    cinderBridge: cinderBridge
      ? { socket: paths.bridgeSocket, tokenFile: paths.bridgeToken }
      : null,
  };
}

/** A promise and what settles it. */
function whenAsked(): { asked: Promise<string | null>; ask: (failure: string | null) => void } {
  let ask: (failure: string | null) => void = () => undefined;
  const asked = new Promise<string | null>((done) => {
    ask = done;
  });
  return { asked, ask };
}

interface Prepared {
  readonly paths: Paths;
  readonly layout: Layout;
  readonly plans: readonly ProcessPlan[];
}

function refuseRunning(paths: Paths): void {
  const before = runningSupervisor(paths);
  if (before === null) return;
  throw new UsageError(
    `the cluster in ${paths.dir} runs already (pid ${before.pid}); see npm run status`,
  );
}

/** @throws UsageError when the cluster runs, or another start of it is under way */
export async function lockForStart(dir: string): Promise<Unlock> {
  const realDir = futurePath(dir);
  const unlock = await lockDirectory(realDir);
  if (unlock !== null) return unlock;
  refuseRunning(pathsOf(realDir));
  throw new UsageError(`another start of the cluster in ${realDir} is under way`);
}

/** Everything that can be refused is looked at before anything of the directory changes. */
async function prepare(options: StartOptions, say: (text: string) => void): Promise<Prepared> {
  if (options.attach && process.getuid?.() !== 0)
    throw new UsageError(
      '--attach needs root: only root can make block devices; without it volumes are served as NBD',
    );
  if (options.scini && process.getuid?.() !== 0)
    throw new UsageError('--scini needs root: only root can make a device there');
  // What contradicts a cluster is said even while it runs.
  refuseContradictions(options);
  // Held until this process ends.
  await lockForStart(options.dir);
  const { paths, layout, made } = openLayout(options);
  // One of an earlier release holds no lock.
  refuseRunning(paths);
  const plans = planOf(paths, layout, options.cinderBridge);
  const left = await stopRecorded(paths);
  if (left > 0) say(`stopped ${left} processes that a start which was killed had left`);
  await refuseBusyAddresses(plans);
  writeLayout(paths, layout);
  writeRunFile(paths, 'supervisor.json', identify(process.pid));
  await writeConfigs(paths, layout, plans, options);
  say(`${made ? 'made' : 'found'} ${paths.dir}: ${layout.sdsCount} SDSs on ${layout.network}.x`);
  return { paths, layout, plans };
}

/**
 * Starts the cluster, prints the ready line, and returns when it has been stopped.
 * @returns the exit code
 * @throws UsageError for what the operator can put right; nothing was started then
 */
export async function startCluster(options: StartOptions): Promise<number> {
  const say = progress();
  const { paths, layout, plans } = await prepare(options, say);
  const { asked, ask } = whenAsked();
  let systemId = '';
  const gateway = plans.find((plan) => plan.role === 'gateway');
  if (gateway === undefined) throw new Error('the plan has no gateway');
  const rowsChanged = (processes: readonly ProcessRow[]): void => {
    writeRunFile(paths, PROCESSES_FILE, processes);
    // Before the cluster is ready the file says what it said last: a start that fails must not take its id away.
    if (systemId !== '')
      writePrivate(
        paths.cluster,
        JSON.stringify(
          {
            ...clusterFile(paths, layout, gateway, systemId, options.cinderBridge),
            processes,
          },
          null,
          2,
        ),
      );
  };
  const supervisor = new Supervisor(paths, plans, rowsChanged, ask);
  process.once('SIGINT', () => {
    ask(null);
  });
  process.once('SIGTERM', () => {
    ask(null);
  });
  const cancel = new AbortController();
  const starting = bootstrap(paths, layout, supervisor, {
    ...{ demo: options.demo, cinderBridge: options.cinderBridge, say },
    cancelled: cancel.signal,
  });
  const first = await Promise.race([
    starting.then(
      (done: Bootstrapped) => done,
      (error: unknown) => error as Error,
    ),
    asked.then((failure) => failure ?? 'stopped before it was ready'),
  ]);
  let failure: string | null;
  if (typeof first === 'string') {
    failure = first;
    cancel.abort();
    await Promise.allSettled([starting]);
  } else if (first instanceof Error) failure = first.message;
  else {
    systemId = first.systemId;
    supervisor.reportAgain();
    process.stdout.write(`${READY_LINE}\n${readyText(paths, layout, gateway, first, options)}\n`);
    failure = await asked;
  }
  if (failure !== null) process.stderr.write(`MeshSAN: ${failure}\n`);
  say('stopping');
  const client = plans.find((plan) => plan.role === 'sdc');
  if (client !== undefined)
    for (const reason of await releaseDevices(paths, client.stateDir))
      say(`a block device stays, and waits for the next start: ${reason}`);
  await supervisor.stop();
  say('stopped');
  return failure === null ? 0 : 1;
}
