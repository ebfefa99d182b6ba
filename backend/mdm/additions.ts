// Devices on their way into the system: what each SDS shall do with its devices, and the commands that wait until devices
// are formatted and up. A command that fails leaves nothing behind of what it added.

import { formatId } from '../core/ids.js';
import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { MIB, MICROS_PER_MS } from '../core/units.js';
import { ERR, MSG } from '../protocol/generated/constants.js';
import type {
  Device,
  DeviceResultBody,
  DeviceWant,
  ErrorDetail,
} from '../protocol/generated/types.js';
import { combsFault } from './capacity.js';
import type { Engine } from './engine.js';
import type { Membership } from './membership.js';
import type { Runs } from './runs.js';
import type { Sessions } from './sessions.js';

const MARKS = {
  takenBack: mark('mdm: an addition of devices was taken back'),
  late: mark('mdm: an addition of devices took too long'),
  combs: mark('mdm: a device was too small for the combs of its pool'),
  orphan: mark('mdm: a device failed to be added, and nobody waited for it'),
  again: mark('mdm: a disk of an SDS that moves was not formatted at once'),
  restarts: mark(
    'mdm: the data process of a device that is being added ended, and is started again',
  ),
};

export interface Addition {
  /** Removed too when the addition fails; 0: it existed before. */
  readonly sdsKey: number;
  readonly deviceKeys: readonly number[];
  readonly done: (nowUs: Micros) => void;
  readonly failed: (nowUs: Micros, status: number, details: readonly ErrorDetail[]) => void;
}

interface Pending extends Addition {
  readonly deadlineUs: Micros;
}

export class Additions {
  private readonly engine: Engine;
  private readonly runs: Runs;
  private readonly sessions: Sessions;
  private readonly membership: Membership;
  /** Combs of a pool whose devices changed shall be placed anew; called as work. */
  private readonly replace: (poolKey: number) => void;
  private readonly pending = new Set<Pending>();

  constructor(
    engine: Engine,
    runs: Runs,
    sessions: Sessions,
    membership: Membership,
    replace: (poolKey: number) => void,
  ) {
    this.engine = engine;
    this.runs = runs;
    this.sessions = sessions;
    this.membership = membership;
    this.replace = replace;
  }

  /** Waits for devices; called as effect, when they are committed. */
  add(nowUs: Micros, addition: Addition): void {
    const patienceUs = this.engine.options.deviceAddTimeoutMs * MICROS_PER_MS;
    this.pending.add({ ...addition, deadlineUs: nowUs + patienceUs });
    this.check(nowUs);
  }

  /** Answers the commands whose devices are all up; called after each commit. */
  check(nowUs: Micros): void {
    const { devices } = this.engine.state;
    for (const addition of [...this.pending]) {
      if (!addition.deviceKeys.every((key) => devices.get(key)?.state === 'up')) continue;
      this.pending.delete(addition);
      addition.done(nowUs);
    }
  }

  tick(nowUs: Micros): void {
    for (const addition of [...this.pending]) {
      if (addition.deadlineUs > nowUs) continue;
      MARKS.late.hits++;
      const said = addition.deviceKeys.map((key) => this.engine.state.devices.get(key)?.failure);
      const reason = said.find((text = '') => text !== '') ?? 'the device did not come up in time';
      this.engine.run(nowUs, () => {
        this.takeBack(addition, ERR.DEVICE_OPEN_FAILED, reason);
      });
    }
  }

  nextDeadlineUs(): Micros {
    let next = Infinity;
    for (const { deadlineUs } of this.pending) next = Math.min(next, deadlineUs);
    return next;
  }

  /** All that is wanted of the devices of an SDS, to the SDS. */
  sendWants(sdsKey: number): void {
    const { state } = this.engine;
    const sds = state.sds.get(sdsKey);
    const run = sds === undefined ? undefined : this.runs.sds.get(sds.guid);
    if (run === undefined) return;
    const devices = state.devices.filter((device) => device.sdsKey === sdsKey);
    this.sessions.send(run.link, MSG.DEVICE_WANTS, 0, {
      sdsKey,
      systemId: systemId(this.engine),
      wants: devices.map((device) => this.want(device)),
      cacheBytes: sds?.cacheEnabled === true ? sds.cacheMiB * MIB : 0,
    });
  }

