// Room in a member of etcd whose space is used up. Such an etcd raises the alarm NOSPACE and takes nothing any more, until
// somebody throws its history away, gives back what that held, and calls the alarm off: here that is done for the members of
// MDMs, which have no other operator. It must never remove a key.

import type { Log } from '../../core/ports.js';
import { EtcdError, listOf, numberOf, objectOf } from './client.js';
import type { EtcdClient, Json } from './client.js';
import { QUOTA_BYTES } from './member.js';

/** As long as there is no room it is tried again after this. */
const AGAIN_MS = 10_000;
const ANSWER_MS = 5000;
/** A member answers nothing while it is defragmented. */
const DEFRAGMENT_MS = 120_000;
/** Of the quota; above this the alarm would be raised again at once. */
const USED_MAX = 0.9;

export class Room {
  private readonly client: EtcdClient;
  private readonly log: Log;
  private busy = false;
  private againMs = 0;

  /** @param client - of the one member that this is about */
  constructor(client: EtcdClient, log: Log) {
    this.client = client;
    this.log = log;
  }

  /**
   * Makes room where it is lacking.
   *
   * @param status - what the member said of itself
   * @param nowMs - monotonic
   */
  async look(status: Json, nowMs: number): Promise<void> {
    const isFull = listOf(status['errors']).some((error) => String(error).includes('NOSPACE'));
    if (!isFull || this.busy || nowMs < this.againMs) return;
    this.busy = true;
    this.againMs = nowMs + AGAIN_MS;
    try {
      await this.make(status);
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      this.log.event('warn', 'etcd.no-room-made', { reason: error.message });
    } finally {
      this.busy = false;
    }
  }

  private async make(status: Json): Promise<void> {
    const { client, log } = this;
    const { revision, member_id: memberId } = objectOf(status['header']);
    const beforeBytes = numberOf(status['dbSize']);
    log.event('error', 'etcd.full', { bytes: beforeBytes });
    // Another member may have done that.
    await client
      .ask('kv/compaction', { revision, physical: true }, ANSWER_MS)
      .catch((error: unknown) => {
        if (!(error instanceof EtcdError)) throw error;
        log.event('debug', 'etcd.not-compacted', { reason: error.message });
      });
    await client.ask('maintenance/defragment', {}, DEFRAGMENT_MS);
    const after = await client.ask('maintenance/status', {}, ANSWER_MS);
    const bytes = numberOf(after['dbSize']);
    if (bytes > USED_MAX * QUOTA_BYTES) {
      log.event('error', 'etcd.still-full', { bytes, quotaBytes: QUOTA_BYTES });
      return;
    }
    const off = { action: 'DEACTIVATE', memberID: memberId, alarm: 'NOSPACE' };
    await client.ask('maintenance/alarm', off, ANSWER_MS);
    log.event('info', 'etcd.room-made', { bytes, beforeBytes });
  }
}
