// What this node takes part in: the record on its disk, its member of the store that it shares, and the directory of the
// store that is its own. It must never decide what follows from that, and never have a machine at work.

import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import type { MdmNodeTaskBody } from '../protocol/generated/types.js';
import { leftRecord, NO_PART } from '../protocol/node-state.js';
import type { NodeRecord } from '../protocol/node-state.js';
import type { EtcdEndpoint } from '../runtime/etcd/client.js';
import { Transfer } from '../runtime/etcd/transfer.js';
import type { ProcessLog } from '../runtime/log-sink.js';
import { removeOthers, Seat } from '../runtime/mdm-node/member.js';
import type { SeatTools } from '../runtime/mdm-node/member.js';
import { readRecord, writeRecord } from '../runtime/mdm-node/record.js';
import { LmdbStore } from '../runtime/metadata-store.js';

import type { MdmConfig } from './mdm-config.js';

export interface PartTools {
  readonly config: MdmConfig;
  readonly secret: Uint8Array;
  readonly log: ProcessLog;
}

export class NodePart {
  private readonly tools: PartTools;
  private readonly seatTools: SeatTools;
  private readonly reached: (endpoints: readonly EtcdEndpoint[]) => void;
  private present: NodeRecord = NO_PART;
  private taken: Seat | null = null;

  /** @param reached - hears where the members of the store are, whenever that changes */
  constructor(tools: PartTools, reached: (endpoints: readonly EtcdEndpoint[]) => void) {
    const { config, secret, log } = tools;
    this.tools = tools;
    this.reached = reached;
    const { program } = config.cluster;
    this.seatTools = { stateDir: config.stateDir, program, secret, log };
  }

  get record(): NodeRecord {
    return this.present;
  }

  /** The member that runs here; null: none does. */
  get seat(): Seat | null {
    return this.taken;
  }

  get storeDirectory(): string {
    return join(this.tools.config.stateDir, 'store');
  }

  hasStore(): boolean {
    return existsSync(join(this.storeDirectory, 'metadata.mdb'));
  }

  /** The store that is this node's own. @throws StoreError */
  openStore(): Promise<LmdbStore> {
    const { secret, log } = this.tools;
    return LmdbStore.open(this.storeDirectory, secret, log);
  }

  /** Reads what the disk says, and removes members of stores that it does not name. @throws RecordError */
  async read(): Promise<void> {
    this.present = readRecord(this.tools.config.stateDir);
    const { part, token } = this.present;
    await removeOthers(this.seatTools, part === 'none' ? '' : token);
  }

  keep(record: NodeRecord): void {
    writeRecord(this.tools.config.stateDir, record);
    this.present = record;
  }

  /** Runs the node's member of the store that it takes part in. @throws MemberError */
  async takeSeat(): Promise<Seat> {
    this.taken ??= await Seat.start(this.seatTools, this.present, (endpoints) => {
      const { present } = this;
      const isKnown =
        present.started && JSON.stringify(present.endpoints) === JSON.stringify(endpoints);
      if (!isKnown) this.keep({ ...present, started: true, endpoints });
      this.reached(endpoints);
    });
    return this.taken;
  }

  /** Takes part in nothing any more; an own store stays what it is. */
  async leave(term: number): Promise<void> {
    const { taken } = this;
    this.keep(leftRecord(this.present, term));
    this.taken = null;
    await taken?.discard();
  }

  /** Nothing of any system stays on the disk of a node that belongs to none. */
  async forget(): Promise<void> {
    await removeOthers(this.seatTools, '');
    rmSync(this.storeDirectory, { recursive: true, force: true });
  }

  /** Leaves nothing running here. */
  async stop(): Promise<void> {
    await this.taken?.stop();
  }

  /** For content on its way into the store that this node takes part in. */
  transfer(): Transfer {
    const { present, taken, tools } = this;
    if (taken === null) throw new Error('a node without a store reaches none');
    const { secret, log } = tools;
    const { endpoints, tls } = taken;
    return new Transfer({ endpoints, tls, log, secret, prefix: present.prefix });
  }

  /** Of the keys of a system in the store of a token. */
  prefixOf(token: MdmNodeTaskBody['token']): string {
    const { present, tools } = this;
    return present.token === token && present.prefix !== ''
      ? present.prefix
      : tools.config.cluster.prefix;
  }
}
