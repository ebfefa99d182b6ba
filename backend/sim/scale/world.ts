// Virtual time around one real MDM machine: its links, its store, and what it costs. The MDM has one core of this machine:
// what it computes takes as much virtual time as it took CPU, and whatever arrives meanwhile waits. It owns the meters; it
// must never know what a message means to those who sent it.

import type { LinkId, Links, Peer, Region, Role } from '../../core/ports.js';
import { Mdm } from '../../mdm/mdm.js';
import { MDM_DEFAULTS } from '../../mdm/options.js';
import type { MdmContent, MdmOptions } from '../../mdm/options.js';
import { VERSION_MAX } from '../../protocol/generated/constants.js';
import { getCode } from '../../protocol/generated/frame-head.js';
import { EventQueue } from '../event-queue.js';
import type { EventTarget } from '../event-queue.js';
import { SimMetadata } from '../metadata-store.js';
import { Meters } from './meters.js';

/** One way through the network, and a flush of the store. */
const LATENCY_US = 200;
const COMMIT_US = 2000;

/** The other end of a link. */
export interface Far {
  /** A frame of the MDM. */
  heard(nowUs: number, bytes: Uint8Array, view: DataView): void;
  /** The MDM ended the link. */
  ended(nowUs: number): void;
}

interface End {
  readonly far: Far;
  readonly held: Uint8Array[];
  blocked: boolean;
}

class Call implements EventTarget {
  private readonly run: (nowUs: number) => void;

  constructor(run: (nowUs: number) => void) {
    this.run = run;
  }

  fire(nowUs: number): void {
    this.run(nowUs);
  }
}

/** Failures that the MDM itself reports: a measurement of an MDM that stepped down means nothing. */
export class WorldError extends Error {
  override readonly name = 'WorldError';
}

export class World implements Links {
  nowUs = 0;
  readonly meters = new Meters();
  readonly metadata = new SimMetadata();
  readonly mdm: Mdm;
  /** Called with every committed batch. */
  committed: (nowUs: number) => void = () => undefined;
  private readonly queue = new EventQueue();
  private readonly ends = new Map<LinkId, End>();
  private readonly inbox: ((nowUs: number) => void)[] = [];
  private readonly outbox: { readonly link: LinkId; readonly bytes: Uint8Array }[] = [];
  private busyUntilUs = 0;
  private isWaking = false;
  private armedUs = Infinity;
  private lastLink = 0;

  /** @param content - what its store holds; null: a new system */
  constructor(options: Partial<MdmOptions>, content: MdmContent | null = null) {
    const store = {
      commit: (...[token, term, before, changes]: Parameters<typeof this.commit>) => {
        this.commit(token, term, before, changes);
      },
    };
    const log = { event: (): void => undefined };
    const host = {
      steppedDown: (_: number, reason: string): void => {
        throw new WorldError(`the MDM stepped down: ${reason}`);
      },
    };
    const { term, sequence } = content ?? { term: 0, sequence: 0 };
    this.mdm = new Mdm(
      { links: this, store, log, host },
      content ?? { term, sequence, entries: [] },
      { ...MDM_DEFAULTS, ...options },
    );
    this.give((nowUs) => {
      this.mdm.start(nowUs);
    });
  }

  /** Does something at a time of its own. */
  at(timeUs: number, run: (nowUs: number) => void): void {
    this.queue.push(Math.max(timeUs, this.nowUs), new Call(run), 0, 0);
  }

  /** Lets time pass until a moment, or until `done`. @returns whether `done` came true */
  run(untilUs: number, done: () => boolean = () => false): boolean {
    while (this.queue.nextTimeUs() <= untilUs) {
      this.nowUs = Math.max(this.nowUs, this.queue.nextTimeUs());
      this.queue.fireNext();
      if (done()) return true;
    }
    this.nowUs = untilUs;
    return done();
  }

  /** Opens a link to the MDM. */
  open(role: Role, key: number, far: Far, host: string): LinkId {
    const link = ++this.lastLink;
    this.ends.set(link, { far, held: [], blocked: false });
    const peer: Peer = {
      ...{ role, key, incarnation: 1, run: 0, link: 0, linkEpoch: 1 },
      ...{ version: VERSION_MAX, features: 0, host },
    };
    this.later((nowUs) => {
      this.mdm.linkUp(nowUs, link, peer);
    });
    return link;
  }

  /** Sends the MDM a frame. */
  send(link: LinkId, bytes: Uint8Array): void {
    this.meters.received(getCode(viewOf(bytes), 0), bytes.length);
    this.later((nowUs) => {
      this.offer(nowUs, link, bytes);
    });
  }

