// Which members of etcd answer: asked now and then, one by one. It owns that knowledge; it must never decide anything by it.

import { EtcdClient, EtcdError } from './client.js';
import type { EtcdClientOptions } from './client.js';
import type { MemberAddress } from './member.js';

const ASK_EVERY_MS = 2000;
const ANSWER_MS = 1500;

export class MemberHealth {
  private readonly up = new Set<string>();
  private readonly clients: readonly EtcdClient[];
  private readonly timer: NodeJS.Timeout;

  constructor(members: readonly MemberAddress[], options: Pick<EtcdClientOptions, 'tls' | 'log'>) {
    const quiet = { event: (): void => undefined };
    this.clients = members.map(
      ({ host, clientPort }) =>
        new EtcdClient({ ...options, log: quiet, endpoints: [{ host, port: clientPort }] }),
    );
    const askAll = (): void => {
      for (const [index, { name }] of members.entries()) void this.ask(name, this.clients[index]);
    };
    this.timer = setInterval(askAll, ASK_EVERY_MS);
    askAll();
  }

  isUp(name: string): boolean {
    return this.up.has(name);
  }

  stop(): void {
    clearInterval(this.timer);
    for (const client of this.clients) client.close();
  }

  /** A member that is up but belongs to no majority answers questions about itself only. */
  private async ask(name: string, client: EtcdClient | undefined): Promise<void> {
    try {
      const status = await client?.ask('maintenance/status', {}, ANSWER_MS);
      const hasLeader = status?.['leader'] !== undefined;
      if (hasLeader) this.up.add(name);
      else this.up.delete(name);
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      this.up.delete(name);
    }
  }
}
