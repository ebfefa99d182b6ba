// Whoever asks commands of the MDM in a measurement. It owns one link; a command that is refused ends the measurement.

import type { LinkId } from '../../core/ports.js';
import { errorText } from '../../protocol/error-text.js';
import { bodyOf, decodeBody, decodeCommandAnswer, encodeCommand } from '../../protocol/control.js';
import type { CommandName } from '../../protocol/control.js';
import { ERR, MSG, VERSION_MAX } from '../../protocol/generated/constants.js';
import { getCode, getStatus, getTag } from '../../protocol/generated/frame-head.js';
import type { CommandParams, CommandResults } from '../../protocol/generated/types.js';
import { WorldError } from './world.js';
import type { World } from './world.js';

const PATIENCE_US = 600_000_000;
const ACTOR = 'admin';

export class Operator {
  private readonly world: World;
  private readonly link: LinkId;
  private readonly open = new Map<number, (bytes: Uint8Array, view: DataView) => void>();
  private tag = 0;

  constructor(world: World) {
    this.world = world;
    const far = {
      heard: (_nowUs: number, bytes: Uint8Array, view: DataView) => {
        const tag = getTag(view, 0);
        const answered = this.open.get(tag);
        this.open.delete(tag);
        answered?.(bytes, view);
      },
      ended: () => {
        throw new WorldError('the MDM ended the link of its operator');
      },
    };
    this.link = world.open('admin', 0, far, '10.0.0.9');
  }

  /** Commands that have no answer yet. */
  get openCount(): number {
    return this.open.size;
  }

  /** Asks a command; its answer comes while time passes. @param answered - gets the result */
  ask<N extends CommandName>(
    name: N,
    params: CommandParams[N],
    answered: (result: CommandResults[N]) => void = () => undefined,
  ): void {
    const tag = ++this.tag;
    this.open.set(tag, (bytes, view) => {
      const status = getStatus(view, 0);
      const body = bodyOf(bytes, view, 0);
      if (status === 0) {
        answered(decodeCommandAnswer(name, body, VERSION_MAX));
        return;
      }
      const details =
        getCode(view, 0) === MSG.ERROR_REPLY
          ? decodeBody(MSG.ERROR_REPLY, body, VERSION_MAX).details
          : [];
      // The volume exists; its clients hear of it while time passes.
      if (status !== ERR.PENDING) throw new WorldError(`${name}: ${errorText(status, details)}`);
    });
    this.world.send(this.link, encodeCommand(name, tag, ACTOR, params, VERSION_MAX));
  }

  /** Asks a command and lets time pass until it is answered. */
  do<N extends CommandName>(name: N, params: CommandParams[N]): CommandResults[N] {
    const results: CommandResults[N][] = [];
    this.ask(name, params, (answer) => {
      results.push(answer);
    });
    this.finish();
    const [result] = results;
    if (result === undefined) throw new WorldError(`${name} was not answered`);
    return result;
  }

  /** Lets time pass until everything is answered. */
  finish(): void {
    const { world } = this;
    if (!world.run(world.nowUs + PATIENCE_US, () => this.open.size === 0))
      throw new WorldError(`${this.open.size} commands were not answered`);
  }
}
