// A storage server as the MDM knows it: a control process and the data process of one device. It says what real ones say,
// when they say it; its disk is a model. It owns its two links; it must never decide what the MDM decides.

import { NO_DISK_TIMES } from '../../core/disk-meter.js';
import { LAST_KEY } from '../../core/key-range.js';
import type { LinkId } from '../../core/ports.js';
import { bodyOf, decodeControl, encodeControl } from '../../protocol/control.js';
import type { ControlCode } from '../../protocol/control.js';
import { MSG, VERSION_MAX } from '../../protocol/generated/constants.js';
import { getCode, getTag } from '../../protocol/generated/frame-head.js';
import type { CombEntry, ControlBodies, DeviceWant } from '../../protocol/generated/types.js';
import type { World } from './world.js';

const BEAT_US = 250_000;
const DEVICE_BYTES = 4 * 2 ** 40;
const DATA_PORT = 7073;
const NO_COPYING = { readOps: 0, readBytes: 0, writeOps: 0, writeBytes: 0 };

/** Who hears of the entries that a data process was told. */
export interface EntryWatch {
  /** The whole map of a link begins. */
  reset(server: Server): void;
  entry(nowUs: number, server: Server, entry: CombEntry): void;
}

export function addressOf(network: number, index: number): string {
  return `10.${network}.${index >> 8}.${index & 255}`;
}

export class Server {
  readonly index: number;
  readonly host: string;
  sdsKey = 0;
  deviceKey = 0;
  poolKey = 0;
  incarnation = 0;
  alive = true;
  appliedSequence = 0;
  /** Map updates heard since the last call of `takeHeard`, and their bytes. */
  private heardFrames = 0;
  private heardBytes = 0;
  private readonly world: World;
  private readonly watch: EntryWatch;
  private control: LinkId = -1;
  private data: LinkId = -1;
  private progress = 0;
  private tag = 0;
  private registered = false;

  constructor(world: World, index: number, watch: EntryWatch) {
    this.world = world;
    this.watch = watch;
    this.index = index;
    this.host = addressOf(1, index);
  }

  get isServing(): boolean {
    return this.registered && this.alive;
  }

  start(): void {
    const { world, host } = this;
    this.control = world.open(
      'sds',
      0,
      this.far((...frame) => {
        this.controlHeard(...frame);
      }),
      host,
    );
    this.say(this.control, MSG.REGISTER_SDS, {
      guid: `5D500000-0000-0000-0000-${this.index.toString(16).padStart(12, '0').toUpperCase()}`,
      addresses: [{ host, role: 'all' }],
      port: 7072,
      version: 'scale',
      devices: [],
      systemId: '',
    });
    // Beats of different servers do not come together.
    world.at(world.nowUs + ((this.index * 7919) % BEAT_US), () => {
      this.beat();
    });
  }

  /** The host is gone: it says nothing any more, and its connections break when the MDM finds that out. */
  die(connectionsEndUs: number): void {
    this.alive = false;
    this.world.at(this.world.nowUs + connectionsEndUs, () => {
      this.world.cut(this.control);
      this.world.cut(this.data);
    });
  }

  /** What was heard of the map since the last call. */
  takeHeard(): { readonly frames: number; readonly bytes: number } {
    const heard = { frames: this.heardFrames, bytes: this.heardBytes };
    this.heardFrames = 0;
    this.heardBytes = 0;
    return heard;
  }

  /** The data process asks for changes of combs. */
  ask(changes: ControlBodies[typeof MSG.COMB_CHANGE]['changes']): void {
    if (this.alive) this.say(this.data, MSG.COMB_CHANGE, { poolKey: this.poolKey, changes });
  }

  private far(
    heard: (nowUs: number, bytes: Uint8Array, view: DataView) => void,
  ): Parameters<World['open']>[2] {
    return {
      heard: (nowUs, bytes, view) => {
        if (this.alive) heard(nowUs, bytes, view);
      },
      ended: () => {
        this.registered = false;
      },
    };
  }

