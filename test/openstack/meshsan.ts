// Owns what this command knows of MeshSAN: starting and stopping a cluster with the project's own commands, reading its
// cluster.json, and asking its gateway, from beside Cinder, which volumes really exist.
import { existsSync, readFileSync } from 'node:fs';
import { Agent } from 'node:https';
import path from 'node:path';
import axios, { type AxiosInstance } from 'axios';
import { execa } from 'execa';
import { EXIT, RunError, until } from './progress.js';
import { tail } from './processes.js';

/** The repository's root, seen from the compiled file. */
export const REPOSITORY = path.resolve(import.meta.dirname, '..', '..', '..');

export interface MeshsanCluster {
  readonly dir: string;
  readonly gateway: string;
  readonly gatewayHost: string;
  readonly gatewayPort: number;
  readonly caFile: string;
  readonly username: string;
  readonly password: string;
  readonly protectionDomain: string;
  readonly storagePool: string;
  readonly sdcGuid: string;
  readonly systemId: string;
  /** Where Cinder's bridge is reached; null: it does not run. */
  readonly bridge: { readonly socket: string; readonly tokenFile: string } | null;
  /** Control socket of the client process. */
  readonly sdcSocket: string;
}

/** Reads DIR/cluster.json; a missing or wrong field is named. */
export function readCluster(dir: string): MeshsanCluster {
  const file = path.join(dir, 'cluster.json');
  if (!existsSync(file))
    throw new RunError(
      `${file} does not exist; start a cluster there with: npm start -- --dir ${dir} --detach`,
      EXIT.usage,
    );
  const content = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  const text = (field: string): string => {
    const value = content[field];
    if (typeof value !== 'string' || value === '')
      throw new RunError(`${file}: field ${field} must be a text that is not empty`, EXIT.usage);
    return value;
  };
  const gateway = new URL(text('gateway'));
  return {
    dir,
    gateway: gateway.origin,
    gatewayHost: gateway.hostname,
    gatewayPort: Number(gateway.port || 443),
    caFile: text('caFile'),
    username: text('username'),
    password: readFileSync(text('passwordFile'), 'utf8').trim(),
    protectionDomain: text('protectionDomain'),
    storagePool: text('storagePool'),
    sdcGuid: text('sdcGuid'),
    systemId: text('systemId'),
    bridge: (content['cinderBridge'] ?? null) as MeshsanCluster['bridge'],
    sdcSocket: path.join(dir, 'run', 'sdc.sock'),
  };
}

/** A process of the cluster as cluster.json shows it. */
interface ClusterProcess {
  readonly name: string;
  readonly role: string;
  readonly pid: number;
}

/** The processes of one kind that run now. */
export function processesOf(cluster: MeshsanCluster, role: string): ClusterProcess[] {
  const file = path.join(cluster.dir, 'cluster.json');
  const { processes } = JSON.parse(readFileSync(file, 'utf8')) as { processes: ClusterProcess[] };
  return processes.filter((one) => one.role === role);
}

/** Kills a process of the cluster with SIGKILL and waits until another has taken its place. */
export async function killAndWait(cluster: MeshsanCluster, victim: ClusterProcess): Promise<void> {
  process.kill(victim.pid, 'SIGKILL');
  await until(`${victim.name} runs again`, 60, () => {
    const rows = processesOf(cluster, victim.role);
    const found = rows.some(({ name, pid }) => name === victim.name && pid !== victim.pid);
    return Promise.resolve(found ? { done: true } : { not: 'not yet' });
  });
}

/** Starts a cluster in `dir`, or finds it running there. Its output goes to `log`. @param flags - of npm start */
export async function startCluster(
  dir: string,
  log: string,
  flags: readonly string[] = [],
): Promise<MeshsanCluster> {
  if (existsSync(path.join(dir, 'cluster.json')) && (await answers(readCluster(dir))))
    return readCluster(dir);
  await npm(['start', '--', '--dir', dir, '--detach', ...flags], log);
  return readCluster(dir);
}

/** Stops the cluster in `dir`, if there is one. */
export async function stopCluster(dir: string, log: string): Promise<void> {
  if (existsSync(path.join(dir, 'cluster.json')))
    await npm(['run', 'stop', '--', '--dir', dir], log);
}

