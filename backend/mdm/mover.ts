// Moves data between the devices of a pool: to other devices when a copy is lost for longer (rebuild), away from devices that
// are to be removed, and to new ones (rebalance). It owns when that is looked at and how much is under way; where copies
// shall lie is decided in moves.ts. Nothing is kept beside the committed entries, so another master goes on from them.

import type { Micros } from '../core/ports.js';
import { mark } from '../core/marks.js';
import { MICROS_PER_MS } from '../core/units.js';
import { primaryOf } from '../cluster-map/entry.js';
import type { CombEntry, Device, StoragePool } from '../protocol/generated/types.js';
import { isLeaving } from './capacity.js';
import type { Drains } from './drains.js';
import { Emptied } from './emptied.js';
import type { Engine } from './engine.js';
import type { Touch } from './journal.js';
import type { Membership } from './membership.js';
import {
  Pending,
  Traffic,
  WHY,
  bytesOf,
  fillingDevice,
  hasTwoCopies,
  isServed,
  whyOf,
} from './move-wishes.js';
import type { Sizes, Why, Wish } from './move-wishes.js';
import { begunMove, endedMove, isAtRest, lackingDevice, wantedPlan } from './moves.js';
import type { MoveView } from './moves.js';
import type { Place } from './placement-plan.js';
import { unitOf } from './replacement.js';
import { Room } from './room.js';
import { isComingBack, isCoveredElsewhere, restOf } from './rest.js';
import type { Runs } from './runs.js';
import type { State } from './state.js';

const MARKS = {
  rebuild: mark('mdm: a comb with one copy is rebuilt on another device'),
  evacuate: mark('mdm: a comb leaves a device that is to be removed'),
  balance: mark('mdm: a comb is moved to spread the data'),
  full: mark('mdm: no move began for lack of room'),
  bounded: mark('mdm: a move waits for others to end'),
};

/** What happens within this time is planned together. */
const GATHER_US = 20_000;
/** A pool with many combs is planned less often: at most about a hundredth of the time goes into it. */
const GATHER_US_PER_COMB = 10;
/** The limit of moves of a device counts for so many combs that it carries. */
const COMBS_PER_MOVE = 128;
/** What depends on more than commits, such as room, is looked at again after this. */
const AGAIN_US = 1_000_000;

const BEGUN = [MARKS.rebuild, MARKS.evacuate, MARKS.balance] as const;

export class Mover {
  private readonly engine: Engine;
  private readonly runs: Runs;
  private readonly membership: Membership;
  private readonly emptied: Emptied;
  private readonly room: Room;
  /** Pools to look at, and when. */
  private readonly dirty = new Set<number>();
  private planUs: Micros = Infinity;
  /** Since when all devices of a pool are there and nothing lacks a copy. */
  private readonly quietSinceUs = new Map<number, Micros>();
  /** Combs of a pool that no device had room for, when last looked at. */
  private readonly lackRoom = new Map<number, number>();

  constructor(engine: Engine, runs: Runs, membership: Membership, drains: Drains) {
    this.engine = engine;
    this.runs = runs;
    this.membership = membership;
    this.room = new Room(engine.state, runs);
    this.emptied = new Emptied(engine, drains, (nowUs, poolKey) => {
      this.dirty.add(poolKey);
      this.planBy(nowUs + GATHER_US);
    });
  }

  /** A new master looks at everything. */
  start(nowUs: Micros): void {
    if (!this.isOn) return;
    for (const key of this.engine.state.pools.keys()) this.dirty.add(key);
    this.planUs = nowUs + GATHER_US;
  }

  /** A commit may have changed what is to be moved. */
  published(nowUs: Micros, touches: readonly Touch[]): void {
    if (!this.isOn) return;
    const { state } = this.engine;
    for (const touch of touches) {
      const poolKey = poolOf(touch, state);
      if (poolKey !== 0) this.dirty.add(poolKey);
      if (touch.kind === 'sds' || touch.kind === 'faultSet')
        for (const key of state.pools.keys()) this.dirty.add(key);
    }
    if (this.dirty.size === 0) return;
    let combs = 0;
    for (const key of this.dirty) combs += state.combs.ofPool(key).length;
    this.planBy(nowUs + Math.max(GATHER_US, combs * GATHER_US_PER_COMB));
  }

  tick(nowUs: Micros): void {
    if (nowUs < this.planUs) return;
    this.planUs = Infinity;
    this.engine.run(nowUs, (at) => {
      this.plan(at);
    });
  }

  nextDeadlineUs(): Micros {
    return this.planUs;
  }

  private get isOn(): boolean {
    return this.engine.options.movesMax > 0;
  }

  private planBy(atUs: Micros): void {
    this.planUs = Math.min(this.planUs, atUs);
  }

