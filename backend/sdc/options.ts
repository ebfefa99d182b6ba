// What a client machine is told about itself when it starts, and its settings. It must never hold a limit of the
// protocol.

import type { Micros } from '../core/ports.js';
import type { MdmClientOptions } from '../mdm-client/options.js';
import { LIMIT } from '../protocol/generated/constants.js';
import type { Address } from '../protocol/generated/types.js';

import type { ClientGeometry } from './data-frames.js';

/** Which host this client serves. */
export interface ClientIdentity {
  /** Of the host, upper-case 8-4-4-4-12. */
  readonly guid: string;
  /** Host name, may be empty. */
  readonly name: string;
  readonly addresses: readonly Address[];
  /** Software version, announced to the MDM. */
  readonly version: string;
  /** Programs that ask this host for its GUID get zeroes: its /dev/scini cannot carry an answer. */
  readonly zeroGuid: boolean;
}

export interface ClientOptions {
  readonly mdm: MdmClientOptions;
  readonly geometry: ClientGeometry;
  /** Longest range of a read or write operation. */
  readonly ioBytesMax: number;
  readonly linksPerDevice: number;
  readonly inFlightPerLinkMax: number;
  /** Operations in all states. */
  readonly opsMax: number;
  /** Requests of front ends that were not answered. */
  readonly requestsMax: number;
  /** A request is answered with EIO after this long; Infinity: it waits through failures. */
  readonly ioTimeoutUs: Micros;
}

/** What fits most; `mdm` is one's own. */
export const CLIENT_DEFAULTS = {
  geometry: {
    sectorBytes: LIMIT.sectorBytes,
    blockBytes: LIMIT.blockBytes,
    chunkBlocks: LIMIT.chunkBytes / LIMIT.blockBytes,
  },
  ioBytesMax: LIMIT.ioBytesMax,
  linksPerDevice: 1,
  inFlightPerLinkMax: LIMIT.clientInFlightMax,
  opsMax: 4096,
  requestsMax: 4096,
  ioTimeoutUs: Infinity,
} as const;
