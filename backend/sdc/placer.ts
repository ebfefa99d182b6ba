// Where operations go: to the primary of their comb, over a link with room; otherwise they wait, for a link, for time or
// for space. It owns the links to data processes and everything that waits; it upholds C1 (by the newest entry that is
// known) and C10 (what was in flight on a lost link is sent again with its id). It must never end an operation.

import type { ClusterMap } from '../cluster-map/cluster-map.js';
import { assert } from '../core/assert.js';
import { mark } from '../core/marks.js';
import type { LinkId, Links, Log, Micros, Peer } from '../core/ports.js';
import { FEATURE } from '../protocol/generated/constants.js';

import type { SettledOps } from '../protocol/settled-ops.js';
import type { Errno } from './block-front.js';
import { ERRNO, IO } from './block-front.js';
import { DataFrames } from './data-frames.js';
import type { DeviceLink, DeviceLinks } from './device-link.js';
import { LinkTable } from './link-table.js';
import type { MappedVolume } from './mapped-volume.js';
import type { Op } from './op.js';
import { OP_STATE } from './op.js';
import type { ClientOptions } from './options.js';
import { RetryQueue } from './retry-queue.js';

const MARKS = {
  resent: mark('sdc: an operation was sent again with its id'),
  fenced: mark('sdc: a write waited for its own link to come back'),
  moved: mark('sdc: an operation moved to a new primary'),
  undescribed: mark('sdc: a block counts as data because nobody could say'),
  parked: mark('sdc: a write waits for space'),
};

/** Refusals in a row that are followed at once when they carry news: two that disagree must not be asked in turns. */
export const NEWS_MAX = 4;

export class Placer {
  readonly frames: DataFrames;
  private readonly options: ClientOptions;
  private readonly links: Links;
  private readonly log: Log;
  private readonly table: LinkTable;
  private readonly retries = new RetryQueue();
  /** Conservative: no device is to be asked for space before. */
  private nextSpaceUs: Micros = Infinity;
  private readonly replan: (nowUs: Micros, op: Op) => void;
  private readonly ended: (nowUs: Micros, op: Op, errno: Errno) => void;
  private readonly tryAgain = (nowUs: Micros, op: Op): void => {
    this.again(nowUs, op);
  };

  /** Below this id nothing is awaited any more, as it was told last. */
  private settled: SettledOps = { belowId: 0, open: [] };

  /**
   * @param replan - a flush, in no list, is to be divided anew among the primaries of its combs
   * @param ended - an operation ends without having been sent
   */
  constructor(
    options: ClientOptions,
    links: Links,
    log: Log,
    map: ClusterMap,
    replan: (nowUs: Micros, op: Op) => void,
    ended: (nowUs: Micros, op: Op, errno: Errno) => void,
  ) {
    this.options = options;
    this.links = links;
    this.log = log;
    this.replan = replan;
    this.ended = ended;
    this.table = new LinkTable(links, options.linksPerDevice, map);
    this.frames = new DataFrames(links, options.geometry);
  }

  /** Links may be opened from now on. */
  start(nowUs: Micros): void {
    this.table.started = true;
    this.table.dialAll(nowUs);
  }

  /** Sends an operation to its primary, or lets it wait for a link. It is in no list. */
  place(nowUs: Micros, op: Op): void {
    const { volume } = op;
    assert(volume !== null && op.list === null, 'an operation to place belongs to a volume');
    const { pool } = volume;
    if (op.kind !== IO.flush) op.comb = pool.combOf(op.vtreeKey, op.chunkIndex);
    const deviceKey = pool.primaryKeys[op.comb] ?? 0;
    if (deviceKey === 0) {
      if (op.kind === IO.describe) this.giveUpSoon(nowUs, op);
      else this.retries.add(nowUs, op);
      return;
    }
    op.deviceKey = deviceKey;
    const device = this.table.device(deviceKey);
    const link = device.choose(this.options.inFlightPerLinkMax);
    if (link === null) this.await(nowUs, op, device);
    else if (op.kind === IO.describe && (link.features & FEATURE.describe) === 0)
      this.giveUpSoon(nowUs, op);
    else this.sendOn(op, volume, link);
  }

