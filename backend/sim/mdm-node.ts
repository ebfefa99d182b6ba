// The MDM of a simulated cluster: its host, its metadata, its process of the moment. It owns starting and killing; it must
// never look into the machine.

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
import type { Simulation } from './simulation.js';

export const MDM_PORT = 6611;

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
  private readonly metadata = new SimMetadata();
  private readonly node: number;

  constructor(
    sim: Simulation,
    network: SimNetwork,
    log: SimLog,
    host: SimHost,
    node: number,
    timing: StoreTiming,
    options: Partial<MdmOptions>,
  ) {
    this.sim = sim;
    this.network = network;
    this.log = log;
    this.host = host;
    this.node = node;
    this.timing = timing;
    this.options = options;
  }

  start(): void {
    if (this.process?.alive === true) return;
    const identity = { role: 'mdm' as const, key: 0, incarnation: 1, run: 0 };
    const process = new SimProcess(this.sim, this.host, 'mdm', this.node, identity, MDM_PORT);
    this.process = process;
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
      {
        ...MDM_DEFAULTS,
        addresses: [{ host: this.host.address, role: 'all' }],
        sectorBytes: 8,
        initial: INITIAL,
        ...this.options,
      },
    );
    process.attach(machine);
    const started = machine;
    process.input((nowUs) => {
      started.start(nowUs);
    });
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
