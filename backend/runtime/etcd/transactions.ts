// Transactions of the metadata store on etcd and what became of them. A transaction whose answer got lost is never called
// failed: the control keys are read again, and only they tell whether it was done. It owns that rule and the deadline; it
// must never know why something is written.

import { setTimeout as pause } from 'node:timers/promises';

import type { CommitOutcome } from '../../core/ports.js';
import { monotonicUs } from '../loop.js';
import { EtcdError, listOf, numberOf, objectOf } from './client.js';
import type { EtcdClient, Json } from './client.js';
import { keyValuesOf } from './layout.js';
import type { Control, Layout } from './layout.js';

/** How long one member may take to answer. */
const ATTEMPT_MS = 1000;
const PAUSE_MS = 50;

export type Compare = readonly [key: 'head' | 'master' | 'beat' | 'transfer', revision: number];

/** What the control keys say of a transaction: done; not, and it never will be; not yet. */
export type Verdict = 'done' | 'conflict' | 'open';

/** Somebody gave up waiting for what was asked. */
export class AbandonedError extends Error {
  override readonly name = 'AbandonedError';
}

export function put(key: string, value: string): Json {
  return { request_put: { key, value } };
}

export function remove(key: string, rangeEnd?: string): Json {
  return {
    request_delete_range: rangeEnd === undefined ? { key } : { key, range_end: rangeEnd },
  };
}

export interface Transacted {
  readonly outcome: CommitOutcome;
  /** Of the store when the transaction was done; 0 where another answer told that it was. */
  readonly revision: number;
  /** The control keys as read after a failure, null when the first answer told. */
  readonly control: Control | null;
}

export class Transactions {
  private readonly client: EtcdClient;
  private readonly layout: Layout;
  private readonly isWanted: () => boolean;

  /** @param isWanted - false: whoever asked has given up; nothing more is sent */
  constructor(client: EtcdClient, layout: Layout, isWanted: () => boolean) {
    this.client = client;
    this.layout = layout;
    this.isWanted = isWanted;
  }

  /**
   * Does the operations if the keys still have these revisions. Repeats until the outcome is known or `withinMs` passed:
   * the comparison must be such that a second time fails when the first was done.
   *
   * @param judge - what the control keys say when the comparison failed, or no answer came
   * @throws AbandonedError; ForeignPrefixError
   */
  async transact(
    compares: readonly Compare[],
    operations: readonly Json[],
    judge: (control: Control) => Verdict,
    withinMs: number,
  ): Promise<Transacted> {
    const deadlineUs = monotonicUs() + withinMs * 1000;
    let isSure = true;
    for (;;) {
      const answer = await this.attempt(compares, operations);
      if (typeof answer === 'object' && answer.done)
        return { outcome: 'done', revision: answer.revision, control: null };
      if (answer === 'refused') return { outcome: 'unknown', revision: 0, control: null };
      const control =
        typeof answer === 'object' ? answer.control : await this.readControl(deadlineUs);
      if (control === null) return { outcome: 'unknown', revision: 0, control };
      const verdict = judge(control);
      if (verdict !== 'open') return { outcome: verdict, revision: 0, control };
      // What etcd refused for want of space it may have done all the same: so it was read again, and was not.
      if (answer === 'full') return { outcome: isSure ? 'full' : 'unknown', revision: 0, control };
      if (answer === 'unavailable') isSure = false;
      if (monotonicUs() >= deadlineUs) return { outcome: 'unknown', revision: 0, control };
      await pause(PAUSE_MS);
    }
  }

  /**
   * The control keys at an instant after this call; null: no answer in time.
   *
   * @throws AbandonedError; ForeignPrefixError
   */
  async readControl(deadlineUs: number): Promise<Control | null> {
    const keyValues = await this.read(this.layout.range('control'), deadlineUs);
    return keyValues === null ? null : this.layout.decodeControl(keyValuesOf(keyValues));
  }

  /** A linearizable read, repeated until it is answered; null: no answer in time. @throws AbandonedError */
  async read(range: Json, deadlineUs: number): Promise<Json | null> {
    for (;;) {
      this.check();
      try {
        return await this.client.ask('kv/range', range, ATTEMPT_MS);
      } catch (error) {
        if (!(error instanceof EtcdError)) throw error;
        if (error.failure === 'refused') return null;
      }
      if (monotonicUs() >= deadlineUs) return null;
      await pause(PAUSE_MS);
    }
  }

  private async attempt(
    compares: readonly Compare[],
    operations: readonly Json[],
  ): Promise<
    | { readonly done: boolean; readonly revision: number; readonly control: Control }
    | EtcdError['failure']
  > {
    this.check();
    const { layout } = this;
    const body = {
      compare: compares.map(([name, revision]) => ({
        ...{ target: 'MOD', result: 'EQUAL', key: layout.control(name) },
        mod_revision: String(revision),
      })),
      success: operations,
      failure: [{ request_range: layout.range('control') }],
    };
    try {
      const answer = await this.client.ask('kv/txn', body, ATTEMPT_MS);
      const [first] = listOf(answer['responses']);
      const range = objectOf(objectOf(first)['response_range']);
      const revision = numberOf(objectOf(answer['header'])['revision']);
      const done = answer['succeeded'] === true;
      return { done, revision, control: layout.decodeControl(done ? [] : keyValuesOf(range)) };
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      return error.failure;
    }
  }

  /** @throws AbandonedError */
  private check(): void {
    if (!this.isWanted()) throw new AbandonedError('nobody waits for it any more');
  }
}
