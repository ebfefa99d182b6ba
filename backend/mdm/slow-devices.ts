// Devices that are slower than their peers: first their combs are led by the other copies, then they leave the sets in which
// another copy stays, then they have failed and their data is made anew elsewhere. It owns the stage that is committed with
// a device. It must never take the last good copy of anything: a copy leaves its set in reconcile.ts, as one that rests; and
// never treat two devices of a pool at once.

import { isInSync } from '../cluster-map/entry.js';
import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import type { CombMember, Device } from '../protocol/generated/types.js';
import { isLeaving } from './capacity.js';
import type { Engine } from './engine.js';
import type { Touch } from './journal.js';
import type { Membership } from './membership.js';
import { hasTwoCopies } from './move-wishes.js';
import { withoutPrimary } from './reconcile.js';
import { unitOf } from './replacement.js';
import { restOf } from './rest.js';
import type { DeviceRun, Runs } from './runs.js';
import { compare } from './slow-samples.js';
import type { SlowSample } from './slow-samples.js';

const MARKS = {
  relieved: mark('mdm: the roles of a slow device were moved to the other copies'),
  leaving: mark('mdm: the copies of a slow device leave the sets'),
  ejected: mark('mdm: a slow device was taken out'),
  proven: mark('mdm: a slow device has proved itself'),
  relapsed: mark('mdm: a slow device was slow again after it had proved itself'),
  kept: mark('mdm: a slow device stays: its data could not be made anew elsewhere'),
  stuck: mark('mdm: copies of a slow device stay until others gave a sign of life'),
};

/** Protocol version that brought them. */
const STAGES_SINCE = 2;
/** A device whose copies are leaving their sets is looked at so often. */
const LEAVING_US = 200_000;
/** A device that is being filled, or caught up, has to be slower by this. */
const FILLING_FACTOR = 4;
/** Devices of a pool for each that may have been taken out and not put right; one always may. */
const DEVICES_PER_EJECTED = 10;
const PROOF_US_MAX = 3_600_000_000;
/** What a device must have free beyond what it gets. */
const HEADROOM = 1 / 32;

/** A device that was found slow, as this master knows it. */
interface Case {
  /** When it was found slow, or when this master began. */
  sinceUs: Micros;
  /** When a sample was slow last. */
  slowUs: Micros;
  /** How often it was found slow, and when it had proved itself last. */
  times: number;
  provenUs: Micros;
}

export class SlowDevices {
  private readonly engine: Engine;
  private readonly runs: Runs;
  private readonly membership: Membership;
  private readonly cases = new Map<number, Case>();
  private checkUs: Micros = Infinity;

  constructor(engine: Engine, runs: Runs, membership: Membership) {
    this.engine = engine;
    this.runs = runs;
    this.membership = membership;
  }

  /** A new master goes on with what the last one began. */
  start(nowUs: Micros): void {
    if (this.engine.options.slowFactor === 0) return;
    this.checkUs = nowUs + this.sampleUs;
  }

  /** An operator may have cleared the error of a device, or removed it. */
  published(nowUs: Micros, touches: readonly Touch[]): void {
    const { devices } = this.engine.state;
    for (const touch of touches) {
      if (touch.kind !== 'device' || (touch.before?.slowStage ?? 'none') === 'none') continue;
      const device = devices.get(touch.key);
      if (device === undefined) this.cases.delete(touch.key);
      if (device?.slowStage !== 'none') continue;
      this.runs.slowSinceUs.delete(touch.key);
      this.runs.devices.get(touch.key)?.samples.forgive();
      this.membership.giveBack.soon(nowUs);
      // What had left its sets is to be filled again.
      this.engine.run(nowUs, (at) => {
        this.membership.reconsiderDevice(at, touch.key);
      });
    }
  }

  tick(nowUs: Micros): void {
    if (nowUs < this.checkUs) return;
    this.checkUs = nowUs + this.sampleUs;
    if (!this.membership.isSettled(nowUs)) return;
    // The stage of a device could not be kept.
    if (this.engine.state.system.clusterVersion < STAGES_SINCE) return;
    for (const poolKey of this.engine.state.pools.keys()) this.look(nowUs, poolKey);
  }

  nextDeadlineUs(): Micros {
    return this.checkUs;
  }

  private get sampleUs(): Micros {
    return this.engine.options.slowSampleMs * MICROS_PER_MS;
  }

