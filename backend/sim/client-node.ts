// A client host of a simulated cluster: its process of the moment with the client machine and a workload on it. It owns
// starting and killing; what the workload recorded outlives the process.

import type { LinkTarget } from '../core/ports.js';
import { CLIENT_DEFAULTS } from '../sdc/options.js';
import { Sdc } from '../sdc/sdc.js';
import { MDM_CLIENT_DEFAULTS } from '../mdm-client/options.js';

import type { EventTarget } from './event-queue.js';
import type { History } from './history.js';
import type { SimHost } from './host.js';
import type { SimLog } from './log.js';
import type { SimNetwork } from './network.js';
import { SimProcess } from './process.js';
import type { Simulation } from './simulation.js';
import type { Swarm } from './swarm-options.js';
import { Workload } from './workload.js';

/** The units of a simulated system: tags instead of pages. */
export const SIM_GEOMETRY = {
  sectorBytes: 8,
  blockBytes: 64,
  chunkBlocks: 8,
  unitBlocks: 2,
} as const;
export const SIM_CHUNK_SECTORS =
  (SIM_GEOMETRY.chunkBlocks * SIM_GEOMETRY.blockBytes) / SIM_GEOMETRY.sectorBytes;

export class ClientNode implements EventTarget {
  readonly host: SimHost;
  readonly number: number;
  process: SimProcess | null = null;
  sdc: Sdc | null = null;
  load: Workload | null = null;
  /** Key that the MDM gave, 0 before. */
  sdcKey = 0;
  private readonly sim: Simulation;
  private readonly network: SimNetwork;
  private readonly log: SimLog;
  private readonly history: History;
  private readonly swarm: Swarm;
  private readonly node: number;
  private readonly mdmAddresses: LinkTarget['addresses'];
  /** Number of the present process. */
  runs = 0;
  /** The workload of the process to come begins stopped. */
  quiet = false;

  constructor(
    sim: Simulation,
    network: SimNetwork,
    log: SimLog,
    history: History,
    host: SimHost,
    node: number,
    number: number,
    mdmAddresses: LinkTarget['addresses'],
    swarm: Swarm,
  ) {
    this.sim = sim;
    this.network = network;
    this.log = log;
    this.history = history;
    this.host = host;
    this.node = node;
    this.number = number;
    this.mdmAddresses = mdmAddresses;
    this.swarm = swarm;
  }

  start(): void {
    if (this.process?.alive === true) return;
    this.runs += 1;
    const identity = { role: 'sdc' as const, key: 0, incarnation: 0, run: 0 };
    const name = `sdc${this.number}`;
    const process = new SimProcess(this.sim, this.host, name, this.node, identity, 0);
    const load = new Workload(
      this.sim,
      process,
      this.number,
      this.runs,
      this.history,
      this.swarm.workload,
    );
    if (this.quiet) load.stop();
    const { ioTimeoutS, linksPerDevice } = this.swarm;
    const sdc = new Sdc(
      {
        links: this.network.linksOf(process),
        log: this.log.of(name),
        front: load,
        registered: (sdcKey) => {
          this.sdcKey = sdcKey;
        },
      },
      {
        guid: `5D0C0000-0000-0000-0000-0000000000${String(this.number).padStart(2, '0')}`,
        name,
        addresses: [{ host: this.host.address, role: 'all' }],
        version: 'simulated',
        zeroGuid: false,
      },
      {
        ...CLIENT_DEFAULTS,
        mdm: {
          ...MDM_CLIENT_DEFAULTS,
          addresses: this.mdmAddresses,
          seed: this.number * 1000 + this.runs,
        },
        geometry: SIM_GEOMETRY,
        ioBytesMax: SIM_GEOMETRY.blockBytes * 4,
        linksPerDevice,
        inFlightPerLinkMax: 16,
        opsMax: this.swarm.clientOpsMax,
        requestsMax: this.requestsMax(),
        ioTimeoutUs: ioTimeoutS === 0 ? Infinity : ioTimeoutS * 1_000_000,
      },
    );
    load.attach(sdc);
    this.process = process;
    this.load = load;
    this.sdc = sdc;
    process.attach(sdc);
    process.input((nowUs) => {
      sdc.start(nowUs);
    });
  }

  /** Less than the workload asks for, so that requests find no room; where writes may wait for space, enough to read. */
  private requestsMax(): number {
    const { capacityBlocks, workload } = this.swarm;
    return capacityBlocks > 0 ? workload.depth + 2 : Math.max(2, workload.depth - 1);
  }

  kill(resets = true): void {
    const { process } = this;
    if (process?.alive !== true) return;
    process.die();
    this.network.processEnded(process, resets);
  }

  restartIn(inUs: number): void {
    this.sim.queue.push(this.sim.nowUs + inUs, this, 0, 0);
  }

  fire(): void {
    if (this.host.powered) this.start();
  }
}
