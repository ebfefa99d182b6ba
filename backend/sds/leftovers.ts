// What this device still holds of combs that it carries no more: chunks that are freed once the entry without it is
// durable, and combs of which it does not know whether it still carries them. It must never free a chunk on anything but a
// committed entry, which is newer than every other that this device knows.

import { memberIndex } from '../cluster-map/entry.js';
import type { MapUpdate } from '../cluster-map/cluster-map.js';
import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import type { MdmClient } from '../mdm-client/mdm-client.js';
import { decodeBody } from '../protocol/control.js';
import { LIMIT, MSG } from '../protocol/generated/constants.js';
import type { Comb } from './comb.js';
import type { LeftoversPart, Shared } from './shared.js';

const MARKS = {
  left: mark('sds.leftovers: chunks of a comb are freed, because it is carried no more'),
  back: mark('sds.leftovers: a comb came back before its chunks were freed'),
  asked: mark('sds.leftovers: asked the MDM for combs that the map does not name'),
};

const ANSWER_TIMEOUT_MS = 3000;
const AGAIN_US = 1000 * MICROS_PER_MS;

export class Leftovers implements LeftoversPart {
  private readonly shared: Shared;
  private readonly mdm: MdmClient;
  /** Combs without this device, and the LSN with which that is durable. */
  private readonly waiting = new Map<number, number>();
  /** Combs of which the MDM has to be asked. */
  private unsure: number[] = [];
  private asking = false;
  private askUs: Micros = Infinity;

  constructor(shared: Shared, mdm: MdmClient) {
    this.shared = shared;
    this.mdm = mdm;
  }

  adopted(comb: Comb, lsn: number): void {
    const { entry } = comb;
    if (entry === null) return;
    if (memberIndex(entry, this.shared.deviceKey) < 0) {
      this.waiting.set(comb.index, lsn);
      if (lsn === 0) this.progress();
      return;
    }
    if (this.waiting.delete(comb.index)) MARKS.back.hits++;
    this.shared.store.keepComb(comb.index);
  }

  /** Something became durable. */
  progress(): void {
    if (this.waiting.size === 0) return;
    for (const [index, lsn] of [...this.waiting]) {
      if (lsn > this.shared.store.durableLsn) continue;
      this.waiting.delete(index);
      this.drop(index);
    }
  }

  private drop(index: number): void {
    const { store } = this.shared;
    MARKS.left.hits++;
    store.dropComb(index);
    // Nobody asks here for a repetition any more, and nobody would say that one is over (C10).
    const [known] = [...store.knownOps(index)];
    if (known !== undefined) store.forgetOps(index);
  }

  /** A full update names every comb of which this device is a member: what it remembers beyond that is asked for. */
  mapChanged(nowUs: Micros, parts: readonly MapUpdate[]): void {
    if (!parts.some(({ full }) => full)) return;
    const named = new Set<number>();
    for (const { combs } of parts)
      for (const group of combs)
        if (group.poolKey === this.shared.poolKey)
          for (const { index } of group.combs) named.add(index);
    this.unsure = [];
    for (const { index, entry } of this.shared.knownCombs())
      if (entry !== null && !named.has(index) && memberIndex(entry, this.shared.deviceKey) >= 0)
        this.unsure.push(index);
    this.askUs = this.unsure.length > 0 ? nowUs : Infinity;
  }

  tick(nowUs: Micros): void {
    if (nowUs < this.askUs || this.asking) return;
    if (!this.mdm.isRegistered()) {
      this.askUs = nowUs + AGAIN_US;
      return;
    }
    MARKS.asked.hits++;
    const combs = this.unsure.slice(0, LIMIT.combsPerPage);
    this.asking = true;
    this.mdm.ask(
      nowUs,
      MSG.COMB_QUERY,
      { poolKey: this.shared.poolKey, combs },
      (at, answer) => {
        this.asking = false;
        if (answer.status !== 0 || answer.code !== MSG.COMB_QUERY_REPLY) {
          this.askUs = at + AGAIN_US;
          return;
        }
        const { entries } = decodeBody(MSG.COMB_QUERY_REPLY, answer.body, answer.version);
        const asked = new Set(combs);
        this.unsure = this.unsure.filter((index) => !asked.has(index));
        this.askUs = this.unsure.length > 0 ? at : Infinity;
        this.shared.parts.membership.adopt(at, entries);
      },
      false,
      ANSWER_TIMEOUT_MS,
    );
  }

  nextDeadlineUs(): Micros {
    return this.asking ? Infinity : this.askUs;
  }
}
