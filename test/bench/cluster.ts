// Owns what the benchmark knows of a running MeshSAN cluster: DIR/cluster.json and the few calls of
// the gateway that give it a volume. It goes the way that every client goes, over HTTPS with the
// cluster's own CA.
import { readFile } from 'node:fs/promises';
import { Agent } from 'node:https';
import { join } from 'node:path';

import { Ajv } from 'ajv';
import axios, { isAxiosError, type AxiosInstance } from 'axios';

import type { DurabilityMode } from './arguments.js';
import type { ProcessRef } from './accounting.js';

export interface ClusterFile {
  readonly gateway: string;
  readonly caFile: string;
  readonly username: string;
  readonly passwordFile: string;
  /** Name or id. */
  readonly storagePool: string;
  readonly sdcGuid: string;
  readonly nbdDir: string;
  readonly processes: readonly ProcessRef[];
}

export interface Pool {
  readonly id: string;
  readonly durability: DurabilityMode;
}

/** The cluster cannot be used as it is; the message names the file or the call. */
export class ClusterError extends Error {
  override readonly name = 'ClusterError';
}

const TEXT_FIELDS = [
  'gateway',
  'caFile',
  'username',
  'passwordFile',
  'storagePool',
  'sdcGuid',
  'nbdDir',
];
const text = { type: 'string', minLength: 1 };
const process = {
  type: 'object',
  required: ['name', 'role', 'pid'],
  properties: { name: text, role: text, pid: { type: 'integer', minimum: 2 } },
};
const CLUSTER_SCHEMA = {
  type: 'object',
  required: [...TEXT_FIELDS, 'processes'],
  properties: {
    ...Object.fromEntries(TEXT_FIELDS.map((field) => [field, text])),
    processes: { type: 'array', items: process, minItems: 1 },
  },
};
const VOLUME = { type: 'object', required: ['id'], properties: { id: text } };
const POOLS = {
  type: 'array',
  items: {
    type: 'object',
    required: ['id', 'name', 'durability'],
    properties: { id: text, name: text, durability: { enum: ['media', 'device', 'memory'] } },
  },
};

const GROUP = {
  type: 'object',
  required: ['snapshotGroupId'],
  properties: { snapshotGroupId: text },
};
const SNAPSHOT_PATH = '/api/instances/System/action/snapshotVolumes';

const ajv = new Ajv();
const isClusterFile = ajv.compile<ClusterFile>(CLUSTER_SCHEMA);
const isVolume = ajv.compile<{ id: string }>(VOLUME);
const isGroup = ajv.compile<{ snapshotGroupId: string }>(GROUP);
const isPools = ajv.compile<readonly (Pool & { name: string })[]>(POOLS);

/** Reads DIR/cluster.json as it is now: a restarted process has another pid. */
export async function readCluster(dir: string): Promise<ClusterFile> {
  const file = join(dir, 'cluster.json');
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw new ClusterError(`${file}: not the file of a started cluster: ${String(error)}`, {
      cause: error,
    });
  }
  if (!isClusterFile(value))
    throw new ClusterError(`${file}: ${ajv.errorsText(isClusterFile.errors)}`);
  return value;
}

/** A session with the gateway of a cluster. */
export class GatewayClient {
  private readonly http: AxiosInstance;
  private readonly cluster: ClusterFile;

  private constructor(http: AxiosInstance, cluster: ClusterFile) {
    this.http = http;
    this.cluster = cluster;
  }

  /** Logs in. The password is read from its file and kept nowhere. */
  static async login(cluster: ClusterFile): Promise<GatewayClient> {
    const http = axios.create({
      baseURL: cluster.gateway,
      httpsAgent: new Agent({ ca: await readFile(cluster.caFile), keepAlive: false }),
      timeout: 30_000,
      proxy: false,
    });
    const password = (await readFile(cluster.passwordFile, 'utf8')).trim();
    const token = await call('GET /api/login', async () => {
      const auth = { username: cluster.username, password };
      return (await http.get<unknown>('/api/login', { auth })).data;
    });
    if (typeof token !== 'string') throw new ClusterError('GET /api/login answered no token');
    const basic = Buffer.from(`:${token}`).toString('base64');
    http.defaults.headers.common.Authorization = `Basic ${basic}`;
    return new GatewayClient(http, cluster);
  }

