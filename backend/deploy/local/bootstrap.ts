// Brings an empty or restarted local cluster to where volumes can be made: waits for each process, makes the protection
// domain, the pool and the SDSs where they are missing. Every step looks first, so that a start that was interrupted
// goes on. It must never undo or reformat anything that is there.

import { existsSync, readFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { setTimeout as pause } from 'node:timers/promises';
import axios from 'axios';
import type { Log } from '../../core/ports.js';
import { formatId } from '../../core/ids.js';
import { ClusterError } from '../../runtime/cluster.js';
import type { Cluster } from '../../runtime/cluster.js';
import { MdmSession } from '../../runtime/mdm-session.js';
import { readSecretFile } from '../../runtime/secret-file.js';
import { mdmTarget } from './configs.js';
import type { ProcessRole } from './configs.js';
import {
  ADMIN_NAME,
  DOMAIN_NAME,
  POOL_NAME,
  devicePath,
  gatewayAddress,
  sdsAddress,
} from './layout.js';
import type { Layout, Paths } from './layout.js';

const STEP_MS = 90_000;
const POLL_MS = 100;
/** Where no spare helps: two SDSs leave no third place for lost copies. */
const SPARE_PERCENT_OF_TWO = 10;
const DEMO_NAME = 'demo';
const DEMO_SECTORS = (8 * 2 ** 30) / 512;

/** What goes wrong while processes start is part of starting; what stays wrong is thrown. */
const QUIET: Log = { event: () => undefined };

export interface Bootstrapped {
  readonly systemId: string;
  /** Id of the mapped demo volume, null where none was asked for. */
  readonly demoVolumeId: string | null;
}

/** Who keeps the processes: starts all of a role. */
interface Starter {
  start(role: ProcessRole): void;
}

interface Wish {
  readonly demo: boolean;
  readonly cinderBridge: boolean;
  readonly say: (text: string) => void;
  /** Ends the waiting when the cluster is to stop before it is ready. */
  readonly cancelled: AbortSignal;
}

/** Starts all processes of the cluster through its supervisor, and resolves when volumes can be made. */
export async function bootstrap(
  paths: Paths,
  layout: Layout,
  supervisor: Starter,
  { demo, cinderBridge, say, cancelled }: Wish,
): Promise<Bootstrapped> {
  supervisor.start('mdm');
  const cluster = new MdmSession({
    addresses: [mdmTarget(layout)],
    secret: readSecretFile(paths.secret),
    log: QUIET,
  });
  // Requests under way fail then, and whoever waits between two of them is woken.
  cancelled.addEventListener('abort', () => {
    cluster.close();
  });
  try {
    await eventually(cancelled, 'the MDM', () => cluster.clusterState());
    say('the MDM answers');
    for (const role of ['sds', 'sdc', 'gateway'] as const) supervisor.start(role);
    const poolKey = await ensurePool(cluster, layout.sdsCount);
    for (let i = 0; i < layout.sdsCount; i++)
      await ensureSds(cluster, paths, layout, i, poolKey, cancelled);
    say(`${layout.sdsCount} SDSs joined ${DOMAIN_NAME}/${POOL_NAME}`);
    await eventually(cancelled, 'the devices', () =>
      allConnected(cluster, 'device', layout.sdsCount),
    );
    say('all devices are up');
    const sdcKey = await eventually(cancelled, 'the SDC', () => connectedSdc(cluster, layout));
    say('the SDC is registered');
    await eventually(cancelled, 'the gateway', () => gatewayAnswers(paths, layout));
    say('the gateway answers');
    if (cinderBridge) {
      supervisor.start('cinder-bridge');
      await eventually(cancelled, 'the Cinder bridge', () => bridgeAnswers(paths));
      say('the Cinder bridge answers');
    }
    const [system] = await cluster.query('system');
    if (system === undefined) throw new Error('the MDM knows no system');
    const demoKey = demo ? await ensureDemo(cluster, poolKey, sdcKey) : null;
    return {
      systemId: formatId(system.idPrefix, system.key),
      demoVolumeId: demoKey === null ? null : formatId(system.idPrefix, demoKey),
    };
  } finally {
    cluster.close();
  }
}

/** Tries until it succeeds; errors that only time can heal are what it waits for. */
async function eventually<T>(
  cancelled: AbortSignal,
  what: string,
  attempt: () => Promise<T>,
): Promise<T> {
  const deadline = Date.now() + STEP_MS;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > deadline)
        throw new Error(`${what} did not get ready in ${STEP_MS / 1000} s: ${String(error)}`, {
          cause: error,
        });
    }
    await pause(POLL_MS, undefined, { signal: cancelled });
  }
}

/** What one of so many equal SDSs has, so that its loss can be made good. */
export function sparePercentOf(sdsCount: number): number {
  return sdsCount < 3 ? SPARE_PERCENT_OF_TWO : Math.ceil(100 / sdsCount);
}

