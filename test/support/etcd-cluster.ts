// Real etcd members on loopback addresses of their own, for tests. The program is the installed one, or the one in Debian's
// package, unpacked into a folder: the package's own service is neither installed nor started.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { EtcdClient } from '../../backend/runtime/etcd/client.js';
import type { EtcdTls } from '../../backend/runtime/etcd/client.js';
import { makeEtcdTls, writeEtcdTls } from '../../backend/runtime/etcd/certificates.js';
import { EtcdMember } from '../../backend/runtime/etcd/member.js';
import type { MemberAddress } from '../../backend/runtime/etcd/member.js';
import { until } from './until.js';

const QUIET = { event: (): void => undefined };
const CLUSTER_SECRET = new Uint8Array(32).fill(0xab);

/**
 * Path of the etcd program.
 *
 * @throws Error when it is neither installed nor to be had
 */
export function etcdProgram(): string {
  const installed = '/usr/bin/etcd';
  if (existsSync(installed)) return installed;
  const cache = join(tmpdir(), `meshsan-etcd-${process.getuid?.() ?? 0}`);
  const unpacked = join(cache, 'usr/bin/etcd');
  if (existsSync(unpacked)) return unpacked;
  const work = mkdtempSync(join(tmpdir(), 'meshsan-etcd-'));
  try {
    execFileSync('apt-get', ['download', 'etcd-server'], { cwd: work, stdio: 'ignore' });
    const [archive] = readdirSync(work).filter((name) => name.endsWith('.deb'));
    if (archive === undefined) throw new Error('apt-get downloaded nothing');
    execFileSync('dpkg-deb', ['-x', archive, 'root'], { cwd: work });
    if (!existsSync(unpacked)) renameSync(join(work, 'root'), cache);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return unpacked;
}

export class EtcdCluster {
  readonly secret = CLUSTER_SECRET;
  readonly directory = mkdtempSync(join(tmpdir(), 'meshsan-etcd-test-'));
  readonly addresses: readonly MemberAddress[];
  readonly members: EtcdMember[] = [];
  private material: EtcdTls | null = null;

  private readonly quotaBytes: number | undefined;

  /** @param hosts - one member on each; loopback addresses that only this test uses */
  constructor(hosts: readonly string[], quotaBytes?: number) {
    this.quotaBytes = quotaBytes;
    this.addresses = hosts.map((host, index) => ({
      ...{ name: `m${index + 1}`, host, clientPort: 9012, peerPort: 9013 },
    }));
  }

  get endpoints(): { host: string; port: number }[] {
    return this.addresses.map(({ host, clientPort }) => ({ host, port: clientPort }));
  }

  readonly tls = (): EtcdTls => {
    if (this.material === null) throw new Error('the cluster was not started');
    return this.material;
  };

  async start(): Promise<void> {
    const program = etcdProgram();
    const nowMs = Date.now();
    for (const self of this.addresses) {
      const directory = join(this.directory, self.name);
      mkdirSync(directory, { mode: 0o700 });
      const tls = await makeEtcdTls(this.secret, [self.host, '127.0.0.1'], nowMs);
      writeEtcdTls(join(directory, 'tls'), tls);
      this.material ??= tls;
      const member = new EtcdMember({
        ...{ program, directory, self, members: this.addresses, joins: false },
        ...{ clusterToken: 'test', log: QUIET },
        ...(this.quotaBytes === undefined ? {} : { quotaBytes: this.quotaBytes }),
      });
      await member.start();
      this.members.push(member);
    }
    await this.answers();
  }

  /** Waits until a majority answers. */
  async answers(): Promise<void> {
    const client = this.client();
    await until('etcd answers', async () => {
      try {
        await client.ask('kv/range', { key: 'AA==' }, 1000);
        return true;
      } catch {
        return null;
      }
    });
    client.close();
  }

  client(): EtcdClient {
    return new EtcdClient({ endpoints: this.endpoints, tls: this.tls, log: QUIET });
  }

  async cleanUp(): Promise<void> {
    for (const member of this.members) await member.discard();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
