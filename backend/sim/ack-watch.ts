// Watches whether an acknowledged write was on as many copies as the committed entry demands (C3, C4, C12). It owns what
// every data process forwarded and what was acknowledged to it, as the frames show; it must never change a frame.
//
// What is checked, when a data process tells a client that a change is done in some generation:
//  * every other device in sync in the committed entry of that generation has acknowledged that very change, on the
//    present link: as durable where the mode, FUA or a lone copy demand it, else as written;
//  * the devices themselves have it (modelled devices, whose records can be asked; the real format keeps no list).
// Answers to repeated requests are left out: what is known of before was made equal when its primary took over (C7).

import { bodyOf, decodeBody } from '../protocol/control.js';
import { FLAG, MSG } from '../protocol/generated/constants.js';
import * as head from '../protocol/generated/frame-head.js';
import type { CombEntry } from '../protocol/generated/types.js';
import { tagDistance } from '../sds/tag-ring.js';

import type { LinkEnd } from './link-end.js';
import type { Simulation } from './simulation.js';

/** Whether a device holds a change; null: it cannot be asked. */
export type Holds = (
  deviceKey: number,
  run: number,
  opLow: number,
  opHigh: number,
  durable: boolean,
) => boolean | null;

interface Asked {
  readonly run: number;
  readonly opLow: number;
  readonly opHigh: number;
  readonly fua: boolean;
  readonly isZero: boolean;
}

interface Forwarded {
  readonly end: LinkEnd;
  readonly tag: number;
}

interface Acknowledged {
  written: number;
  durable: number;
}

const CHANGES: ReadonlySet<number> = new Set([MSG.WRITE, MSG.ZERO]);

export class AckWatch {
  private readonly sim: Simulation;
  private readonly isMedia: boolean;
  private readonly holds: Holds;
  /** Committed entries by comb and generation. */
  private readonly entries = new Map<string, CombEntry>();
  /** First requests, by the end that asked and the tag. */
  private readonly asked = new Map<LinkEnd, Map<number, Asked>>();
  /** The newest place of a change on its way from one device to another, by change and both devices. */
  private readonly forwarded = new Map<string, Forwarded>();
  /** By the end that forwarded. */
  private readonly acknowledged = new Map<LinkEnd, Acknowledged>();
  checked = 0;

  constructor(sim: Simulation, isMedia: boolean, holds: Holds) {
    this.sim = sim;
    this.isMedia = isMedia;
    this.holds = holds;
  }

  /** See FrameWatcher. */
  watch(from: LinkEnd, view: DataView, at: number, bytes: Uint8Array): void {
    const code = head.getCode(view, at);
    if (code === MSG.MAP_UPDATE)
      for (const { combs } of decodeBody(
        MSG.MAP_UPDATE,
        bodyOf(bytes, view, at),
        head.getVersion(view, at),
      ).combs)
        this.learn(combs);
    else if (code === MSG.COMB_QUERY_REPLY)
      this.learn(
        decodeBody(MSG.COMB_QUERY_REPLY, bodyOf(bytes, view, at), head.getVersion(view, at))
          .entries,
      );
    else if (CHANGES.has(code)) this.ask(from, view, at);
    else if (code === MSG.PEER_WRITE || code === MSG.PEER_ZERO) this.forward(from, view, at);
    else if (code === MSG.PEER_ACK && from.other !== null)
      this.acknowledged.set(from.other, {
        durable: head.getTag(view, at),
        written: head.getOpLow(view, at),
      });
    else if (code === MSG.WRITE_REPLY && head.getStatus(view, at) === 0)
      this.answer(from, view, at);
  }

  private learn(entries: readonly CombEntry[]): void {
    for (const entry of entries) {
      const { epoch, number } = entry.generation;
      this.entries.set(`${entry.index}:${epoch}.${number}`, entry);
    }
  }

