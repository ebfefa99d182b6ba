// In acknowledgements: for how long a device wants to be spared of further copies (copy-limits.ts). It owns which fields of a
// PEER_ACK say so; who never copies pays nothing for it.

import type { Micros, Region } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import { FLAG } from '../protocol/generated/constants.js';
import {
  getComb,
  getFlags,
  getGenerationEpoch,
  getGenerationNumber,
  setComb,
  setFlags,
  setGenerationEpoch,
  setGenerationNumber,
} from '../protocol/generated/frame-head.js';
import type { CopyLimits } from './copy-limits.js';
import { COPY_KIND } from './copy-work.js';
import type { Outgoing } from './peer.js';

/** Fills an acknowledgement. */
export function writeWaits({ view, at }: Region, nowUs: Micros, limits: CopyLimits): void {
  if (!limits.isSated(nowUs)) return;
  setFlags(view, at, FLAG.copied);
  setComb(view, at, limits.waitMs(nowUs, COPY_KIND.resync));
  setGenerationEpoch(view, at, limits.waitMs(nowUs, COPY_KIND.rebuild));
  setGenerationNumber(view, at, limits.waitMs(nowUs, COPY_KIND.rebalance));
}

/** Takes over what an acknowledgement says. */
export function readWaits(
  view: DataView,
  at: number,
  nowUs: Micros,
  { copyAfterUs }: Outgoing,
): void {
  if ((getFlags(view, at) & FLAG.copied) === 0) return;
  copyAfterUs[COPY_KIND.resync] = nowUs + getComb(view, at) * MICROS_PER_MS;
  copyAfterUs[COPY_KIND.rebuild] = nowUs + getGenerationEpoch(view, at) * MICROS_PER_MS;
  copyAfterUs[COPY_KIND.rebalance] = nowUs + getGenerationNumber(view, at) * MICROS_PER_MS;
}