  /** What became of a wish. Called as work. */
  result(nowUs: Micros, sdsKey: number, body: DeviceResultBody): void {
    const { state } = this.engine;
    const device = state.devices.get(body.deviceKey);
    if (device?.sdsKey !== sdsKey) return;
    const { task, status, reason, path, capacityBytes, mediaFound } = body;
    if (status !== 0 && task !== 'close') {
      this.refused(nowUs, device, body);
      return;
    }
    if (task === 'close') return;
    const pool = state.pools.get(device.poolKey);
    const tooSmall = device.state === 'adding' ? combsFault(pool, capacityBytes) : '';
    if (tooSmall !== '') {
      MARKS.combs.hits++;
      this.refused(nowUs, device, { ...body, status: ERR.DEVICE_TOO_SMALL, reason: tooSmall });
      return;
    }
    const next: Device = {
      ...device,
      path: path === '' ? device.path : path,
      capacityBytes: capacityBytes > 0 ? capacityBytes : device.capacityBytes,
      formatted: true,
      ...{ force: false, failure: '' },
      mediaFound: mediaFound === 'HDD' || mediaFound === 'SSD' ? mediaFound : device.mediaFound,
    };
    if (
      next.path !== device.path ||
      next.capacityBytes !== device.capacityBytes ||
      !device.formatted ||
      device.force ||
      next.mediaFound !== device.mediaFound ||
      device.failure !== ''
    )
      state.devices.put(device.key, next);
    if (reason !== '') this.engine.ports.log.event('info', 'mdm.device-result', { reason });
  }

  private want(device: Device): DeviceWant {
    const { key, poolKey, path, force, state, formatted } = device;
    const pool = this.engine.state.pools.get(poolKey);
    const durability = pool?.durability ?? 'media';
    const rmcache = pool?.rmcache === true;
    const isWanted = state === 'adding' || state === 'up' || state === 'down';
    const task = !isWanted ? 'close' : formatted ? 'open' : 'format';
    const replaces = task === 'format' ? device.replaces : [];
    return { deviceKey: key, poolKey, task, path, force, durability, replaces, rmcache };
  }

  private refused(nowUs: Micros, device: Device, { task, status, reason }: DeviceResultBody): void {
    // The SDS starts its data process again.
    const restarts = task === 'open' && status === ERR.NOT_READY;
    if (device.state === 'adding' && (restarts || device.replaces.length > 0)) {
      // Those that come along with their SDS are asked for again until it works, or the operator takes it back (sds-mover.ts).
      if (restarts) MARKS.restarts.hits++;
      else MARKS.again.hits++;
      if (device.failure !== reason)
        this.engine.state.devices.put(device.key, { ...device, failure: reason });
      return;
    }
    if (device.state === 'adding') {
      const addition = [...this.pending].find(({ deviceKeys }) => deviceKeys.includes(device.key));
      if (addition !== undefined) {
        this.takeBack(addition, status, reason);
        return;
      }
      MARKS.orphan.hits++;
      this.engine.ports.log.event('error', 'mdm.device-not-added', { device: device.key, reason });
      this.engine.state.devices.delete(device.key);
      return;
    }
    if (task === 'format') return;
    const isFinal = status === ERR.DEVICE_FAILED || status === ERR.DEVICE_IO_FAILED;
    this.membership.processEnded(nowUs, device, isFinal ? reason : null);
  }

  /** Removes what an addition added; a device that carries combs already stays. */
  private takeBack(addition: Pending, status: number, reason: string): void {
    if (!this.pending.delete(addition)) return;
    MARKS.takenBack.hits++;
    const { state } = this.engine;
    const poolKeys = new Set<number>();
    const carries = (device: Device): boolean =>
      state.volumes.find(({ poolKey }) => poolKey === device.poolKey) !== undefined &&
      state.combs
        .ofPool(device.poolKey)
        .some(({ members }) => members.some(({ deviceKey }) => deviceKey === device.key));
    for (const key of addition.deviceKeys) {
      const device = state.devices.get(key);
      if (device === undefined || carries(device)) continue;
      state.devices.delete(key);
      poolKeys.add(device.poolKey);
    }
    for (const poolKey of poolKeys) this.replace(poolKey);
    const left = state.devices.find(({ sdsKey }) => sdsKey === addition.sdsKey);
    if (addition.sdsKey !== 0 && left === undefined) state.sds.delete(addition.sdsKey);
    const details = [{ name: 'reason', value: reason }];
    this.engine.after((at) => {
      addition.failed(at, status, details);
    });
  }
}

/** 16 hex digits. */
export function systemId(engine: Engine): string {
  const { idPrefix, key } = engine.state.system;
  return formatId(idPrefix, key);
}
