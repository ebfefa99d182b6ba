// Watches what the MDM commits about combs: copies in sync lie apart when nothing moves, a move takes nobody's copy before two
// others are whole, a device that is removed carries nothing, and one that rests nothing that counts. It owns the entries as they were committed last; it must
// never look at a machine.

import { decodeStored } from '../protocol/control.js';
import { decodeKey } from '../mdm/keys.js';
import type { Change } from '../core/ports.js';
import { isBlank, isInSync } from '../cluster-map/entry.js';
import {
  getComb,
  getGenerationEpoch,
  getGenerationNumber,
} from '../protocol/generated/frame-head.js';
import type {
  CombEntry,
  Device,
  Layer,
  Sds,
  SdsMoveStage,
  StoragePool,
} from '../protocol/generated/types.js';

import type { Simulation } from './simulation.js';

export class MoveWatch {
  private readonly sim: Simulation;
  /** By pool and index. */
  private readonly entries = new Map<number, Map<number, CombEntry>>();
  private readonly devices = new Map<number, Device>();
  private readonly sds = new Map<number, Sds>();
  private readonly pools = new Map<number, StoragePool>();
  /** Pools of volumes. */
  private readonly volumes = new Map<number, number>();
  /** Layers of V-trees that were snapshotted. */
  readonly layers = new Map<number, Layer>();

  constructor(sim: Simulation) {
    this.sim = sim;
  }

  /** Whether a frame names the newest entry of its comb that was committed. */
  isNewest(view: DataView, at: number): boolean {
    for (const combs of this.entries.values()) {
      const generation = combs.get(getComb(view, at))?.generation;
      if (
        generation?.epoch === getGenerationEpoch(view, at) &&
        generation.number === getGenerationNumber(view, at)
      )
        return true;
    }
    return false;
  }

  /** Everything that was committed is what this says: a backup was restored. */
  restored(changes: readonly Change[]): void {
    this.entries.clear();
    this.devices.clear();
    this.sds.clear();
    this.pools.clear();
    this.volumes.clear();
    this.layers.clear();
    this.committed(changes);
  }

  /** Changes that became durable together. */
  committed(changes: readonly Change[]): void {
    const pages: { readonly poolKey: number; readonly entry: CombEntry }[] = [];
    let hasPages = false;
    for (const { key, value } of changes) {
      const decoded = decodeKey(key);
      if (decoded === null) continue;
      const { type, key: object } = decoded;
      if (type === 'device') {
        if (value === null) this.devices.delete(object);
        else this.devices.set(object, decodeStored('Device', value));
      } else if (type === 'sds') {
        if (value === null) this.sds.delete(object);
        else this.sds.set(object, decodeStored('Sds', value));
      } else if (type === 'storagePool') {
        if (value === null) this.pools.delete(object);
        else this.pools.set(object, decodeStored('StoragePool', value));
      } else if (type === 'volume') {
        if (value === null) this.volumes.delete(object);
        else this.volumes.set(object, decodeStored('Volume', value).poolKey);
      } else if (type === 'layer') {
        if (value === null) this.layers.delete(object);
        else this.layers.set(object, decodeStored('Layer', value));
      } else if (type === 'combPage') {
        hasPages = true;
        if (value === null) this.entries.delete(object);
        else
          for (const entry of decodeStored('CombPage', value).combs)
            pages.push({ poolKey: object, entry });
      }
    }
    for (const { poolKey, entry } of pages) this.entry(poolKey, entry);
    this.requireOut();
    this.requireDomains();
    if (!hasPages && !changes.some(({ value }) => value === null)) return;
    this.requireDevices();
  }

  private unitOf(deviceKey: number): string {
    const sdsKey = this.devices.get(deviceKey)?.sdsKey ?? 0;
    const faultSetKey = this.sds.get(sdsKey)?.faultSetKey ?? 0;
    return faultSetKey === 0 ? `sds ${sdsKey}` : `fault set ${faultSetKey}`;
  }

  /** Combs of a pool without volumes are placed anew as they come. */
  private hasVolumes(poolKey: number): boolean {
    return [...this.volumes.values()].includes(poolKey);
  }

  private entry(poolKey: number, entry: CombEntry): void {
    const combs = this.entries.get(poolKey) ?? new Map<number, CombEntry>();
    this.entries.set(poolKey, combs);
    const before = combs.get(entry.index);
    combs.set(entry.index, entry);
    this.requireApart(before, entry);
    if (before === undefined || !this.hasVolumes(poolKey)) return;
    // Several entries may share a commit: what was between them is not seen.
    if (entry.generation.number !== before.generation.number + 1) return;
    this.requireKept(before, entry);
    this.requireNothingNew(before, entry);
  }

  /** SDSs that are on their way to another protection domain, by name. */
  onTheWay(): readonly { readonly name: string; readonly stage: SdsMoveStage }[] {
    return [...this.sds.values()].flatMap(({ name, move }) =>
      move === null ? [] : [{ name, stage: move.stage }],
    );
  }

