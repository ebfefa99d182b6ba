// Operation ids that a primary tells the other members (C10), so that whoever succeeds it recognises a retry. It owns both
// sides of PEER_OPS; which ids may still be asked for is known to `clients`.
//
// A list comes in pages; one that is shorter than a page ends it. Mostly a member knows all of it already, from the
// changes themselves: then nothing is noted, however often links come and go.

import { assert } from '../core/assert.js';
import { mark } from '../core/marks.js';
import { LIMIT, MSG } from '../protocol/generated/constants.js';
import type { ControlBodies, OpId } from '../protocol/generated/types.js';
import { ProtocolError } from '../protocol/wire.js';
import type { Comb, Member } from './comb.js';
import type { PeerDevice } from './peer.js';
import type { Shared } from './shared.js';
import { makeContext } from './store/store.js';

const MARKS = {
  news: mark('sds.ops: a member was told operations that it did not know'),
  forgot: mark('sds.ops: a member forgot operations that its primary does not know'),
  waited: mark('sds.ops: a list waits for room'),
};

type PeerOps = ControlBodies[typeof MSG.PEER_OPS];

/** Ids of one list at most: more than the log of a device can hold. */
const LIST_MAX = 1 << 20;
/** Ids that are noted at once; each batch of them has to find room. */
const NOTED_AT_ONCE = 64;

function nameOf({ run, opLow, opHigh }: OpId): string {
  return `${run}/${opHigh}/${opLow}`;
}

export class KnownOps {
  private readonly shared: Shared;
  private readonly context = makeContext();

  constructor(shared: Shared) {
    this.shared = shared;
  }

  /** Tells a member all that is known here of a comb and may be asked for again. */
  send(comb: Comb, member: Member): void {
    const { store, clients, nowUs, parts } = this.shared;
    const known: OpId[] = [];
    for (const { run, opLow, opHigh } of store.knownOps(comb.index))
      if (clients.mayRetry(nowUs, run, opLow, opHigh)) known.push({ run, opLow, opHigh });
    const at = { index: comb.index, generation: comb.generation() };
    for (let from = 0; from <= known.length; from += LIMIT.combOpsMax) {
      const ops = known.slice(from, from + LIMIT.combOpsMax);
      const body = { comb: at, first: from === 0, ops };
      parts.forward.control(member.peer, MSG.PEER_OPS, body, false);
    }
  }

  /**
   * PEER_OPS at a member. What the primary does not know is forgotten: the change may be undone.
   *
   * @returns false: the frame has to wait for room
   * @throws ProtocolError
   */
  told(peer: PeerDevice, body: PeerOps): boolean {
    const list = peer.in.ops;
    if (list.next < 0) {
      if (body.first) list.ops = [];
      list.ops.push(...body.ops);
      if (list.ops.length > LIST_MAX)
        throw new ProtocolError('PEER_OPS.ops', `at most ${LIST_MAX} in one list`);
      if (body.ops.length === LIMIT.combOpsMax) return true;
      list.next = 0;
    }
    const comb = this.shared.comb(body.comb.index);
    if (comb?.joinedFrom === peer) {
      if (list.next === 0) this.compare(comb, peer);
      if (!this.note(comb, peer)) return false;
    }
    list.ops = [];
    list.next = -1;
    return true;
  }

  /** Leaves in the list what has to be noted. */
  private compare(comb: Comb, peer: PeerDevice): void {
    const { store, clients, nowUs } = this.shared;
    const list = peer.in.ops;
    const told = new Set(list.ops.map(nameOf));
    for (const known of store.knownOps(comb.index)) {
      const { run, opLow, opHigh } = known;
      if (told.has(nameOf(known)) || !clients.mayRetry(nowUs, run, opLow, opHigh)) continue;
      MARKS.forgot.hits++;
      store.forgetOps(comb.index);
      return;
    }
    list.ops = list.ops.filter(({ run, opLow, opHigh }) => !store.knowsOp(run, opLow, opHigh));
  }

  private note(comb: Comb, peer: PeerDevice): boolean {
    const { store } = this.shared;
    const { context } = this;
    const list = peer.in.ops;
    if (list.ops.length > 0) MARKS.news.hits++;
    context.comb = comb.index;
    context.generationEpoch = comb.epoch;
    context.generationNumber = comb.number;
    while (list.next < list.ops.length) {
      const end = Math.min(list.ops.length, list.next + NOTED_AT_ONCE);
      if (!store.roomForNotes(end - list.next)) {
        MARKS.waited.hits++;
        return false;
      }
      for (; list.next < end; list.next++) {
        const op = list.ops[list.next];
        assert(op !== undefined, 'the place lies within the list');
        context.run = op.run;
        context.opLow = op.opLow;
        context.opHigh = op.opHigh;
        store.noteOp(context);
      }
    }
    return true;
  }
}
