// Runs a story: a text file that says what happens to a small cluster and what a client must see. The cluster is the
// simulator's: the product's own machines in virtual time. It owns the words of the language; a story says what it shows
// in its first line.
//
//   servers 3 | mode media | device real   before anything else (mode: media, device, memory; device: the model, or the real format)
//   write 0+8 = 5                     and wait until it is answered; `write 0+8 = 5 fua`: from media only
//   begin NAME write 0+8 = 5          without waiting (also read, zero, discard, flush)
//   done NAME | pending NAME          it is answered without error (in time) | it is not
//   read 0+8 = 5                      every sector carries 5; `= 5|6`: every sector 5, or every sector 6
//   flush | zero 0+8 | discard 0+8
//   kill|start|pause|continue PLACE   primary, member, spare, mdm, client
//   power-off|power-on PLACE|all      primary, member, spare
//   break-disk PLACE reads|writes|flushes   they fail from now on
//   slow-disk PLACE FACTOR            everything takes so many times as long; 1: as usual
//   lose-write PLACE                  its disk reports the next write and does nothing
//   no-room|room PLACE                its device tells writes to wait for room | it does not any more
//   failed PLACE                      its device failed for good (in time)
//   cut|join PLACE PLACE              network between two hosts
//   cut-way|join-way PLACE PLACE      from the first to the second only
//   begin-unmap | unmap-pending | done-unmap   the operator takes the volume away; not answered yet; answered
//   mark NAME                         some scenario of the file reached this mark since its start
//   run MS | whole                    time passes | until every comb has its copies
//
// Places are resolved when the story first needs them: `primary` is the device that was primary of the comb of sector 0.

import { IO } from '../../backend/sdc/block-front.js';
import type { IoKind } from '../../backend/sdc/block-front.js';
import { combOf } from '../../backend/cluster-map/comb.js';
import { marks } from '../../backend/core/marks.js';
import { ROOM } from '../../backend/sds/store/store.js';
import type { Store } from '../../backend/sds/store/store.js';
import { lackingCopies, newestEntries } from '../../backend/sim/check-rest.js';
import { SimCluster } from '../../backend/sim/cluster.js';
import type { Durability } from '../../backend/protocol/generated/types.js';
import type { SimHost } from '../../backend/sim/host.js';
import type { SimProcess } from '../../backend/sim/process.js';
import type { ServerNode } from '../../backend/sim/server-node.js';
import { Simulation, makeSimulationMemory } from '../../backend/sim/simulation.js';
import { drawSwarm } from '../../backend/sim/swarm.js';
import { LATER_OPTIONS_OFF, NO_MOVES } from '../../backend/sim/swarm-options.js';
import { noTrouble } from '../../backend/sim/trouble-kinds.js';
import { ERRNO, ScriptClient } from './script-client.js';
import type { StoryRequest } from './script-client.js';

const EVENTS_MAX = 2_000_000;
const PATIENCE_US = 30_000_000;
const KINDS: ReadonlyMap<string, IoKind> = new Map([
  ['write', IO.write],
  ['read', IO.read],
  ['zero', IO.zero],
  ['discard', IO.discard],
  ['flush', IO.flush],
]);

export class StoryError extends Error {
  override readonly name = 'StoryError';
}

interface Named {
  readonly request: StoryRequest;
  /** Of a read: what every sector may carry. */
  readonly expected: readonly number[] | null;
}

export class Story {
  private readonly sim: Simulation;
  private readonly cluster: SimCluster;
  private readonly client: ScriptClient;
  private readonly named = new Map<string, Named>();
  private readonly places: {
    readonly primary: ServerNode;
    readonly member: ServerNode;
    readonly spare: ServerNode | undefined;
  };
  private unmapStatus: number | null = null;
  private readonly hits: ReadonlyMap<string, number>;
  private readonly roomless = new Set<ServerNode>();

