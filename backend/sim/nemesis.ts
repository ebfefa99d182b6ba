// Makes trouble: draws what goes wrong next and for how long, and undoes it. It owns what is broken at the moment; it must
// never do what the promise does not cover, unless the scenario is over the limit.
//
// Covered: any number of killed, paused, restarted and cut off processes and hosts; one disk that fails or rots, at a
// time when every comb has all its copies. Power loss of several servers at once loses acknowledged but unflushed
// writes of the volatile modes, which the history notes.

import type { Prng } from '../core/prng.js';
import { mark } from '../core/marks.js';

import { newestEntries } from './check-rest.js';

import type { ClientNode } from './client-node.js';
import { SIM_CHUNK_SECTORS } from './client-node.js';
import type { SimCluster } from './cluster.js';
import type { EventTarget } from './event-queue.js';
import type { SimHost } from './host.js';
import type { LinkEnd } from './link-end.js';
import type { SimProcess } from './process.js';
import type { ServerNode } from './server-node.js';
import type { TroubleKind } from './swarm.js';
import { TRACE } from './trace.js';

const NOTICE_US = 4_000_000;

const MARKS = {
  crashData: mark('nemesis: a data process was killed'),
  crashServer: mark('nemesis: all processes of a server were killed'),
  powerServer: mark('nemesis: a server lost its power'),
  powerAll: mark('nemesis: all servers lost their power'),
  crashMdm: mark('nemesis: the MDM was killed'),
  crashClient: mark('nemesis: a client was killed'),
  pauseData: mark('nemesis: a data process was stopped for a while'),
  pauseMdm: mark('nemesis: the MDM was stopped for a while'),
  pauseClient: mark('nemesis: a client was stopped for a while'),
  cutServers: mark('nemesis: servers were cut off from each other'),
  cutOneWay: mark('nemesis: a host was cut off in one direction'),
  cutClient: mark('nemesis: a client was cut off from a server'),
  cutMdm: mark('nemesis: a server was cut off from the MDM'),
  slowNetwork: mark('nemesis: the network of a host was slow'),
  stallLink: mark('nemesis: a link was stalled'),
  breakLink: mark('nemesis: a link was broken'),
  slowDisk: mark('nemesis: a disk was slow'),
  failDisk: mark('nemesis: a disk failed'),
  rot: mark('nemesis: bits of a disk flipped'),
  unmap: mark('nemesis: a volume was unmapped and mapped again'),
  resize: mark('nemesis: a volume grew'),
} satisfies Record<TroubleKind, unknown>;

export class Nemesis implements EventTarget {
  private readonly cluster: SimCluster;
  private readonly prng: Prng;
  private readonly kinds: TroubleKind[] = [];
  private readonly undo = new Map<number, () => void>();
  private nextUndo = 1;
  private stopped = false;
  /** Kinds that happened. */
  readonly happened = new Map<TroubleKind, number>();
  /** Errors in the log and EIO are explained. */
  diskTrouble = false;
  /** Something cannot be read, and nobody knows until it is: another fault makes two. */
  latentFault = false;
  private broken: ServerNode | null = null;
  private noticeByUs = 0;
  /** The server whose disk may fail or rot: never two. */
  private readonly weak: ServerNode;

  constructor(cluster: SimCluster) {
    this.cluster = cluster;
    this.prng = cluster.sim.prng.fork();
    const { trouble } = cluster.swarm;
    for (const kind of Object.keys(trouble) as TroubleKind[])
      for (let weight = trouble[kind]; weight > 0; weight--) this.kinds.push(kind);
    this.weak = this.prng.pick(cluster.servers);
  }

  start(): void {
    if (this.kinds.length > 0) this.plan();
  }

  private plan(): void {
    const { sim, swarm } = this.cluster;
    sim.queue.push(sim.nowUs + this.prng.below(swarm.troubleGapUsMax) + 1, this, 0, 0);
  }

