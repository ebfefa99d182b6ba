// FLUSH of clients (C11): done when every write that was acknowledged for the named combs is on media of all copies in
// sync. It owns the flushes that wait; it must never make a client wait for writes that were not acknowledged yet, beyond
// what shares their log.

import { assert } from '../core/assert.js';
import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { ERR, MSG } from '../protocol/generated/constants.js';
import { getTag } from '../protocol/generated/frame-head.js';
import { HEADER_BYTES } from '../protocol/frames.js';
import type { Admission } from './admission.js';
import { refuse } from './answers.js';
import type { Client } from './clients.js';
import { sendBare } from './data-frame.js';
import { PART } from './comb.js';
import type { Comb } from './comb.js';
import { OP_KIND, OP_PHASE } from './op.js';
import type { Op } from './op.js';
import type { PeerDevice } from './peer.js';
import type { Shared } from './shared.js';
import type { Stability } from './stability.js';
import { tagDistance } from './tag-ring.js';

const MARKS = {
  nothing: mark('sds.flush: nothing was volatile'),
  waited: mark('sds.flush: waited for media'),
  interrupted: mark('sds.flush: a comb changed while a flush waited'),
};

interface Waiting {
  readonly op: Op;
  readonly combs: readonly Comb[];
  readonly lsn: number;
  readonly peers: readonly { readonly peer: PeerDevice; readonly tag: number }[];
}

const NOTHING = new Uint8Array(0);

/** Whether any of the combs still needs the peer: a committed entry may have taken it out meanwhile. */
function isRequired(combs: readonly Comb[], peer: PeerDevice): boolean {
  return combs.some((comb) => comb.memberOf(peer)?.required === true);
}

export class Flushes {
  private readonly shared: Shared;
  private readonly stability: Stability;
  private readonly admission: Admission;
  private waiting: Waiting[] = [];

  constructor(shared: Shared, stability: Stability, admission: Admission) {
    this.shared = shared;
    this.stability = stability;
    this.admission = admission;
  }

  /** A FLUSH frame; false: no room for another operation. */
  request(nowUs: Micros, client: Client, view: DataView, at: number, bodyBytes: number): boolean {
    const { shared } = this;
    const pool = shared.pool;
    if (shared.stage !== 'serving' || pool === null || bodyBytes % 4 !== 0) {
      const status = bodyBytes % 4 !== 0 ? ERR.BAD_FRAME : ERR.NOT_READY;
      refuse(shared, client, MSG.FLUSH, view, at, status, NOTHING);
      return true;
    }
    for (let place = at + HEADER_BYTES; place < at + HEADER_BYTES + bodyBytes; place += 4) {
      const index = view.getUint32(place, true);
      const comb = shared.comb(index);
      if (comb?.part === PART.primary && comb.active) continue;
      const status = comb?.part === PART.primary ? ERR.NOT_READY : ERR.NOT_PRIMARY;
      refuse(shared, client, MSG.FLUSH, view, at, status, this.admission.entryFor(status, index));
      return true;
    }
    if (!this.isVolatile(view, at, bodyBytes)) {
      MARKS.nothing.hits++;
      sendBare(shared.links, client.link, client.version, MSG.FLUSH_REPLY, 0, getTag(view, at));
      return true;
    }
    const op = shared.ops.take();
    if (op === null) return false;
    op.kind = OP_KIND.flush;
    op.phase = OP_PHASE.applied;
    op.client = client;
    op.run = 0;
    op.tag = getTag(view, at);
    op.startedUs = nowUs;
    this.wait(op, view, at, bodyBytes);
    return true;
  }

  /** Something became durable, here or at a peer, or members changed. */
  progress(nowUs: Micros): void {
    if (this.waiting.length === 0) return;
    const { durableLsn } = this.shared.store;
    const still: Waiting[] = [];
    for (const flush of this.waiting) {
      const done =
        flush.lsn <= durableLsn &&
        flush.peers.every(
          ({ peer, tag }) =>
            tagDistance(tag, peer.out.durableTag) <= 0 || !isRequired(flush.combs, peer),
        );
      if (done) this.shared.parts.serve.finish(nowUs, flush.op, 0);
      else still.push(flush);
    }
    this.waiting = still;
  }

  /** A comb is not served any more: its flushes are asked again, of whoever serves it then. */
  interrupt(nowUs: Micros, comb: Comb): void {
    const hit = this.waiting.filter((flush) => flush.combs.includes(comb));
    if (hit.length === 0) return;
    this.waiting = this.waiting.filter((flush) => !flush.combs.includes(comb));
    for (const { op } of hit) {
      MARKS.interrupted.hits++;
      op.comb = comb;
      const status = comb.part === PART.primary ? ERR.NOT_READY : ERR.NOT_PRIMARY;
      this.shared.parts.serve.finish(nowUs, op, status);
    }
  }

  private combAt(view: DataView, place: number): Comb {
    const comb = this.shared.comb(view.getUint32(place, true));
    assert(comb !== undefined, 'the combs of a flush were checked');
    return comb;
  }

  private isVolatile(view: DataView, at: number, bodyBytes: number): boolean {
    if (this.stability.debtLsn > this.shared.store.durableLsn) return true;
    for (let place = at + HEADER_BYTES; place < at + HEADER_BYTES + bodyBytes; place += 4)
      for (const { required, peer } of this.combAt(view, place).members)
        if (required && tagDistance(peer.out.debtTag, peer.out.durableTag) > 0) return true;
    return false;
  }

  private wait(op: Op, view: DataView, at: number, bodyBytes: number): void {
    MARKS.waited.hits++;
    const combs: Comb[] = [];
    const peers = new Map<PeerDevice, number>();
    for (let place = at + HEADER_BYTES; place < at + HEADER_BYTES + bodyBytes; place += 4) {
      const comb = this.combAt(view, place);
      combs.push(comb);
      for (const { required, peer } of comb.members) {
        const { out } = peer;
        if (!required || peers.has(peer) || tagDistance(out.debtTag, out.durableTag) <= 0) continue;
        // A later change that must get to media anyway takes everything before it along.
        const covered = tagDistance(out.lastMediaTag, out.debtTag) >= 0;
        peers.set(peer, covered ? out.lastMediaTag : this.shared.parts.forward.flush(peer));
      }
    }
    const lsn = this.stability.debtLsn;
    this.shared.store.wantDurable(lsn);
    const list = [...peers].map(([peer, tag]) => ({ peer, tag }));
    this.waiting.push({ op, combs, lsn, peers: list });
  }
}