  private plan(nowUs: Micros): void {
    if (!this.membership.isSettled(nowUs)) {
      this.planBy(nowUs + AGAIN_US);
      return;
    }
    const poolKeys = [...this.dirty];
    this.dirty.clear();
    let total = 0;
    for (const [, combs] of this.engine.state.combs.pooled())
      for (const { blankMask, targetMask } of combs) if ((blankMask & targetMask) !== 0) total++;
    for (const poolKey of poolKeys) {
      const begun = this.planPool(nowUs, poolKey, total);
      total += begun;
    }
    this.emptied.remove();
  }

  /** @returns how many moves began */
  private planPool(nowUs: Micros, poolKey: number, total: number): number {
    const { state } = this.engine;
    const combs = state.combs.ofPool(poolKey);
    if (combs.length === 0) return 0;
    const devices = state.devices.filter((device) => device.poolKey === poolKey);
    const isGood: MoveView['isGood'] = (member) => this.runs.isGood(member);
    const isFull: MoveView['isFull'] = (key) => this.room.isFull(key);
    const perDevice = this.movesPerDevice(poolKey, devices.length);
    const keeps: MoveView['stays'] = (key) => this.staysMember(key);
    const places = this.places(nowUs, devices);
    const unit: MoveView['unitOf'] = (key) => unitOf(state, key);
    const view: MoveView = { places, isGood, unitOf: unit, isFull, perDevice, stays: keeps };
    const stays = new Set(places.map(({ deviceKey }) => deviceKey));
    const plan = wantedPlan(combs, view);
    this.runs.pendingCopies.delete(poolKey);
    this.runs.waitingCopies.delete(poolKey);
    if (plan === null) return 0;
    const restless = combs.filter((entry) => !isAtRest(entry, plan));
    const sizes: Sizes = restless.length > 0 ? this.room.sizes(combs) : new Map<number, number>();
    const traffic = new Traffic();
    const wishes: Wish[] = [];
    for (const entry of restless) {
      if (!isServed(entry, isGood)) continue;
      const pair = plan.pair(entry.index);
      const ended = endedMove(entry, pair, view);
      if (ended !== null) {
        state.combs.put(poolKey, ended);
        continue;
      }
      const filling = fillingDevice(entry);
      if (filling !== 0) traffic.add(entry, filling, bytesOf(entry, sizes));
      const to = lackingDevice(entry, pair, view);
      if (to !== 0) wishes.push({ entry, to, pair, why: whyOf(entry, stays) });
    }
    traffic.total = total;
    const isQuiet = this.isQuiet(nowUs, poolKey, combs, devices);
    const begun = this.begin(poolKey, view, wishes, traffic, sizes, isQuiet);
    if (wishes.length > 0 || traffic.byDevice.size > 0) this.again(nowUs, poolKey);
    return begun;
  }

  /** Where a device carries many combs, each holds little of it, and more of them are moved at the same time. */
  private movesPerDevice(poolKey: number, devices: number): number {
    const { pools, combs } = this.engine.state;
    const carried = (2 * combs.ofPool(poolKey).length) / Math.max(1, devices);
    const several = Math.max(1, Math.floor(carried / COMBS_PER_MOVE));
    return (pools.get(poolKey)?.movesPerDevice ?? 1) * several;
  }

  private again(nowUs: Micros, poolKey: number): void {
    this.dirty.add(poolKey);
    this.planBy(nowUs + AGAIN_US);
  }

  private begin(
    poolKey: number,
    view: MoveView,
    wishes: Wish[],
    traffic: Traffic,
    sizes: Sizes,
    isQuiet: boolean,
  ): number {
    const { state, options } = this.engine;
    const pool = state.pools.get(poolKey);
    const { perDevice } = view;
    const pending = new Pending();
    const begun = new Set<Wish>();
    let waiting = 0;
    wishes.sort((one, other) => one.why - other.why || one.entry.index - other.entry.index);
    for (const wish of wishes) {
      const { entry, to, pair, why } = wish;
      const bytes = bytesOf(entry, sizes);
      pending.add(why, bytes);
      if (pool === undefined || !isAllowed(pool, why, isQuiet)) continue;
      const run = this.runs.devices.get(to);
      const device = state.devices.get(to);
      if (run?.status !== 'alive' || device === undefined || run.incarnation === 0) continue;
      if (restOf(state, to) !== 'none') continue;
      const from = primaryOf(entry)?.deviceKey ?? 0;
      // What is being filled and is not wanted makes way: it must not hold up the one that takes its place.
      const own = fillingDevice(entry) === 0 ? 0 : 1;
      if (
        traffic.total - own >= options.movesMax ||
        traffic.of(to) >= perDevice ||
        traffic.of(from) - own >= perDevice
      ) {
        MARKS.bounded.hits++;
        continue;
      }
      if (this.room.of(device, traffic, why) < bytes) {
        MARKS.full.hits++;
        pending.lackRoom(why);
        waiting++;
        continue;
      }
      const added = { deviceKey: to, incarnation: run.incarnation };
      const next = begunMove(entry, added, pair, view);
      if (next === null) continue;
      BEGUN[why].hits++;
      state.combs.put(poolKey, next);
      traffic.leave(entry, bytes);
      traffic.add(entry, to, bytes);
      pending.add(why, -bytes);
      begun.add(wish);
    }
    this.runs.pendingCopies.set(poolKey, pending);
    this.runs.waitingCopies.set(
      poolKey,
      wishes.filter((wish) => !begun.has(wish)),
    );
    this.noteRoom(poolKey, waiting);
    return begun.size;
  }

