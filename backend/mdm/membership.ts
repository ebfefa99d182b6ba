// Which devices are alive and what follows for the combs: promotion, leaving and returning members (C2, C6, C8, C14). It
// owns every change of a comb entry of a pool that holds data; the decision about one comb is made in reconcile.ts.

import { LAST_KEY } from '../core/key-range.js';
import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import { ERR } from '../protocol/generated/constants.js';
import type {
  CombChangeBody,
  CombMember,
  Device,
  HeartbeatBody,
  RegisterDeviceBody,
} from '../protocol/generated/types.js';
import type { Engine } from './engine.js';
import { found, refuse } from './refusal.js';
import { reconcile, requestedChange, withPreferredPrimary } from './reconcile.js';
import type { MemberView } from './reconcile.js';
import { DeviceRun, NO_LINK } from './runs.js';
import { unitOf } from './replacement.js';
import { restOf } from './rest.js';
import type { Runs } from './runs.js';

const MARKS = {
  silent: mark('mdm: a device made no progress for the detection time'),
  ended: mark('mdm: an SDS reported that a data process ended'),
  newLife: mark('mdm: a device registered in a new life'),
  sameLife: mark('mdm: a device registered again in the same life'),
  revived: mark('mdm: a device that counted as dead made progress again'),
  oldLife: mark('mdm: an older life of a device was refused'),
  ownPause: mark('mdm: the MDM itself had paused and listens anew'),
  failed: mark('mdm: a device failed for good'),
  unsteady: mark('mdm: a device that came and went does not get its combs back yet'),
};

/** A member that its primary took out is offered again as a target after this. */
const RETARGET_US = 1_000_000;
/** Preferred primaries get their combs back together, not one by one. */
const GIVE_BACK_US = 1_000_000;
/** When its SDS says that a process ended, its link goes down within this. */
const END_REPORT_US = 1_000_000;

export class Membership {
  private readonly engine: Engine;
  private readonly runs: Runs;
  private readonly detectionUs: Micros;
  /** No failure is decided before: a new master, or one that paused, listens first. */
  private listenUntilUs: Micros = Infinity;
  private lastTurnUs: Micros = 0;
  /** Devices whose combs are not decided yet. */
  private dirty = new Set<number>();
  private giveBackUs: Micros = Infinity;

  constructor(engine: Engine, runs: Runs) {
    this.engine = engine;
    this.runs = runs;
    this.detectionUs = engine.options.detectionMs * MICROS_PER_MS;
  }

  start(nowUs: Micros): void {
    this.lastTurnUs = nowUs;
    this.listenUntilUs = nowUs + this.detectionUs;
    const wallMs = this.engine.wallMs(nowUs);
    for (const { key, state } of this.engine.state.devices.values())
      this.runs.devices.set(
        key,
        new DeviceRun(key, state === 'up' ? 'unknown' : 'dead', nowUs, wallMs),
      );
    // Preferred primaries may have been left waiting by the last master.
    this.giveBackUs = this.listenUntilUs + GIVE_BACK_US;
  }

  /**
   * Every input passes here first: a pause of this process must not look like a pause of all others.
   */
  turn(nowUs: Micros): void {
    if (nowUs - this.lastTurnUs > this.detectionUs / 2 && this.listenUntilUs !== Infinity) {
      MARKS.ownPause.hits++;
      this.listenUntilUs = Math.max(this.listenUntilUs, nowUs + this.detectionUs);
    }
    this.lastTurnUs = nowUs;
  }

