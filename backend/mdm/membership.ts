// Which devices are alive, by their registrations, their progress and what their SDSs report (C14), and the changes that
// primaries ask for (C2). It owns detection; what follows for the combs of a device is decided in decisions.ts.

import { LAST_KEY } from '../core/key-range.js';
import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import { ERR } from '../protocol/generated/constants.js';
import type {
  CombChangeBody,
  Device,
  HeartbeatBody,
  RegisterDeviceBody,
} from '../protocol/generated/types.js';
import { Decisions } from './decisions.js';
import type { Engine } from './engine.js';
import { found, refuse } from './refusal.js';
import { GiveBack } from './give-back.js';
import { requestedChange } from './reconcile.js';
import { DeviceRun, NO_LINK } from './runs.js';
import { unitOf } from './replacement.js';
import { DeviceSamples } from './slow-samples.js';
import type { Runs } from './runs.js';

const MARKS = {
  silent: mark('mdm: a device made no progress for the detection time'),
  ended: mark('mdm: an SDS reported that a data process ended'),
  newLife: mark('mdm: a device registered in a new life'),
  sameLife: mark('mdm: a device registered again in the same life'),
  revived: mark('mdm: a device that counted as dead made progress again'),
  takenBack: mark('mdm: a device was to go, and stays, while its process runs'),
  laterLife: mark('mdm: a device remembers a later life of the metadata'),
  oldLife: mark('mdm: an older life of a device was refused'),
  ownPause: mark('mdm: the MDM itself had paused and listens anew'),
  failed: mark('mdm: a device failed for good'),
};

/** A member that its primary took out is offered again as a target after this. */
const RETARGET_US = 1_000_000;
/** When its SDS says that a process ended, its link goes down within this. */
const END_REPORT_US = 1_000_000;

export class Membership {
  private readonly engine: Engine;
  private readonly runs: Runs;
  private readonly detectionUs: Micros;
  /** No failure is decided before: a new master, or one that paused, listens first. */
  private listenUntilUs: Micros = Infinity;
  private lastTurnUs: Micros = 0;
  /** No device can be found silent before: moments of devices are looked at when the earliest of them may have come. */
  private silenceUs: Micros = Infinity;
  /** No device that a primary took out is offered again before. */
  private returnUs: Micros = Infinity;
  readonly giveBack: GiveBack;
  private readonly decisions: Decisions;

  constructor(engine: Engine, runs: Runs) {
    this.engine = engine;
    this.runs = runs;
    this.giveBack = new GiveBack(engine, runs);
    this.decisions = new Decisions(engine, runs, this.giveBack);
    this.detectionUs = engine.options.detectionMs * MICROS_PER_MS;
  }

  start(nowUs: Micros): void {
    this.lastTurnUs = nowUs;
    this.listenUntilUs = nowUs + this.detectionUs;
    const wallMs = this.engine.wallMs(nowUs);
    for (const { key, state } of this.engine.state.devices.values()) {
      const run = new DeviceRun(key, state === 'up' ? 'unknown' : 'dead', nowUs, wallMs);
      // The last master may have moved roles just before.
      run.givenBackSequence = run.movedSequence = this.engine.sequence;
      this.runs.devices.set(key, run);
    }
    this.silenceUs = this.listenUntilUs;
    this.giveBack.start(this.listenUntilUs);
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
    // Entries of a later life are newer than any that this one could tell it.
    const { clusterEpoch } = state.system;
    if (body.epoch > clusterEpoch) {
      MARKS.laterLife.hits++;
      refuse(
        'METADATA_OLDER',
        `it remembers cluster epoch ${body.epoch}, this metadata is of epoch ${clusterEpoch}`,
      );
    }
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
    if (isNew) run.samples = new DeviceSamples();
    Object.assign(run, { link, incarnation, dataIncarnation, version, usage });
    Object.assign(run, { ended: false, endReportedUs: -Infinity });
    Object.assign(run, { progress: -1, provenUs: nowUs });
    const next: Device = {
      ...device,
      ...{ incarnation, port, state: 'up', force: false, formatted: true },
      failure: device.slowStage === 'none' ? '' : device.failure,
      replaces: [],
      capacityBytes: usage.capacityBytes > 0 ? usage.capacityBytes : device.capacityBytes,
      dataSince: dataIncarnation === 0 ? incarnation : device.dataSince,
      rolledBackIncarnation: body.rolledBack ? incarnation : device.rolledBackIncarnation,
    };
    if (!isSameDevice(device, next)) state.devices.put(device.key, next);
    // What was committed of the device is part of the decision.
    this.decisions.note(device.key);
    this.decisions.decide(nowUs);
    return next;
  }

