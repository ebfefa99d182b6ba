// What a data process is told about itself when it starts, and its settings. It must never hold a limit of the protocol.

import { MDM_CLIENT_DEFAULTS } from '../mdm-client/options.js';
import type { LinkTarget } from '../core/ports.js';

/** Who this data process is; the device's own facts come from the store. */
export interface DataIdentity {
  readonly sdsKey: number;
  /** Where it takes connections; announced to the MDM. */
  readonly dataPort: number;
  /** Software version, announced to the MDM. */
  readonly version: string;
  /** Of the running kernel (C6). */
  readonly bootId: string;
}

export interface DataOptions {
  readonly mdmAddresses: LinkTarget['addresses'];
  /** Spreads attempts to connect; the only source of variation. */
  readonly seed: number;
  readonly heartbeatMs: number;
  /** Until the MDM says what the system agreed on (C5). */
  readonly leaseMs: number;
  readonly detectionMs: number;
  readonly driftPercent: number;
  /** Operations of clients admitted at a time. */
  readonly inFlightMax: number;
  /** Chunks that are copied at a time by resync. */
  readonly resyncChunksMax: number;
  /** Pause between two notices of what is settled, while there is news. */
  readonly settleMs: number;
  /** The same in volatile durability modes, where each notice costs a flush on every copy. */
  readonly settleVolatileMs: number;
  /** Blocks that this device changed as primary after which it settles at once. */
  readonly settleBlocksMax: number;
  /** The same in changes. */
  readonly settleChangesMax: number;
  /** First and longest pause before another attempt to reach a peer. */
  readonly dialMsMin: number;
  readonly dialMsMax: number;
  /** How long the ids of operations are kept for a client of which nothing is heard (C10). */
  readonly clientSilenceMs: number;
}

/** What fits most; `mdmAddresses` and `seed` are one's own. */
export const DATA_DEFAULTS = {
  heartbeatMs: MDM_CLIENT_DEFAULTS.heartbeatMs,
  leaseMs: 1000,
  detectionMs: 1500,
  driftPercent: 10,
  inFlightMax: 4096,
  resyncChunksMax: 4,
  settleMs: 100,
  settleVolatileMs: 1000,
  settleBlocksMax: 4096,
  settleChangesMax: 2048,
  dialMsMin: 50,
  dialMsMax: 1000,
  clientSilenceMs: 15 * 60 * 1000,
} as const;