  /**
   * A data process announces itself. Called as work.
   *
   * @returns the pool of the device
   * @throws Refusal DEVICE_NOT_FOUND (also one that is about to go), DEVICE_FAILED, CONFLICT (an older life)
   */
  register(nowUs: Micros, link: number, body: RegisterDeviceBody): Device {
    const { state } = this.engine;
    const { incarnation, dataIncarnation, port, usage, version } = body;
    const device = found(state.devices.get(body.deviceKey), 'DEVICE_NOT_FOUND');
    if (device.sdsKey !== body.sdsKey) refuse('DEVICE_NOT_FOUND');
    if (device.state === 'failed') refuse('DEVICE_FAILED');
    if (device.state === 'removing') refuse('DEVICE_NOT_FOUND');
    if (incarnation < device.incarnation || incarnation === 0) {
      MARKS.oldLife.hits++;
      refuse('CONFLICT');
    }
    const run = this.runOf(nowUs, device.key);
    const isNew = incarnation !== run.incarnation;
    if (isNew && run.incarnation !== 0 && run.status === 'alive') run.fell(nowUs);
    if (incarnation === device.incarnation) MARKS.sameLife.hits++;
    else MARKS.newLife.hits++;
    if (isNew || run.status !== 'alive') {
      this.setStatus(nowUs, run, 'alive');
      run.counters.clear();
      run.volumes.clear();
    }
    // What a life has applied stays applied; a new life admits nobody before it has applied everything.
    if (isNew) run.appliedSequence = 0;
    Object.assign(run, { link, incarnation, dataIncarnation, version, usage });
    Object.assign(run, { ended: false, endReportedUs: -Infinity });
    Object.assign(run, { progress: -1, provenUs: nowUs });
    const next: Device = {
      ...device,
      ...{ incarnation, port, state: 'up', force: false, formatted: true, failure: '' },
      capacityBytes: usage.capacityBytes > 0 ? usage.capacityBytes : device.capacityBytes,
      dataSince: dataIncarnation === 0 ? incarnation : device.dataSince,
      rolledBackIncarnation: body.rolledBack ? incarnation : device.rolledBackIncarnation,
    };
    if (!isSameDevice(device, next)) state.devices.put(device.key, next);
    // What was committed of the device is part of the decision.
    this.dirty.add(device.key);
    this.decide(nowUs);
    return next;
  }

  /** Progress of a data process. */
  heartbeat(nowUs: Micros, run: DeviceRun, body: HeartbeatBody): void {
    if (body.progress > run.progress) {
      run.progress = body.progress;
      run.provenUs = nowUs;
      if (run.status === 'dead')
        this.engine.run(nowUs, (at) => {
          this.revive(at, run);
        });
      else if (this.dirty.size > 0)
        this.engine.run(nowUs, (at) => {
          this.decide(at);
        });
    }
    run.appliedSequence = Math.max(run.appliedSequence, body.appliedSequence);
    if (body.usage !== null) run.usage = body.usage;
    const listed = { after: body.listedAfter, through: body.listedThrough };
    run.counters.add(nowUs, body.counters, listed);
    run.volumes.take(listed, body.volumes, body.appliedSequence, listed.through === LAST_KEY);
  }

  linkDown(nowUs: Micros, run: DeviceRun): void {
    run.link = NO_LINK;
    if (nowUs - run.endReportedUs > END_REPORT_US) return;
    this.engine.run(nowUs, (at) => {
      if (run.link === NO_LINK) this.end(at, run);
    });
  }

  /**
   * Its SDS says that the data process of a device ended. Called as work.
   *
   * @param failure - why it must not be started again (C14); null: it will be
   */
  processEnded(nowUs: Micros, device: Device, failure: string | null): void {
    MARKS.ended.hits++;
    const run = this.runOf(nowUs, device.key);
    if (failure !== null) {
      MARKS.failed.hits++;
      this.engine.ports.log.event('error', 'mdm.device-failed', {
        device: device.key,
        reason: failure,
      });
      run.ended = true;
      this.setStatus(nowUs, run, 'dead');
      this.engine.state.devices.put(device.key, { ...device, state: 'failed', failure });
      this.decide(nowUs);
      return;
    }
    // The report and the process's own link take different ways: it may be of a life before the present one.
    if (run.link === NO_LINK) this.end(nowUs, run);
    else run.endReportedUs = nowUs;
  }

  /** A pool's rules or members changed: look at its combs again. Called as work. */
  reconsider(nowUs: Micros, poolKey: number): void {
    for (const device of this.engine.state.devices.values())
      if (device.poolKey === poolKey) this.dirty.add(device.key);
    this.decide(nowUs);
  }

  /** Forgets devices that are no longer configured, and begins to watch new ones. */
  follow(nowUs: Micros): void {
    for (const key of this.runs.devices.keys())
      if (this.engine.state.devices.get(key) === undefined) this.runs.devices.delete(key);
    for (const key of this.engine.state.devices.keys()) this.runOf(nowUs, key);
  }

