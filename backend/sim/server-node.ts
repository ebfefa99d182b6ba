// A storage server of a simulated cluster: its host, one device, the control process of the moment and the data process
// that it keeps. It owns starting, killing, and what becomes of the device when the power goes; it must never look into a
// machine.

import type { LinkTarget } from '../core/ports.js';
import { MDM_CLIENT_DEFAULTS } from '../mdm-client/options.js';
import type { FoundDevice } from '../protocol/generated/types.js';
import { CONTROL_DEFAULTS, SdsControl } from '../sds/control.js';

import { SIM_GEOMETRY } from './client-node.js';
import type { SimDevice } from './device.js';
import { DEVICE_PATH, SimDeviceProcesses } from './device-processes.js';
import type { SimHost } from './host.js';
import type { SimLog } from './log.js';
import { ModelDevice } from './model-device.js';
import type { SimNetwork } from './network.js';
import { SimProcess } from './process.js';
import { RealDevice } from './real-device.js';
import type { Simulation } from './simulation.js';

export const CONTROL_PORT = 7072;
const DATA_PORT = 7073;

/** What the device of a server is. */
export interface DeviceOptions {
  /** The real format on a disk with bytes, not its model. */
  readonly real: boolean;
  /** Room for data, 0: plenty. */
  readonly capacityBlocks: number;
  readonly settleBlocksMax: number;
  readonly settleChangesMax: number;
  readonly cacheBlocks: number;
}

export class ServerNode {
  readonly host: SimHost;
  readonly number: number;
  readonly device: SimDevice;
  readonly processes: SimDeviceProcesses;
  control: SimProcess | null = null;
  /** Its disk reports flushes that it does not do. */
  lies = false;
  /** Its disk holds, or held, something else than was written. */
  spoiled = false;
  private readonly sim: Simulation;
  private readonly network: SimNetwork;
  private readonly log: SimLog;
  private readonly mdmAddresses: LinkTarget['addresses'];
  private readonly node: number;
  private starts = 0;

  constructor(
    sim: Simulation,
    network: SimNetwork,
    log: SimLog,
    host: SimHost,
    node: number,
    number: number,
    mdmAddresses: LinkTarget['addresses'],
    { real, capacityBlocks, ...settle }: DeviceOptions,
  ) {
    this.sim = sim;
    this.network = network;
    this.log = log;
    this.host = host;
    this.node = node;
    this.number = number;
    this.mdmAddresses = mdmAddresses;
    this.device = real
      ? new RealDevice(sim, SIM_GEOMETRY, capacityBlocks)
      : new ModelDevice(sim, SIM_GEOMETRY, capacityBlocks);
    const { device } = this;
    this.processes = new SimDeviceProcesses({
      ...{ sim, network, log, host, device, number, mdmAddresses, ...settle },
      node: node + 1,
    });
  }

  /** A file beside the device: no process and no power cut takes it. */
  private readonly owner = {
    systemId: '',
    change(systemId: string): void {
      this.systemId = systemId;
    },
  };

  get deviceKey(): number {
    return this.device.format?.deviceKey ?? 0;
  }

  /** The data process of the moment. */
  get data(): SimProcess | null {
    return this.processes.data;
  }

  /** The device failed for good: its data process serves no more (C14). */
  get failed(): boolean {
    return this.processes.failed;
  }

  /** Starts the control process, which starts the rest. */
  start(): void {
    if (this.control?.alive === true || !this.host.powered) return;
    this.starts += 1;
    const name = `sds${this.number}`;
    const identity = { role: 'sds' as const, key: 0, incarnation: 1, run: 0 };
    const process = new SimProcess(this.sim, this.host, name, this.node, identity, CONTROL_PORT);
    const machine = new SdsControl(
      {
        links: this.network.linksOf(process),
        log: this.log.of(name),
        processes: this.processes,
        foundDevices: () => this.found(),
        owner: this.owner,
      },
      {
        guid: `5D500000-0000-0000-0000-0000000000${String(this.number).padStart(2, '0')}`,
        addresses: [{ host: this.host.address, role: 'all' }],
        port: CONTROL_PORT,
        version: 'simulated',
      },
      {
        mdm: {
          ...MDM_CLIENT_DEFAULTS,
          addresses: this.mdmAddresses,
          seed: this.number * 1000 + this.starts,
        },
        dataPortFirst: DATA_PORT,
        ...CONTROL_DEFAULTS,
      },
    );
    this.control = process;
    this.processes.attach({ process, machine });
    process.attach(machine);
    process.input((nowUs) => {
      machine.start(nowUs);
    });
  }

  private found(): FoundDevice[] {
    const { format } = this.device;
    if (format === null) return [];
    const incarnation = this.device.incarnation();
    return [{ deviceKey: format.deviceKey, incarnation, path: DEVICE_PATH }];
  }

  /** kill -9 of the data process. */
  killData(): void {
    this.processes.kill();
  }

  /** kill -9 of the control process: the data process ends by itself. */
  killControl(): void {
    if (this.endControl(true)) this.processes.orphan();
  }

  /** kill -9 of both at once. */
  killAll(): void {
    this.endControl(true);
    this.processes.kill();
    this.processes.orphan();
  }

  private endControl(resets: boolean): boolean {
    const { control } = this;
    if (control?.alive !== true) return false;
    control.die();
    this.network.processEnded(control, resets);
    return true;
  }

  /** The power goes: nobody is told, the device keeps what was durable. */
  powerOff(): void {
    if (!this.host.powered) return;
    this.host.powered = false;
    this.endControl(false);
    this.processes.kill(false);
    this.processes.orphan();
    this.device.powerLoss();
  }

  powerOn(): void {
    if (this.host.powered) return;
    this.host.powered = true;
    this.host.boots += 1;
    this.network.hostBack(this.host);
    this.start();
  }
}