async function ensurePool(cluster: Cluster, sdsCount: number): Promise<number> {
  const domains = await cluster.query('protectionDomain');
  const domainKey =
    domains.find((domain) => domain.name === DOMAIN_NAME)?.key ??
    (await cluster.command('ADD_PROTECTION_DOMAIN', ADMIN_NAME, { name: DOMAIN_NAME })).key;
  const pools = await cluster.query('storagePool');
  const pool = pools.find((known) => known.name === POOL_NAME && known.domainKey === domainKey);
  if (pool !== undefined) return pool.key;
  const made = await cluster.command('ADD_STORAGE_POOL', ADMIN_NAME, {
    domainKey,
    name: POOL_NAME,
    mediaType: 'SSD',
    durability: 'media',
    zeroPadding: true,
    checksums: true,
    rmcache: false,
    cacheWrites: 'cached' as const,
    sparePercent: sparePercentOf(sdsCount),
    combCountLog2: 0,
  });
  return made.key;
}

async function ensureSds(
  cluster: Cluster,
  paths: Paths,
  layout: Layout,
  index: number,
  poolKey: number,
  cancelled: AbortSignal,
): Promise<void> {
  const name = `sds${index + 1}`;
  const known = await cluster.query('sds');
  if (known.some((sds) => sds.name === name)) return;
  const [pool] = await cluster.query('storagePool', [poolKey]);
  if (pool === undefined) throw new Error(`the pool ${POOL_NAME} is gone`);
  const device = { poolKey, path: devicePath(paths, index), name: 'device0', force: false };
  const deadline = Date.now() + STEP_MS;
  for (;;) {
    try {
      await cluster.command('ADD_SDS', ADMIN_NAME, {
        domainKey: pool.domainKey,
        faultSetKey: 0,
        name,
        addresses: [{ host: sdsAddress(layout, index), role: 'all' }],
        port: 0,
        devices: [device],
        forceClean: false,
        cacheEnabled: true,
        cacheMiB: 0,
      });
      return;
    } catch (error) {
      // The process may not have announced itself yet.
      const waiting = error instanceof ClusterError && error.info.name === 'SDS_NOT_CONNECTED';
      if (!waiting || Date.now() > deadline) throw error;
    }
    await pause(POLL_MS, undefined, { signal: cancelled });
  }
}

async function allConnected(cluster: Cluster, kind: 'device', count: number): Promise<void> {
  const { statuses } = await cluster.status(kind);
  const connected = statuses.filter((status) => status.liveness === 'connected').length;
  if (connected < count) throw new Error(`${connected} of ${count} connected`);
}

async function connectedSdc(cluster: Cluster, layout: Layout): Promise<number> {
  const sdcs = await cluster.query('sdc');
  const own = sdcs.find((sdc) => sdc.guid === layout.sdcGuid);
  if (own === undefined) throw new Error('not registered');
  const { statuses } = await cluster.status('sdc', [own.key]);
  if (statuses[0]?.liveness !== 'connected') throw new Error('not connected');
  return own.key;
}

async function gatewayAnswers(paths: Paths, layout: Layout): Promise<void> {
  if (!existsSync(paths.caFile)) throw new Error('no CA certificate yet');
  const agent = new Agent({ ca: readFileSync(paths.caFile) });
  const url = `https://${gatewayAddress(layout)}:${layout.gatewayPort}/api/version`;
  await axios.get(url, { httpsAgent: agent, timeout: 5000, proxy: false });
  agent.destroy();
}

async function bridgeAnswers(paths: Paths): Promise<void> {
  const socket = { socketPath: paths.bridgeSocket, timeout: 15_000, proxy: false } as const;
  const { data } = await axios.get<{ status: string }>('http://bridge/v1/health', socket);
  if (data.status !== 'up') throw new Error(`it says that it is ${data.status}`);
}

async function ensureDemo(cluster: Cluster, poolKey: number, sdcKey: number): Promise<number> {
  const volumes = await cluster.query('volume');
  const volumeKey =
    volumes.find((volume) => volume.name === DEMO_NAME)?.key ??
    (
      await cluster.command('ADD_VOLUME', ADMIN_NAME, {
        poolKey,
        name: DEMO_NAME,
        sizeSectors: DEMO_SECTORS,
        provisioning: 'thin',
        rmcache: true,
      })
    ).key;
  const mappings = await cluster.query('mapping', [volumeKey]);
  if (!mappings.some((mapping) => mapping.sdcKey === sdcKey))
    await cluster.command('MAP_VOLUME', ADMIN_NAME, {
      volumeKey,
      sdcKey,
      allowMultiple: false,
      access: 'readWrite',
    });
  return volumeKey;
}
