// Watches what devices say of cuts and what the MDM makes of it: a life that did not hold certifies nothing, and a point is
// valid only when everybody who held has certified. It owns what was said, as the frames show, and the cuts as they were
// committed last; it must never change a frame.

import type { Change } from '../core/ports.js';
import { decodeKey } from '../mdm/keys.js';
import { bodyOf, decodeBody, decodeStored } from '../protocol/control.js';
import { MSG } from '../protocol/generated/constants.js';
import { getCode, getVersion } from '../protocol/generated/frame-head.js';
import type { Cut } from '../protocol/generated/types.js';

import type { Simulation } from './simulation.js';

/** What the devices said of one cut: lives by device. */
interface Said {
  readonly held: Map<number, Set<number>>;
  readonly certified: Map<number, Set<number>>;
}

export class CutWatch {
  private readonly sim: Simulation;
  private readonly said = new Map<number, Said>();
  private readonly cuts = new Map<number, Cut>();
  /** Cuts that were switched and came to nothing: who hears of that late writes to what others know to be frozen. */
  discarded = 0;

  constructor(sim: Simulation) {
    this.sim = sim;
  }

  /** See FrameWatcher. */
  watch(view: DataView, at: number, bytes: Uint8Array): void {
    const code = getCode(view, at);
    if (code === MSG.CUT_HELD) {
      const body = decodeBody(MSG.CUT_HELD, bodyOf(bytes, view, at), getVersion(view, at));
      const { cut, deviceKey, incarnation, ok } = body;
      if (ok) livesOf(this.of(cut).held, deviceKey).add(incarnation);
    } else if (code === MSG.CUT_SWITCHED) {
      const body = decodeBody(MSG.CUT_SWITCHED, bodyOf(bytes, view, at), getVersion(view, at));
      const { cut, deviceKey, incarnation, certified } = body;
      if (!certified) return;
      const { held, certified: lives } = this.of(cut);
      if (held.get(deviceKey)?.has(incarnation) !== true)
        this.sim.fail(
          `device ${deviceKey} certified cut ${cut} in life ${incarnation}, which never said that it holds`,
        );
      livesOf(lives, deviceKey).add(incarnation);
    }
  }

  /** Everything that was committed is what this says: a backup was restored. */
  restored(changes: readonly Change[]): void {
    this.cuts.clear();
    this.committed(changes);
  }

  /** Changes that became durable together. */
  committed(changes: readonly Change[]): void {
    const ended: Cut[] = [];
    const made = new Set<number>();
    for (const { key, value } of changes) {
      const decoded = decodeKey(key);
      if (decoded === null) continue;
      if (decoded.type === 'layer' && value !== null) made.add(decoded.key);
      if (decoded.type !== 'cut') continue;
      const before = this.cuts.get(decoded.key);
      if (value !== null) this.cuts.set(decoded.key, decodeStored('Cut', value));
      else if (before !== undefined) {
        this.cuts.delete(decoded.key);
        ended.push(before);
      }
    }
    // The top layer of the snapshot, or of what is reverted, comes with the point and never without.
    for (const { key, items, stage } of ended)
      if (items.some(({ snapshotKey }) => made.has(snapshotKey))) this.requireCertified(key);
      else if (stage === 'switched') this.discarded += 1;
  }

  private requireCertified(key: number): void {
    const { held, certified } = this.of(key);
    for (const [deviceKey, lives] of held)
      if (![...lives].some((life) => certified.get(deviceKey)?.has(life)))
        this.sim.fail(
          `cut ${key} became valid, but device ${deviceKey}, which held, did not certify it`,
        );
  }

  private of(cut: number): Said {
    let said = this.said.get(cut);
    if (said === undefined) {
      said = { held: new Map(), certified: new Map() };
      this.said.set(cut, said);
    }
    return said;
  }
}

function livesOf(byDevice: Map<number, Set<number>>, deviceKey: number): Set<number> {
  let lives = byDevice.get(deviceKey);
  if (lives === undefined) {
    lives = new Set();
    byDevice.set(deviceKey, lives);
  }
  return lives;
}