  constructor(servers: number, mode: Durability, realDevice: boolean) {
    this.hits = new Map(marks().map(({ name, hits }) => [name, hits]));
    const drawn = drawSwarm(1);
    const swarm = {
      ...{ ...drawn, ...LATER_OPTIONS_OFF, moves: NO_MOVES },
      ...{ servers, clients: 2, volumeChunks: [4], shared: true, combLog2: 2, durability: mode },
      ...{ realDevice, trouble: noTrouble(), storeUnknownPermille: 0, overLimit: false },
      ...{ ioTimeoutS: 0, driftPpmMax: 0, linksPerDevice: 1, commitUsMax: 200 },
      network: { ...drawn.network, delayUsMin: 50, delayUsMax: 100 },
    } as const;
    this.sim = new Simulation(1, makeSimulationMemory(), null);
    this.cluster = new SimCluster(this.sim, swarm);
    for (const client of this.cluster.clients) client.quiet = true;
    for (const server of this.cluster.servers) this.watchRoom(server);
    this.cluster.start();
    this.until('the cluster is set up', () => this.cluster.operator.ready);
    this.client = new ScriptClient(this.cluster, 2);
    this.until('the client has its volume', () => this.client.ready);
    this.places = this.findPlaces();
    // Leases of a cluster that has just begun are waited out.
    this.pass(2000);
  }