  private look(nowUs: Micros, poolKey: number): void {
    const { state, options } = this.engine;
    const runs: DeviceRun[] = [];
    let treated: Device | null = null;
    for (const device of state.devices.values()) {
      if (device.poolKey !== poolKey) continue;
      if (device.slowStage === 'relieved' || device.slowStage === 'leaving') treated = device;
      const run = this.runs.devices.get(device.key);
      if (run?.status === 'alive' && device.state === 'up') runs.push(run);
    }
    const { slowFactor, slowMicrosMin } = options;
    const rules = { factor: slowFactor, microsMin: slowMicrosMin, sampleUs: this.sampleUs };
    const found = compare(nowUs, runs, rules, ({ key }) => this.factorOf(key));
    for (const { key } of found.keys()) {
      const known = this.cases.get(key);
      if (known !== undefined) known.slowUs = nowUs;
    }
    if (treated !== null) {
      const { key } = treated;
      if (treated.slowStage === 'leaving')
        this.checkUs = Math.min(this.checkUs, nowUs + LEAVING_US);
      this.engine.run(nowUs, (at) => {
        this.treat(at, key, [...found].find(([run]) => run.key === key)?.[1] ?? null);
      });
      return;
    }
    const sure = [...found]
      .filter(([{ samples }]) => samples.score >= options.slowSamples)
      .sort(([, one], [, other]) => other.times - one.times);
    const [worst] = sure;
    if (worst === undefined) return;
    const [{ key }, sample] = worst;
    this.engine.run(nowUs, (at) => {
      this.relieve(at, key, sample);
    });
  }

  /** A device that was found slow has to be much faster than that to count as proved. */
  private factorOf(key: number): number {
    const { state, options } = this.engine;
    const device = state.devices.get(key);
    if (device === undefined) return Infinity;
    if (device.slowStage !== 'none') return options.slowFactor / 2;
    const isFilling = state.combs.someOfDevice(
      device.poolKey,
      key,
      ({ targetMask }, place) => ((targetMask >> place) & 1) === 1,
    );
    return options.slowFactor * (isFilling ? FILLING_FACTOR : 1);
  }

  /** Its combs are led by others from now on; also what had another device as preferred primary. */
  private relieve(nowUs: Micros, key: number, sample: SlowSample): void {
    const { state, ports } = this.engine;
    const device = state.devices.get(key);
    const run = this.runs.devices.get(key);
    if (device?.state !== 'up' || device.slowStage !== 'none' || run?.status !== 'alive') return;
    if (isLeaving(state, device) || restOf(state, key) !== 'none') return;
    // Another one of the pool may have been found in the same turn.
    if (this.isTreating(device.poolKey)) return;
    MARKS.relieved.hits++;
    this.open(nowUs, key);
    run.samples.forgive();
    const failure = reasonOf(sample);
    state.devices.put(key, { ...device, slowStage: 'relieved', failure });
    ports.log.event('warn', 'mdm.device-slow', { device: key, reason: failure });
    this.moveRoles(device);
  }

  private open(nowUs: Micros, key: number): void {
    const before = this.cases.get(key);
    let times = before?.times ?? 0;
    if (before !== undefined && nowUs - before.provenUs > PROOF_US_MAX) times = 0;
    if (times > 0) MARKS.relapsed.hits++;
    this.cases.set(key, { sinceUs: nowUs, slowUs: nowUs, times: times + 1, provenUs: nowUs });
  }

  /** @param sample - it was slow just now */
  private treat(nowUs: Micros, key: number, sample: SlowSample | null): void {
    const device = this.engine.state.devices.get(key);
    const run = this.runs.devices.get(key);
    if (device === undefined || run === undefined) return;
    if (!this.cases.has(key)) this.open(nowUs, key);
    if (device.slowStage === 'leaving') {
      this.leave(nowUs, device);
      return;
    }
    if (device.slowStage !== 'relieved') return;
    this.moveRoles(device);
    if (sample === null) {
      if (this.isProven(nowUs, key) && run.status === 'alive') this.restore(nowUs, device);
      return;
    }
    if (run.samples.score < this.engine.options.slowSamples || device.state !== 'up') return;
    if (!this.mayLeave(device)) {
      MARKS.kept.hits++;
      return;
    }
    MARKS.leaving.hits++;
    this.runs.slowSinceUs.set(key, nowUs);
    const failure = reasonOf(sample);
    const next: Device = { ...device, slowStage: 'leaving', failure };
    this.engine.state.devices.put(key, next);
    this.engine.ports.log.event('warn', 'mdm.device-leaving', { device: key, reason: failure });
    this.leave(nowUs, next);
  }

