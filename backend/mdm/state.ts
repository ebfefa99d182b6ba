// Everything that the MDM commits, in memory: objects by key, combs by pool. It owns how they are loaded from the store
// and what a commit writes. It must never hold what was merely seen (liveness, counters): that is in runs.ts.

import { assert } from '../core/assert.js';
import type { Change } from '../core/ports.js';
import { LIMIT, OBJECT_TYPE_CODES } from '../protocol/generated/constants.js';
import type { ObjectType, System } from '../protocol/generated/types.js';
import { decodeKey, encodeKey } from './keys.js';
import type { StoreKey } from './keys.js';
import { Journal } from './journal.js';
import type { Touch } from './journal.js';
import type { StoredEntry } from './options.js';
import { codec, Combs, Layers, Mappings, Table } from './tables.js';
import type { StoredTable } from './tables.js';

/** The content of the store cannot be understood; the text says where. */
export class ContentError extends Error {
  override readonly name = 'ContentError';
}

export class State {
  readonly journal = new Journal();
  readonly systems = new Table('system', codec('System'), this.journal);
  readonly domains = new Table('protectionDomain', codec('ProtectionDomain'), this.journal);
  readonly pools = new Table('storagePool', codec('StoragePool'), this.journal);
  readonly faultSets = new Table('faultSet', codec('FaultSet'), this.journal);
  readonly sds = new Table('sds', codec('Sds'), this.journal);
  readonly devices = new Table('device', codec('Device'), this.journal);
  readonly sdcs = new Table('sdc', codec('Sdc'), this.journal);
  readonly volumes = new Table('volume', codec('Volume'), this.journal);
  readonly users = new Table('user', codec('User'), this.journal);
  readonly approvedSdcs = new Table('approvedSdc', codec('ApprovedSdc'), this.journal);
  /** By key of the removed volume. */
  readonly tombstones = new Table('tombstone', codec('Tombstone'), this.journal);
  readonly layers = new Layers('layer', codec('Layer'), this.journal);
  readonly cuts = new Table('cut', codec('Cut'), this.journal);
  readonly policies = new Table('snapshotPolicy', codec('SnapshotPolicy'), this.journal);
  readonly attachments = new Table('attachment', codec('Attachment'), this.journal);
  readonly poolUsages = new Table('poolUsage', codec('PoolUsage'), this.journal);
  readonly mdms = new Table('mdm', codec('Mdm'), this.journal);
  readonly clusters = new Table('mdmCluster', codec('MdmCluster'), this.journal);
  readonly mappings = new Mappings(this.journal);
  readonly combs = new Combs(this.journal);
  private readonly tables: Readonly<Record<ObjectType, StoredTable>> = {
    system: this.systems,
    protectionDomain: this.domains,
    storagePool: this.pools,
    faultSet: this.faultSets,
    sds: this.sds,
    device: this.devices,
    sdc: this.sdcs,
    volume: this.volumes,
    user: this.users,
    approvedSdc: this.approvedSdcs,
    tombstone: this.tombstones,
    mapping: this.mappings,
    attachment: this.attachments,
    layer: this.layers,
    cut: this.cuts,
    poolUsage: this.poolUsages,
    snapshotPolicy: this.policies,
    mdm: this.mdms,
    mdmCluster: this.clusters,
    combPage: this.combs,
  };

  /**
   * Loads what the store holds, in its order.
   *
   * @throws ContentError when a key or a value cannot be understood
   */
  load(entries: Iterable<StoredEntry>): void {
    for (const { key, value } of entries) {
      const decoded = decodeKey(key);
      if (decoded === null)
        throw new ContentError(`the metadata store holds a key of an unknown kind: ${hex(key)}`);
      try {
        this.tables[decoded.type].loadStored(decoded, value);
      } catch (error) {
        throw new ContentError(
          `the metadata store holds a value that cannot be read, ${decoded.type} ${decoded.key}: ${String(error)}`,
          { cause: error },
        );
      }
    }
  }

  /** The one system object. */
  get system(): System {
    const [system] = this.systems.values();
    assert(system !== undefined, 'a system exists before anything asks for it');
    return system;
  }

  hasSystem(): boolean {
    return this.systems.size > 0;
  }

  /** A new object key. */
  newKey(): number {
    const system = this.system;
    assert(system.nextKey < 0xffffffff, 'object keys are not exhausted');
    this.systems.put(system.key, { ...system, nextKey: system.nextKey + 1 });
    return system.nextKey;
  }

  /** A new client run number. */
  newRun(): number {
    const system = this.system;
    assert(system.nextRun < 0xffffffff, 'client run numbers are not exhausted');
    this.systems.put(system.key, { ...system, nextRun: system.nextRun + 1 });
    return system.nextRun;
  }

  /** Everything as the store holds it, in its order. */
  all(): { key: Uint8Array; value: Uint8Array }[] {
    const version = this.system.clusterVersion;
    const entries: { key: Uint8Array; value: Uint8Array }[] = [];
    for (const [type, table] of this.inOrder())
      for (const { key, second } of table.storedKeys()) {
        const value = table.stored({ type, key, second }, version);
        if (value !== null) entries.push({ key: encodeKey({ type, key, second }), value });
      }
    return entries;
  }

  private inOrder(): (readonly [ObjectType, StoredTable])[] {
    const code = (type: ObjectType): number => OBJECT_TYPE_CODES.get(type) ?? 0;
    const rows = Object.entries(this.tables) as [ObjectType, StoredTable][];
    return rows.sort(([one], [other]) => code(one) - code(other));
  }

  /** What a commit of these touches writes: the present value of each touched key, once. */
  changes(touches: readonly Touch[]): Change[] {
    const keys = new Map<string, StoreKey>();
    for (const touch of touches) {
      const key = storeKey(touch);
      keys.set(`${key.type} ${key.key} ${key.second}`, key);
    }
    const version = this.system.clusterVersion;
    return [...keys.values()].map((key) => ({
      key: encodeKey(key),
      value: this.tables[key.type].stored(key, version),
    }));
  }
}

function storeKey({ kind, key, second }: Touch): StoreKey {
  return kind === 'comb'
    ? { type: 'combPage', key, second: Math.floor(second / LIMIT.combsPerPage) }
    : { type: kind, key, second };
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes.subarray(0, 16), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
