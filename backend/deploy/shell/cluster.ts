// The cluster as the deployer sees and changes it, through a session of its own with the MDM. It owns the translation of
// names into keys. It must never hold a session longer than one question or one change.

import { setTimeout as pause } from 'node:timers/promises';
import type { Log } from '../../core/ports.js';
import { formatId } from '../../core/ids.js';
import { ClusterError } from '../../runtime/cluster.js';
import type { Cluster } from '../../runtime/cluster.js';
import { MdmSession } from '../../runtime/mdm-session.js';
import { hashPassword } from '../../runtime/passwords.js';
import type { ClusterRequest, ClusterView, ManagerSeen } from '../plan/model.js';
import { MDM_PORT } from '../plan/parts.js';
import { applyManagers, isManagerRequest } from './managers.js';
import type { ManagerRequest } from './managers.js';

const ACTOR = 'admin';
const POLL_MS = 500;
/** A storage server announces itself a moment after its start. */
const WAIT_MS = 90_000;
const QUIET: Log = { event: () => undefined };
/** What only time heals. */
const TRANSIENT: ReadonlySet<string> = new Set([
  'SDS_NOT_CONNECTED',
  'NOT_READY',
  'NO_MASTER',
  'NOT_MASTER',
  'MDM_NOT_CONNECTED',
  'CLUSTER_BUSY',
]);

/** No MDM answers; the message says where one was looked for. */
export class ClusterUnreachable extends Error {
  override readonly name = 'ClusterUnreachable';
}

async function withSession<T>(
  hosts: readonly string[],
  secretHex: string,
  timeoutMs: number | undefined,
  work: (cluster: Cluster) => Promise<T>,
): Promise<T> {
  const session = new MdmSession({
    addresses: hosts.map((host) => ({ host, port: MDM_PORT })),
    secret: new Uint8Array(Buffer.from(secretHex, 'hex')),
    log: QUIET,
    ...(timeoutMs === undefined ? {} : { requestTimeoutMs: timeoutMs }),
  });
  session.start();
  try {
    return await work(session);
  } finally {
    session.close();
  }
}

const systemIdOf = ({ idPrefix, key }: { idPrefix: number; key: number }): string =>
  formatId(idPrefix, key);

/** The system that an MDM at an address is of; null: none with this secret answers through it. */
export async function managerSeen(
  host: string,
  secretHex: string,
  timeoutMs: number,
): Promise<ManagerSeen | null> {
  try {
    return await withSession([host], secretHex, timeoutMs, async (cluster) => {
      const [system] = await cluster.query('system');
      const { members } = await cluster.clusterState();
      const systemId = system === undefined ? '' : systemIdOf(system);
      return { host, systemId, mdmHosts: members.map((mdm) => mdm.host) };
    });
  } catch (error) {
    if (error instanceof ClusterError) return null;
    throw error;
  }
}

async function read(cluster: Cluster): Promise<ClusterView> {
  const state = await cluster.clusterState();
  const [system] = await cluster.query('system');
  if (system === undefined) throw new Error('the MDM knows no system');
  const domains = await cluster.query('protectionDomain');
  const pools = await cluster.query('storagePool');
  const devices = await cluster.query('device');
  const volumes = await cluster.query('volume');
  const mappings = await cluster.query('mapping');
  const up = async (kind: 'sds' | 'device' | 'sdc'): Promise<Set<number>> => {
    const { statuses } = await cluster.status(kind);
    return new Set(statuses.filter((row) => row.liveness === 'connected').map((row) => row.key));
  };
  const connected = { sds: await up('sds'), device: await up('device'), sdc: await up('sdc') };
  const domainName = (key: number): string =>
    domains.find((domain) => domain.key === key)?.name ?? '';
  return {
    systemId: systemIdOf(system),
    systemName: system.name,
    mdms: state.members.map(({ name, host, role, member, master, up }) => ({
      ...{ name, host, role, member, master, up },
    })),
    approval: system.approval,
    domains: domains.map(({ name }) => name),
    pools: pools.map((pool) => ({
      ...pool,
      domain: domainName(pool.domainKey),
      alertHighPercent: pool.capacityAlertHighPercent,
      alertCriticalPercent: pool.capacityAlertCriticalPercent,
      volumes: volumes.filter(({ poolKey }) => poolKey === pool.key).length,
    })),
    sds: (await cluster.query('sds')).map(({ key, name, addresses }) => ({
      key,
      name,
      hosts: addresses.map(({ host }) => host),
      connected: connected.sds.has(key),
      devices: devices
        .filter(({ sdsKey }) => sdsKey === key)
        .map((device) => ({
          key: device.key,
          path: device.path,
          pool: pools.find((pool) => pool.key === device.poolKey)?.name ?? '',
          connected: connected.device.has(device.key),
          failure: device.failure,
        })),
    })),
    sdcs: (await cluster.query('sdc')).map((sdc) => ({
      ...sdc,
      connected: connected.sdc.has(sdc.key),
      mappings: mappings.filter(({ sdcKey }) => sdcKey === sdc.key).length,
    })),
    users: (await cluster.query('user')).map(({ name }) => name),
    degradedCombs: state.degradedCombs,
    unavailableCombs: state.unavailableCombs,
  };
}

/**
 * The cluster as it is.
 *
 * @param needed - without an answer in time this fails; otherwise it is null
 * @throws ClusterUnreachable
 */