  /** Lets an operation wait for a link to its primary; a description only while one is being opened. */
  private await(nowUs: Micros, op: Op, device: DeviceLinks): void {
    op.state = OP_STATE.waiting;
    device.waiting.push(op);
    this.table.dial(nowUs, device);
    if (op.kind !== IO.describe || device.links.some(({ state }) => state !== 'down')) return;
    this.unlist(op);
    this.giveUpSoon(nowUs, op);
  }

  /** A description does not wait for a device to come back: where nobody can say, a block counts as data. */
  private giveUp(nowUs: Micros, op: Op): void {
    MARKS.undescribed.hits++;
    this.frames.assumeData(op);
    this.ended(nowUs, op, ERRNO.ok);
  }

  /** As `giveUp`, but not from inside the call that placed it: whoever cuts a request does not expect its end. */
  private giveUpSoon(nowUs: Micros, op: Op): void {
    op.attempts = NEWS_MAX + 1;
    this.retries.addDue(nowUs, op);
  }

  private sendOn(op: Op, volume: MappedVolume, link: DeviceLink): void {
    op.state = OP_STATE.sent;
    op.sendings += 1;
    op.link = link;
    link.inFlight.push(op);
    if (op.everSent) MARKS.resent.hits++;
    this.frames.send(op, volume, link);
    op.everSent = true;
  }

  /** Tries again by the newest map. The operation is in no list. */
  again(nowUs: Micros, op: Op): void {
    op.link = null;
    if (op.kind === IO.flush) this.replan(nowUs, op);
    else if (op.kind === IO.describe && op.attempts > NEWS_MAX) this.giveUp(nowUs, op);
    else this.place(nowUs, op);
  }

  /** Tries again after a pause; a description does not. */
  later(nowUs: Micros, op: Op): void {
    this.unlist(op);
    if (op.kind === IO.describe) this.giveUpSoon(nowUs, op);
    else this.retries.add(nowUs, op);
  }

  /** Tries again when there is space. The refusal says that the write was not applied. */
  park(nowUs: Micros, op: Op): void {
    MARKS.parked.hits++;
    this.unlist(op);
    op.everSent = false;
    const { space } = this.table.device(op.deviceKey);
    space.add(nowUs, op);
    this.nextSpaceUs = Math.min(this.nextSpaceUs, space.nextUs);
  }

  /** A write that had waited for space is done. */
  foundSpace(nowUs: Micros, op: Op): void {
    const { space } = this.table.device(op.deviceKey);
    space.succeeded(nowUs);
    this.nextSpaceUs = Math.min(this.nextSpaceUs, space.nextUs);
  }

  /** Takes an operation out of whatever list it is in. */
  unlist(op: Op): void {
    op.list?.remove(op);
    op.link = null;
  }

  // Links.

  find(id: LinkId): DeviceLink | undefined {
    return this.table.find(id);
  }

  linkUp(nowUs: Micros, id: LinkId, { version, features }: Peer): void {
    const link = this.table.find(id);
    if (link === undefined) return;
    link.state = 'up';
    link.version = version;
    link.features = features;
    link.failures = 0;
    // What was said on the link before it may be lost, and without it there may be no room for what follows.
    if (this.settled.belowId > 0) this.frames.sendSettled(link, this.settled);
    for (let op = link.fenced.shift(); op !== null; op = link.fenced.shift()) this.place(nowUs, op);
    this.sendWaiting(nowUs, link.device);
  }

  /** Room on a link of the device: what waits for it goes. */
  sendWaiting(nowUs: Micros, device: DeviceLinks): void {
    while (device.waiting.length > 0) {
      if (device.choose(this.options.inFlightPerLinkMax) === null) return;
      const op = device.waiting.shift();
      assert(op !== null, 'a list of some length has a first');
      this.place(nowUs, op);
    }
  }

