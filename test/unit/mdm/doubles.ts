// What stands in for the world of an MDM under test: a store that keeps what was committed, and links that keep what was
// sent.

import type { Change, LinkId, Links, MetadataStore } from '../../../backend/core/ports.js';
import { bodyOf } from '../../../backend/protocol/control.js';
import { getCode, getStatus, getTag } from '../../../backend/protocol/generated/frame-head.js';

export interface Sent {
  readonly link: LinkId;
  readonly code: number;
  readonly status: number;
  readonly tag: number;
  readonly body: Uint8Array;
}

/** A store that keeps what was committed; commits are reported by `Cluster.settle`. */
export class MemoryStore implements MetadataStore {
  term = 0;
  sequence = 0;
  readonly content = new Map<string, Uint8Array>();
  readonly waiting: number[] = [];
  outcome: 'done' | 'conflict' | 'unknown' = 'done';

  commit(token: number, term: number, previousSequence: number, changes: readonly Change[]): void {
    this.waiting.push(token);
    if (term < this.term || previousSequence !== this.sequence) throw new Error('lost sequence');
    if (this.outcome !== 'done') return;
    this.term = term;
    this.sequence++;
    for (const { key, value } of changes) {
      const hex = Buffer.from(key).toString('hex');
      if (value === null) this.content.delete(hex);
      else this.content.set(hex, value.slice());
    }
  }

  entries(): { key: Uint8Array; value: Uint8Array }[] {
    return [...this.content]
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([hex, value]) => ({ key: Buffer.from(hex, 'hex'), value }));
  }
}

export class TestLinks implements Links {
  readonly sent: Sent[] = [];
  readonly closed = new Set<LinkId>();
  private reserved: { link: LinkId; bytes: Uint8Array }[] = [];

  identify(): void {
    return;
  }
  connect(): void {
    throw new Error('the MDM dials nobody');
  }
  newLink(): LinkId {
    throw new Error('the MDM dials nobody');
  }
  close(link: LinkId): void {
    this.closed.add(link);
  }
  reserve(link: LinkId, frameBytes: number): { bytes: Uint8Array; view: DataView; at: number } {
    const bytes = new Uint8Array(frameBytes);
    this.reserved.push({ link, bytes });
    return { bytes, view: new DataView(bytes.buffer), at: 0 };
  }
  resume(): void {
    return;
  }
  pendingBytes(): number {
    return 0;
  }
  /** Decodes what was reserved since the last call. */
  collect(): void {
    for (const { link, bytes } of this.reserved) {
      const view = new DataView(bytes.buffer);
      this.sent.push({
        link,
        code: getCode(view, 0),
        status: getStatus(view, 0),
        tag: getTag(view, 0),
        body: bodyOf(bytes, view, 0).slice(),
      });
    }
    this.reserved = [];
  }
}