  private say<C extends ControlCode>(link: LinkId, code: C, body: ControlBodies[C]): void {
    this.tag += 1;
    this.world.send(link, encodeControl(code, this.tag, 0, body, VERSION_MAX));
  }

  private beat(): void {
    if (!this.alive) return;
    this.world.at(this.world.nowUs + BEAT_US, () => {
      this.beat();
    });
    this.progress += 1;
    const nothing = {
      ...{ progress: this.progress, usage: null, counters: [], volumes: [] },
      ...{ listedAfter: 0, listedThrough: LAST_KEY },
    };
    this.say(this.control, MSG.HEARTBEAT, { ...nothing, appliedSequence: 0 });
    if (this.registered) this.beatData();
  }

  private beatData(): void {
    this.progress += 1;
    this.say(this.data, MSG.HEARTBEAT, {
      ...{ progress: this.progress, appliedSequence: this.appliedSequence },
      ...{ usage: usage(), counters: [], volumes: [] },
      ...{ listedAfter: 0, listedThrough: LAST_KEY },
    });
  }

  private controlHeard(_nowUs: number, bytes: Uint8Array, view: DataView): void {
    const message = decodeControl(getCode(view, 0), bodyOf(bytes, view, 0), VERSION_MAX);
    if (message.code !== MSG.DEVICE_WANTS) return;
    this.sdsKey = message.body.sdsKey;
    const want = message.body.wants.find(({ task }) => task !== 'close');
    if (want !== undefined && this.data < 0) this.openDevice(want);
  }

  private openDevice({ deviceKey, poolKey, task, path }: DeviceWant): void {
    this.deviceKey = deviceKey;
    this.poolKey = poolKey;
    this.incarnation += 1;
    const result = { deviceKey, status: 0, reason: '', path, capacityBytes: DEVICE_BYTES };
    if (task === 'format')
      this.say(this.control, MSG.DEVICE_RESULT, { mediaFound: '', ...result, task });
    const { world, host } = this;
    const far = this.far((...frame) => {
      this.dataHeard(...frame);
    });
    this.data = world.open('sdsData', deviceKey, far, host);
    this.say(this.data, MSG.REGISTER_DEVICE, {
      ...{ deviceKey, sdsKey: this.sdsKey, incarnation: this.incarnation },
      ...{ dataIncarnation: this.incarnation - 1, rolledBack: false, port: DATA_PORT },
      ...{ version: 'scale', usage: usage(), epoch: 0 },
    });
  }

  private dataHeard(nowUs: number, bytes: Uint8Array, view: DataView): void {
    const code = getCode(view, 0);
    if (code === MSG.MAP_UPDATE) {
      this.heardFrames += 1;
      this.heardBytes += bytes.length;
      this.mapHeard(nowUs, bytes, view);
    } else if (code === MSG.REGISTER_DEVICE_REPLY && getTag(view, 0) !== 0) this.registered = true;
  }

  private mapHeard(nowUs: number, bytes: Uint8Array, view: DataView): void {
    const message = decodeControl(MSG.MAP_UPDATE, bodyOf(bytes, view, 0), VERSION_MAX);
    if (message.code !== MSG.MAP_UPDATE) return;
    const { body } = message;
    if (body.full) this.watch.reset(this);
    for (const { combs } of body.combs)
      for (const entry of combs) this.watch.entry(nowUs, this, entry);
    if (!body.last) return;
    this.appliedSequence = body.sequence;
    // Others wait for what was applied (C13): a data process says so at once.
    if (this.registered) this.beatData();
  }
}

function usage(): ControlBodies[typeof MSG.REGISTER_DEVICE]['usage'] {
  return {
    ...{ capacityBytes: DEVICE_BYTES, usedBytes: DEVICE_BYTES / 2 },
    ...{ resyncBytesTotal: 0, resyncBytesDone: 0, degradedCombs: 0 },
    ...{ rebuildBytesLeft: 0, rebalanceBytesLeft: 0 },
    ...{ resync: NO_COPYING, rebuild: NO_COPYING, rebalance: NO_COPYING },
    times: NO_DISK_TIMES,
    cache: null,
    scan: null,
  };
}
