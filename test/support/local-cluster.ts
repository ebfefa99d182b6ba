// A real local cluster in a temporary directory, started and stopped as a user would, and driven through its REST API. It
// owns the directory and everything that runs in it; a test that fails leaves nothing behind.

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import axios from 'axios';
import type { AxiosInstance } from 'axios';
import { execa } from 'execa';
import type { ClusterFile } from '../../backend/deploy/local/start.js';
import type { ProcessRow } from '../../backend/deploy/local/supervisor.js';
import { MdmSession } from '../../backend/runtime/mdm-session.js';
import { readSecretFile } from '../../backend/runtime/secret-file.js';
import { until } from './until.js';

export const CLUSTER = join(import.meta.dirname, '..', '..', 'backend', 'bin', 'cluster.js');
const CLOCK = join(import.meta.dirname, 'jumping-clock.js');
const START_MS = 180_000;
const ANSWER_MS = 60_000;

export class LocalCluster {
  readonly dir: string;
  #rest: AxiosInstance | null = null;

  private constructor(dir: string) {
    this.dir = dir;
  }

  /** Makes a directory and starts a cluster in it. @param flags - further flags of `npm start` */
  static async start(...flags: string[]): Promise<LocalCluster> {
    return LocalCluster.startIn(mkdtempSync(join(tmpdir(), 'meshsan-')), ...flags);
  }

  /** The same in a directory of the caller's, which goes with the cluster. */
  static async startIn(dir: string, ...flags: string[]): Promise<LocalCluster> {
    const cluster = new LocalCluster(dir);
    try {
      await cluster.startAgain(...flags);
    } catch (error) {
      await cluster.remove();
      throw error;
    }
    return cluster;
  }

  /** One in whose processes the wall clock is off by what a file says (jumping-clock.ts). */
  static async startWithClock(clockFile: string, ...flags: string[]): Promise<LocalCluster> {
    const cluster = new LocalCluster(mkdtempSync(join(tmpdir(), 'meshsan-')));
    const env = { NODE_OPTIONS: `--import ${CLOCK}`, MESHSAN_TEST_CLOCK: clockFile };
    try {
      await cluster.#start(flags, env);
    } catch (error) {
      await cluster.remove();
      throw error;
    }
    return cluster;
  }

  /** Starts a stopped cluster on the data that it has. */
  async startAgain(...flags: string[]): Promise<void> {
    await this.#start(flags, {});
  }

  async #start(flags: readonly string[], env: Readonly<Record<string, string>>): Promise<void> {
    const args = ['start', '--dir', this.dir, '--detach', ...flags];
    await execa(process.execPath, [CLUSTER, ...args], { timeout: START_MS, stdin: 'ignore', env });
    this.#rest = null;
  }

  async stop(): Promise<void> {
    await execa(process.execPath, [CLUSTER, 'stop', '--dir', this.dir], { stdin: 'ignore' });
  }

  /** Stops it and removes the directory. */
  async remove(): Promise<void> {
    if (existsSync(join(this.dir, 'layout.json'))) await this.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }

  get file(): ClusterFile {
    return JSON.parse(readFileSync(join(this.dir, 'cluster.json'), 'utf8')) as ClusterFile;
  }

  processes(role: ProcessRow['role']): ProcessRow[] {
    return this.file.processes.filter((row) => row.role === role);
  }

  /** Kills a process and waits until another has taken its place. */
  async killAndWait(row: ProcessRow, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    process.kill(row.pid, signal);
    await until(`${row.name} runs again`, () =>
      this.file.processes.some((now) => now.name === row.name && now.pid !== row.pid) ? true : null,
    );
  }

  /** The REST API, logged in. */
  async rest(): Promise<AxiosInstance> {
    if (this.#rest !== null) return this.#rest;
    const { gateway, caFile, username, passwordFile } = this.file;
    const httpsAgent = new Agent({ ca: readFileSync(caFile), keepAlive: true });
    const password = readFileSync(passwordFile, 'utf8').trim();
    const base = {
      baseURL: `${gateway}/api`,
      httpsAgent,
      proxy: false,
      timeout: ANSWER_MS,
    } as const;
    const login = await axios.get<string>('/login', { ...base, auth: { username, password } });
    this.#rest = axios.create({ ...base, auth: { username: '', password: login.data } });
    return this.#rest;
  }

  /** Makes a volume of a multiple of 8 GiB; returns its id. */
  async addVolume(name: string, sizeGb = 8): Promise<string> {
    const rest = await this.rest();
    const pools = await rest.get<{ id: string; protectionDomainId: string; name: string }[]>(
      '/types/StoragePool/instances',
    );
    const pool = pools.data.find((known) => known.name === this.file.storagePool);
    if (pool === undefined) throw new Error('the cluster has no pool');
    const made = await rest.post<{ id: string }>('/types/Volume/instances', {
      protectionDomainId: pool.protectionDomainId,
      storagePoolId: pool.id,
      name,
      volumeType: 'ThinProvisioned',
      volumeSizeInKb: String(sizeGb * 1048576),
    });
    return made.data.id;
  }

  /** Maps a volume to the cluster's SDC; returns the path of its NBD socket. */
  async mapVolume(id: string): Promise<string> {
    const rest = await this.rest();
    await rest.post(`/instances/Volume::${id}/action/addMappedSdc`, { guid: this.file.sdcGuid });
    const socket = join(this.file.nbdDir, `${id}.sock`);
    return until('the volume has a socket', () => (existsSync(socket) ? socket : null));
  }

  /** A volume ready for I/O; returns the NBD address that libnbd, QEMU and fio take. */
  async volumeUri(name: string, sizeGb = 8): Promise<string> {
    return `nbd+unix:///?socket=${await this.mapVolume(await this.addVolume(name, sizeGb))}`;
  }

  async unmapVolume(id: string): Promise<void> {
    const rest = await this.rest();
    await rest.post(`/instances/Volume::${id}/action/removeMappedSdc`, { guid: this.file.sdcGuid });
  }

  async removeVolume(id: string): Promise<void> {
    const rest = await this.rest();
    await rest.post(`/instances/Volume::${id}/action/removeVolume`, { removeMode: 'ONLY_ME' });
  }

  /** Waits until every comb has all its copies. */
  async allInSync(): Promise<void> {
    const [mdm] = this.processes('mdm');
    if (mdm === undefined) throw new Error('no MDM runs');
    const session = new MdmSession({
      addresses: [{ host: mdm.address, port: mdm.port }],
      secret: readSecretFile(join(this.dir, 'secret')),
      log: { event: () => undefined },
    });
    try {
      await until('all copies are in sync', async () => {
        const { degradedCombs, unavailableCombs } = await session.clusterState();
        return degradedCombs + unavailableCombs === 0 ? true : null;
      });
    } finally {
      session.close();
    }
  }
}
