// How much of each device changes of thin volumes leave free: room for the copies that have to be made anew or moved, now or
// after the next loss (the spare), and for what thick volumes have not written yet. It owns what data processes are told; it
// must never be more than advice to them: nothing is committed, and every master says it again.

import type { Micros } from '../core/ports.js';
import { MSG } from '../protocol/generated/constants.js';
import type { Device, StoragePool } from '../protocol/generated/types.js';
import { isLeaving } from './capacity.js';
import type { Engine } from './engine.js';
import { HEADROOM } from './room.js';
import { NO_LINK } from './runs.js';
import type { Runs } from './runs.js';
import type { Sessions } from './sessions.js';
import { topOf } from './vtrees.js';

/** What is written and lost changes by itself: looked at anew after this. */
const AGAIN_US = 1_000_000;
/** What happens within this time is told together. */
const GATHER_US = 20_000;
/** A change that is smaller than this part of a device is not told. */
const CHANGE_MIN = 1 / 512;
/** Older components do not know of it. */
const CLUSTER_VERSION_MIN = 2;

/** A device that carries data of a pool, with what is known of it. */
export interface BudgetDevice {
  readonly key: number;
  readonly capacityBytes: number;
  readonly usedBytes: number;
  /** It works, and keeps what it has. */
  readonly up: boolean;
  /** Its data is being moved away. */
  readonly leaving: boolean;
  /** What thick volumes may still write to it. */
  readonly thickBytes: number;
}

/** Copies of the combs of a pool. */
export interface BudgetCopies {
  /** In sync. */
  readonly present: number;
  /** That combs lack. */
  readonly missing: number;
}

/**
 * Bytes to keep free by device. What a loss takes from the spare, and what has to be made anew or moved because of it, is the
 * same room: so the loss of what the spare covers leaves thin volumes as much as they had before it.
 *
 * @param sparePercent - 0: nothing is kept for copies
 */
export function keptBytes(
  devices: readonly BudgetDevice[],
  copies: BudgetCopies,
  sparePercent: number,
): ReadonlyMap<number, number> {
  const kept = new Map<number, number>();
  const staying = devices.filter(({ leaving }) => !leaving);
  const working = staying.filter(({ up }) => up);
  const sum = (list: readonly BudgetDevice[], what: 'capacityBytes' | 'usedBytes'): number =>
    list.reduce((total, device) => total + device[what], 0);
  const totalBytes = sum(staying, 'capacityBytes');
  const workingBytes = sum(working, 'capacityBytes');
  const lostBytes = totalBytes - workingBytes;
  const copyBytes = copies.present === 0 ? 0 : sum(devices, 'usedBytes') / copies.present;
  const leavingBytes = sum(
    devices.filter(({ leaving }) => leaving),
    'usedBytes',
  );
  const spareBytes = Math.max(0, (totalBytes * sparePercent) / 100 - lostBytes);
  const poolBytes = spareBytes + copies.missing * copyBytes + leavingBytes;
  for (const { key, capacityBytes, thickBytes } of working) {
    // Moves leave a part of each device free (room.ts), which copies do not get.
    const forCopies =
      sparePercent === 0
        ? 0
        : (poolBytes * capacityBytes) / workingBytes + capacityBytes * HEADROOM;
    kept.set(key, Math.min(capacityBytes, Math.ceil(forCopies + thickBytes)));
  }
  return kept;
}

export class Budgets {
  private readonly engine: Engine;
  private readonly runs: Runs;
  private readonly sessions: Sessions;
  /** Told last, by device, on which link. */
  private readonly told = new Map<number, { readonly link: number; readonly bytes: number }>();
  private checkUs: Micros = Infinity;

  constructor(engine: Engine, runs: Runs, sessions: Sessions) {
    this.engine = engine;
    this.runs = runs;
    this.sessions = sessions;
  }

  start(nowUs: Micros): void {
    this.checkUs = nowUs + AGAIN_US;
  }