  private isProven(nowUs: Micros, key: number): boolean {
    const known = this.cases.get(key);
    if (known === undefined) return false;
    const proofUs = this.engine.options.slowProofMs * MICROS_PER_MS * 2 ** (known.times - 1);
    return nowUs - Math.max(known.slowUs, known.sinceUs) >= Math.min(PROOF_US_MAX, proofUs);
  }

  private restore(nowUs: Micros, device: Device): void {
    MARKS.proven.hits++;
    const known = this.cases.get(device.key);
    if (known !== undefined) known.provenUs = nowUs;
    this.engine.state.devices.put(device.key, { ...device, slowStage: 'none', failure: '' });
    this.engine.ports.log.event('info', 'mdm.device-proven', { device: device.key });
  }

  /** In one commit, each comb once. */
  private moveRoles(device: Device): void {
    const { state } = this.engine;
    const isReady = (member: CombMember): boolean => this.membership.giveBack.mayMove(member);
    for (const entry of state.combs.ofDevices(device.poolKey, [device.key])) {
      const next = withoutPrimary(entry, device.key, isReady);
      if (next === null) continue;
      state.combs.put(device.poolKey, next);
      this.membership.giveBack.moved(next);
    }
  }

  private leave(nowUs: Micros, device: Device): void {
    const { state, ports } = this.engine;
    // Another master may have begun it.
    if (!this.runs.slowSinceUs.has(device.key)) this.runs.slowSinceUs.set(device.key, nowUs);
    this.membership.reconsiderDevice(nowUs, device.key);
    const counts = state.combs.someOfDevice(device.poolKey, device.key, isInSync);
    if (counts) {
      MARKS.stuck.hits++;
      return;
    }
    MARKS.ejected.hits++;
    this.runs.slowSinceUs.delete(device.key);
    ports.log.event('warn', 'mdm.device-ejected', { device: device.key, reason: device.failure });
    this.membership.eject(nowUs, device);
  }

  private isTreating(poolKey: number): boolean {
    const isTreated = (device: Device): boolean =>
      device.slowStage === 'relieved' || device.slowStage === 'leaving';
    return (
      this.engine.state.devices.find(
        (device) => device.poolKey === poolKey && isTreated(device),
      ) !== undefined
    );
  }

  /**
   * Whether the copies of a device may go: all others are whole, and there are places and room to make them anew. Otherwise
   * a slow copy is better than none.
   */
  private mayLeave({ key, poolKey }: Device): boolean {
    const { state, options } = this.engine;
    const pool = state.pools.get(poolKey);
    if (options.movesMax === 0 || pool?.rebuildEnabled !== true) return false;
    const devices = state.devices.filter((device) => device.poolKey === poolKey);
    const ejected = devices.filter(({ slowStage }) => slowStage === 'ejected').length;
    if (ejected >= Math.max(1, Math.floor(devices.length / DEVICES_PER_EJECTED))) return false;
    if (devices.some(({ sdsKey }) => state.sds.get(sdsKey)?.maintenance !== 'none')) return false;
    const others = devices.filter(
      (device) => device.key !== key && device.state === 'up' && !isLeaving(state, device),
    );
    if (new Set(others.map((device) => unitOf(state, device.key))).size < 2) return false;
    const usedBytes = this.runs.devices.get(key)?.usage?.usedBytes ?? 0;
    let freeBytes = 0;
    for (const { key: other, capacityBytes } of others) {
      const used = this.runs.devices.get(other)?.usage?.usedBytes ?? capacityBytes;
      freeBytes += Math.max(0, capacityBytes * (1 - HEADROOM) - used);
    }
    if (freeBytes < usedBytes) return false;
    return state.combs
      .ofPool(poolKey)
      .every(
        (entry) =>
          hasTwoCopies(entry) &&
          entry.members.every(
            (member, index) => !isInSync(entry, index) || this.runs.isGood(member),
          ),
      );
  }
}

function reasonOf({ kind, micros, peerMicros }: SlowSample): string {
  const ms = (value: number): string => (value / 1000).toFixed(value < 10_000 ? 2 : 0);
  return `slower than its peers: ${ms(micros)} ms for a ${kind}, they take ${ms(peerMicros)} ms`;
}
