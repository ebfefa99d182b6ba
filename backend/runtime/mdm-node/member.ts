// This node's part in a store of several MDMs: its member of etcd with certificates that are renewed, whether that answers,
// and where the others are. It must never decide what the node takes part in.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { makeEtcdTls, writeEtcdTls } from '../etcd/certificates.js';
import { EtcdClient, EtcdError } from '../etcd/client.js';
import type { EtcdEndpoint, EtcdTls } from '../etcd/client.js';
import { fingerprintOf } from '../etcd/layout.js';
import { EtcdMember, MemberError } from '../etcd/member.js';
import { listMembers } from '../etcd/members.js';
import { Room } from '../etcd/room.js';
import { monotonicUs } from '../loop.js';
import type { ProcessLog } from '../log-sink.js';
import type { NodeRecord } from '../../protocol/node-state.js';

const RENEW_MS = 24 * 3_600_000;
const LOOK_MS = 1000;
const ANSWER_MS = 1500;
const DIRECTORY = 'etcd-';

export interface SeatTools {
  readonly stateDir: string;
  readonly program: string;
  readonly secret: Uint8Array;
  readonly log: ProcessLog;
}

const directoryOf = (stateDir: string, token: string): string => join(stateDir, DIRECTORY + token);

/** Members whose files are here, but of one store. */
function membersBut({ stateDir, program, log }: SeatTools, token: string): EtcdMember[] {
  if (!existsSync(stateDir)) return [];
  return readdirSync(stateDir)
    .filter((name) => name.startsWith(DIRECTORY) && name !== DIRECTORY + token)
    .map(
      (name) =>
        new EtcdMember({
          ...{ program, log, directory: join(stateDir, name) },
          ...{ self: { name: '', host: '', clientPort: 0, peerPort: 0 }, members: [] },
          ...{ joins: false, clusterToken: '' },
        }),
    );
}

/** Removes what is left of stores that this node takes no part in any more. */
export async function removeOthers(tools: SeatTools, token: string): Promise<void> {
  for (const member of membersBut(tools, token)) await member.discard();
}

/** No member runs here any more; what they held stays beside. @returns where */
export async function putMembersAside(tools: SeatTools): Promise<string[]> {
  const kept: string[] = [];
  for (const member of membersBut(tools, '')) kept.push(await member.putAside());
  return kept;
}

export class Seat {
  /** Members as etcd has them, this node's first. */
  endpoints: readonly EtcdEndpoint[];
  private readonly tools: SeatTools;
  private readonly record: NodeRecord;
  private readonly member: EtcdMember;
  private readonly noted: (endpoints: readonly EtcdEndpoint[]) => void;
  private material: EtcdTls | null = null;
  private own: EtcdClient | null = null;
  private room: Room | null = null;
  private timers: NodeJS.Timeout[] = [];
  private isUp = false;

  /**
   * @param record - what the node takes part in
   * @param noted - hears that the member answers, and where members are, when that changes
   * @throws MemberError
   */
  static async start(
    tools: SeatTools,
    record: NodeRecord,
    noted: (endpoints: readonly EtcdEndpoint[]) => void,
  ): Promise<Seat> {
    const seat = new Seat(tools, record, noted);
    await seat.begin();
    return seat;
  }

  private constructor(
    tools: SeatTools,
    record: NodeRecord,
    noted: (endpoints: readonly EtcdEndpoint[]) => void,
  ) {
    this.tools = tools;
    this.record = record;
    this.noted = noted;
    const { seats, selfKey, token, joins, endpoints } = record;
    const members = seats.map(({ key, host, clientPort, peerPort }) => ({
      ...{ name: `m${key}`, host, clientPort, peerPort },
    }));
    const self = members.find(({ name }) => name === `m${selfKey}`);
    if (self === undefined) throw new MemberError('this node is none of the members that it knows');
    const { program, stateDir, log, secret } = tools;
    this.member = new EtcdMember({
      ...{ program, self, members, joins, log },
      directory: directoryOf(stateDir, token),
      clusterToken: `${fingerprintOf(secret)}-${token}`,
    });
    const mine = { host: self.host, port: self.clientPort };
    const others =
      endpoints.length > 0
        ? endpoints
        : members.map(({ host, clientPort }) => ({ host, port: clientPort }));
    this.endpoints = ownFirst(mine, others);
  }

