// A whole simulated system: MDM, servers, clients, an operator. It owns bringing it up from nothing by the operator's
// commands; it must never judge it.

import { ERR } from '../protocol/generated/constants.js';
import type { CommandName } from '../protocol/control.js';
import type { Micros } from '../core/ports.js';
import type { CommandParams, CommandResults } from '../protocol/generated/types.js';

import { Admin } from './admin.js';
import { ClientNode, SIM_CHUNK_SECTORS } from './client-node.js';
import { History } from './history.js';
import { SimHost } from './host.js';
import { SimLog } from './log.js';
import { MDM_PORT, MdmNode } from './mdm-node.js';
import { SimNetwork } from './network.js';
import { SimProcess } from './process.js';
import { DEVICE_PATH } from './device-processes.js';
import { CONTROL_PORT, ServerNode } from './server-node.js';
import type { Simulation } from './simulation.js';
import type { Swarm } from './swarm.js';

const RETRY_US = 100_000;
/** A frame of a broken link is on its way no longer than this, beside what the network adds of its own. */
const ON_ITS_WAY_US_MAX = 1_000_000;
const UNMAPPED_US_MAX = 600_000;
/** Settings of a pool that stay as they are. */
const KEEP_ALL = {
  ...{ durability: null, fullPolicy: null, zeroPadding: null, checksums: null, rmcache: null },
  ...{ sparePercent: null, capacityAlertHighPercent: null, capacityAlertCriticalPercent: null },
  ...{ mediaType: null, loneReturn: null },
} as const;

export interface SimVolume {
  readonly key: number;
  /** Who has it: a number of the order in which volumes were made. */
  readonly index: number;
  chunks: number;
}

export class SimCluster {
  readonly sim: Simulation;
  readonly swarm: Swarm;
  readonly network: SimNetwork;
  readonly history = new History();
  readonly log: SimLog;
  readonly mdm: MdmNode;
  readonly servers: ServerNode[] = [];
  readonly clients: ClientNode[] = [];
  readonly admin: Admin;
  readonly adminProcess: SimProcess;
  readonly volumes: SimVolume[] = [];
  /** Every volume is mapped to whom it belongs. */
  ready = false;
  /** Changes that the operator has begun and not ended. */
  private changes = 0;
  private nextNode = 1;
  private steps: ((nowUs: number) => void)[] = [];
  private poolKey = 0;
  private domainKey = 0;

  constructor(sim: Simulation, swarm: Swarm) {
    this.sim = sim;
    this.swarm = swarm;
    this.network = new SimNetwork(sim, swarm.network);
    this.log = new SimLog(sim);
    const mdmHost = this.host('10.0.0.1');
    this.mdm = new MdmNode(
      sim,
      this.network,
      this.log,
      mdmHost,
      this.nextNode++,
      {
        commitUsMin: 100,
        commitUsMax: Math.max(100, swarm.commitUsMax),
        // The operator that sets the system up does not find out what an unknown outcome was.
        unknownPermille: 0,
        slowUs: 0,
      },
      {
        combCountLog2: swarm.combLog2,
        drainTimeoutMs: swarm.drainTimeoutMs,
        ...(swarm.setUpTroubleUs > 0 ? { deviceAddTimeoutMs: 1000 } : {}),
      },
    );
    for (let number = 1; number <= swarm.servers; number++) {
      const host = this.host(`10.0.1.${number}`);
      this.servers.push(
        new ServerNode(sim, this.network, this.log, host, this.nextNode, number, mdmHost.address, {
          real: swarm.realDevice,
          capacityBlocks: swarm.capacityBlocks,
          settleBlocksMax: swarm.settleBlocksMax,
        }),
      );
      this.nextNode += 2;
    }
    for (let number = 1; number <= swarm.clients; number++) this.addClient(number, mdmHost.address);
    const identity = { role: 'admin' as const, key: 0, incarnation: 1, run: 0 };
    const adminHost = this.host('10.0.3.1');
    this.adminProcess = new SimProcess(sim, adminHost, 'admin', this.nextNode++, identity, 0);
    this.admin = new Admin(
      this.network.linksOf(this.adminProcess),
      this.log.of('admin'),
      mdmHost.address,
      MDM_PORT,
    );
  }

  private host(address: string): SimHost {
    const { prng } = this.sim;
    const { driftPpmMax } = this.swarm;
    const ppm = driftPpmMax === 0 ? 0 : prng.between(-driftPpmMax, driftPpmMax);
    const host = new SimHost(this.network.hosts.length, address, ppm, prng.below(100_000_000));
    this.network.addHost(host);
    return host;
  }

