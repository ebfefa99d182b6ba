// The device of a simulated server, in one of two forms: the store's contract on a list of records (model-device.ts), many
// times faster, or the real device format on a disk with bytes (real-device.ts). It owns what both have in common; it must
// never know which one it is.

import type { Micros, Token } from '../core/ports.js';
import type { Store, StoreHost } from '../sds/store/store.js';

import type { SimCacheMemory } from './cache-memory.js';
import type { SimProcess } from './process.js';

export interface DeviceFormat {
  readonly systemId: string;
  readonly deviceKey: number;
  readonly poolKey: number;
}

/** Content of blocks, by `volume:chunk:block`; what is zero or absent is not listed. */
export type DeviceContent = ReadonlyMap<string, Uint8Array>;

/**
 * Silent faults: a bit of something written flips; the next write goes nowhere, to another place, or only in part, and is
 * reported as done; flushes are reported as done from now on and do nothing.
 */
export type Spoil = 'rot' | 'lost' | 'misdirected' | 'torn' | 'lyingFlush';

export interface SimDevice {
  format: DeviceFormat | null;
  readonly capacityBytes: number;
  /** Of its read cache; null: it has none. */
  readonly cacheMemory: SimCacheMemory | null;
  /** Writes what a format writes; takes no virtual time. Returns why it cannot, or null. */
  write(format: DeviceFormat): string | null;
  /** The incarnation that a scan would find. */
  incarnation(): number;
  /** The store for a new process; disk completions go to `diskDone`. */
  open(
    process: SimProcess,
    host: StoreHost,
    diskDone: (nowUs: Micros, token: Token, ok: boolean) => void,
  ): Store;
  processDied(): void;
  powerLoss(): void;
  setSlow(factor: number): void;
  fail(way: 'writes' | 'flushes' | 'reads'): void;
  /** Something that is not noticed at once; false: this device cannot do that, or nothing is written. */
  spoil(way: Spoil): boolean;
  /** Something that was reported as flushed would not survive a loss of power. */
  readonly lied: boolean;
  /** Flushes tell the truth again. */
  stopLying(): void;
  /** Whether a change is there and would survive the process, or the power; null: cannot be told. */
  holds(run: number, opLow: number, opHigh: number, durable: boolean): boolean | null;
  /** Everything that an open of the device would show; null: it cannot be opened. The process must have ended. */
  content(): DeviceContent | null;
}
