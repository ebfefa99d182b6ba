// The data processes of a simulated server, as its control machine asks for them: at most one, because the server has one
// device. It owns starting, stopping and killing, and what the control machine hears of that; it must never decide
// whether a process shall run.

import type { LinkTarget } from '../core/ports.js';
import type { SdsControl } from '../sds/control.js';
import { DataNode } from '../sds/data-node.js';
import type { DataEnd } from '../sds/data-node.js';
import { DATA_EXIT } from '../sds/device-process.js';
import type { DataProcessSpec, DataReport, DeviceProcesses } from '../sds/device-process.js';
import { DATA_DEFAULTS } from '../sds/options.js';
import { ERR } from '../protocol/generated/constants.js';
import { mark } from '../core/marks.js';

import { scaledCache } from './cache-memory.js';
import { SIM_GEOMETRY } from './client-node.js';
import type { SimDevice } from './device.js';
import type { EventTarget } from './event-queue.js';
import type { SimHost } from './host.js';
import type { SimLog } from './log.js';
import type { SimNetwork } from './network.js';
import { SimProcess } from './process.js';
import type { Simulation } from './simulation.js';

export const DEVICE_PATH = '/dev/simulated';

const WHAT = { start: 1, ended: 2 } as const;
/** Until a program that was started holds its device. */
const START_US = 1_000;
const KILLED = -1;

/** Rings of records are hundreds of times smaller here than real ones, and clients die hundreds of times as often. */
const CLIENT_SILENCE_MS = 60_000;

const MARKS = {
  orphan: mark('sim: a data process ended because its control process did'),
  inUse: mark('sim: a device was still in use when it should be opened again'),
};

const EXITS: Readonly<Record<DataEnd, number>> = {
  closed: DATA_EXIT.closed,
  refused: DATA_EXIT.refused,
  failed: DATA_EXIT.failed,
};

/** The control process of the moment. */
export interface Control {
  readonly process: SimProcess;
  readonly machine: SdsControl;
}

/** What a data process needs of its server. */
export interface ServerFacts {
  readonly sim: Simulation;
  readonly network: SimNetwork;
  readonly log: SimLog;
  readonly host: SimHost;
  readonly device: SimDevice;
  readonly number: number;
  readonly node: number;
  readonly mdmAddresses: LinkTarget['addresses'];
  readonly settleBlocksMax: number;
  readonly settleChangesMax: number;
  /** See `Swarm.cacheBlocks`. */
  readonly cacheBlocks: number;
}

export class SimDeviceProcesses implements DeviceProcesses, EventTarget {
  data: SimProcess | null = null;
  /** The device failed for good, or cannot be read any more. */
  failed = false;
  private readonly facts: ServerFacts;
  private machine: DataNode | null = null;
  /** Who starts processes now, and who started the present one. */
  private control: Control | null = null;
  private parent: Control | null = null;
  private waiting: DataProcessSpec | null = null;
  private holds = 0;
  private portTaken = false;
  private serial = 0;
  private end: DataReport | null = null;
  /** What the read cache may have, as the control machine said. */
  private cacheBytes = 0;
  private exitCode: number = DATA_EXIT.closed;

  constructor(facts: ServerFacts) {
    this.facts = facts;
  }

  /** A control process began. */
  attach(control: Control): void {
    this.control = control;
  }

  /** The control process is gone: what it started ends too, in order. */
  orphan(): void {
    this.control = null;
    this.waiting = null;
    const { data, machine } = this;
    if (data?.alive !== true || machine === null) return;
    MARKS.orphan.hits++;
    data.input((nowUs) => {
      machine.stop(nowUs);
    });
  }

  start(spec: DataProcessSpec): void {
    this.waiting = spec;
    this.startSoon();
  }

  /** The next program that is started finds its port taken. */
  takePort(): void {
    this.portTaken = true;
  }

  /** Programs start slowly: nothing is started until as many `release` calls came. */
  hold(): void {
    this.holds += 1;
  }

  release(): void {
    if (this.holds > 0) this.holds -= 1;
    this.startSoon();
  }

  private startSoon(): void {
    const { sim } = this.facts;
    sim.queue.push(sim.nowUs + START_US, this, WHAT.start, 0);
  }

  stop(deviceKey: number): void {
    const { data, machine } = this;
    if (this.waiting?.want.deviceKey === deviceKey) {
      this.waiting = null;
      this.endSoon(this.serial);
      return;
    }
    if (data?.alive !== true || machine === null) return;
    // The running input of the control machine ends first.
    const { sim } = this.facts;
    sim.queue.push(
      sim.nowUs,
      {
        fire: () => {
          data.input((nowUs) => {
            machine.stop(nowUs);
          });
        },
      },
      0,
      0,
    );
  }

  /** There is one device, so there is one process. */
  allotCache(_deviceKey: number, bytes: number): void {
    this.cacheBytes = bytes;
    const { sim } = this.facts;
    const { data, machine } = this;
    // The running input of the control machine ends first.
    const fire = (): void => {
      if (data?.alive !== true || machine === null || this.data !== data) return;
      data.input(() => {
        machine.setCacheSize(this.scaled(bytes));
      });
    };
    sim.queue.push(sim.nowUs, { fire }, 0, 0);
  }

  private scaled(bytes: number): number {
    return scaledCache(bytes, this.facts.cacheBlocks, SIM_GEOMETRY.blockBytes);
  }

