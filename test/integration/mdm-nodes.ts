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
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { EtcdClient } from '../../backend/runtime/etcd/client.js';
import { makeEtcdTls } from '../../backend/runtime/etcd/certificates.js';
import { MdmSession } from '../../backend/runtime/mdm-session.js';
import { etcdProgram } from '../support/etcd-cluster.js';
import { until } from '../support/until.js';

const MAIN = join(import.meta.dirname, '../../backend/bin/mdm.js');
const QUIET = { event: (): void => undefined };
const SECRET = 'cd'.repeat(32);
const ADMIN = { name: 'admin', saltHex: '00'.repeat(32), hashHex: '11'.repeat(64) };

class MdmNode {
  readonly name: string;
  readonly host: string;
  readonly directory: string;
  child: ChildProcess | null = null;

  constructor(name: string, host: string, directory: string) {
    this.name = name;
    this.host = host;
    this.directory = directory;
    mkdirSync(directory, { mode: 0o700 });
  }

  start(): void {
    const config = join(this.directory, 'mdm.json');
    const log = openSync(join(this.directory, 'mdm.log'), 'a');
    this.child = spawn(process.execPath, [MAIN, '--config', config], {
      stdio: ['ignore', 'ignore', log],
    });
    closeSync(log);
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

  /** How often it came so far that it serves. */
  get starts(): number {
    const log = readFileSync(join(this.directory, 'mdm.log'), 'utf8');
    return log.split('"mdm.started"').length - 1;
  }

  /** Of the etcd member, 0: none was started. */
  get memberPid(): number {
    const record = join(this.directory, 'state/etcd/process.json');
    if (!existsSync(record)) return 0;
    return (JSON.parse(readFileSync(record, 'utf8')) as { pid: number }).pid;
  }
}

export class MdmNodes {
  readonly nodes: MdmNode[];
  private readonly directory = mkdtempSync(join(tmpdir(), 'meshsan-mdms-'));
  private readonly sessions: MdmSession[] = [];
  private etcd: EtcdClient | null = null;

  /** @param tieBreakers - how many of the last hosts run a member and no MDM */
  constructor(hosts: readonly string[], tieBreakers = 1) {
    this.nodes = hosts.map(
      (host, index) => new MdmNode(`mdm${index + 1}`, host, join(this.directory, `n${index + 1}`)),
    );
    const members = this.nodes.map(({ name, host }, index) => ({
      ...{ name, host },
      role: index < hosts.length - tieBreakers ? 'manager' : 'tieBreaker',
    }));
    for (const { name, host, directory } of this.nodes) {
      const secretFile = join(directory, 'secret');
      writeFileSync(secretFile, SECRET, { mode: 0o600 });
      const config = {
        ...{ name, secretFile, stateDir: join(directory, 'state'), systemName: 'test' },
        addresses: [{ host, role: 'all' }],
        cluster: { prefix: '/meshsan/test', members, member: name, program: etcdProgram() },
        initialAdmin: ADMIN,
      };
      writeFileSync(join(directory, 'mdm.json'), JSON.stringify(config), { mode: 0o600 });
    }
  }

  start(): void {
    for (const node of this.nodes) node.start();
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
      this.etcd ??= new EtcdClient({
        endpoints: this.nodes.map(({ host }) => ({ host, port: 9012 })),
        tls: await this.tls(),
        log: QUIET,
      });
      try {
        const status = await this.etcd.ask('maintenance/status', {}, 1000);
        const list = await this.etcd.ask('cluster/member/list', {}, 1000);
        const members = list['members'] as { ID: string; name: string }[];
        const found = members.find(({ ID }) => ID === status['leader']);
        return this.nodes.find(({ name }) => name === found?.name) ?? null;
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