  /** Devices are of pools of the domain that their SDS is of. */
  private requireDomains(): void {
    for (const { key, sdsKey, poolKey } of this.devices.values()) {
      const domainKey = this.sds.get(sdsKey)?.domainKey;
      if (domainKey !== this.pools.get(poolKey)?.domainKey)
        this.sim.fail(`device ${key} is of a pool of another domain than its SDS ${sdsKey}`);
    }
  }

  /** An SDS that is in maintenance holds nothing that counts. */
  private requireOut(): void {
    for (const sds of this.sds.values()) {
      if (sds.maintenanceStage !== 'active') continue;
      for (const [poolKey, combs] of this.entries)
        if (this.hasVolumes(poolKey))
          for (const entry of combs.values()) this.requireEmpty(sds, entry);
    }
  }

  private requireEmpty({ key }: Sds, entry: CombEntry): void {
    entry.members.forEach(({ deviceKey }, index) => {
      if (isInSync(entry, index) && this.devices.get(deviceKey)?.sdsKey === key)
        this.fail(entry, `device ${deviceKey} is in sync although its SDS rests`);
    });
  }

  /** Whether a device keeps what it has although it is in no set: its SDS is in instant maintenance. */
  private isResting(deviceKey: number): boolean {
    const device = this.devices.get(deviceKey);
    const sds = this.sds.get(device?.sdsKey ?? 0);
    if (sds?.maintenance !== 'instant' || sds.maintenanceStage !== 'active') return false;
    return device?.state === 'up' || device?.state === 'down';
  }

  /** The copy of a device in instant maintenance is not made anew. */
  private requireNothingNew(before: CombEntry, after: CombEntry): void {
    const isAnyLeaving = [...this.sds.values()].some(
      ({ removing, move }) => removing || move?.stage === 'leaving',
    );
    const whole = before.members.filter((_, index) => isInSync(before, index));
    const [only] = whole;
    if (whole.length !== 1 || only === undefined || isAnyLeaving) return;
    const isAwaited = before.members.some(
      ({ deviceKey }, index) =>
        !isBlank(before, index) &&
        this.isResting(deviceKey) &&
        this.unitOf(deviceKey) !== this.unitOf(only.deviceKey),
    );
    const added = after.members.find(
      ({ deviceKey }) => !before.members.some((member) => member.deviceKey === deviceKey),
    );
    if (isAwaited && added !== undefined)
      this.fail(after, `a copy is made on device ${added.deviceKey} although the other one rests`);
  }

  private fail(entry: CombEntry, what: string): void {
    const members = entry.members
      .map(({ deviceKey }, index) => {
        const marks = `${index === entry.primary ? 'p' : ''}${isInSync(entry, index) ? 's' : ''}`;
        return `${deviceKey}${marks}${isBlank(entry, index) ? 'b' : ''}`;
      })
      .join(' ');
    this.sim.fail(`comb ${entry.index} [${members}]: ${what}`);
  }

  /**
   * No entry takes the copies of a comb into one unit. They may be there for a while: one was made beside the one that leaves,
   * and the device for the other unit went before it was filled (seed 120001890).
   */
  private requireApart(before: CombEntry | undefined, entry: CombEntry): void {
    if (entry.members.length !== 2 || entry.inSyncMask !== 3 || this.areApart(entry)) return;
    if (before === undefined || this.areApart(before))
      this.fail(entry, 'both copies lie in one unit');
  }

  /** Whether copies in sync lie in two units. */
  areApart(entry: CombEntry): boolean {
    const copies = entry.members.filter((_, index) => isInSync(entry, index));
    return new Set(copies.map(({ deviceKey }) => this.unitOf(deviceKey))).size >= 2;
  }

  /** Who was in sync is a member still, or two others are in sync. */
  private requireKept(before: CombEntry, after: CombEntry): void {
    const inSync = after.members.filter((_, index) => isInSync(after, index)).length;
    before.members.forEach(({ deviceKey }, index) => {
      if (!isInSync(before, index) || inSync >= 2) return;
      if (!after.members.some((member) => member.deviceKey === deviceKey))
        this.fail(after, `device ${deviceKey} was in sync and was dropped`);
    });
    after.members.forEach(({ deviceKey }, index) => {
      if (!isInSync(after, index)) return;
      const place = before.members.findIndex((member) => member.deviceKey === deviceKey);
      if (place < 0) this.fail(after, `device ${deviceKey} is in sync and was no member before`);
    });
  }

  private requireDevices(): void {
    for (const combs of this.entries.values())
      for (const entry of combs.values())
        for (const { deviceKey } of entry.members)
          if (!this.devices.has(deviceKey)) this.fail(entry, `device ${deviceKey} does not exist`);
  }
}
