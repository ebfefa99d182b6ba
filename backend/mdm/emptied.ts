// Devices and SDSs that were to be removed and hold nothing any more: they are closed, and go when nobody can act on an entry
// that still names them. It must never remove what carries a comb.

import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import type { Device } from '../protocol/generated/types.js';
import { isLeaving } from './capacity.js';
import type { Drains } from './drains.js';
import type { Engine } from './engine.js';

const MARKS = {
  deviceGone: mark('mdm: a device whose data was moved away is removed'),
  sdsGone: mark('mdm: an SDS whose data was moved away is removed'),
};

export class Emptied {
  private readonly engine: Engine;
  private readonly drains: Drains;
  /** Hears that a device of a pool was removed, or was not after all. */
  private readonly gone: (nowUs: Micros, poolKey: number) => void;
  /** Devices that are removed as soon as everybody knows that they carry nothing. */
  private readonly closing = new Set<number>();

  constructor(engine: Engine, drains: Drains, gone: Emptied['gone']) {
    this.engine = engine;
    this.drains = drains;
    this.gone = gone;
  }

  /**
   * Devices that were to be removed and hold nothing any more. They are closed, and go when nobody can act on an entry that
   * still names them (C13): later commands do not wait for what does not exist.
   */
  remove(): void {
    const { state } = this.engine;
    if (state.devices.find((device) => isLeaving(state, device)) === undefined) {
      this.removeSds();
      return;
    }
    const carried = this.carriers();
    for (const device of [...state.devices.values()]) {
      if (!isLeaving(state, device) || carried.has(device.key)) continue;
      if (this.closing.has(device.key) || this.isMoving(device)) continue;
      this.closing.add(device.key);
      state.devices.put(device.key, { ...device, state: 'removing' });
      const { key, poolKey } = device;
      this.engine.after((at) => {
        this.drains.add(at, {
          ...{ sequence: this.engine.sequence, poolKey, sdcKey: 0 },
          ended: (nowUs, isThrough) => {
            this.engine.run(nowUs, () => {
              this.closing.delete(key);
              if (isThrough) this.removeDevice(key);
              this.gone(nowUs, poolKey);
            });
          },
        });
      });
    }
    this.removeSds();
  }

  /** The devices of an SDS that goes to another protection domain go together (sds-mover.ts). */
  private isMoving({ sdsKey }: Device): boolean {
    return (this.engine.state.sds.get(sdsKey)?.move ?? null) !== null;
  }

  private carriers(): ReadonlySet<number> {
    const carried = new Set<number>();
    for (const [, combs] of this.engine.state.combs.pooled())
      for (const { members } of combs) for (const { deviceKey } of members) carried.add(deviceKey);
    return carried;
  }

  private removeDevice(key: number): void {
    const { state } = this.engine;
    const device = state.devices.get(key);
    // The operator may have changed his mind.
    if (device?.state !== 'removing' || !isLeaving(state, device) || this.isMoving(device)) return;
    MARKS.deviceGone.hits++;
    state.devices.delete(key);
    this.removeSds();
  }

  private removeSds(): void {
    const { state } = this.engine;
    for (const sds of [...state.sds.values()]) {
      if (!sds.removing || state.devices.find(({ sdsKey }) => sdsKey === sds.key) !== undefined)
        continue;
      MARKS.sdsGone.hits++;
      state.sds.delete(sds.key);
    }
  }
}