  /**
   * A primary asks for changes. Called as work.
   *
   * @returns one status per change
   * @throws Refusal NOT_READY, POOL_NOT_FOUND
   */
  change(nowUs: Micros, deviceKey: number, { poolKey, changes }: CombChangeBody): number[] {
    const { state } = this.engine;
    const run = this.runs.devices.get(deviceKey);
    if (run === undefined || run.incarnation === 0) refuse('NOT_READY');
    found(state.pools.get(poolKey), 'POOL_NOT_FOUND');
    run.provenUs = nowUs;
    if (run.status === 'dead') this.revive(nowUs, run);
    const asker = { deviceKey, incarnation: run.incarnation };
    return changes.map((request) => {
      const entry = state.combs.ofPool(poolKey)[request.comb];
      if (entry === undefined) return ERR.WRONG_COMB;
      const changed = requestedChange(
        entry,
        request,
        asker,
        (member) => this.isGood(member),
        (key) => unitOf(state, key),
      );
      if (typeof changed === 'number') return changed;
      state.combs.put(poolKey, changed);
      if (request.change === 'shrink') this.exclude(nowUs, request.member.deviceKey);
      else this.giveBackUs = Math.min(this.giveBackUs, nowUs + GIVE_BACK_US);
      return 0;
    });
  }

  tick(nowUs: Micros): void {
    const isSilent = (run: DeviceRun): boolean => this.isSilent(nowUs, run);
    const isDue = (run: DeviceRun): boolean => isReturnDue(nowUs, run);
    const runs = [...this.runs.devices.values()];
    if (runs.some(isSilent) || runs.some(isDue) || this.giveBackUs <= nowUs)
      this.engine.run(nowUs, (at) => {
        this.judge(at);
      });
  }

  nextDeadlineUs(): Micros {
    let next = Math.min(this.giveBackUs, this.lastTurnUs + this.detectionUs / 4);
    for (const run of this.runs.devices.values()) {
      if (run.status !== 'dead')
        next = Math.min(next, Math.max(this.listenUntilUs, run.provenUs + this.detectionUs));
      if (run.excludedUntilUs > 0) next = Math.min(next, run.excludedUntilUs);
    }
    return next;
  }

  /** Whether it is known of every device whether it is alive. */
  isSettled(nowUs: Micros): boolean {
    if (nowUs < this.listenUntilUs) return false;
    for (const { status } of this.runs.devices.values()) if (status === 'unknown') return false;
    return true;
  }

  /** Whether a device is alive in the life that an entry names. */
  isGood({ deviceKey, incarnation }: CombMember): boolean {
    const run = this.runs.devices.get(deviceKey);
    return run?.status === 'alive' && run.incarnation === incarnation;
  }

  /** From when on a device that is there counts as steady. */
  steadyUs(deviceKey: number): Micros {
    const delayUs = this.engine.options.flapDelayMs * MICROS_PER_MS;
    return this.runs.devices.get(deviceKey)?.steadyUs(delayUs) ?? 0;
  }

  private runOf(nowUs: Micros, key: number): DeviceRun {
    let run = this.runs.devices.get(key);
    if (run === undefined) {
      run = new DeviceRun(key, 'dead', nowUs, this.engine.wallMs(nowUs));
      this.runs.devices.set(key, run);
    }
    return run;
  }

  private setStatus(nowUs: Micros, run: DeviceRun, status: 'alive' | 'dead'): void {
    if (run.status !== status) run.sinceMs = this.engine.wallMs(nowUs);
    run.status = status;
    run.sinceUs = nowUs;
    this.dirty.add(run.key);
  }

  private isSilent(nowUs: Micros, run: DeviceRun): boolean {
    if (run.status === 'dead' || nowUs < this.listenUntilUs) return false;
    return nowUs >= run.provenUs + this.detectionUs;
  }

  /** A process that is known to have ended: nothing of it can act any more. */
  private end(nowUs: Micros, run: DeviceRun): void {
    run.ended = true;
    this.bury(nowUs, run);
    this.decide(nowUs);
  }

  private bury(nowUs: Micros, run: DeviceRun): void {
    if (run.status === 'dead') return;
    run.fell(nowUs);
    this.setStatus(nowUs, run, 'dead');
    const { state, ports } = this.engine;
    const device = state.devices.get(run.key);
    if (device?.state === 'up') state.devices.put(run.key, { ...device, state: 'down' });
    ports.log.event('warn', 'mdm.device-down', { device: run.key, incarnation: run.incarnation });
  }

  private revive(nowUs: Micros, run: DeviceRun): void {
    const { state } = this.engine;
    const device = state.devices.get(run.key);
    if (run.status !== 'dead' || run.link === NO_LINK || device?.state !== 'down') return;
    MARKS.revived.hits++;
    this.setStatus(nowUs, run, 'alive');
    state.devices.put(run.key, { ...device, state: 'up' });
    this.decide(nowUs);
  }

