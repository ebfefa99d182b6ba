// The way of SDSs to another protection domain, as it was committed: once no comb names a device of such an SDS and nobody
// can act on an entry that still does (C13), all its devices become new ones of the other pools, in one commit; then they
// are formatted, each on the disk that it was before. It must never take a copy away: moves do (moves.ts).

import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { LIMIT } from '../protocol/generated/constants.js';
import type { Device, MovedDevice, Sds } from '../protocol/generated/types.js';
import type { Additions } from './additions.js';
import type { Drains } from './drains.js';
import type { Engine } from './engine.js';
import type { Touch } from './journal.js';

const MARKS = {
  emptied: mark('mdm: an SDS that moves holds nothing any more'),
  changed: mark('mdm: an SDS changed its protection domain'),
  joined: mark('mdm: an SDS that moved works where it went'),
  undrained: mark(
    'mdm: an SDS that moves waits for a device that may not know that it carries nothing',
  ),
};

/** What is waited for is looked at again after this, beside every commit. */
const AGAIN_US = 1_000_000;

export class SdsMover {
  private readonly engine: Engine;
  private readonly drains: Drains;
  private readonly additions: Additions;
  /** SDSs whose pools are being drained. */
  private readonly draining = new Set<number>();
  private checkUs: Micros = Infinity;

  constructor(engine: Engine, drains: Drains, additions: Additions) {
    this.engine = engine;
    this.drains = drains;
    this.additions = additions;
  }

  /** A new master goes on with what the last one began. */
  start(nowUs: Micros): void {
    this.follow(nowUs);
  }

  /** A commit may have begun a move, or brought one further. */
  published(nowUs: Micros, touches: readonly Touch[]): void {
    const isConcerned = touches.some(({ kind }) => kind === 'sds' || kind === 'device');
    const isWaiting = this.checkUs !== Infinity && touches.some(({ kind }) => kind === 'comb');
    if (isConcerned || isWaiting) this.follow(nowUs);
  }

  tick(nowUs: Micros): void {
    if (nowUs < this.checkUs) return;
    this.checkUs = nowUs + AGAIN_US;
    this.engine.run(nowUs, (at) => {
      this.goOn(at, true);
    });
  }

  nextDeadlineUs(): Micros {
    return this.checkUs;
  }

  private moving(): Sds[] {
    return this.engine.state.sds.filter(({ move }) => move !== null);
  }

  private follow(nowUs: Micros): void {
    if (this.moving().length === 0) {
      this.checkUs = Infinity;
      return;
    }
    if (this.checkUs === Infinity) this.checkUs = nowUs + AGAIN_US;
    this.engine.run(nowUs, (at) => {
      this.goOn(at, false);
    });
  }

  /** @param asksAgain - also for what an SDS refused before */
  private goOn(nowUs: Micros, asksAgain: boolean): void {
    for (const sds of this.moving())
      if (sds.move?.stage === 'leaving') this.leave(nowUs, sds);
      else this.join(sds, asksAgain);
  }

  private devicesOf(sdsKey: number): Device[] {
    return this.engine.state.devices.filter((device) => device.sdsKey === sdsKey);
  }

  /** Whether any comb names a device. */
  private carries({ key, poolKey }: Device): boolean {
    return this.engine.state.combs.ofDevices(poolKey, [key]).length > 0;
  }

  private leave(nowUs: Micros, { key }: Sds): void {
    const { state } = this.engine;
    const devices = this.devicesOf(key);
    if (this.draining.has(key) || devices.some((device) => this.carries(device))) return;
    if (devices.length === 0) {
      this.change(key);
      return;
    }
    MARKS.emptied.hits++;
    this.draining.add(key);
    // Also where they are closed already: everybody hears of this commit, and says so when it is applied.
    for (const device of devices) state.devices.put(device.key, { ...device, state: 'removing' });
    const poolKeys = [...new Set(devices.map(({ poolKey }) => poolKey))];
    let waiting = poolKeys.length;
    let isThrough = true;
    const ended = (at: Micros, through: boolean): void => {
      waiting -= 1;
      isThrough &&= through;
      if (waiting > 0) return;
      this.engine.run(at, () => {
        this.draining.delete(key);
        if (isThrough) this.change(key);
        else MARKS.undrained.hits++;
      });
    };
    this.engine.after((at) => {
      const { sequence } = this.engine;
      for (const poolKey of poolKeys) this.drains.add(at, { sequence, poolKey, sdcKey: 0, ended });
    });
  }

  /** The SDS is of the other domain from here on, with new devices. */
  private change(key: number): void {
    const { state } = this.engine;
    const sds = state.sds.get(key);
    const move = sds?.move;
    // The operator may have changed his mind.
    if (sds === undefined || move?.stage !== 'leaving') return;
    const devices = this.devicesOf(key);
    if (devices.some((device) => device.state !== 'removing' || this.carries(device))) return;
    MARKS.changed.hits++;
    const { domainKey, faultSetKey } = move;
    const moved = devices.flatMap((device): MovedDevice[] => {
      const target = move.devices.find(({ deviceKey }) => deviceKey === device.key);
      state.devices.delete(device.key);
      if (target === undefined) return [];
      const deviceKey = this.renew(device, target.poolKey);
      return [{ ...target, deviceKey }];
    });
    const next = { ...move, stage: 'joining' as const, devices: moved };
    state.sds.put(key, { ...sds, domainKey, faultSetKey, move: next });
  }

  /** @returns key of the device that the disk becomes */
  private renew(device: Device, poolKey: number): number {
    const { state } = this.engine;
    const { sdsKey, name, path, mediaFound, mediaType } = device;
    const before = device.formatted ? [] : device.replaces;
    const key = state.newKey();
    state.devices.put(key, {
      ...{ key, sdsKey, poolKey, name, path },
      ...{ state: 'adding', incarnation: 0, capacityBytes: 0, force: false, failure: '' },
      ...{ port: 0, formatted: false, dataSince: 0, rolledBackIncarnation: 0, removing: false },
      ...{ slowStage: 'none', mediaFound, mediaType },
      replaces: [...before, device.key].slice(-LIMIT.replacedDevicesMax),
    });
    return key;
  }

  private join(sds: Sds, asksAgain: boolean): void {
    const { state } = this.engine;
    const adding = this.devicesOf(sds.key).filter((device) => device.state === 'adding');
    if (adding.length === 0) {
      MARKS.joined.hits++;
      state.sds.put(sds.key, { ...sds, move: null });
    } else if (asksAgain && adding.some(({ failure }) => failure !== ''))
      this.engine.after(() => {
        this.additions.sendWants(sds.key);
      });
  }
}