  linkDown(nowUs: Micros, id: LinkId, reason: string): void {
    const link = this.table.find(id);
    if (link === undefined) return;
    this.table.forget(id);
    const wasUp = link.state === 'up';
    link.down(nowUs);
    if (wasUp) this.log.event('debug', 'sdc.link-down', { device: link.device.key, reason });
    // The outcome of what was in flight is unknown: it is sent again with the same ids (C10).
    for (let op = link.inFlight.shift(); op !== null; op = link.inFlight.shift())
      if (op.kind === IO.describe) this.giveUpSoon(nowUs, op);
      else if (op.isChange() && link.device.links.length > 1) this.fence(nowUs, op, link);
      else this.again(nowUs, op);
    for (const op of link.device.waiting.items())
      if (op.kind === IO.describe) {
        this.unlist(op);
        this.giveUpSoon(nowUs, op);
      }
    this.table.dial(nowUs, link.device);
  }

  /** With several links to one device: the retry goes out after the other end has dropped what the lost one carried. */
  private fence(nowUs: Micros, op: Op, link: DeviceLink): void {
    const primary = op.volume?.pool.primaryKeys[op.comb];
    if (primary !== link.device.key) {
      // Elsewhere the generation tells old frames from new ones.
      this.again(nowUs, op);
      return;
    }
    MARKS.fenced.hits++;
    op.link = null;
    op.state = OP_STATE.waiting;
    link.fenced.push(op);
  }

  /** The other end sent what it must not: the link is closed and what was in flight asked again. */
  distrust(nowUs: Micros, link: DeviceLink, reason: string): void {
    this.log.event('warn', 'sdc.link-distrusted', { device: link.device.key, reason });
    const { id } = link;
    this.links.close(id);
    this.linkDown(nowUs, id, reason);
  }

  /** The map changed: what waits for or was sent to a device that is not the primary any more moves on. */
  mapChanged(nowUs: Micros, map: ClusterMap, ops: readonly Op[]): void {
    this.table.map = map;
    for (const op of ops) {
      const { volume, state } = op;
      if (state === OP_STATE.free || state === OP_STATE.behind || volume === null) continue;
      const { pool } = volume;
      // A policy that is not to wait any more says so to those that did.
      const waits = state === OP_STATE.delayed || (state === OP_STATE.parked && !waitsForSpace(op));
      if (!waits && pool.primaryKeys[op.comb] === op.deviceKey) continue;
      if (state === OP_STATE.sent) MARKS.moved.hits++;
      this.unlist(op);
      this.again(nowUs, op);
    }
    this.table.dialAll(nowUs);
  }

  // Time.

  tick(nowUs: Micros): void {
    this.retries.due(nowUs, this.tryAgain);
    if (nowUs >= this.nextSpaceUs) this.askForSpace(nowUs);
    if (nowUs >= this.table.nextDialUs) this.table.dialAll(nowUs);
  }

  private askForSpace(nowUs: Micros): void {
    this.nextSpaceUs = Infinity;
    for (const { space } of this.table.all()) {
      space.due(nowUs, this.tryAgain);
      this.nextSpaceUs = Math.min(this.nextSpaceUs, space.nextUs);
    }
  }

  nextDeadlineUs(): Micros {
    return Math.min(this.retries.nextUs, this.nextSpaceUs, this.table.nextDialUs);
  }

  /** Tells all data processes for what nothing is awaited any more, also those that are reached later. */
  sendSettled(settled: SettledOps): void {
    this.settled = settled;
    for (const link of this.table.up()) this.frames.sendSettled(link, settled);
  }
}

/** Whether a write to its full pool waits, by the policy of its volume, or of the pool where that has none of its own. */
export function waitsForSpace({ volume }: Op): boolean {
  if (volume === null) return false;
  const { fullPolicy } = volume.volume;
  return (fullPolicy === 'pool' ? volume.pool.pool.fullPolicy : fullPolicy) === 'wait';
}