  private addClient(number: number, mdmAddress: string): void {
    const host = this.host(`10.0.2.${number}`);
    this.clients.push(
      new ClientNode(
        this.sim,
        this.network,
        this.log,
        this.history,
        host,
        this.nextNode++,
        number,
        mdmAddress,
        this.swarm,
      ),
    );
  }

  /** Starts all processes and lets the operator set the system up; `ready` follows. */
  start(): void {
    this.mdm.start();
    for (const server of this.servers) server.start();
    for (const client of this.clients) client.start();
    this.adminProcess.attach(this.admin);
    this.steps = [
      (nowUs) => {
        this.insist(nowUs, 'ADD_PROTECTION_DOMAIN', { name: 'domain' }, ({ key }) => {
          this.domainKey = key;
        });
      },
      (nowUs) => {
        this.addPool(nowUs);
      },
      (nowUs) => {
        this.setFullPolicy(nowUs);
      },
      ...this.servers.map((server) => (nowUs: number) => {
        this.addSds(nowUs, server);
      }),
      ...this.swarm.volumeChunks.map((chunks, index) => (nowUs: number) => {
        this.addVolume(nowUs, chunks, index);
      }),
    ];
    this.adminProcess.input((nowUs) => {
      this.admin.start(nowUs);
      this.nextStep(nowUs);
    });
  }

  private nextStep(nowUs: number): void {
    const step = this.steps.shift();
    if (step === undefined) this.ready = true;
    else step(nowUs);
  }

  /** Asks until it is done, then goes on. */
  private insist<N extends CommandName>(
    nowUs: number,
    name: N,
    params: CommandParams[N],
    done: (result: CommandResults[N]) => void,
  ): void {
    this.admin.ask(nowUs, name, params, (status, result) => {
      if (this.sim.trace.verbose)
        this.sim.trace.line(this.sim.nowUs, 'admin', `${name}: ${status}`);
      // An earlier attempt that was answered as pending has come about.
      const isDone = status === 0 || status === ERR.VOLUME_ALREADY_MAPPED;
      if (isDone) {
        if (result !== null) done(result);
        this.soon(1, (atUs) => {
          this.nextStep(atUs);
        });
      } else
        this.soon(RETRY_US, (atUs) => {
          this.insist(atUs, name, params, done);
        });
    });
  }

  /** Runs something as the operator after a while. */
  soon(inUs: number, run: (nowUs: number) => void): void {
    const { sim, adminProcess } = this;
    sim.queue.push(
      sim.nowUs + inUs,
      {
        fire: () => {
          adminProcess.input(run);
        },
      },
      0,
      0,
    );
  }

  private addPool(nowUs: number): void {
    this.insist(
      nowUs,
      'ADD_STORAGE_POOL',
      {
        ...{ domainKey: this.domainKey, name: 'pool', mediaType: 'SSD' },
        ...{ durability: this.swarm.durability, zeroPadding: true, checksums: true },
        ...{ rmcache: false, sparePercent: 0, combCountLog2: this.swarm.combLog2 },
      },
      ({ key }) => {
        this.poolKey = key;
      },
    );
  }

  private setFullPolicy(nowUs: Micros): void {
    const { fullPolicy, loneReturn } = this.swarm;
    this.insist(
      nowUs,
      'SET_STORAGE_POOL',
      { ...KEEP_ALL, key: this.poolKey, fullPolicy, loneReturn },
      () => undefined,
    );
  }

  private addSds(nowUs: number, server: ServerNode): void {
    this.insist(
      nowUs,
      'ADD_SDS',
      {
        domainKey: this.domainKey,
        faultSetKey: 0,
        name: `server${server.number}`,
        addresses: [{ host: server.host.address, role: 'all' }],
        port: CONTROL_PORT,
        devices: [{ poolKey: this.poolKey, path: DEVICE_PATH, name: '', force: true }],
      },
      () => undefined,
    );
  }

  private addVolume(nowUs: number, chunks: number, index: number): void {
    this.insist(
      nowUs,
      'ADD_VOLUME',
      {
        poolKey: this.poolKey,
        name: `volume${index}`,
        sizeSectors: chunks * SIM_CHUNK_SECTORS,
        provisioning: 'thin',
      },
      ({ key }) => {
        this.volumes.push({ key, index, chunks });
        this.steps.unshift(
          ...this.owners(index).map((client) => (atUs: number) => {
            this.map(atUs, key, client);
          }),
        );
      },
    );
  }

  /** Clients that have a volume. */
  private owners(index: number): ClientNode[] {
    return this.swarm.shared
      ? this.clients
      : this.clients.filter((_, number) => number === index % this.clients.length);
  }

