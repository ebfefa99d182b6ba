// The MDM of a simulated cluster: its host, its metadata, its process of the moment. It owns starting and killing; it must
// never look into the machine.

import type { SharedStoreInputs } from '../core/ports.js';
import { Manager } from '../mdm/manager.js';
import { Mdm } from '../mdm/mdm.js';
import { MDM_DEFAULTS } from '../mdm/options.js';
import type { MdmOptions } from '../mdm/options.js';

import type { EventTarget } from './event-queue.js';
import type { SimHost } from './host.js';
import type { SimLog } from './log.js';
import { SimMetadata, SimMetadataStore } from './metadata-store.js';
import type { StoreTiming } from './metadata-store.js';
import type { SimNetwork } from './network.js';
import { SimProcess } from './process.js';
import { SimSharedStore } from './shared-store.js';
import type { SimEtcd } from './shared-store.js';
import type { Simulation } from './simulation.js';

export const MDM_PORT = 6611;

const TIMES = { beatMs: 250, silenceMs: 1000, giveUpMs: 1600 } as const;

/** A system that never existed: the same in every scenario. */
const INITIAL: NonNullable<MdmOptions['initial']> = {
  systemName: 'simulated',
  idPrefix: 0x51a10001,
  installId: '00112233445566ff',
  admin: { name: 'admin', salt: new Uint8Array(32), hash: new Uint8Array(64) },
};

export class MdmNode implements EventTarget {
  readonly host: SimHost;
  process: SimProcess | null = null;
  private store: SimMetadataStore | null = null;
  private readonly sim: Simulation;
  private readonly network: SimNetwork;
  private readonly log: SimLog;
  /** Changed while it runs. */
  readonly timing: StoreTiming;
  private readonly options: Partial<MdmOptions>;
  readonly metadata = new SimMetadata();
  private readonly node: number;
  /** What it shares with others; null: it is the only MDM and its store its own. */
  private readonly etcd: SimEtcd | null;
  manager: Manager | null = null;

  constructor(
    sim: Simulation,
    network: SimNetwork,
    log: SimLog,
    host: SimHost,
    node: number,
    timing: StoreTiming,
    options: Partial<MdmOptions>,
    etcd: SimEtcd | null,
  ) {
    this.sim = sim;
    this.network = network;
    this.log = log;
    this.host = host;
    this.node = node;
    this.timing = timing;
    this.options = options;
    this.etcd = etcd;
  }

  get address(): { readonly host: string; readonly port: number } {
    return { host: this.host.address, port: MDM_PORT };
  }

  start(): void {
    if (this.process?.alive === true) return;
    const { etcd } = this;
    const identity = { role: 'mdm' as const, key: 0, incarnation: 1, run: 0 };
    const name = etcd === null ? 'mdm' : `mdm-${this.host.address}`;
    const process = new SimProcess(this.sim, this.host, name, this.node, identity, MDM_PORT);
    this.process = process;
    if (etcd !== null) {
      this.startShared(process, etcd);
      return;
    }
    let machine: Mdm | null = null;
    const store: SimMetadataStore = new SimMetadataStore(
      this.sim,
      process,
      this.metadata,
      this.timing,
      (nowUs, token, outcome) => machine?.committed(nowUs, token, outcome),
    );
    this.store = store;
    machine = new Mdm(
      {
        links: this.network.linksOf(process),
        store,
        log: this.log.of('mdm'),
        host: {
          steppedDown: () => {
            // The process ends when the running input is over.
            this.sim.queue.push(this.sim.nowUs, this, 1, process.node);
          },
        },
      },
      {
        term: this.metadata.term,
        sequence: this.metadata.sequence,
        entries: this.metadata.entries(),
      },
      this.machineOptions(),
    );
    process.attach(machine);
    const started = machine;
    process.input((nowUs) => {
      started.start(nowUs);
    });
  }

  private startShared(process: SimProcess, etcd: SimEtcd): void {
    const inputs: SharedStoreInputs = {
      looked: (...input) => this.manager?.looked(...input),
      taken: (...input) => this.manager?.taken(...input),
      beaten: (...input) => this.manager?.beaten(...input),
      committed: (...input) => this.manager?.committed(...input),
    };
    const store = new SimSharedStore(this.sim, process, etcd, inputs);
    const ports = { links: this.network.linksOf(process), store, log: this.log.of(process.name) };
    const place = { name: process.name, ...this.address };
    const manager = new Manager(ports, place, TIMES, this.machineOptions());
    this.manager = manager;
    process.attach(manager);
    process.input((nowUs) => {
      manager.start(nowUs);
    });
  }

  private machineOptions(): MdmOptions {
    return {
      ...MDM_DEFAULTS,
      addresses: [{ host: this.host.address, role: 'all' }],
      sectorBytes: 8,
      initial: INITIAL,
      ...this.options,
    };
  }

  /** kill -9; without power nobody is told. */
  kill(resets = true): void {
    const { process } = this;
    if (process?.alive !== true) return;
    process.die();
    this.store?.processDied();
    this.network.processEnded(process, resets);
  }

  restartIn(inUs: number): void {
    this.sim.queue.push(this.sim.nowUs + inUs, this, 2, 0);
  }

  fire(_timeUs: number, what: number): void {
    if (what === 1) {
      this.kill();
      this.restartIn(100_000);
    } else if (this.host.powered) this.start();
  }
}
