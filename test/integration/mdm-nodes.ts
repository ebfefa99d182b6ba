// MDM processes of a cluster, each with its etcd member, on loopback addresses of their own: configuration, start, kill,
// pause, and who is master.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { execa } from 'execa';

import { EtcdClient } from '../../backend/runtime/etcd/client.js';
import { makeEtcdTls } from '../../backend/runtime/etcd/certificates.js';
import { ClusterError } from '../../backend/runtime/cluster.js';
import { changed } from '../../backend/runtime/cluster-change.js';
import { MdmSession } from '../../backend/runtime/mdm-session.js';
import { etcdProgram } from '../support/etcd-cluster.js';
import { until } from '../support/until.js';

const MAIN = join(import.meta.dirname, '../../backend/bin/mdm.js');
const SCLI = join(import.meta.dirname, '../../backend/bin/scli.js');
const CLOCK = join(import.meta.dirname, '../support/jumping-clock.js');
const QUIET = { event: (): void => undefined };
const SECRET = 'cd'.repeat(32);
const ADMIN = { name: 'admin', saltHex: '00'.repeat(32), hashHex: '11'.repeat(64) };

const LATER: ReadonlySet<string> = new Set([
  ...['CLUSTER_DEGRADED', 'MDM_NOT_CONNECTED', 'CLUSTER_BUSY', 'NOT_MASTER', 'NOT_READY'],
]);

class MdmNode {
  readonly name: string;
  readonly host: string;
  readonly directory: string;
  child: ChildProcess | null = null;
  /** Its wall clock can be set. */
  private readonly hasClock: boolean;
  /** Its state lies on a file system of its own in memory, of so many MiB, in a mount namespace; 0: in its directory. */
  diskMib = 0;

  constructor(name: string, host: string, directory: string, hasClock: boolean) {
    this.hasClock = hasClock;
    this.name = name;
    this.host = host;
    this.directory = directory;
    mkdirSync(directory, { mode: 0o700 });
    this.setClock(0);
  }

  /** Its wall clock is off by so much from now on. */
  setClock(offsetMs: number): void {
    writeFileSync(join(this.directory, 'clock'), String(offsetMs));
  }

  start(): void {
    const config = join(this.directory, 'mdm.json');
    const log = openSync(join(this.directory, 'mdm.log'), 'a');
    const [program, ...args] = [...this.ownDisk(), process.execPath, MAIN, '--config', config];
    this.child = spawn(program, args, {
      stdio: ['ignore', 'ignore', log],
      ...(this.hasClock
        ? {
            env: {
              ...process.env,
              NODE_OPTIONS: `--import ${CLOCK}`,
              MESHSAN_TEST_CLOCK: join(this.directory, 'clock'),
            },
          }
        : {}),
    });
    closeSync(log);
  }

  /** Words before the command of a process that has a disk of its own. */
  private ownDisk(): string[] {
    if (this.diskMib === 0) return [];
    const state = join(this.directory, 'state');
    mkdirSync(state, { recursive: true, mode: 0o700 });
    const mount = `mount -t tmpfs -o size=${this.diskMib}m,mode=700 tmpfs ${state} && exec "$@"`;
    const isRoot = process.getuid?.() === 0;
    const namespaces = isRoot ? ['--mount'] : ['--map-root-user', '--mount'];
    return ['unshare', ...namespaces, 'sh', '-c', mount, 'sh'];
  }

  /** Its state as this process reaches it, while it runs. */
  get state(): string {
    const state = join(this.directory, 'state');
    return this.diskMib === 0 ? state : `/proc/${this.child?.pid ?? 0}/root${state}`;
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    const { child } = this;
    this.child = null;
    if (child?.exitCode !== null) return child?.exitCode ?? null;
    const ended = once(child, 'exit');
    child.kill('SIGCONT');
    child.kill(signal);
    const [code] = (await ended) as [number | null];
    return code;
  }

  /** What it said so far. */
  log(): string {
    return readFileSync(join(this.directory, 'mdm.log'), 'utf8');
  }

  /** How often it came so far that it serves. */
  get starts(): number {
    return this.log().split('"mdm.started"').length - 1;
  }

  /** Of the etcd member, 0: there is none. */
  get memberPid(): number {
    const { state } = this;
    const found = existsSync(state)
      ? readdirSync(state).find((name) => name.startsWith('etcd-'))
      : undefined;
    const record = join(state, found ?? '', 'process.json');
    if (found === undefined || !existsSync(record)) return 0;
    return (JSON.parse(readFileSync(record, 'utf8')) as { pid: number }).pid;
  }
}

export class MdmNodes {
  readonly nodes: MdmNode[];
  private readonly directory = mkdtempSync(join(tmpdir(), 'meshsan-mdms-'));
  private readonly sessions: MdmSession[] = [];
  private etcd: EtcdClient | null = null;

  /**
   * @param haveClocks - the wall clock of each can be set
   * @param quotaBytes - of their etcd members, 0: what is usual
   */
  constructor(hosts: readonly string[], haveClocks = false, quotaBytes = 0) {
    this.nodes = hosts.map((host, index) => {
      const name = `mdm${index + 1}`;
      return new MdmNode(name, host, join(this.directory, `n${index + 1}`), haveClocks);
    });
    for (const { name, host, directory } of this.nodes) {
      const secretFile = join(directory, 'secret');
      writeFileSync(secretFile, SECRET, { mode: 0o600 });
      const config = {
        ...{ name, secretFile, stateDir: join(directory, 'state'), systemName: 'test' },
        addresses: [{ host, role: 'all' }],
        cluster: { prefix: '/meshsan/test', program: this.program(quotaBytes) },
        // The system begins on the first of them; the others wait to be taken in.
        ...(name === 'mdm1' ? { initialAdmin: ADMIN } : {}),
      };
      writeFileSync(join(directory, 'mdm.json'), JSON.stringify(config), { mode: 0o600 });
    }
  }