  /** The operator is about to give a volume back: one at a time, so that it is known who may use what. */
  get isChanging(): boolean {
    return this.changes > 0;
  }

  /** Whether the operator has nothing left to do and every client has its volumes. */
  isSettled(): boolean {
    if (this.changes > 0 || this.admin.pending > 0) return false;
    return this.volumes.every(({ key, index }) =>
      this.owners(index).every(({ load }) => load?.has(key) === true),
    );
  }

  private map(nowUs: number, volumeKey: number, client: ClientNode): void {
    if (client.sdcKey === 0) {
      this.soon(RETRY_US, (atUs) => {
        this.map(atUs, volumeKey, client);
      });
      return;
    }
    this.insist(
      nowUs,
      'MAP_VOLUME',
      { volumeKey, sdcKey: client.sdcKey, allowMultiple: true, access: 'readWrite' },
      () => undefined,
    );
  }

  /**
   * Takes a volume away from a client and, once that is answered as done, gives it back. What the client asked before must
   * not be applied after the answer (C13): the history notes when that was.
   */
  unmap(volume: SimVolume, client: ClientNode): void {
    const { sdcKey } = client;
    const remap = (atUs: number): void => {
      this.admin.ask(
        atUs,
        'MAP_VOLUME',
        { volumeKey: volume.key, sdcKey, allowMultiple: true, access: 'readWrite' },
        (status) => {
          if (status !== 0 && status !== ERR.VOLUME_ALREADY_MAPPED)
            this.soon(this.pauseUs(status), remap);
          else this.changes -= 1;
        },
      );
    };
    const unmap = (nowUs: Micros): void => {
      this.admin.ask(
        nowUs,
        'UNMAP_VOLUME',
        { volumeKey: volume.key, sdcKeys: [sdcKey], generation: 0 },
        (status) => {
          if (status === ERR.TIMED_OUT) {
            this.soon(this.pauseUs(status), unmap);
            return;
          }
          if (status === 0) {
            const life = client.process?.alive === true ? client.runs : client.runs + 1;
            this.history.fence(volume.key, client.number, life, this.sim.nowUs);
          }
          // For a while nothing of the client may be answered well (C13).
          const fromUs = this.sim.nowUs;
          this.soon(1 + this.sim.prng.below(UNMAPPED_US_MAX), (atUs) => {
            if (status === 0)
              this.history.windows.push({
                volume: volume.key,
                client: client.number,
                fromUs,
                toUs: this.sim.nowUs,
              });
            remap(atUs);
          });
        },
      );
    };
    this.changes += 1;
    this.soon(0, unmap);
  }

  /** Pause before a command is asked again; long enough that one whose outcome is unknown does not arrive any more. */
  private pauseUs(status: number): number {
    return (
      RETRY_US + (status === ERR.TIMED_OUT ? this.swarm.network.lingerUsMax + ON_ITS_WAY_US_MAX : 0)
    );
  }

  /** Takes a volume away from everybody and removes it: nothing of it may be served afterwards (C13). */
  remove(volume: SimVolume): void {
    const { volumes, history, sim } = this;
    volumes.splice(volumes.indexOf(volume), 1);
    const drop = (nowUs: Micros): void => {
      this.admin.ask(nowUs, 'REMOVE_VOLUME', { key: volume.key }, (status) => {
        if (status !== 0 && status !== ERR.VOLUME_NOT_FOUND) this.soon(RETRY_US, drop);
        else this.changes -= 1;
      });
    };
    const unmap = (nowUs: Micros): void => {
      const params = { volumeKey: volume.key, sdcKeys: [], generation: 0 };
      this.admin.ask(nowUs, 'UNMAP_VOLUME', params, (status) => {
        if (status !== 0 && status !== ERR.VOLUME_NOT_MAPPED) {
          this.soon(RETRY_US, unmap);
          return;
        }
        for (const { number } of this.clients) {
          history.fence(volume.key, number, Infinity, sim.nowUs);
          const toUs = Number.MAX_SAFE_INTEGER;
          history.windows.push({ volume: volume.key, client: number, fromUs: sim.nowUs, toUs });
        }
        this.soon(1, drop);
      });
    };
    this.changes += 1;
    this.soon(0, unmap);
  }

  /** Grows a volume; asked once. */
  grow(volume: SimVolume, chunks: number, chunkSectors: number): void {
    this.soon(0, (nowUs) => {
      this.admin.ask(
        nowUs,
        'RESIZE_VOLUME',
        { key: volume.key, sizeSectors: chunks * chunkSectors },
        (status) => {
          if (status === 0) volume.chunks = Math.max(volume.chunks, chunks);
        },
      );
    });
  }
}