  /** The pool that cluster.json names. */
  async pool(): Promise<Pool> {
    const path = '/api/types/StoragePool/instances';
    const pools = await call(`GET ${path}`, async () => (await this.http.get<unknown>(path)).data);
    if (!isPools(pools)) throw new ClusterError(`GET ${path}: ${ajv.errorsText(isPools.errors)}`);
    const wanted = this.cluster.storagePool;
    const pool = pools.find(({ id, name }) => id === wanted || name === wanted);
    if (pool === undefined) throw new ClusterError(`GET ${path} has no pool ${wanted}`);
    return pool;
  }

  async setDurability(poolId: string, durability: DurabilityMode): Promise<void> {
    await this.post(`/api/instances/StoragePool::${poolId}/action/setDurability`, { durability });
  }

  /**
   * Creates a thin volume of at least `sizeBytes`, rounded up as the gateway does, and returns its
   * id.
   */
  async createVolume(poolId: string, name: string, sizeBytes: number): Promise<string> {
    const volume = await this.post('/api/types/Volume/instances', {
      name,
      storagePoolId: poolId,
      volumeType: 'ThinProvisioned',
      volumeSizeInKb: String(Math.ceil(sizeBytes / 1024)),
    });
    if (!isVolume(volume)) throw new ClusterError('the gateway created a volume without an id');
    return volume.id;
  }

  async mapVolume(volumeId: string): Promise<void> {
    await this.volumeAction(volumeId, 'addMappedSdc', { guid: this.cluster.sdcGuid });
  }

  /** Limits of the mapping to the cluster's client: requests and KiB a second, 0: none. */
  async setLimits(volumeId: string, iops: number, kbps: number): Promise<void> {
    await this.volumeAction(volumeId, 'setMappedSdcLimits', {
      guid: this.cluster.sdcGuid,
      iopsLimit: String(iops),
      bandwidthLimitInKbps: String(kbps),
    });
  }

  async removeVolume(volumeId: string): Promise<void> {
    await this.volumeAction(volumeId, 'removeMappedSdc', { guid: this.cluster.sdcGuid });
    await this.volumeAction(volumeId, 'removeVolume', { removeMode: 'ONLY_ME' });
  }

  /** Snapshots of all of them as of one moment; the id of the group. */
  async snapshotVolumes(volumeIds: readonly string[]): Promise<string> {
    const snapshotDefs = volumeIds.map((volumeId) => ({ volumeId }));
    const group = await this.post(SNAPSHOT_PATH, { snapshotDefs });
    if (!isGroup(group)) throw new ClusterError(`POST ${SNAPSHOT_PATH} answered no group`);
    return group.snapshotGroupId;
  }

  async removeGroup(snapGroupId: string): Promise<void> {
    const path = '/api/instances/System/action/removeConsistencyGroupSnapshots';
    await this.post(path, { snapGroupId });
  }

  private async volumeAction(volumeId: string, action: string, body: object): Promise<void> {
    await this.post(`/api/instances/Volume::${volumeId}/action/${action}`, body);
  }

  private post(path: string, body: object): Promise<unknown> {
    return call(`POST ${path}`, async () => (await this.http.post<unknown>(path, body)).data);
  }
}

/** Turns an HTTP failure into a message with the call and the gateway's own words. */
async function call(what: string, request: () => Promise<unknown>): Promise<unknown> {
  try {
    return await request();
  } catch (error) {
    if (!isAxiosError(error)) throw error;
    const said = JSON.stringify(error.response?.data ?? error.message).slice(0, 500);
    throw new ClusterError(`${what} failed: ${said}`);
  }
}