export async function viewCluster(
  hosts: readonly string[],
  secretHex: string,
  timeoutMs: number,
  needed: boolean,
): Promise<ClusterView | null> {
  try {
    return await withSession(hosts, secretHex, timeoutMs, read);
  } catch (error) {
    if (!(error instanceof ClusterError)) throw error;
    if (!needed) return null;
    throw new ClusterUnreachable(
      `no MDM answers at ${hosts.join(', ')} within ${timeoutMs / 1000} s; on the controller that has it: systemctl status meshsan-mdm (${error.message})`,
      { cause: error },
    );
  }
}

async function keyOf(
  cluster: Cluster,
  kind: 'protectionDomain' | 'sds' | 'sdc',
  name: string,
): Promise<number> {
  const found = (await cluster.query(kind)).find((object) => object.name === name);
  if (found === undefined) throw new Error(`the cluster has no ${kind} named ${name}`);
  return found.key;
}

async function poolKey(cluster: Cluster, domain: string, name: string): Promise<number> {
  const domainKey = await keyOf(cluster, 'protectionDomain', domain);
  const pools = await cluster.query('storagePool');
  const found = pools.find((pool) => pool.domainKey === domainKey && pool.name === name);
  if (found === undefined) throw new Error(`the cluster has no storage pool ${domain}/${name}`);
  return found.key;
}

async function setPool(
  cluster: Cluster,
  key: number,
  request: Extract<ClusterRequest, { op: 'addPool' | 'setPool' }>,
): Promise<void> {
  await cluster.command('SET_STORAGE_POOL', ACTOR, {
    key,
    durability: request.durability,
    fullPolicy: null,
    zeroPadding: request.zeroPadding,
    checksums: request.checksums,
    ...{ rmcache: request.rmcache, cacheWrites: null },
    sparePercent: request.sparePercent,
    capacityAlertHighPercent: request.alertHighPercent,
    capacityAlertCriticalPercent: request.alertCriticalPercent,
    mediaType: request.mediaType,
    loneReturn: null,
    // What the settings say is kept; that it does not cover the largest unit is an alert.
    force: true,
  });
}

async function addPool(
  cluster: Cluster,
  request: Extract<ClusterRequest, { op: 'addPool' | 'setPool' }>,
): Promise<void> {
  const { name, mediaType, durability, zeroPadding, checksums, rmcache, sparePercent } = request;
  const { key } = await cluster.command('ADD_STORAGE_POOL', ACTOR, {
    domainKey: await keyOf(cluster, 'protectionDomain', request.domain),
    name,
    mediaType,
    durability,
    zeroPadding,
    checksums,
    ...{ rmcache, cacheWrites: 'cached' as const },
    sparePercent,
    combCountLog2: 0,
  });
  await setPool(cluster, key, request);
}

async function addSds(
  cluster: Cluster,
  request: Extract<ClusterRequest, { op: 'addSds' }>,
): Promise<void> {
  const { name, addresses, domain } = request;
  const devices = [];
  for (const { pool, path, force } of request.devices)
    devices.push({ poolKey: await poolKey(cluster, domain, pool), path, name: '', force });
  const domainKey = await keyOf(cluster, 'protectionDomain', domain);
  const params = { domainKey, faultSetKey: 0, name, addresses, port: 0, devices };
  await cluster.command('ADD_SDS', ACTOR, {
    ...params,
    forceClean: false,
    cacheEnabled: true,
    cacheMiB: 0,
  });
}

async function apply(
  cluster: Cluster,
  request: Exclude<ClusterRequest, ManagerRequest>,
): Promise<void> {
  switch (request.op) {
    case 'addDomain':
      await cluster.command('ADD_PROTECTION_DOMAIN', ACTOR, { name: request.name });
      return;
    case 'addPool':
      await addPool(cluster, request);
      return;
    case 'setPool':
      await setPool(cluster, await poolKey(cluster, request.domain, request.name), request);
      return;
    case 'setApproval':
      await cluster.command('SET_APPROVAL', ACTOR, { approval: request.approval });
      return;
    case 'addUser': {
      const { salt, hash } = await hashPassword(request.password);
      await cluster.command('ADD_USER', ACTOR, {
        name: request.name,
        role: request.role,
        salt,
        hash,
      });
      return;
    }
    case 'addSds':
      await addSds(cluster, request);
      return;
    case 'addDevice': {
      const { path, pool, force } = request.device;
      await cluster.command('ADD_DEVICE', ACTOR, {
        sdsKey: await keyOf(cluster, 'sds', request.sds),
        device: { poolKey: await poolKey(cluster, request.domain, pool), path, name: '', force },
      });
      return;
    }
    case 'removeSds':
      await cluster.command('REMOVE_SDS', ACTOR, {
        key: await keyOf(cluster, 'sds', request.name),
        force: request.force,
      });
      return;
    case 'approveSdc':
      await cluster.command('APPROVE_SDC', ACTOR, { key: 0, guid: request.guid, host: '' });
      return;
    case 'removeSdc':
      await cluster.command('REMOVE_SDC', ACTOR, {
        key: await keyOf(cluster, 'sdc', request.name),
      });
  }
}

/** Changes the cluster; waits for what announces itself in a moment. @throws Error with the cluster's reason */
export async function requestCluster(
  hosts: readonly string[],
  secretHex: string,
  request: ClusterRequest,
): Promise<void> {
  const deadline = performance.now() + WAIT_MS;
  await withSession(hosts, secretHex, undefined, async (cluster) => {
    for (;;) {
      try {
        if (isManagerRequest(request)) await applyManagers(cluster, ACTOR, request);
        else await apply(cluster, request);
        return;
      } catch (error) {
        const waiting = error instanceof ClusterError && TRANSIENT.has(error.info.name);
        if (!waiting || performance.now() > deadline) throw error;
      }
      await pause(POLL_MS);
    }
  });
}
