// What the control machine asks of data processes, and what it hears of them. It owns the words of that conversation; it
// must never know how a process is started.

import type { Micros } from '../core/ports.js';
import type { DeviceWant } from '../protocol/generated/types.js';

/** Everything that a data process is told when it starts. */
export interface DataProcessSpec {
  readonly want: DeviceWant;
  readonly sdsKey: number;
  readonly systemId: string;
  /** Data port of the node that it takes. */
  readonly port: number;
}

/** Exit codes of a data process; anything else is a crash. */
export const DATA_EXIT = {
  /** Closed as asked. */
  closed: 0,
  /** Its port is taken. */
  address: 3,
  /** The device failed for good (C14). */
  failed: 20,
  /** The device is not there, not ours, or may not be formatted. */
  refused: 21,
} as const;

/** What a data process says while it runs. */
export type DataReport =
  | { readonly kind: 'formatted'; readonly path: string; readonly capacityBytes: number }
  | {
      readonly kind: 'opened';
      readonly path: string;
      readonly capacityBytes: number;
      /** HDD or SSD, empty: not known. */
      readonly mediaFound: string;
    }
  /** Its read cache holds no more than that. */
  | { readonly kind: 'cache'; readonly bytes: number }
  /** Why it is about to end; `status` is a number of the error table. */
  | { readonly kind: 'refused'; readonly status: number; readonly reason: string };

/** What a data process is told while it runs. */
export interface CacheOrder {
  readonly kind: 'cache';
  readonly bytes: number;
}

/** The shell that runs data processes. At most one per device is running or ending at a time. */
export interface DeviceProcesses {
  start(spec: DataProcessSpec): void;
  /** Asks it to end cleanly; `dataEnded` follows. */
  stop(deviceKey: number): void;
  /** Its read cache may have so much memory from now on; a `cache` report follows unless it ends. */
  allotCache(deviceKey: number, bytes: number): void;
}

/** Inputs of the control machine that answer it. */
export interface DeviceProcessOwner {
  dataReported(nowUs: Micros, deviceKey: number, report: DataReport): void;
  dataEnded(nowUs: Micros, deviceKey: number, exitCode: number): void;
}