  /** A data process registered, or what is set for a pool or a volume changed: said anew soon. */
  changed(nowUs: Micros): void {
    this.checkUs = Math.min(this.checkUs, nowUs + GATHER_US);
  }

  tick(nowUs: Micros): void {
    if (nowUs < this.checkUs) return;
    this.checkUs = nowUs + AGAIN_US;
    for (const poolKey of this.engine.state.pools.keys()) this.tellPool(poolKey);
    for (const key of this.told.keys()) if (!this.runs.devices.has(key)) this.told.delete(key);
  }

  nextDeadlineUs(): Micros {
    return this.checkUs;
  }

  private tellPool(poolKey: number): void {
    const { state } = this.engine;
    const pool = state.pools.get(poolKey);
    if (pool === undefined || state.system.clusterVersion < CLUSTER_VERSION_MIN) return;
    const devices = state.devices.filter(
      (device) => device.poolKey === poolKey && device.incarnation > 0,
    );
    for (const [key, bytes] of this.keptBytes(pool, devices)) this.tell(key, bytes);
  }

  private keptBytes(pool: StoragePool, devices: readonly Device[]): ReadonlyMap<number, number> {
    const thick = this.engine.state.volumes.filter(
      ({ poolKey, provisioning }) => poolKey === pool.key && provisioning === 'thick',
    );
    const isNeeded = pool.sparePercent > 0 || thick.length > 0;
    if (!isNeeded) return new Map(devices.map(({ key }) => [key, 0]));
    const { sectorBytes } = this.engine.options;
    // What was frozen below does not count: all of the volume may be written once more.
    const sizes = new Map(thick.map((volume) => [topOf(volume), volume.sizeSectors * sectorBytes]));
    const facts = devices.map((device): BudgetDevice => {
      const { key, capacityBytes, state } = device;
      return {
        ...{ key, capacityBytes, up: state === 'up' },
        usedBytes: this.runs.devices.get(key)?.usage?.usedBytes ?? 0,
        leaving: isLeaving(this.engine.state, device),
        thickBytes: this.thickBytes(pool, key, sizes),
      };
    });
    return keptBytes(facts, this.copies(pool.key), pool.sparePercent);
  }

  /** What thick volumes may still write to a device, as its combs share them out. */
  private thickBytes(
    { key: poolKey, combCountLog2 }: StoragePool,
    deviceKey: number,
    sizes: ReadonlyMap<number, number>,
  ): number {
    if (sizes.size === 0) return 0;
    const combs = this.engine.state.combs.ofDevices(poolKey, [deviceKey]).length;
    const held = this.runs.devices.get(deviceKey)?.volumes.bytes;
    let bytes = 0;
    for (const [layerKey, size] of sizes)
      bytes += Math.max(0, (size * combs) / 2 ** combCountLog2 - (held?.get(layerKey) ?? 0));
    return bytes;
  }

  private copies(poolKey: number): BudgetCopies {
    let present = 0;
    let missing = 0;
    for (const { inSyncMask } of this.engine.state.combs.ofPool(poolKey)) {
      const copies = bitCount(inSyncMask);
      present += copies;
      if (copies < 2) missing += 2 - copies;
    }
    return { present, missing };
  }

  private tell(deviceKey: number, bytes: number): void {
    const run = this.runs.devices.get(deviceKey);
    if (run === undefined || run.link === NO_LINK) return;
    const known = this.told.get(deviceKey);
    const capacityBytes = run.usage?.capacityBytes ?? 0;
    const isSame =
      known?.link === run.link && Math.abs(known.bytes - bytes) <= capacityBytes * CHANGE_MIN;
    // A process that a former master told something is told anew, also that nothing is kept.
    if (isSame) return;
    this.told.set(deviceKey, { link: run.link, bytes });
    this.sessions.send(run.link, MSG.DEVICE_BUDGET, 0, { keptBytes: bytes });
  }
}

/** Members in a mask of at most four. */
function bitCount(mask: number): number {
  return (mask & 1) + ((mask >> 1) & 1) + ((mask >> 2) & 1) + ((mask >> 3) & 1);
}
