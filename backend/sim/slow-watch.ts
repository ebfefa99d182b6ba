// Watches what the MDM does about slow devices: one of a pool at a time, never a copy that is the last one, and, where one
// disk ails and nothing else happens, that it is found and taken out and that clients do not notice it any more. It must
// never look at a machine.

import { isInSync } from '../cluster-map/entry.js';
import type { Change } from '../core/ports.js';
import { decodeKey } from '../mdm/keys.js';
import { decodeStored } from '../protocol/control.js';
import type { CombEntry, Device, SlowStage } from '../protocol/generated/types.js';

import type { OpRecord } from './history.js';
import type { Simulation } from './simulation.js';

/** An ailing disk loses its roles within this, and its copies within this. */
const RELIEVED_US_MAX = 4_000_000;
const EJECTED_US_MAX = 8_000_000;
/** Clients find out that everything is as before. */
const SETTLED_US = 300_000;
const REQUESTS_MIN = 40;
/** What nearly all requests take afterwards: so many times as long as before at most, and this. */
const LATENCY_FACTOR = 2;
const LATENCY_US = 2000;
const NEARLY_ALL = 0.95;

export class SlowWatch {
  /** The device whose disk ails, null: none does. */
  ailing: number | null = null;
  private readonly sim: Simulation;
  private readonly devices = new Map<number, Device>();
  /** By pool and comb. */
  private readonly entries = new Map<string, CombEntry>();
  private ailsSinceUs = Infinity;
  /** When the device whose disk ailed first came to a stage. */
  private readonly reachedUs = new Map<SlowStage, number>();
  /** When everything had two copies again after that. */
  private wholeUs = Infinity;

  constructor(sim: Simulation) {
    this.sim = sim;
  }

  ails(deviceKey: number): void {
    this.ailing = deviceKey;
    this.ailsSinceUs = Math.min(this.ailsSinceUs, this.sim.nowUs);
  }

  recovers(): void {
    this.ailing = null;
  }

  /** Changes that became durable together. */
  committed(changes: readonly Change[]): void {
    const before = new Map(this.entries);
    for (const { key, value } of changes) {
      const decoded = decodeKey(key);
      if (decoded === null) continue;
      const { type, key: object } = decoded;
      if (type === 'device') {
        if (value === null) this.devices.delete(object);
        else this.device(decodeStored('Device', value));
      } else if (type === 'combPage') {
        this.page(object, value === null ? null : decodeStored('CombPage', value).combs);
      }
    }
    this.requireOne();
    for (const [name, entry] of this.entries) this.requireCopies(before.get(name), entry);
    if (this.wholeUs === Infinity && this.reachedUs.has('ejected') && this.isWhole())
      this.wholeUs = this.sim.nowUs;
  }

  /** @param combs - null: the pool has no placement any more */
  private page(poolKey: number, combs: readonly CombEntry[] | null): void {
    const prefix = `${poolKey} `;
    if (combs === null)
      for (const name of [...this.entries.keys()].filter((known) => known.startsWith(prefix)))
        this.entries.delete(name);
    else for (const entry of combs) this.entries.set(`${prefix}${entry.index}`, entry);
  }

  private device(device: Device): void {
    this.devices.set(device.key, device);
    const { key, slowStage } = device;
    if (key === this.ailing && !this.reachedUs.has(slowStage))
      this.reachedUs.set(slowStage, this.sim.nowUs);
  }

  private isWhole(): boolean {
    return [...this.entries.values()].every(
      ({ members, inSyncMask }) => members.length === 2 && inSyncMask === 3,
    );
  }

  private stageOf(deviceKey: number): SlowStage {
    return this.devices.get(deviceKey)?.slowStage ?? 'none';
  }

  private requireOne(): void {
    const treated = [...this.devices.values()].filter(
      ({ slowStage }) => slowStage === 'relieved' || slowStage === 'leaving',
    );
    if (new Set(treated.map(({ poolKey }) => poolKey)).size < treated.length)
      this.sim.fail(`devices ${treated.map(({ key }) => key).join(' and ')} are treated at once`);
  }

  /** A copy of a slow device leaves only where another one stays that was in sync before. */
  private requireCopies(before: CombEntry | undefined, after: CombEntry): void {
    after.members.forEach(({ deviceKey }, index) => {
      if (isInSync(after, index) && this.stageOf(deviceKey) === 'ejected')
        this.sim.fail(`comb ${after.index}: device ${deviceKey} was taken out and is in sync`);
    });
    // Several entries may share a commit: what was between them is not seen.
    if (before === undefined || after.generation.number !== before.generation.number + 1) return;
    before.members.forEach(({ deviceKey }, index) => {
      if (!isInSync(before, index) || this.stageOf(deviceKey) !== 'leaving') return;
      if (inSyncIn(after, deviceKey)) return;
      const stays = before.members.some(
        (member, other) =>
          other !== index && isInSync(before, other) && inSyncIn(after, member.deviceKey),
      );
      if (!stays)
        this.sim.fail(`comb ${after.index}: slow device ${deviceKey} was the last copy and left`);
    });
  }

  /**
   * The one disk that ailed until `endUs` was found in time, and requests take no longer than before.
   *
   * @param ops - of all clients
   */
  judge(ops: readonly OpRecord[], endUs: number): void {
    const { ailsSinceUs, reachedUs, wholeUs } = this;
    if (ailsSinceUs === Infinity) return;
    for (const [stage, withinUs] of [
      ['relieved', RELIEVED_US_MAX],
      ['ejected', EJECTED_US_MAX],
    ] as const) {
      const atUs = reachedUs.get(stage) ?? Infinity;
      if (atUs > ailsSinceUs + withinUs && endUs > ailsSinceUs + withinUs)
        this.sim.fail(`the slow device was not ${stage} within ${withinUs / 1e6} s`);
    }
    const before = latency(ops, 0, ailsSinceUs);
    const after = latency(ops, wholeUs + SETTLED_US, endUs);
    if (before === null || after === null) return;
    if (after > LATENCY_FACTOR * before + LATENCY_US)
      this.sim.fail(`requests take ${after} us without the slow device, ${before} us before`);
  }
}

function inSyncIn(entry: CombEntry, deviceKey: number): boolean {
  return entry.members.some(
    (member, index) => member.deviceKey === deviceKey && isInSync(entry, index),
  );
}

/** What nearly all requests take that begin and end within a time; null: there are too few. */
function latency(ops: readonly OpRecord[], fromUs: number, toUs: number): number | null {
  const took = ops
    .filter(({ startUs }) => startUs >= fromUs && startUs < toUs)
    .map(({ startUs, endUs }) => endUs - startUs)
    .sort((one, other) => one - other);
  return took.length < REQUESTS_MIN ? null : (took[Math.floor(took.length * NEARLY_ALL)] ?? null);
}