  /** Runs the lines behind the settings. */
  run(lines: readonly string[]): void {
    lines.forEach((line, index) => {
      const words = line.replace(/#.*/, '').trim().split(/\s+/);
      if (words[0] === '') return;
      try {
        this.step(words);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        throw new StoryError(`step ${index + 1} "${line.trim()}": ${why}`);
      }
    });
  }

  private step(words: readonly string[]): void {
    const [verb = '', first = '', second = ''] = words;
    if (KINDS.has(verb)) {
      this.await(this.begin(words));
      return;
    }
    switch (verb) {
      case 'begin':
        this.named.set(first, this.begin(words.slice(2)));
        return;
      case 'done':
        this.await(this.request(first));
        return;
      case 'pending':
        if (this.request(first).request.errno >= 0) throw new StoryError('it is answered already');
        return;
      case 'run':
        this.pass(Number(first));
        return;
      case 'whole':
        this.until('every comb has its copies', () => lackingCopies(this.cluster) === null);
        return;
      case 'break-disk':
        this.breakDisk(first, second);
        return;
      case 'slow-disk':
        this.server(first).device.setSlow(Number(second));
        return;
      case 'no-room':
        this.roomless.add(this.server(first));
        return;
      case 'room':
        this.roomless.delete(this.server(first));
        return;
      case 'lose-write':
        this.server(first).device.spoil('lost');
        return;
      case 'failed':
        this.until('the device failed', () => this.server(first).failed);
        return;
      case 'mark':
        this.checkMark(words.slice(1).join(' '));
        return;
      case 'cut-way':
      case 'join-way':
        this.cluster.network.cut(this.host(first), this.host(second), verb === 'cut-way');
        return;
      case 'begin-unmap':
        this.unmap();
        return;
      case 'unmap-pending':
        if (this.unmapStatus !== null) throw new StoryError(`it ended with ${this.unmapStatus}`);
        return;
      case 'done-unmap':
        this.until('the unmapping is answered', () => this.unmapStatus !== null);
        if (this.unmapStatus !== 0) throw new StoryError(`status ${String(this.unmapStatus)}`);
        return;
      case 'cut':
      case 'join':
        this.cluster.network.cut(this.host(first), this.host(second), verb === 'cut');
        this.cluster.network.cut(this.host(second), this.host(first), verb === 'cut');
        return;
      default:
        this.disturb(verb, first);
    }
  }

  private disturb(verb: string, place: string): void {
    const servers = place === 'all' ? this.cluster.servers : [];
    if (verb === 'power-off' || verb === 'power-on') {
      for (const server of place === 'all' ? servers : [this.server(place)])
        if (verb === 'power-off') server.powerOff();
        else server.powerOn();
    } else if (verb === 'pause') this.process(place).pause();
    else if (verb === 'continue') this.process(place).proceed();
    else if (place === 'mdm' && verb === 'kill') this.cluster.mdm.kill();
    else if (place === 'mdm' && verb === 'start') this.cluster.mdm.restartIn(1);
    else if (verb === 'kill') this.kill(this.server(place));
    else if (verb === 'start') this.server(place).processes.release();
    else throw new StoryError('no such word');
  }

  /** Lets the story decide whether the device of a server has room. */
  private watchRoom(server: ServerNode): void {
    const { device } = server;
    const open = device.open.bind(device);
    device.open = (...args) => {
      const store = open(...args);
      const room: Store['room'] = (...range) =>
        this.roomless.has(server) ? ROOM.wait : store.room(...range);
      return new Proxy(store, {
        get: (target, name) => {
          if (name === 'room') return room;
          const value: unknown = Reflect.get(target, name);
          return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        },
      });
    };
  }

  private breakDisk(place: string, way: string): void {
    if (way !== 'reads' && way !== 'writes' && way !== 'flushes')
      throw new StoryError(`no such fault "${way}"`);
    this.server(place).device.fail(way);
  }

  /** Its control process starts it again when the story says so. */
  private kill(server: ServerNode): void {
    server.processes.hold();
    server.killData();
  }

  private begin(words: readonly string[]): Named {
    const [verb = '', range = '0+0', , value = '', way = ''] = words;
    const kind = KINDS.get(verb);
    if (kind === undefined) throw new StoryError(`no such request "${verb}"`);
    const [from = 0, sectors = 0] = range.split('+').map(Number);
    const values = value.split('|').map(Number);
    if (kind !== IO.read && values.length > 1) throw new StoryError('it writes one value');
    const request = this.client.submit(kind, from, sectors, values[0] ?? 0, way === 'fua');
    return { request, expected: kind === IO.read ? values : null };
  }

  private await({ request, expected }: Named): void {
    this.until('the request is answered', () => request.errno >= 0);
    if (request.errno !== ERRNO.ok) throw new StoryError(`errno ${request.errno}`);
    const seen = ScriptClient.seen(request);
    if (expected !== null && !expected.some((right) => seen.every((value) => value === right)))
      throw new StoryError(`saw ${seen.join(' ')}`);
  }

  private unmap(): void {
    const { cluster } = this;
    const [volume] = cluster.operator.volumes;
    const sdcKey = cluster.clients[1]?.sdcKey ?? 0;
    const params = { volumeKey: volume?.key ?? 0, sdcKeys: [sdcKey], generation: 0 };
    cluster.operator.process.input((nowUs) => {
      cluster.operator.admin.ask(nowUs, 'UNMAP_VOLUME', params, (status) => {
        this.unmapStatus = status;
      });
    });
  }

  private request(name: string): Named {
    const named = this.named.get(name);
    if (named === undefined) throw new StoryError(`nothing was begun as "${name}"`);
    return named;
  }

  private checkMark(name: string): void {
    const mark = marks().find((candidate) => candidate.name === name);
    if (mark === undefined) throw new StoryError('there is no such mark');
    if (mark.hits === (this.hits.get(name) ?? 0)) throw new StoryError('it was not reached');
  }

  private pass(milliseconds: number): void {
    this.sim.run(this.sim.nowUs + milliseconds * 1000, () => false, EVENTS_MAX);
  }

  private until(what: string, done: () => boolean): void {
    if (!this.sim.run(this.sim.nowUs + PATIENCE_US, done, EVENTS_MAX) && !done())
      throw new StoryError(
        `not in time: ${what}; ${lackingCopies(this.cluster) ?? 'all copies are there'}`,
      );
  }

  private findPlaces(): Story['places'] {
    const { cluster } = this;
    const [volume] = cluster.operator.volumes;
    if (volume === undefined) throw new StoryError('there is no volume');
    const comb = combOf(volume.key, 0, 2);
    const entry = newestEntries(cluster).get(comb);
    const byKey = (key: number | undefined): ServerNode | undefined =>
      cluster.servers.find(({ deviceKey }) => deviceKey === key);
    const primary = byKey(entry?.members[entry.primary]?.deviceKey);
    const member = byKey(entry?.members[1 - entry.primary]?.deviceKey);
    const spare = cluster.servers.find((server) => server !== primary && server !== member);
    if (primary === undefined || member === undefined)
      throw new StoryError('the comb has no two members');
    return { primary, member, spare };
  }

  private server(place: string): ServerNode {
    if (place === 'primary' || place === 'member' || place === 'spare') {
      const server = this.places[place];
      if (server !== undefined) return server;
    }
    throw new StoryError(`no such server "${place}"`);
  }

  private process(place: string): SimProcess {
    const process =
      place === 'mdm'
        ? this.cluster.mdm.process
        : place === 'client'
          ? this.client.process
          : this.server(place).data;
    if (process === null) throw new StoryError(`${place} does not run`);
    return process;
  }

  private host(place: string): SimHost {
    if (place === 'client') return this.client.process.host;
    const mdm = this.cluster.mdm.process;
    return place === 'mdm' && mdm !== null ? mdm.host : this.server(place).host;
  }
}