  /** The etcd that the members run. Of a flag that is given twice the last one counts. */
  private program(quotaBytes: number): string {
    if (quotaBytes === 0) return etcdProgram();
    const path = join(this.directory, 'etcd-small');
    const text = `#!/bin/sh\nexec ${etcdProgram()} "$@" --quota-backend-bytes=${quotaBytes}\n`;
    writeFileSync(path, text, { mode: 0o755 });
    return path;
  }

  /** A client of their etcd. */
  async etcdClient(): Promise<EtcdClient> {
    this.etcd ??= new EtcdClient({
      endpoints: this.nodes.map(({ host }) => ({ host, port: 9012 })),
      tls: await this.tls(),
      log: QUIET,
    });
    return this.etcd;
  }

  /** A command line of an administrator who knows all MDMs. */
  scli(...args: readonly string[]) {
    const config = join(this.directory, 'scli.json');
    const mdm = this.nodes.map(({ host }) => ({ host, port: 6611 }));
    const secretFile = join(this.nodes[0]?.directory ?? '', 'secret');
    const stateDir = join(this.directory, 'scli');
    writeFileSync(config, JSON.stringify({ mdm, secretFile, stateDir }), { mode: 0o600 });
    const env = { MESHSAN_SCLI_CONFIG: config };
    return execa(process.execPath, [SCLI, ...args], { env, reject: false, stdin: 'ignore' });
  }

  start(): void {
    for (const node of this.nodes) node.start();
  }

  /** Takes all but the first node in as standbys. @returns the keys of all, by name */
  async addStandbys(tieBreakers: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const session = this.session();
    for (const { name, host } of this.nodes.slice(1)) {
      const role = tieBreakers.includes(name) ? 'tieBreaker' : 'manager';
      const ports = { port: 0, clientPort: 0, peerPort: 0 };
      const params = { name, host, role, clean: false, ...ports } as const;
      await until(`${name} can be taken in`, () =>
        session.command('ADD_STANDBY_MDM', 'admin', params).catch((error: unknown) => {
          if (error instanceof ClusterError && error.info.name === 'MDM_NOT_CONNECTED') return null;
          throw error;
        }),
      );
    }
    const { members } = await session.clusterState();
    session.close();
    return new Map(members.map(({ name, key }) => [name, key]));
  }

  /** Switches the cluster, and waits until that came about. */
  async switch(
    mode: number,
    add: readonly number[],
    remove: readonly number[],
    allowFailed = false,
  ): Promise<void> {
    const session = this.session();
    const params = { mode, add, remove, allowFailed };
    // On a loaded machine a node may answer late, and the master may be another one by now.
    const { job } = await until('the switch can begin', () =>
      session.command('SWITCH_CLUSTER', 'admin', params).catch((error: unknown) => {
        if (error instanceof ClusterError && LATER.has(error.info.name)) return null;
        throw error;
      }),
    );
    await changed(session, job);
    session.close();
  }

  session(requestTimeoutMs = 30_000): MdmSession {
    const session = new MdmSession({
      addresses: this.nodes.map(({ host }) => ({ host, port: 6611 })),
      secret: new Uint8Array(Buffer.from(SECRET, 'hex')),
      log: QUIET,
      requestTimeoutMs,
    });
    this.sessions.push(session);
    return session;
  }

  /** A session with one MDM only. */
  sessionWith(node: MdmNode, requestTimeoutMs: number): MdmSession {
    const session = new MdmSession({
      addresses: [{ host: node.host, port: 6611 }],
      secret: new Uint8Array(Buffer.from(SECRET, 'hex')),
      log: QUIET,
      requestTimeoutMs,
    });
    this.sessions.push(session);
    return session;
  }

  async master(): Promise<MdmNode> {
    const session = this.session();
    const { name } = await session.clusterState();
    session.close();
    const node = this.nodes.find((each) => each.name === name);
    if (node === undefined) throw new Error(`${name} is no node`);
    return node;
  }

  /** The node with the member that leads etcd. */
  async leader(): Promise<MdmNode> {
    return until('etcd has a leader', async () => {
      const etcd = await this.etcdClient();
      try {
        const status = await etcd.ask('maintenance/status', {}, 1000);
        const list = await etcd.ask('cluster/member/list', {}, 1000);
        const members = list['members'] as { ID: string; clientURLs: string[] }[];
        const found = members.find(({ ID }) => ID === status['leader']);
        const place = found?.clientURLs[0] ?? '';
        return this.nodes.find(({ host }) => place.includes(`//${host}:`)) ?? null;
      } catch {
        return null;
      }
    });
  }

  private async tls(): Promise<() => Awaited<ReturnType<typeof makeEtcdTls>>> {
    const material = await makeEtcdTls(
      new Uint8Array(Buffer.from(SECRET, 'hex')),
      ['127.0.0.1'],
      Date.now(),
    );
    return () => material;
  }

  async cleanUp(): Promise<void> {
    for (const session of this.sessions) session.close();
    this.etcd?.close();
    for (const node of this.nodes) {
      const pid = node.memberPid;
      await node.end('SIGKILL');
      try {
        if (pid > 0) process.kill(pid, 'SIGKILL');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}
