// How a session with the MDM behaves; what is fit for most components.

import type { LinkTarget } from '../core/ports.js';

export interface MdmClientOptions {
  /** Where MDMs may be, tried in order. */
  readonly addresses: LinkTarget['addresses'];
  /** 0: no heartbeats. */
  readonly heartbeatMs: number;
  /** How long a request may stay without an answer unless it says otherwise. */
  readonly requestTimeoutMs: number;
  /** First pause before the next attempt to connect; doubles up to `retryMsMax`. */
  readonly retryMsMin: number;
  readonly retryMsMax: number;
  /** Spreads the attempts of many clients. */
  readonly seed: number;
}

/** What fits most components; `addresses` and `seed` are one's own. */
export const MDM_CLIENT_DEFAULTS = {
  heartbeatMs: 250,
  requestTimeoutMs: 30_000,
  retryMsMin: 50,
  retryMsMax: 1000,
} as const;