  fire(_timeUs: number, what: number): void {
    if (what !== 0) {
      this.undoOne(what);
      return;
    }
    if (this.stopped) return;
    if (this.isUnnoticed()) {
      this.plan();
      return;
    }
    const kind = this.prng.pick(this.kinds);
    if (this.strike(kind)) {
      MARKS[kind].hits++;
      this.happened.set(kind, (this.happened.get(kind) ?? 0) + 1);
      const { sim } = this.cluster;
      sim.trace.mix(TRACE.fault, sim.nowUs, 0, this.nextUndo);
    }
    this.plan();
  }

  /** Ends all trouble: everything runs, everybody reaches everybody. What a disk lost stays lost. */
  heal(): void {
    this.stopped = true;
    // A disk that broke and is counted on to the end may have been the second fault, after those that are undone now.
    if (this.isUnnoticed()) this.latentFault = true;
    for (const number of [...this.undo.keys()]) this.undoOne(number);
    const { cluster } = this;
    for (const server of cluster.servers) server.powerOn();
    cluster.mdm.start();
    for (const server of cluster.servers) {
      server.start();
      server.restartDataIn(1);
      server.device.setSlow(1);
    }
    for (const client of cluster.clients) client.start();
  }

  private undoOne(number: number): void {
    const run = this.undo.get(number);
    this.undo.delete(number);
    run?.();
  }

  /**
   * A disk broke, and its device is still counted on: nothing else happens until it is not, for a while. After that the
   * next fault may be the second one.
   */
  private isUnnoticed(): boolean {
    const { broken, cluster } = this;
    if (broken === null || cluster.swarm.overLimit) return false;
    const entries = [...newestEntries(cluster).values()];
    // Clients that have just started know nothing: that is no evidence.
    const isKnown = entries.length > 0;
    const listed = entries.some((entry) =>
      entry.members.some(
        ({ deviceKey }, index) =>
          deviceKey === broken.deviceKey && ((entry.inSyncMask >> index) & 1) === 1,
      ),
    );
    const counted = listed || !isKnown;
    if (!counted) this.broken = null;
    else if (cluster.sim.nowUs > this.noticeByUs) {
      this.broken = null;
      this.latentFault = true;
    }
    return this.broken !== null;
  }

  /** Undoes something after a drawn time. */
  private later(run: () => void): void {
    const { sim, swarm } = this.cluster;
    const number = this.nextUndo++;
    this.undo.set(number, run);
    sim.queue.push(sim.nowUs + this.prng.below(swarm.troubleUsMax) + 1000, this, number, 0);
  }

  private say(what: string): void {
    const { sim } = this.cluster;
    if (sim.trace.verbose) sim.trace.line(sim.nowUs, 'nemesis', what);
  }

  private strike(kind: TroubleKind): boolean {
    switch (kind) {
      case 'crashData':
        return this.crashData(this.server());
      case 'crashServer':
        return this.crashServer(this.server());
      case 'powerServer':
        return this.powerOff([this.server()]);
      case 'powerAll':
        return this.powerOff(this.cluster.servers);
      case 'crashMdm':
        return this.crashMdm();
      case 'crashClient':
        return this.crashClient(this.prng.pick(this.cluster.clients));
      case 'pauseData':
        return this.pause(this.server().data);
      case 'pauseMdm':
        return this.pause(this.cluster.mdm.process);
      case 'pauseClient':
        return this.pause(this.prng.pick(this.cluster.clients).process);
      default:
        return this.strikeNetwork(kind);
    }
  }

  private strikeNetwork(kind: TroubleKind): boolean {
    const { cluster } = this;
    switch (kind) {
      case 'cutServers':
        return this.isolate(
          this.server().host,
          cluster.servers.map(({ host }) => host),
        );
      case 'cutOneWay':
        return this.oneWay();
      case 'cutClient':
        return this.isolate(this.prng.pick(cluster.clients).host, [this.server().host]);
      case 'cutMdm':
        return this.isolate(cluster.mdm.host, [
          this.prng.chance(1, 4) ? this.prng.pick(cluster.clients).host : this.server().host,
        ]);
      case 'slowNetwork':
        return this.slowNetwork();
      case 'stallLink':
      case 'breakLink':
        return this.hitLink(kind === 'stallLink');
      default:
        return this.strikeDisk(kind);
    }
  }

