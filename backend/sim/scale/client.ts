// A client host as the MDM knows it: registers, beats, follows the map of the pools of its volumes. It reads no more of an
// update than its head: what is in it is the servers' concern here. It owns its link.

import { LAST_KEY } from '../../core/key-range.js';
import type { LinkId } from '../../core/ports.js';
import { HEADER_BYTES } from '../../protocol/frames.js';
import { bodyOf, decodeControl, encodeControl } from '../../protocol/control.js';
import type { ControlCode } from '../../protocol/control.js';
import { MSG, VERSION_MAX } from '../../protocol/generated/constants.js';
import { getCode } from '../../protocol/generated/frame-head.js';
import type { ControlBodies } from '../../protocol/generated/types.js';
import { addressOf } from './server.js';
import type { World } from './world.js';

const BEAT_US = 250_000;
/** Of MAP_UPDATE, whose first fields have fixed sizes: term, sequence, full, last. */
const SEQUENCE_AT = 8;
const LAST_AT = 17;
const TWO_32 = 2 ** 32;

export class Client {
  sdcKey = 0;
  appliedSequence = 0;
  heardFrames = 0;
  heardBytes = 0;
  private readonly world: World;
  private readonly index: number;
  private link: LinkId = -1;
  private progress = 0;
  private tag = 0;

  constructor(world: World, index: number) {
    this.world = world;
    this.index = index;
  }

  start(): void {
    const { world, index } = this;
    const host = addressOf(2, index);
    const far = {
      heard: (_nowUs: number, bytes: Uint8Array, view: DataView) => {
        this.heard(bytes, view);
      },
      ended: () => undefined,
    };
    this.link = world.open('sdc', 0, far, host);
    this.say(MSG.REGISTER_SDC, {
      guid: `5DC00000-0000-0000-0000-${index.toString(16).padStart(12, '0').toUpperCase()}`,
      name: `host${index}`,
      addresses: [{ host, role: 'all' }],
      ...{ version: 'scale', run: 0, zeroGuid: false },
    });
    world.at(world.nowUs + ((index * 6101) % BEAT_US), () => {
      this.beatOn();
    });
  }

  private say<C extends ControlCode>(code: C, body: ControlBodies[C]): void {
    this.tag += 1;
    this.world.send(this.link, encodeControl(code, this.tag, 0, body, VERSION_MAX));
  }

  private beatOn(): void {
    this.world.at(this.world.nowUs + BEAT_US, () => {
      this.beatOn();
    });
    if (this.sdcKey !== 0) this.beat();
  }

  private beat(): void {
    this.progress += 1;
    this.say(MSG.HEARTBEAT, {
      ...{ progress: this.progress, appliedSequence: this.appliedSequence },
      ...{ usage: null, counters: [], volumes: [] },
      ...{ listedAfter: 0, listedThrough: LAST_KEY },
    });
  }

  private heard(bytes: Uint8Array, view: DataView): void {
    const code = getCode(view, 0);
    if (code === MSG.REGISTER_SDC_REPLY) {
      const message = decodeControl(code, bodyOf(bytes, view, 0), VERSION_MAX);
      if (message.code === MSG.REGISTER_SDC_REPLY) this.sdcKey = message.body.sdcKey;
    }
    if (code !== MSG.MAP_UPDATE) return;
    this.heardFrames += 1;
    this.heardBytes += bytes.length;
    if (view.getUint8(HEADER_BYTES + LAST_AT) === 0) return;
    const at = HEADER_BYTES + SEQUENCE_AT;
    this.appliedSequence = view.getUint32(at, true) + view.getUint32(at + 4, true) * TWO_32;
    this.beat();
  }
}
