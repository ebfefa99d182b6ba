// Moves the content of a system from the store of one MDM into the one that several share, and back. The store that it goes
// to is complete before the one that it comes from is sealed, and the seal is the moment of the change. It must never move
// while a machine of this node is at work on the content.

import type { MoveFailure } from '../mdm/cluster-plan.js';
import type { Seal } from '../runtime/etcd/layout.js';
import { ForeignPrefixError } from '../runtime/etcd/layout.js';
import type { EtcdStore } from '../runtime/etcd/store.js';
import { TransferError } from '../runtime/etcd/transfer.js';
import type { ProcessLog } from '../runtime/log-sink.js';
import { reasonOf } from '../runtime/mdm-node/caller.js';
import { StoreError } from '../runtime/metadata-store.js';
import type { LmdbStore } from '../runtime/metadata-store.js';

import type { NodePart } from './mdm-part.js';

const OPEN_RETRY_MS = 500;
const MOVES_MAX = 3;

/** Attempts for one change of the cluster, in the life of this process. */
interface Attempts {
  readonly job: number;
  count: number;
  /** Why it is given up. */
  failure: string | null;
}

export class Moves {
  private readonly part: NodePart;
  private readonly log: ProcessLog;
  private readonly stopping: () => boolean;
  private attempts: Attempts = { job: 0, count: 0, failure: null };

  constructor(part: NodePart, log: ProcessLog, stopping: () => boolean) {
    this.part = part;
    this.log = log;
    this.stopping = stopping;
  }

  /** The last move that was given up; null: none was. */
  get failure(): MoveFailure | null {
    const { job, failure } = this.attempts;
    return failure === null ? null : { job, reason: failure };
  }

  begin(job: number): void {
    if (this.attempts.job !== job) this.attempts = { job, count: 0, failure: null };
  }

  /**
   * Runs one attempt. What fails on the way is counted and logged.
   *
   * @throws StoreError, and whatever else leaves open what the store of this node holds: the next process reads it
   */
  async attempt(run: () => Promise<void>): Promise<void> {
    const { attempts } = this;
    try {
      await run();
    } catch (error) {
      if (!(error instanceof TransferError || error instanceof ForeignPrefixError)) throw error;
      attempts.count += 1;
      if (attempts.count >= MOVES_MAX) attempts.failure = error.message;
      this.log.event('error', 'mdm-cluster.not-moved', { reason: error.message });
    }
  }

  /** Whether the content may go there, before anything stops for it. @throws TransferError, ForeignPrefixError */
  async check(token: string): Promise<void> {
    const { attempts } = this;
    const transfer = this.part.transfer();
    try {
      await transfer.check(token);
    } catch (error) {
      if (error instanceof ForeignPrefixError) attempts.failure = error.message;
      throw error;
    } finally {
      transfer.close();
    }
  }

  /** From the store of this node into the one that it shares. @throws TransferError, ForeignPrefixError, StoreError */
  async out(store: LmdbStore, token: string): Promise<void> {
    const transfer = this.part.transfer();
    try {
      const content = store.present();
      await transfer.fill(token, content);
      if (!store.seal(token, content.sequence))
        throw new StoreError('the store of this MDM changed while its content was copied');
    } finally {
      transfer.close();
      await store.close();
    }
  }

  /** From the shared store into the one of this node. @throws TransferError */
  async home(shared: EtcdStore, job: number): Promise<void> {
    const { part } = this;
    try {
      const content = await shared.content();
      if (content === null)
        throw new TransferError('another MDM became the master, or etcd does not answer');
      const token = `home-${job}-${content.sequence}`;
      const store = await part.openStore();
      try {
        store.import(token, content);
        const outcome = await shared.seal({ token, to: part.record.selfKey });
        // Whoever looks at the shared store next finds out whether it is sealed.
        if (outcome !== 'done')
          throw new TransferError(`the seal of the store ended as ${outcome}`);
        store.activate(token);
      } finally {
        await store.close();
      }
      await part.leave(part.record.term);
    } finally {
      shared.abandon();
      await shared.close();
    }
  }

  /** The content left the shared store: if it came here, it is used from now on. */
  async arrive(seal: Seal): Promise<void> {
    const { part } = this;
    const store = await part.openStore();
    const isHere = store.activate(seal.token);
    await store.close();
    if (isHere) await part.leave(part.record.term);
  }

  /** Lets everybody use the store that this node's content went into, as soon as that answers. */
  openFor(token: string): void {
    const { part } = this;
    const transfer = part.transfer();
    const attempt = (): void => {
      if (this.stopping() || part.record.token !== token) {
        transfer.close();
        return;
      }
      transfer.open(token).then(
        () => {
          transfer.close();
        },
        (error: unknown) => {
          this.log.event('warn', 'mdm-cluster.not-open', { reason: reasonOf(error) });
          setTimeout(attempt, OPEN_RETRY_MS);
        },
      );
    };
    attempt();
  }
}
