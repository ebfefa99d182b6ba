// Requests of clients and the record of each: sent once over a connection to an NBD socket, noted in the history with what
// came of it. It owns what is counted over all loads of a run; what the record means is the checkers'. A request that lost its
// connection may have been done, and is never repeated.

import { History } from '../../backend/sim/history.js';
import type { OpKind, OpRecord } from '../../backend/sim/history.js';
import { SECTOR_BYTES, contentOf, tagsOf } from './content.js';
import { IoError, Unanswered } from './nbd-client.js';
import type { NbdClient } from './nbd-client.js';

export interface Wish {
  readonly kind: OpKind;
  readonly firstSector: number;
  readonly sectors: number;
  readonly isFua: boolean;
  /** Zeroes are asked for as a discard, which whoever reads cannot tell apart. */
  readonly isDiscard: boolean;
}

/** A volume, and who asks for it, as the history knows them. */
export interface Place {
  readonly volume: number;
  readonly client: number;
}

interface Running {
  readonly record: OpRecord;
  readonly sinceMs: number;
}

export class Requests {
  readonly history = new History();
  /** What is wrong whatever the history says: errors, content of another place. */
  readonly faults: string[] = [];
  /** The longest that a request took, and which. */
  longestMs = 0;
  longest = '';
  unanswered = 0;
  readonly #running = new Set<Running>();
  readonly #sinceMs = performance.now();

  /** The oldest request that is under way, in words; null: none is older than the limit. */
  stalled(limitMs: number): string | null {
    const now = performance.now();
    for (const { record, sinceMs } of this.#running)
      if (now - sinceMs > limitMs)
        return `${inWords(record)} has no answer after ${limitMs / 1000} s`;
    return null;
  }

  /** Sends one and waits for what comes of it. @returns whether it was answered well */
  async one(nbd: NbdClient, { volume, client }: Place, wish: Wish): Promise<boolean> {
    const { kind, isFua, firstSector, sectors } = wish;
    const began = performance.now();
    const startUs = Math.floor(began * 1000);
    const record = this.history.begin(
      ...([kind, volume, client, 0, isFua, firstSector, sectors, startUs] as const),
    );
    const running = { record, sinceMs: began };
    this.#running.add(running);
    try {
      const data = await send(nbd, record, wish.isDiscard);
      this.history.answered(record, Math.ceil(performance.now() * 1000));
      if (kind === 'read') this.#seen(record, data);
      return true;
    } catch (error) {
      if (!(error instanceof Unanswered)) this.#fault(record, error);
      this.unanswered++;
      return false;
    } finally {
      this.#running.delete(running);
      this.#took(record, performance.now() - began);
    }
  }

  #seen(record: OpRecord, data: Buffer): void {
    const tags = tagsOf(record.root, record.firstSector, data);
    if (typeof tags !== 'string') {
      record.seen = tags;
      return;
    }
    // Nothing can be said about what it saw.
    record.endUs = Infinity;
    this.faults.push(`${inWords(record)}: ${tags}`);
  }

  #fault(record: OpRecord, error: unknown): void {
    if (!(error instanceof IoError)) throw error;
    this.faults.push(`${inWords(record)} was answered with ${error.message}`);
  }

  #took(record: OpRecord, ms: number): void {
    if (ms <= this.longestMs) return;
    this.longestMs = Math.round(ms);
    const askedS = (performance.now() - ms - this.#sinceMs) / 1000;
    this.longest = `${inWords(record)}, asked ${askedS.toFixed(1)} s after the load began`;
  }
}

function inWords({ kind, index, client, volumeKey, firstSector, sectors }: OpRecord): string {
  return `${kind} ${index} of client ${client} at sector ${firstSector} of volume ${volumeKey} (${sectors} sectors)`;
}

async function send(nbd: NbdClient, record: OpRecord, isDiscard: boolean): Promise<Buffer> {
  const { kind, root, firstSector, sectors, tag, fua } = record;
  const offset = firstSector * SECTOR_BYTES;
  const length = sectors * SECTOR_BYTES;
  switch (kind) {
    case 'read':
      return nbd.read(offset, length);
    case 'write':
      await nbd.write(offset, contentOf(root, firstSector, sectors, tag), fua);
      break;
    case 'zero':
      await (isDiscard ? nbd.trim(offset, length) : nbd.zero(offset, length));
      break;
    case 'flush':
      await nbd.flush();
      break;
    case 'describe':
      throw new Error('descriptions are not asked for');
  }
  return Buffer.alloc(0);
}