  private strikeDisk(kind: TroubleKind): boolean {
    switch (kind) {
      case 'slowDisk':
        return this.slowDisk(this.server());
      case 'failDisk':
        return this.failDisk();
      case 'rot':
        return this.rot();
      case 'unmap':
        return this.unmap();
      case 'resize':
        return this.resize();
      default:
        return false;
    }
  }

  private server(): ServerNode {
    return this.prng.pick(this.cluster.servers);
  }

  private crashData(server: ServerNode): boolean {
    if (server.data?.alive !== true) return false;
    this.say(`kills data${server.number}`);
    server.killData();
    this.later(() => {
      server.restartDataIn(1);
    });
    return true;
  }

  private crashServer(server: ServerNode): boolean {
    if (!server.host.powered) return false;
    this.say(`kills all of server ${server.number}`);
    server.killData();
    server.killControl();
    this.later(() => {
      server.restartControlIn(1);
      server.restartDataIn(1);
    });
    return true;
  }

  private powerOff(servers: readonly ServerNode[]): boolean {
    const hit = servers.filter(({ host }) => host.powered);
    if (hit.length === 0) return false;
    this.say(`takes the power of servers ${hit.map(({ number }) => number).join(' ')}`);
    // One server, while nothing else is wrong, is a single failure: no mode loses anything by it.
    const single = hit.length === 1 && this.undo.size === 0 && this.isRedundant();
    for (const server of hit) server.powerOff();
    const { sim, history } = this.cluster;
    if (!single) history.losses.push({ atUs: sim.nowUs });
    for (const server of hit)
      this.later(() => {
        this.say(`gives server ${server.number} its power back`);
        server.powerOn();
      });
    return true;
  }

  private crashMdm(): boolean {
    const { mdm } = this.cluster;
    if (mdm.process?.alive !== true) return false;
    this.say('kills the MDM');
    mdm.kill();
    this.later(() => {
      mdm.start();
    });
    return true;
  }

  private crashClient(client: ClientNode): boolean {
    if (client.process?.alive !== true) return false;
    this.say(`kills sdc${client.number}`);
    client.kill();
    this.later(() => {
      client.start();
    });
    return true;
  }

  private pause(process: SimProcess | null): boolean {
    if (process?.alive !== true || process.paused) return false;
    this.say(`stops ${process.name}`);
    process.pause();
    this.cluster.network.reachabilityChanged();
    this.later(() => {
      this.say(`continues ${process.name}`);
      process.proceed();
      this.cluster.network.reachabilityChanged();
    });
    return true;
  }

  private isolate(host: SimHost, from: readonly SimHost[]): boolean {
    const others = from.filter((other) => other !== host && this.prng.chance(2, 3));
    if (others.length === 0) return false;
    this.say(`cuts ${host.address} off from ${others.map(({ address }) => address).join(' ')}`);
    const set = (on: boolean): void => {
      for (const other of others) {
        this.cluster.network.cut(host, other, on);
        this.cluster.network.cut(other, host, on);
      }
    };
    set(true);
    this.later(() => {
      set(false);
    });
    return true;
  }

  private oneWay(): boolean {
    const { network } = this.cluster;
    const from = this.server().host;
    const to = this.prng.pick(network.hosts);
    if (from === to) return false;
    const [one, other] = this.prng.chance(1, 2) ? [from, to] : [to, from];
    this.say(`cuts the way from ${one.address} to ${other.address}`);
    network.cut(one, other, true);
    this.later(() => {
      network.cut(one, other, false);
    });
    return true;
  }

