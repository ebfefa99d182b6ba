// What a batch of requests changed: so that a refused request can be taken back, a commit knows what to write, and
// subscribers hear of it. It must never hold the objects themselves.

import type {
  ApprovedSdc,
  Attachment,
  CombEntry,
  Cut,
  Device,
  FaultSet,
  Layer,
  Mapping,
  Mdm,
  MdmCluster,
  PoolUsage,
  ProtectionDomain,
  Sdc,
  Sds,
  SnapshotPolicy,
  StoragePool,
  System,
  Tombstone,
  User,
  Volume,
} from '../protocol/generated/types.js';

/** Kinds of object that the MDM keeps. Combs are kept one by one and stored in pages. */
export interface Kinds {
  readonly system: System;
  readonly protectionDomain: ProtectionDomain;
  readonly storagePool: StoragePool;
  readonly faultSet: FaultSet;
  readonly sds: Sds;
  readonly device: Device;
  readonly sdc: Sdc;
  readonly volume: Volume;
  readonly mapping: Mapping;
  readonly user: User;
  readonly approvedSdc: ApprovedSdc;
  readonly tombstone: Tombstone;
  readonly attachment: Attachment;
  readonly layer: Layer;
  readonly cut: Cut;
  readonly poolUsage: PoolUsage;
  readonly snapshotPolicy: SnapshotPolicy;
  readonly mdm: Mdm;
  readonly mdmCluster: MdmCluster;
  readonly comb: CombEntry;
}

export type Kind = keyof Kinds;

/** One object was put or removed. */
export type Touch = {
  readonly [K in Kind]: {
    readonly kind: K;
    /** Object key; the pool of a comb, the volume of a mapping. */
    readonly key: number;
    /** Number of a comb, SDC of a mapping; else 0. */
    readonly second: number;
    /** What was there before, null: nothing. */
    readonly before: Kinds[K] | null;
    readonly undo: () => void;
  };
}[Kind];

export class Journal {
  private touches: Touch[] = [];

  get size(): number {
    return this.touches.length;
  }

  note(touch: Touch): void {
    this.touches.push(touch);
  }

  /** Takes back everything that was noted since `size` was `mark`. */
  rollback(mark: number): void {
    for (let last = this.touches.length - 1; last >= mark; last--) this.touches[last]?.undo();
    this.touches.length = mark;
  }

  /** Hands over all touches and starts anew. */
  take(): readonly Touch[] {
    const taken = this.touches;
    this.touches = [];
    return taken;
  }
}