  private judge(nowUs: Micros): void {
    for (const run of this.runs.devices.values()) {
      if (this.isSilent(nowUs, run)) {
        MARKS.silent.hits++;
        this.bury(nowUs, run);
      }
      if (isReturnDue(nowUs, run)) {
        run.excludedUntilUs = 0;
        this.dirty.add(run.key);
      }
    }
    this.decide(nowUs);
    if (this.giveBackUs <= nowUs) this.giveBack(nowUs);
  }

  private exclude(nowUs: Micros, deviceKey: number): void {
    const run = this.runs.devices.get(deviceKey);
    if (run !== undefined) run.excludedUntilUs = nowUs + RETARGET_US;
  }

  /** Decides every comb of the devices of which something changed; each comb changes at most once. */
  private decide(nowUs: Micros): void {
    if (this.dirty.size === 0) return;
    const dirty = this.dirty;
    this.dirty = new Set();
    const { state } = this.engine;
    const byPool = new Map<number, Set<number>>();
    for (const key of dirty) {
      const device = state.devices.get(key);
      if (device === undefined) continue;
      const keys = byPool.get(device.poolKey);
      if (keys === undefined) byPool.set(device.poolKey, new Set([key]));
      else keys.add(key);
    }
    for (const [poolKey, keys] of byPool) this.decidePool(nowUs, poolKey, keys);
  }

  private decidePool(nowUs: Micros, poolKey: number, dirty: ReadonlySet<number>): void {
    const { state, ports } = this.engine;
    const loneReturn = state.pools.get(poolKey)?.loneReturn === true;
    const view = (deviceKey: number): MemberView | undefined => this.view(nowUs, deviceKey);
    let alone = 0;
    for (const entry of state.combs.ofDevices(poolKey, dirty)) {
      const ours = entry.members.filter(({ deviceKey }) => dirty.has(deviceKey));
      const verdict = reconcile(entry, { view, loneReturn });
      if (verdict.kind === 'wait') for (const { deviceKey } of ours) this.dirty.add(deviceKey);
      if (verdict.kind !== 'change') continue;
      state.combs.put(poolKey, verdict.entry);
      if (verdict.alone) alone++;
    }
    if (alone > 0)
      ports.log.event('warn', 'mdm.rolled-back-copy-serves', { pool: poolKey, combs: alone });
    this.giveBackUs = Math.min(this.giveBackUs, nowUs + GIVE_BACK_US);
  }

  private view(nowUs: Micros, deviceKey: number): MemberView | undefined {
    const run = this.runs.devices.get(deviceKey);
    const device = this.engine.state.devices.get(deviceKey);
    if (run === undefined || device === undefined) return undefined;
    const { status, incarnation, dataIncarnation, provenUs, sinceUs } = run;
    const { dataSince, rolledBackIncarnation } = device;
    const mayFill = nowUs >= run.excludedUntilUs;
    const rest = restOf(this.engine.state, deviceKey);
    return {
      ...{ status, incarnation, dataIncarnation, dataSince, rolledBackIncarnation },
      ...{ provenUs, sinceUs, mayFill, rest },
      restingSinceUs: this.runs.restingSinceUs.get(device.sdsKey) ?? Infinity,
    };
  }

  /** Preferred primaries whose resync has ended everywhere take their combs back, all at once. */
  private giveBack(nowUs: Micros): void {
    this.giveBackUs = Infinity;
    for (const { key, status } of this.runs.devices.values()) {
      const steadyUs = this.steadyUs(key);
      if (status !== 'alive' || steadyUs <= nowUs) continue;
      MARKS.unsteady.hits++;
      this.giveBackUs = Math.min(this.giveBackUs, steadyUs);
    }
    const { state } = this.engine;
    for (const [poolKey, combs] of state.combs.pooled()) {
      const filling = new Set<number>();
      for (const { members, targetMask } of combs)
        members.forEach(({ deviceKey }, index) => {
          if (((targetMask >> index) & 1) === 1) filling.add(deviceKey);
        });
      const isWhole = (member: CombMember): boolean =>
        this.isGood(member) &&
        !filling.has(member.deviceKey) &&
        nowUs >= this.steadyUs(member.deviceKey);
      for (const entry of combs) {
        const preferred = withPreferredPrimary(entry, isWhole);
        if (preferred !== null) state.combs.put(poolKey, preferred);
      }
    }
  }
}

function isReturnDue(nowUs: Micros, run: DeviceRun): boolean {
  return run.excludedUntilUs > 0 && nowUs >= run.excludedUntilUs;
}

function isSameDevice(left: Device, right: Device): boolean {
  const keys = Object.keys(left) as (keyof Device)[];
  return keys.every((key) => left[key] === right[key]);
}
