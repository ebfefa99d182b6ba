// What a primary asks the MDM to change in its combs (C2): to take a lost member out, to admit one that caught up. It owns
// when to ask and what an answer means for asking again; only a committed entry changes anything.

import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import { decodeBody } from '../protocol/control.js';
import { LIMIT, MSG } from '../protocol/generated/constants.js';
import type { CombChangeRequest } from '../protocol/generated/types.js';
import type { MdmClient } from '../mdm-client/mdm-client.js';
import { CATCH_UP, PART } from './comb.js';
import type { Comb, Member } from './comb.js';
import type { ChangesPart, Shared } from './shared.js';

const MARKS = {
  shrink: mark('sds.changes: asked to take a lost member out'),
  admit: mark('sds.changes: asked to admit a target'),
  fence: mark('sds.changes: asked to call an admission off'),
  early: mark('sds.changes: the MDM said that a member is down'),
  failed: mark('sds.changes: a change was refused or its outcome is unknown'),
};

/** How often combs that wait for something are looked at again. */
const RECHECK_US = 50 * MICROS_PER_MS;
/** Pause after an answer that changed nothing. */
const AGAIN_US = 200 * MICROS_PER_MS;
/** An answer that takes longer never comes; asking again is harmless, because it is compare-and-set. */
const ANSWER_TIMEOUT_MS = 5000;

export class Changes implements ChangesPart {
  private readonly shared: Shared;
  private readonly mdm: MdmClient;
  private readonly considered = new Set<Comb>();
  private recheckUs: Micros = Infinity;

  constructor(shared: Shared, mdm: MdmClient) {
    this.shared = shared;
    this.mdm = mdm;
  }

  consider(comb: Comb): void {
    this.considered.add(comb);
    this.recheckUs = Math.min(this.recheckUs, this.shared.nowUs);
  }

  considerAll(): void {
    for (const comb of this.shared.knownCombs())
      if (comb.part === PART.primary && comb.members.length > 0) this.consider(comb);
  }

  tick(nowUs: Micros): void {
    if (nowUs < this.recheckUs || this.considered.size === 0) return;
    const requests: CombChangeRequest[] = [];
    const asked: Comb[] = [];
    for (const comb of [...this.considered]) {
      if (comb.part !== PART.primary) {
        this.considered.delete(comb);
        continue;
      }
      if (comb.asking) continue;
      const request = this.wanted(nowUs, comb);
      if (request === null) {
        if (!this.mayWantLater(comb)) this.considered.delete(comb);
      } else if (nowUs >= comb.askAgainUs && requests.length < LIMIT.combsPerPage) {
        requests.push(request);
        asked.push(comb);
      }
    }
    this.recheckUs = this.considered.size > 0 ? nowUs + RECHECK_US : Infinity;
    if (requests.length > 0 && this.mdm.isRegistered()) this.ask(nowUs, requests, asked);
  }

  nextDeadlineUs(): Micros {
    return this.considered.size > 0 ? this.recheckUs : Infinity;
  }

  private ask(nowUs: Micros, changes: readonly CombChangeRequest[], asked: readonly Comb[]): void {
    for (const comb of asked) comb.asking = true;
    this.mdm.ask(
      nowUs,
      MSG.COMB_CHANGE,
      { poolKey: this.shared.poolKey, changes },
      (at, answer) => {
        const statuses =
          answer.status === 0 && answer.code === MSG.COMB_CHANGE_REPLY
            ? decodeBody(MSG.COMB_CHANGE_REPLY, answer.body, answer.version).statuses
            : [];
        asked.forEach((comb, index) => {
          comb.asking = false;
          if (statuses[index] !== 0) {
            MARKS.failed.hits++;
            comb.askAgainUs = at + AGAIN_US;
          }
          this.consider(comb);
        });
      },
      false,
      ANSWER_TIMEOUT_MS,
    );
  }

  /** The change that is wanted now, or null. */
  private wanted(nowUs: Micros, comb: Comb): CombChangeRequest | null {
    for (const member of comb.members) {
      const isGone = this.isGone(nowUs, member);
      if (isGone && (member.inSync || member.catchUp === CATCH_UP.admitting)) {
        // An admission whose outcome is unknown must be made impossible before the target is left behind.
        if (member.inSync) MARKS.shrink.hits++;
        else MARKS.fence.hits++;
        return request(comb, 'shrink', member);
      }
    }
    for (const member of comb.members) {
      if (member.catchUp !== CATCH_UP.admitting || !member.joined || !comb.active) continue;
      MARKS.admit.hits++;
      return request(comb, 'admit', member);
    }
    return null;
  }

  /** Whether time alone may make a change wanted. */
  private mayWantLater(comb: Comb): boolean {
    return comb.members.some(
      (member) =>
        ((member.inSync || member.catchUp === CATCH_UP.admitting) && !member.joined) ||
        member.catchUp === CATCH_UP.admitting,
    );
  }

  private isGone(nowUs: Micros, member: Member): boolean {
    const { peer, incarnation } = member;
    if (member.full) return true;
    if (peer.up) return peer.incarnation !== incarnation;
    const device = this.shared.map.devices.get(peer.key);
    if (device === undefined) return true;
    if (!device.up || device.incarnation !== incarnation) {
      MARKS.early.hits++;
      return true;
    }
    return nowUs - peer.downSinceUs >= this.shared.timing.detectionUs;
  }
}

function request(
  comb: Comb,
  change: CombChangeRequest['change'],
  member: Member,
): CombChangeRequest {
  return {
    comb: comb.index,
    generation: comb.generation(),
    change,
    member: { deviceKey: member.peer.key, incarnation: member.incarnation },
  };
}