  /** Says so when data finds no room elsewhere, and when it does again. */
  private noteRoom(poolKey: number, combs: number): void {
    const before = this.lackRoom.get(poolKey) ?? 0;
    this.lackRoom.set(poolKey, combs);
    if ((before === 0) === (combs === 0)) return;
    const level = combs === 0 ? 'info' : 'warn';
    this.engine.ports.log.event(level, 'mdm.room-for-copies', { pool: poolKey, waiting: combs });
  }

  /** Devices that keep what they have. */
  private places(nowUs: Micros, devices: readonly Device[]): Place[] {
    const { state } = this.engine;
    return devices
      .filter((device) => this.stays(nowUs, device))
      .map(({ key, poolKey, capacityBytes, slowStage }) => {
        const unitKey = unitOf(state, key);
        const isUp = this.runs.devices.get(key)?.status === 'alive' && slowStage === 'none';
        const works = isUp && restOf(state, key) === 'none';
        const closed = !works || this.room.isFull(key) || !this.isSteady(nowUs, key, poolKey);
        return { deviceKey: key, unitKey, capacityBytes, closed };
      });
  }

  /** A device that comes and goes gets nothing that another one can have; it is looked at again when it counts as steady. */
  private isSteady(nowUs: Micros, key: number, poolKey: number): boolean {
    const steadyUs = this.membership.steadyUs(key);
    if (steadyUs <= nowUs) return true;
    this.dirty.add(poolKey);
    this.planBy(steadyUs);
    return false;
  }

  private stays(nowUs: Micros, device: Device): boolean {
    const { key, incarnation, state, slowStage } = device;
    if (incarnation === 0 || slowStage === 'leaving' || isLeaving(this.engine.state, device))
      return false;
    if (isCoveredElsewhere(this.engine.state, device.sdsKey)) return false;
    if (state === 'up') return true;
    if (state !== 'down') return false;
    // Who is in maintenance may be away for as long as that takes, and is about to return afterwards.
    if (restOf(this.engine.state, key) === 'out' || isComingBack(this.engine.state, key))
      return true;
    const run = this.runs.devices.get(key);
    if (run === undefined) return false;
    const untilUs = run.sinceUs + this.engine.options.rebuildDelayMs * MICROS_PER_MS;
    if (nowUs >= untilUs) return false;
    this.dirty.add(device.poolKey);
    this.planBy(untilUs);
    return true;
  }

  /** Whether a member is kept although nothing is read from it: it rests without its data, or comes back from that. */
  private staysMember(deviceKey: number): 'out' | 'back' | null {
    const { state } = this.engine;
    if (restOf(state, deviceKey) !== 'none') return 'out';
    return isComingBack(state, deviceKey) ? 'back' : null;
  }

  /** Data is spread anew only when nothing lacks a copy and every device has been there for a while. */
  private isQuiet(
    nowUs: Micros,
    poolKey: number,
    combs: readonly CombEntry[],
    devices: readonly Device[],
  ): boolean {
    const { sds } = this.engine.state;
    const isWhole =
      devices.every(({ state }) => state !== 'down' && state !== 'adding') &&
      devices.every(({ sdsKey }) => sds.get(sdsKey)?.maintenance === 'none') &&
      combs.every(hasTwoCopies);
    if (!isWhole) {
      this.quietSinceUs.delete(poolKey);
      return false;
    }
    const sinceUs = this.quietSinceUs.get(poolKey) ?? nowUs;
    this.quietSinceUs.set(poolKey, sinceUs);
    return nowUs - sinceUs >= this.engine.options.rebalanceDelayMs * MICROS_PER_MS;
  }
}

/** The pool that a change concerns, 0: none. */
function poolOf(touch: Touch, state: State): number {
  if (touch.kind === 'comb' || touch.kind === 'storagePool') return touch.key;
  if (touch.kind !== 'device') return 0;
  return (state.devices.get(touch.key) ?? touch.before)?.poolKey ?? 0;
}

/** What is to be removed moves on, whatever is switched off. */
function isAllowed(pool: StoragePool, why: Why, isQuiet: boolean): boolean {
  if (why === WHY.balance) return isQuiet && pool.rebalanceEnabled;
  return why === WHY.evacuate || pool.rebuildEnabled;
}