  /** The data process has settled; the control process hears of it later. */
  private cacheSettled(deviceKey: number, scaledBytes: number): void {
    const { sim } = this.facts;
    const { parent, cacheBytes } = this;
    if (scaledBytes !== this.scaled(cacheBytes)) return;
    const fire = (): void => {
      if (parent?.process.alive === true)
        this.report(parent, deviceKey, { kind: 'cache', bytes: cacheBytes });
    };
    sim.queue.push(sim.nowUs + START_US, { fire }, 0, 0);
  }

  fire(_timeUs: number, what: number, argument: number): void {
    if (what === WHAT.ended) this.ended(argument);
    else if (this.waiting !== null && this.holds === 0 && this.facts.host.powered) {
      const spec = this.waiting;
      this.waiting = null;
      this.run(spec);
    }
  }

  private run(spec: DataProcessSpec): void {
    const { device } = this.facts;
    const { deviceKey, poolKey, task } = spec.want;
    const parent = this.control;
    if (this.portTaken) {
      this.portTaken = false;
      this.tell(parent, deviceKey, DATA_EXIT.address);
      return;
    }
    if (this.data?.alive === true) {
      MARKS.inUse.hits++;
      this.refuse(parent, deviceKey, 'the device is in use by another process');
      return;
    }
    if (device.format?.deviceKey !== deviceKey) {
      if (task !== 'format' || spec.want.path !== DEVICE_PATH) {
        this.refuse(parent, deviceKey, 'there is no such device');
        return;
      }
      const { force, replaces } = spec.want;
      if (device.format !== null && !force && !replaces.includes(device.format.deviceKey)) {
        this.refuse(parent, deviceKey, `the disk is device ${device.format.deviceKey}`);
        return;
      }
      const fault = device.write({ systemId: spec.systemId, deviceKey, poolKey });
      if (fault !== null) {
        // Disks that take no write cannot become a device: nobody is to wait for them.
        this.failed = true;
        this.refuse(parent, deviceKey, fault);
        return;
      }
      const { capacityBytes } = device;
      this.report(parent, deviceKey, { kind: 'formatted', path: DEVICE_PATH, capacityBytes });
    }
    this.parent = parent;
    this.open(spec);
    this.report(parent, deviceKey, {
      ...{ kind: 'opened', path: DEVICE_PATH, capacityBytes: 0, mediaFound: '' },
    });
  }

  private open(spec: DataProcessSpec): void {
    const { sim, network, log, host, device, number, node, mdmAddresses } = this.facts;
    const { settleBlocksMax, settleChangesMax } = this.facts;
    const { deviceKey } = spec.want;
    this.serial += 1;
    const { serial } = this;
    const name = `data${number}`;
    const identity = { role: 'sdsData' as const, key: deviceKey, incarnation: 0, run: 0 };
    const process = new SimProcess(sim, host, name, node, identity, spec.port);
    const machine: DataNode = new DataNode(
      {
        links: network.linksOf(process),
        log: log.of(name),
        openStore: (storeHost) =>
          device.open(process, storeHost, (nowUs, token, ok) => {
            machine.diskDone(nowUs, token, ok);
          }),
        cacheSettled: (bytes) => {
          this.cacheSettled(deviceKey, bytes);
        },
        ended: (end, reason) => {
          if (end !== 'closed') this.failed = true;
          const status = end === 'failed' ? ERR.DEVICE_FAILED : ERR.DEVICE_OPEN_FAILED;
          this.end = end === 'closed' ? null : { kind: 'refused', status, reason };
          this.exitCode = EXITS[end];
          // The process ends when the running input is over.
          this.endSoon(serial);
        },
      },
      { sdsKey: spec.sdsKey, dataPort: spec.port, version: 'simulated', bootId: host.bootId },
      {
        ...DATA_DEFAULTS,
        settleBlocksMax,
        settleChangesMax,
        clientSilenceMs: CLIENT_SILENCE_MS,
        mdmAddresses,
        seed: number * 1000 + serial,
      },
    );
    this.data = process;
    this.machine = machine;
    this.cacheBytes = 0;
    process.attach(machine);
    process.input((nowUs) => {
      machine.start(nowUs);
    });
  }

  private refuse(parent: Control | null, deviceKey: number, reason: string): void {
    this.report(parent, deviceKey, { kind: 'refused', status: ERR.DEVICE_OPEN_FAILED, reason });
    this.tell(parent, deviceKey, DATA_EXIT.refused);
  }

  private tell(parent: Control | null, deviceKey: number, exitCode: number): void {
    parent?.process.input((nowUs) => {
      parent.machine.dataEnded(nowUs, deviceKey, exitCode);
    });
  }

  private report(parent: Control | null, deviceKey: number, report: DataReport): void {
    parent?.process.input((nowUs) => {
      parent.machine.dataReported(nowUs, deviceKey, report);
    });
  }

  private endSoon(serial: number): void {
    const { sim } = this.facts;
    sim.queue.push(sim.nowUs, this, WHAT.ended, serial);
  }

  private ended(serial: number): void {
    if (serial !== this.serial) return;
    const { end, exitCode } = this;
    this.end = null;
    this.exitCode = DATA_EXIT.closed;
    this.gone(true, end, exitCode);
  }

  /** kill -9 of the data process. */
  kill(resets = true): void {
    if (this.data?.alive === true) this.gone(resets, null, KILLED);
  }

  private gone(resets: boolean, end: DataReport | null, exitCode: number): void {
    const { data, parent } = this;
    const { device, network } = this.facts;
    const deviceKey = device.format?.deviceKey ?? 0;
    if (data?.alive === true) {
      data.die();
      device.processDied();
      network.processEnded(data, resets);
    }
    this.machine = null;
    if (parent === null) return;
    if (end !== null) this.report(parent, deviceKey, end);
    this.tell(parent, deviceKey, exitCode);
  }
}