  readonly tls = (): EtcdTls => {
    if (this.material === null) throw new Error('certificates are made before they are used');
    return this.material;
  };

  /** The member answers, and a majority with it. */
  get up(): boolean {
    return this.isUp;
  }

  /** Why the member does not answer, as far as that is known; empty: it does, or nobody knows. */
  get fault(): string {
    return this.isUp ? '' : this.member.fault;
  }

  /** Leaves nothing running here. */
  async stop(): Promise<void> {
    this.unwatch();
    await this.member.stop();
  }

  /** The node takes no part any more. */
  async discard(): Promise<void> {
    this.unwatch();
    await this.member.discard();
  }

  private async begin(): Promise<void> {
    const { stateDir, log } = this.tools;
    const directory = directoryOf(stateDir, this.record.token);
    // A member that forgot what it had voted for must not take part under the same name.
    if (this.record.started && !existsSync(join(directory, 'data')))
      throw new MemberError(
        `${directory} is missing, but this node was a member of the MDM cluster: remove it from the cluster and add it again (scli --replace_cluster_mdm)`,
      );
    await this.renew(directory);
    const renewal = setInterval(() => {
      this.renew(directory).catch((error: unknown) => {
        log.event('error', 'etcd.certificate-not-renewed', { reason: String(error) });
      });
    }, RENEW_MS);
    renewal.unref();
    await this.member.start();
    const [mine] = this.endpoints;
    const endpoints = mine === undefined ? [] : [mine];
    const quiet = { event: (): void => undefined };
    this.own = new EtcdClient({ endpoints, tls: this.tls, log: quiet });
    this.room = new Room(this.own, log);
    const looking = setInterval(() => {
      void this.look();
    }, LOOK_MS);
    this.timers = [renewal, looking];
    await this.look();
  }

  private async renew(directory: string): Promise<void> {
    const [mine] = this.endpoints;
    this.material = await makeEtcdTls(this.tools.secret, [mine?.host ?? ''], Date.now());
    writeEtcdTls(join(directory, 'tls'), this.material);
  }

  private async look(): Promise<void> {
    const { own } = this;
    if (own === null) return;
    try {
      const status = await own.ask('maintenance/status', {}, ANSWER_MS);
      this.isUp = status['leader'] !== undefined && status['isLearner'] !== true;
      void this.room?.look(status, monotonicUs() / 1000);
      if (!this.isUp) return;
      const members = await listMembers(own);
      const known = members.flatMap(({ client }) => (client === null ? [] : [client]));
      const [mine] = this.endpoints;
      if (mine === undefined || known.length === 0) return;
      const endpoints = ownFirst(mine, known);
      const isSame = JSON.stringify(endpoints) === JSON.stringify(this.endpoints);
      if (isSame && this.record.started) return;
      this.endpoints = endpoints;
      this.noted(endpoints);
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      this.isUp = false;
    }
  }

  private unwatch(): void {
    for (const timer of this.timers) clearInterval(timer);
    this.timers = [];
    this.own?.close();
    this.own = null;
    this.isUp = false;
  }
}

/** The nearest first: it is asked as long as it answers. */
function ownFirst(own: EtcdEndpoint, all: readonly EtcdEndpoint[]): EtcdEndpoint[] {
  const others = all.filter(({ host, port }) => host !== own.host || port !== own.port);
  return [own, ...others.sort((one, other) => (one.host < other.host ? -1 : 1))];
}
