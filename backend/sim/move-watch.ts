// Watches what the MDM commits about combs: copies in sync lie apart when nothing moves, a move takes nobody's copy before two
// others are whole, a device that is removed carries nothing. It owns the entries as they were committed last; it must
// never look at a machine.

import { decodeStored } from '../protocol/control.js';
import { decodeKey } from '../mdm/keys.js';
import type { Change } from '../core/ports.js';
import { isBlank, isInSync } from '../cluster-map/entry.js';
import type { CombEntry } from '../protocol/generated/types.js';

import type { Simulation } from './simulation.js';

export class MoveWatch {
  private readonly sim: Simulation;
  private readonly entries = new Map<string, CombEntry>();
  /** SDS by device, and fault set by SDS. */
  private readonly sdsOf = new Map<number, number>();
  private readonly faultSetOf = new Map<number, number>();
  private readonly volumes = new Set<number>();

  constructor(sim: Simulation) {
    this.sim = sim;
  }

  /** Changes that became durable together. */
  committed(changes: readonly Change[]): void {
    const pages: CombEntry[] = [];
    let hasPages = false;
    for (const { key, value } of changes) {
      const decoded = decodeKey(key);
      if (decoded === null) continue;
      const { type, key: object } = decoded;
      if (type === 'device') {
        if (value === null) this.sdsOf.delete(object);
        else this.sdsOf.set(object, decodeStored('Device', value).sdsKey);
      } else if (type === 'sds' && value !== null)
        this.faultSetOf.set(object, decodeStored('Sds', value).faultSetKey);
      else if (type === 'volume') {
        if (value === null) this.volumes.delete(object);
        else this.volumes.add(object);
      } else if (type === 'combPage') {
        hasPages = true;
        if (value !== null) pages.push(...decodeStored('CombPage', value).combs);
        else this.entries.clear();
      }
    }
    for (const entry of pages) this.entry(entry);
    if (!hasPages && !changes.some(({ value }) => value === null)) return;
    for (const entry of this.entries.values()) this.requireDevices(entry);
  }

  private unitOf(deviceKey: number): string {
    const sdsKey = this.sdsOf.get(deviceKey) ?? 0;
    const faultSetKey = this.faultSetOf.get(sdsKey) ?? 0;
    return faultSetKey === 0 ? `sds ${sdsKey}` : `fault set ${faultSetKey}`;
  }

  private entry(entry: CombEntry): void {
    const name = String(entry.index);
    const before = this.entries.get(name);
    this.entries.set(name, entry);
    this.requireApart(entry);
    if (before === undefined || this.volumes.size === 0) return;
    // Several entries may share a commit: what was between them is not seen.
    if (entry.generation.number !== before.generation.number + 1) return;
    this.requireKept(before, entry);
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

  /** At rest the two copies of a comb lie in two units. */
  private requireApart(entry: CombEntry): void {
    if (entry.members.length !== 2 || entry.inSyncMask !== 3) return;
    const units = new Set(entry.members.map(({ deviceKey }) => this.unitOf(deviceKey)));
    if (units.size < 2) this.fail(entry, 'both copies lie in one unit');
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

  private requireDevices(entry: CombEntry): void {
    for (const { deviceKey } of entry.members)
      if (!this.sdsOf.has(deviceKey)) this.fail(entry, `device ${deviceKey} does not exist`);
  }
}