  private slowNetwork(): boolean {
    const host = this.prng.pick(this.cluster.network.hosts);
    this.say(`slows the network of ${host.address}`);
    this.cluster.network.setSlow(host, this.prng.pick([2_000, 20_000, 200_000]));
    this.later(() => {
      this.cluster.network.setSlow(host, 0);
    });
    return true;
  }

  private hitLink(stall: boolean): boolean {
    const { network, sim, swarm } = this.cluster;
    const ends = network.upEnds();
    if (ends.length === 0) return false;
    const end = this.prng.pick(ends);
    this.say(`${stall ? 'stalls' : 'breaks'} link ${end.id} of ${end.process.name}`);
    if (stall) network.stall(end, sim.nowUs + this.prng.below(swarm.troubleUsMax));
    else this.breakLate(end);
    return true;
  }

  /** Frames pile up before the break, so that some arrive late, while a newer connection is in use (C10). */
  private breakLate(end: LinkEnd): void {
    const { network, sim } = this.cluster;
    const pileUs = this.prng.pick([0, 20_000, 200_000]);
    if (pileUs === 0) {
      network.breakLink(end);
      return;
    }
    network.stall(end, sim.nowUs + pileUs + 1);
    sim.queue.push(
      sim.nowUs + pileUs,
      {
        fire: () => {
          if (end.isOpen()) network.breakLink(end);
        },
      },
      0,
      0,
    );
  }

  private slowDisk(server: ServerNode): boolean {
    const factor = this.prng.pick([10, 100, 1000, 10_000]);
    server.device.setSlow(factor);
    this.say(`slows the disk of server ${server.number} by ${factor}`);
    this.later(() => {
      server.device.setSlow(1);
    });
    return true;
  }

  /** Whether every comb has all its copies in sync, as far as the clients know. */
  private isRedundant(): boolean {
    for (const client of this.cluster.clients) {
      const map = client.sdc?.map;
      if (map === undefined) continue;
      for (const pool of map.pools.values())
        for (const entry of pool.known())
          if (entry.inSyncMask !== (1 << entry.members.length) - 1) return false;
    }
    return this.cluster.servers.every(({ data }) => data?.alive === true && !data.paused);
  }

  private failDisk(): boolean {
    const server = this.cluster.swarm.overLimit ? this.server() : this.weak;
    if (server.failed || (!this.cluster.swarm.overLimit && !this.isRedundant())) return false;
    this.diskTrouble = true;
    const way = this.prng.pick(['writes', 'flushes', 'reads'] as const);
    this.say(`breaks the disk of server ${server.number}: ${way} fail`);
    server.device.fail(way);
    this.broken = server;
    this.noticeByUs = this.cluster.sim.nowUs + NOTICE_US;
    return true;
  }

  private rot(): boolean {
    const server = this.cluster.swarm.overLimit ? this.server() : this.weak;
    if (!this.cluster.swarm.overLimit && !this.isRedundant()) return false;
    if (!server.device.rot()) return false;
    this.diskTrouble = true;
    this.latentFault = true;
    this.say(`flips bits of the disk of server ${server.number}`);
    return true;
  }

  private unmap(): boolean {
    const { cluster } = this;
    const volume = this.prng.pick(cluster.volumes);
    const client = this.prng.pick(cluster.clients);
    const { sdcKey } = client;
    if (
      cluster.isChanging ||
      sdcKey === 0 ||
      client.sdc?.map.mapping(volume.key, sdcKey) === undefined
    )
      return false;
    this.say(`unmaps volume ${volume.key} from sdc${client.number}`);
    cluster.unmap(volume, client);
    return true;
  }

  private resize(): boolean {
    const { cluster } = this;
    const volume = this.prng.pick(cluster.volumes);
    this.say(`grows volume ${volume.key}`);
    cluster.grow(volume, volume.chunks + this.prng.between(1, 3), SIM_CHUNK_SECTORS);
    return true;
  }
}
