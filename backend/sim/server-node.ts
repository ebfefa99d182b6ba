// A storage server of a simulated cluster: its host, one device, the control process and the data process of the moment.
// It owns starting, killing, and what becomes of the device when the power goes; it must never look into a machine.

import { DataNode } from '../sds/data-node.js';
import { DATA_DEFAULTS } from '../sds/options.js';
import type { DeviceWant, FoundDevice } from '../protocol/generated/types.js';

import { SIM_GEOMETRY } from './client-node.js';
import { ModelDevice, RealDevice } from './device.js';
import type { SimDevice } from './device.js';
import type { EventTarget } from './event-queue.js';
import type { SimHost } from './host.js';
import type { SimLog } from './log.js';
import { MDM_PORT } from './mdm-node.js';
import type { SimNetwork } from './network.js';
import { SimProcess } from './process.js';
import type { Simulation } from './simulation.js';
import { StandInControl } from './stand-in-control.js';

export const CONTROL_PORT = 7072;
export const DATA_PORT = 7073;
export const DEVICE_PATH = '/dev/simulated';

const WHAT = { control: 1, data: 2, ended: 3 } as const;

export class ServerNode implements EventTarget {
  readonly host: SimHost;
  readonly number: number;
  readonly device: SimDevice;
  control: SimProcess | null = null;
  data: SimProcess | null = null;
  /** The device failed for good: its data process is started no more (C14). */
  failed = false;
  private readonly sim: Simulation;
  private readonly network: SimNetwork;
  private readonly log: SimLog;
  private readonly mdmAddress: string;
  private readonly node: number;
  private sdsKey = 0;
  private wanted = false;
  private starts = 0;
  private dataSerial = 0;

  constructor(
    sim: Simulation,
    network: SimNetwork,
    log: SimLog,
    host: SimHost,
    node: number,
    number: number,
    mdmAddress: string,
    realDevice: boolean,
  ) {
    this.sim = sim;
    this.network = network;
    this.log = log;
    this.host = host;
    this.node = node;
    this.number = number;
    this.mdmAddress = mdmAddress;
    this.device = realDevice
      ? new RealDevice(sim, SIM_GEOMETRY)
      : new ModelDevice(sim, SIM_GEOMETRY);
  }

  get deviceKey(): number {
    return this.device.format?.deviceKey ?? 0;
  }

  /** Starts the control process, which starts the rest. */
  start(): void {
    if (this.control?.alive === true) return;
    this.starts += 1;
    const name = `sds${this.number}`;
    const identity = { role: 'sds' as const, key: 0, incarnation: 1, run: 0 };
    const process = new SimProcess(this.sim, this.host, name, this.node, identity, CONTROL_PORT);
    const machine = new StandInControl(
      this.network.linksOf(process),
      this.log.of(name),
      {
        found: () => this.found(),
        format: (systemId, want) => this.format(systemId, want),
        open: (sdsKey, want) => this.open(sdsKey, want),
        close: (deviceKey) => {
          if (deviceKey === this.deviceKey) this.wanted = false;
        },
      },
      {
        guid: `5D500000-0000-0000-0000-0000000000${String(this.number).padStart(2, '0')}`,
        address: { host: this.host.address, role: 'all' },
        port: CONTROL_PORT,
        mdmAddress: this.mdmAddress,
        mdmPort: MDM_PORT,
        seed: this.number * 1000 + this.starts,
      },
    );
    this.control = process;
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

  private format(systemId: string, want: DeviceWant): number | null {
    if (want.path !== DEVICE_PATH) return null;
    if (this.device.format?.deviceKey !== want.deviceKey)
      this.device.write({ systemId, deviceKey: want.deviceKey, poolKey: want.poolKey });
    return this.device.capacityBytes;
  }

  private open(sdsKey: number, want: DeviceWant): number | null {
    if (this.device.format?.deviceKey !== want.deviceKey) return null;
    this.sdsKey = sdsKey;
    this.wanted = true;
    this.restartDataIn(1);
    return this.device.capacityBytes;
  }

  restartDataIn(inUs: number): void {
    this.sim.queue.push(this.sim.nowUs + inUs, this, WHAT.data, 0);
  }

  restartControlIn(inUs: number): void {
    this.sim.queue.push(this.sim.nowUs + inUs, this, WHAT.control, 0);
  }

  fire(_timeUs: number, what: number, argument: number): void {
    if (what === WHAT.ended) {
      if (this.data?.alive === true && argument === this.dataSerial) this.killData();
      return;
    }
    if (!this.host.powered) return;
    if (what === WHAT.control) this.start();
    else this.startData();
  }

  private startData(): void {
    if (!this.wanted || this.failed || this.data?.alive === true) return;
    this.starts += 1;
    this.dataSerial += 1;
    const serial = this.dataSerial;
    const name = `data${this.number}`;
    const identity = { role: 'sdsData' as const, key: this.deviceKey, incarnation: 0, run: 0 };
    const process = new SimProcess(this.sim, this.host, name, this.node + 1, identity, DATA_PORT);
    const machine: DataNode = new DataNode(
      {
        links: this.network.linksOf(process),
        log: this.log.of(name),
        openStore: (storeHost) =>
          this.device.open(process, storeHost, (nowUs, token, ok) => {
            machine.diskDone(nowUs, token, ok);
          }),
        ended: (end) => {
          // Refused: what is on the device cannot be understood any more; its log said an error.
          if (end !== 'closed') this.failed = true;
          // The process ends when the running input is over.
          this.sim.queue.push(this.sim.nowUs, this, WHAT.ended, serial);
        },
      },
      {
        sdsKey: this.sdsKey,
        dataPort: DATA_PORT,
        version: 'simulated',
        bootId: this.host.bootId,
      },
      {
        ...DATA_DEFAULTS,
        mdmAddresses: [{ host: this.mdmAddress, port: MDM_PORT }],
        seed: this.number * 1000 + serial,
      },
    );
    this.data = process;
    process.attach(machine);
    process.input((nowUs) => {
      machine.start(nowUs);
    });
  }

  /** kill -9 of the data process. */
  killData(resets = true): void {
    const { data } = this;
    if (data?.alive !== true) return;
    data.die();
    this.device.processDied();
    this.network.processEnded(data, resets);
  }

  killControl(resets = true): void {
    const { control } = this;
    if (control?.alive !== true) return;
    control.die();
    this.network.processEnded(control, resets);
  }

  /** The power goes: nobody is told, the device keeps what was durable. */
  powerOff(): void {
    if (!this.host.powered) return;
    this.host.powered = false;
    this.killData(false);
    this.killControl(false);
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
