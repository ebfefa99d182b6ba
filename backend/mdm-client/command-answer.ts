// How the answer of a command reaches who asked: decoded, or as the error that came instead. It must never ask again.

import { decodeCommandAnswer } from '../protocol/control.js';
import type { CommandName } from '../protocol/control.js';
import { ERR } from '../protocol/generated/constants.js';
import { ProtocolError } from '../protocol/wire.js';
import type { CommandAnswered } from './host.js';
import type { Answered } from './requests.js';

/** The listener of the answering frame. */
export function commandAnswered<N extends CommandName>(
  name: N,
  answered: CommandAnswered<N>,
): Answered {
  return (nowUs, { status, details, body, version }) => {
    if (status !== 0) {
      answered(nowUs, status, null, details);
      return;
    }
    try {
      answered(nowUs, 0, decodeCommandAnswer(name, body, version), details);
    } catch (error) {
      if (error instanceof ProtocolError) answered(nowUs, ERR.INTERNAL, null, []);
      throw error;
    }
  };
}
