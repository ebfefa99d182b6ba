// How the RAM read cache of a storage server is divided among the data processes of its devices. It owns what each of them was
// told and what each may still hold; it must never let all together have more than the server was given, whatever order
// their answers come in.
//
// The rule: equal shares for the devices whose pool uses the cache and whose process runs. A smaller share is told at once; a
// larger one only when what others gave back for it is confirmed, or their processes have ended. A device is told its next
// share when it has confirmed the last one: the same share may be told twice, and then it could not be known which of the two
// a confirmation is for, and whether a larger one between them is still on its way.

import { MIB } from '../core/units.js';

interface Share {
  /** It uses the cache. */
  wanted: boolean;
  /** Told last. */
  toldBytes: number;
  /** It did what it was told last. */
  hasConfirmed: boolean;
  /** It may hold so much. */
  heldBytes: number;
}

export class CacheShares {
  private readonly tell: (deviceKey: number, bytes: number) => void;
  private readonly shares = new Map<number, Share>();
  private totalBytes = 0;

  /** @param tell - the process of the device may have so much from now on */
  constructor(tell: (deviceKey: number, bytes: number) => void) {
    this.tell = tell;
  }

  /** So much may all of them have together. */
  setTotal(bytes: number): void {
    this.totalBytes = bytes;
  }

  /** A process opened its device and can be told, or what is wanted of it has changed. */
  use(deviceKey: number, wanted: boolean): void {
    const known = this.shares.get(deviceKey);
    if (known === undefined)
      this.shares.set(deviceKey, { wanted, toldBytes: 0, hasConfirmed: true, heldBytes: 0 });
    else known.wanted = wanted;
  }

  /** A process holds no more than that. */
  confirmed(deviceKey: number, bytes: number): void {
    const share = this.shares.get(deviceKey);
    if (share?.toldBytes !== bytes) return;
    share.hasConfirmed = true;
    share.heldBytes = bytes;
    this.divide();
  }

  /** A process ended. */
  ended(deviceKey: number): void {
    this.shares.delete(deviceKey);
    this.divide();
  }

  /** Tells who is to have more or less, as far as that can be now. */
  divide(): void {
    let users = 0;
    let heldBytes = 0;
    for (const share of this.shares.values()) {
      if (share.wanted) users++;
      heldBytes += share.heldBytes;
    }
    const each = users === 0 ? 0 : Math.floor(this.totalBytes / users / MIB) * MIB;
    for (const [deviceKey, share] of this.shares) {
      const target = share.wanted ? each : 0;
      if (target === share.toldBytes || !share.hasConfirmed) continue;
      const moreBytes = Math.max(0, target - share.heldBytes);
      if (heldBytes + moreBytes > this.totalBytes && moreBytes > 0) continue;
      heldBytes += moreBytes;
      share.heldBytes += moreBytes;
      share.toldBytes = target;
      share.hasConfirmed = false;
      this.tell(deviceKey, target);
    }
  }
}