  private ask(from: LinkEnd, view: DataView, at: number): void {
    const flags = head.getFlags(view, at);
    let tags = this.asked.get(from);
    if (tags === undefined) {
      tags = new Map();
      this.asked.set(from, tags);
    }
    const tag = head.getTag(view, at);
    if ((flags & FLAG.retry) !== 0) tags.delete(tag);
    else
      tags.set(tag, {
        run: from.process.identity.run,
        opLow: head.getOpLow(view, at),
        opHigh: head.getOpHigh(view, at),
        fua: (flags & FLAG.fua) !== 0,
        isZero: head.getCode(view, at) === MSG.ZERO,
      });
  }

  private forward(from: LinkEnd, view: DataView, at: number): void {
    if ((head.getFlags(view, at) & FLAG.copied) !== 0) return;
    const to = from.other?.process.identity.key ?? 0;
    const op = `${head.getAuthority(view, at)}:${head.getOpHigh(view, at)}:${head.getOpLow(view, at)}`;
    const key = `${op}:${from.process.identity.key}:${to}`;
    this.forwarded.set(key, { end: from, tag: head.getTag(view, at) });
  }

  private answer(from: LinkEnd, view: DataView, at: number): void {
    const asked = from.other === null ? undefined : this.asked.get(from.other);
    const op = asked?.get(head.getTag(view, at));
    if (op === undefined) return;
    asked?.delete(head.getTag(view, at));
    const generation = `${head.getGenerationEpoch(view, at)}.${head.getGenerationNumber(view, at)}`;
    const entry = this.entries.get(`${head.getComb(view, at)}:${generation}`);
    if (entry === undefined)
      this.sim.fail(`a write was acknowledged in generation ${generation}, which nobody committed`);
    this.checked += 1;
    const primaryKey = from.process.identity.key;
    const alone = (entry.inSyncMask & (entry.inSyncMask - 1)) === 0;
    const durable = this.isMedia || op.fua || alone;
    entry.members.forEach(({ deviceKey }, index) => {
      if (((entry.inSyncMask >> index) & 1) === 0) return;
      if (deviceKey !== primaryKey && op.isZero && !this.wasTold(op, primaryKey, deviceKey)) return;
      const fault =
        deviceKey === primaryKey ? null : this.missing(op, primaryKey, deviceKey, durable);
      const isAsked = durable || deviceKey === primaryKey || this.lives(op, primaryKey, deviceKey);
      const lies = isAsked && this.holds(deviceKey, op.run, op.opLow, op.opHigh, durable) === false;
      if (fault === null && !lies) return;
      const name = `write ${op.run}/${op.opLow}`;
      const state = durable ? 'durable' : 'written';
      this.sim.fail(
        `${name} was acknowledged in generation ${generation} of comb ${entry.index} although device ${deviceKey} ${fault ?? `does not have it ${state}`}`,
      );
    });
  }

  private keyOf({ run, opLow, opHigh }: Asked, from: number, to: number): string {
    return `${run}:${opHigh}:${opLow}:${from}:${to}`;
  }

  /**
   * Zeroes where nothing was ever written change nothing: a member that came back while they waited for media need not
   * hear of them, or not again.
   */
  private wasTold(op: Asked, from: number, to: number): boolean {
    return this.forwarded.get(this.keyOf(op, from, to))?.end.isOpen() === true;
  }

  /** The process that acknowledged a change is still there: with its server it may have lost what is not durable. */
  private lives(op: Asked, from: number, to: number): boolean {
    return this.forwarded.get(this.keyOf(op, from, to))?.end.other?.process.alive === true;
  }

  /** Why the primary could not know that the device has the change; null: it could. */
  private missing(op: Asked, from: number, to: number, durable: boolean): string | null {
    const forwarded = this.forwarded.get(this.keyOf(op, from, to));
    if (forwarded === undefined) return 'was not told of it';
    const known = this.acknowledged.get(forwarded.end);
    const upTo = durable ? known?.durable : known?.written;
    if (upTo !== undefined && tagDistance(forwarded.tag, upTo) <= 0) return null;
    return `has not acknowledged it as ${durable ? 'durable' : 'written'}`;
  }
}