  /** Progress of a data process. */
  heartbeat(nowUs: Micros, run: DeviceRun, body: HeartbeatBody): void {
    if (body.progress > run.progress) {
      run.progress = body.progress;
      run.provenUs = nowUs;
      if (this.comesBack(run))
        this.engine.run(nowUs, (at) => {
          this.revive(at, run);
        });
      else if (this.decisions.heard(nowUs, run.key))
        this.engine.run(nowUs, (at) => {
          this.decisions.decide(at);
        });
    }
    run.appliedSequence = Math.max(run.appliedSequence, body.appliedSequence);
    if (body.usage !== null) {
      run.usage = body.usage;
      // A data process of the release before does not say.
      if (body.usage.times !== null) run.samples.say(nowUs, body.usage.times);
    }
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
      this.engine.state.devices.put(device.key, {
        ...device,
        ...{ state: 'failed', failure, slowStage: 'none' },
      });
      this.decisions.decide(nowUs);
      return;
    }
    // The report and the process's own link take different ways: it may be of a life before the present one.
    if (run.link === NO_LINK) this.end(nowUs, run);
    else run.endReportedUs = nowUs;
  }

  /**
   * A slow device whose copies have left all sets counts as failed: its data process is told to end. Called as work.
   */
  eject(nowUs: Micros, device: Device): void {
    this.setStatus(nowUs, this.runOf(nowUs, device.key), 'dead');
    this.engine.state.devices.put(device.key, { ...device, state: 'failed', slowStage: 'ejected' });
    this.decisions.decide(nowUs);
  }

  /** What is done about a slow device changed: look at its combs again. Called as work. */
  reconsiderDevice(nowUs: Micros, deviceKey: number): void {
    this.decisions.note(deviceKey);
    this.decisions.decide(nowUs);
  }

  /** The rules of a pool changed: look at its combs again. Called as work. */
  reconsider(nowUs: Micros, poolKey: number): void {
    for (const { index } of this.engine.state.combs.ofPool(poolKey))
      this.decisions.noteComb(poolKey, index);
    this.decisions.decide(nowUs);
  }

  /** What is asked of an SDS changed: look at the combs of its devices again. Called as work. */
  reconsiderSds(nowUs: Micros, sdsKey: number): void {
    for (const device of this.engine.state.devices.values())
      if (device.sdsKey === sdsKey) this.decisions.note(device.key);
    this.decisions.decide(nowUs);
  }

  /** Combs of a pool got other members, of which more may be known than when they were chosen. Called as work. */
  reconsiderCombs(nowUs: Micros, poolKey: number, indexes: readonly number[]): void {
    for (const index of indexes) this.decisions.noteComb(poolKey, index);
    this.decisions.decide(nowUs);
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
    if (this.comesBack(run)) this.revive(nowUs, run);
    else if (this.decisions.heard(nowUs, deviceKey)) this.decisions.decide(nowUs);
    const asker = { deviceKey, incarnation: run.incarnation };
    return changes.map((request) => {
      const entry = state.combs.ofPool(poolKey)[request.comb];
      if (entry === undefined) return ERR.WRONG_COMB;
      const changed = requestedChange(
        entry,
        request,
        asker,
        (member) => this.runs.isGood(member),
        (key) => unitOf(state, key),
      );
      if (typeof changed === 'number') return changed;
      state.combs.put(poolKey, changed);
      if (request.change === 'shrink') this.exclude(nowUs, request.member.deviceKey);
      else this.giveBack.soon(nowUs);
      return 0;
    });
  }

  tick(nowUs: Micros): void {
    if (nowUs < this.dueUs()) return;
    this.engine.run(nowUs, (at) => {
      this.judge(at);
    });
  }

  nextDeadlineUs(): Micros {
    return Math.min(this.dueUs(), this.lastTurnUs + this.detectionUs / 4);
  }

  private dueUs(): Micros {
    return Math.min(this.silenceUs, this.returnUs, this.giveBack.dueUs, this.decisions.dueUs);
  }

  /** Whether it is known of every device whether it is alive. */
  isSettled(nowUs: Micros): boolean {
    if (nowUs < this.listenUntilUs) return false;
    for (const { status } of this.runs.devices.values()) if (status === 'unknown') return false;
    return true;
  }

  /** From when on a device that is there counts as steady. */
  steadyUs(deviceKey: number): Micros {
    return this.runs.steadyUs(deviceKey, this.engine.options.flapDelayMs * MICROS_PER_MS);
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
    if (status === 'alive') this.silenceUs = Math.min(this.silenceUs, nowUs + this.detectionUs);
    this.decisions.note(run.key);
  }

  private isSilent(nowUs: Micros, run: DeviceRun): boolean {
    if (run.status === 'dead' || nowUs < this.listenUntilUs) return false;
    return nowUs >= run.provenUs + this.detectionUs;
  }

  /** A process that is known to have ended: nothing of it can act any more. */
  private end(nowUs: Micros, run: DeviceRun): void {
    run.ended = true;
    this.bury(nowUs, run);
    this.decisions.decide(nowUs);
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

  /** It counted as dead, or was about to go until its operator changed his mind (scenario removal-taken-back). */
  private comesBack(run: DeviceRun): boolean {
    return run.status === 'dead' || this.engine.state.devices.get(run.key)?.state === 'down';
  }

  private revive(nowUs: Micros, run: DeviceRun): void {
    const { state } = this.engine;
    const device = state.devices.get(run.key);
    if (run.link === NO_LINK || device?.state !== 'down') return;
    MARKS[run.status === 'dead' ? 'revived' : 'takenBack'].hits++;
    this.setStatus(nowUs, run, 'alive');
    state.devices.put(run.key, { ...device, state: 'up' });
    this.decisions.decide(nowUs);
  }

  private judge(nowUs: Micros): void {
    this.silenceUs = Infinity;
    this.returnUs = Infinity;
    for (const run of this.runs.devices.values()) {
      if (this.isSilent(nowUs, run)) {
        MARKS.silent.hits++;
        this.bury(nowUs, run);
      }
      if (run.status !== 'dead')
        this.silenceUs = Math.min(
          this.silenceUs,
          Math.max(this.listenUntilUs, run.provenUs + this.detectionUs),
        );
      if (isReturnDue(nowUs, run)) {
        run.excludedUntilUs = 0;
        this.decisions.note(run.key);
      } else if (run.excludedUntilUs > 0)
        this.returnUs = Math.min(this.returnUs, run.excludedUntilUs);
    }
    this.decisions.decide(nowUs);
    if (this.giveBack.dueUs <= nowUs) this.giveBack.run(nowUs);
  }

  private exclude(nowUs: Micros, deviceKey: number): void {
    const run = this.runs.devices.get(deviceKey);
    if (run === undefined) return;
    run.excludedUntilUs = nowUs + RETARGET_US;
    this.returnUs = Math.min(this.returnUs, run.excludedUntilUs);
  }
}

function isReturnDue(nowUs: Micros, run: DeviceRun): boolean {
  return run.excludedUntilUs > 0 && nowUs >= run.excludedUntilUs;
}

function isSameDevice(left: Device, right: Device): boolean {
  const keys = Object.keys(left) as (keyof Device)[];
  return keys.every((key) => left[key] === right[key]);
}