  /** The MDM finds out that a link is gone. */
  cut(link: LinkId): void {
    if (!this.ends.delete(link)) return;
    this.later((nowUs) => {
      this.mdm.linkDown(nowUs, link);
    });
  }

  // What the MDM does.

  identify(): void {
    // Nobody asks who the MDM is.
  }

  connect(): never {
    throw new WorldError('an MDM connects to nobody');
  }

  newLink(): never {
    throw new WorldError('an MDM connects to nobody');
  }

  close(link: LinkId): void {
    const end = this.ends.get(link);
    this.ends.delete(link);
    if (end === undefined) return;
    this.at(this.nowUs + LATENCY_US, (nowUs) => {
      end.far.ended(nowUs);
    });
  }

  reserve(link: LinkId, frameBytes: number): Region {
    const bytes = new Uint8Array(frameBytes);
    this.outbox.push({ link, bytes });
    return { bytes, view: viewOf(bytes), at: 0 };
  }

  resume(link: LinkId): void {
    this.later((nowUs) => {
      const end = this.ends.get(link);
      if (end === undefined) return;
      end.blocked = false;
      for (const bytes of end.held.splice(0)) this.offer(nowUs, link, bytes);
    });
  }

  pendingBytes(): number {
    return 0;
  }

  private commit(...[token, term, before, changes]: Parameters<StoreCommit>): void {
    const bytes = changes.reduce(
      (sum, { key, value }) => sum + key.length + (value?.length ?? 0),
      0,
    );
    this.meters.committed(bytes);
    const copied = changes.map(({ key, value }) => ({
      key: key.slice(),
      value: value?.slice() ?? null,
    }));
    const decidedUs = this.nowUs;
    this.at(this.busyUntilUs + COMMIT_US, () => {
      this.metadata.apply(term, before, copied, decidedUs);
      this.give((nowUs) => {
        this.mdm.committed(nowUs, token, 'done');
        this.committed(nowUs);
      });
    });
  }

  private offer(nowUs: number, link: LinkId, bytes: Uint8Array): void {
    const end = this.ends.get(link);
    if (end === undefined) return;
    if (end.blocked || !this.mdm.frame(nowUs, link, bytes, viewOf(bytes), 0)) {
      end.blocked = true;
      end.held.push(bytes);
    }
  }

  private later(input: (nowUs: number) => void): void {
    this.at(this.nowUs + LATENCY_US, () => {
      this.give(input);
    });
  }

  /** An input for the MDM; it takes it when it is done with what came before. */
  private give(input: (nowUs: number) => void): void {
    this.inbox.push(input);
    this.wake();
  }

  private wake(): void {
    if (this.isWaking || this.inbox.length === 0) return;
    this.isWaking = true;
    this.at(this.busyUntilUs, (nowUs) => {
      this.isWaking = false;
      const input = this.inbox.shift();
      if (input !== undefined) this.spend(nowUs, input);
      this.wake();
    });
  }

  /** One turn as the shell does it: input, deadline, tick, deadline; its time is real. */
  private spend(nowUs: number, input: (nowUs: number) => void): void {
    const began = process.cpuUsage();
    input(nowUs);
    if (this.mdm.nextDeadlineUs() <= nowUs) this.mdm.tick(nowUs);
    const deadlineUs = this.mdm.nextDeadlineUs();
    const { user, system } = process.cpuUsage(began);
    const usedUs = user + system;
    this.meters.spent(nowUs, usedUs);
    this.busyUntilUs = nowUs + Math.ceil(usedUs);
    this.deliver();
    this.arm(deadlineUs);
  }

  private deliver(): void {
    if (this.outbox.length === 0) return;
    const frames = this.outbox.splice(0);
    for (const { bytes } of frames) this.meters.sent(getCode(viewOf(bytes), 0), bytes.length);
    this.at(this.busyUntilUs + LATENCY_US, (nowUs) => {
      for (const { link, bytes } of frames)
        this.ends.get(link)?.far.heard(nowUs, bytes, viewOf(bytes));
    });
  }

  private arm(deadlineUs: number): void {
    if (deadlineUs >= this.armedUs || deadlineUs === Infinity) return;
    this.armedUs = deadlineUs;
    this.at(deadlineUs, () => {
      if (this.armedUs === deadlineUs) this.armedUs = Infinity;
      this.give(() => undefined);
    });
  }
}

type StoreCommit = (
  token: number,
  term: number,
  before: number,
  changes: readonly { readonly key: Uint8Array; readonly value: Uint8Array | null }[],
) => void;

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
