// Frames to the MDM as what they say. It owns who may send what; it must never act on it.

import { mark } from '../core/marks.js';
import type { Role } from '../core/ports.js';
import {
  decodeCommand,
  decodeControl,
  encodeBadFrame,
  isCommandCode,
} from '../protocol/control.js';
import type { Command, ControlMessage } from '../protocol/control.js';
import { ERR, MSG } from '../protocol/generated/constants.js';
import { ProtocolError } from '../protocol/wire.js';
import type { Session, Sessions } from './sessions.js';

const MARKS = {
  badFrame: mark('mdm: a frame that breaks the protocol was answered'),
};

/** Roles that may send a message; every other one is refused. */
const SENDERS: ReadonlyMap<number, readonly Role[]> = new Map([
  [MSG.REGISTER_SDS, ['sds']],
  [MSG.DEVICE_RESULT, ['sds']],
  [MSG.REGISTER_DEVICE, ['sdsData']],
  [MSG.COMB_CHANGE, ['sdsData']],
  [MSG.COMB_QUERY, ['sdsData']],
  [MSG.COMBS_REMEMBERED, ['sdsData']],
  [MSG.CUT_HELD, ['sdsData']],
  [MSG.CUT_SWITCHED, ['sdsData']],
  [MSG.HEARTBEAT, ['sds', 'sdsData', 'sdc']],
  [MSG.REGISTER_SDC, ['sdc']],
  [MSG.QUERY, ['admin', 'lia']],
  [MSG.STATUS_QUERY, ['admin', 'lia']],
  [MSG.CLUSTER_QUERY, ['admin', 'lia', 'sds', 'sdsData', 'sdc']],
]);
const COMMANDERS: readonly Role[] = ['admin', 'lia'];

/** What a frame says, or null when it was refused here. */
export function decodeInput(
  sessions: Sessions,
  { link, peer }: Session,
  code: number,
  tag: number,
  body: Uint8Array,
): Command | ControlMessage | null {
  const senders = isCommandCode(code) ? COMMANDERS : SENDERS.get(code);
  if (senders?.includes(peer.role) !== true) {
    sessions.refuse(link, tag, ERR.PERMISSION_DENIED);
    return null;
  }
  try {
    return isCommandCode(code)
      ? decodeCommand(code, body, peer.version)
      : decodeControl(code, body, peer.version);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    MARKS.badFrame.hits++;
    sessions.sendEncoded(link, encodeBadFrame(tag, error, peer.version));
    return null;
  }
}