async function npm(words: string[], log: string): Promise<void> {
  const run = await execa('npm', words, {
    cwd: REPOSITORY,
    stdin: 'ignore',
    stdout: { file: log, append: true },
    stderr: { file: log, append: true },
    reject: false,
  });
  if (run.exitCode !== 0)
    throw new RunError(`npm ${words.join(' ')} failed (log: ${log}):\n${tail(log, 15)}`);
}

async function answers(cluster: MeshsanCluster): Promise<boolean> {
  try {
    await connectGateway(cluster);
    return true;
  } catch (error) {
    if (axios.isAxiosError(error) && error.response === undefined) return false;
    throw error;
  }
}

export interface MeshsanVolume {
  readonly id: string;
  readonly name: string;
  readonly sizeInKb: number;
  /** null: not mapped. */
  readonly mappedSdcInfo:
    | readonly {
        readonly sdcId: string;
        readonly limitIops: number;
        readonly limitBwInKbps: number;
      }[]
    | null;
  readonly volumeType: string;
  readonly ancestorVolumeId: string | null;
  readonly consistencyGroupId: string | null;
}

/** A session with the gateway: logs in with the cluster's own user and verifies the gateway's certificate. */
export async function connectGateway(cluster: MeshsanCluster): Promise<Gateway> {
  const api = axios.create({
    baseURL: `${cluster.gateway}/api/`,
    httpsAgent: new Agent({ ca: readFileSync(cluster.caFile) }),
    proxy: false,
    timeout: 15000,
  });
  const { data } = await api.get<string>('login', {
    auth: { username: cluster.username, password: cluster.password },
  });
  api.defaults.auth = { username: '', password: data };
  return new Gateway(api);
}

export class Gateway {
  private readonly api: AxiosInstance;

  constructor(api: AxiosInstance) {
    this.api = api;
  }

  /** The volume of that name, or undefined. */
  async volume(name: string): Promise<MeshsanVolume | undefined> {
    return (await this.volumes()).find((volume) => volume.name === name);
  }

  async volumes(): Promise<readonly MeshsanVolume[]> {
    return (await this.api.get<MeshsanVolume[]>('types/Volume/instances')).data;
  }

  /** An action beside OpenStack. @param path - below `/api/` */
  async act(path: string, body: object): Promise<unknown> {
    return (await this.api.post<unknown>(path, body)).data;
  }

  /** Clients that registered. */
  async sdcs(): Promise<{ readonly id: string; readonly name: string | null }[]> {
    return (await this.api.get<{ id: string; name: string | null }[]>('types/Sdc/instances')).data;
  }

  async version(): Promise<string> {
    return (await this.api.get<string>('version')).data;
  }
}

/** What `DIR/bin/scli --query_all_volumes` prints: a second witness, which does not ask the gateway. */
export async function scliVolumes(cluster: MeshsanCluster): Promise<string> {
  const scli = path.join(cluster.dir, 'bin', 'scli');
  const query = await execa(scli, ['--query_all_volumes'], { stdin: 'ignore', reject: false });
  if (query.exitCode === 0) return query.stdout;
  // Not logged in yet. The password goes through standard input: arguments are visible to every user.
  await execa(scli, ['--login', '--username', cluster.username], {
    input: `${cluster.password}\n`,
  });
  return (await execa(scli, ['--query_all_volumes'], { stdin: 'ignore' })).stdout;
}

/** The name that the PowerFlex driver gives to a volume of Cinder: its uuid's bytes in base64. */
export function nameOnMeshsan(uuid: string): string {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex').toString('base64');
}

/** Waits until the gateway lists the volume with that size in GiB. */
export async function volumeOfSize(
  gateway: Gateway,
  name: string,
  sizeGib: number,
): Promise<MeshsanVolume> {
  const wantedKb = sizeGib * 1024 * 1024;
  return until(`MeshSAN has volume ${name} with ${sizeGib} GiB`, 30, async () => {
    const volume = await gateway.volume(name);
    if (volume === undefined) return { not: 'no such volume' };
    return volume.sizeInKb === wantedKb ? { done: volume } : { not: `${volume.sizeInKb} KiB` };
  });
}
