// An MDM of a cluster on a shared store: standby until the master shows no life, then master until somebody else is or the
// store does not answer. It owns who may be master and when; the metadata manager itself is made anew for each mastership
// and thrown away with it. It must never let that one answer, or stay in its links, once another may have taken over.
//
// Times. The master shows life in the store every `beatMs`. A standby takes the master key when it has seen the store
// answer without a sign of life for `silenceMs`. What protects the data is not these times but the store's comparison of
// the master key in every commit and every confirmation. They are there so that components that are still connected to an
// old master are let go before the new one, which listens for one detection time, misses them.

import { mark } from '../core/marks.js';
import type {
  CommitOutcome,
  LinkId,
  Links,
  Log,
  Machine,
  MasterView,
  MdmPlace,
  Micros,
  Peer,
  SharedStore,
  SharedStoreInputs,
  TakenContent,
  Token,
} from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import { encodeRefusal, isCommandCode } from '../protocol/control.js';
import { ERR } from '../protocol/generated/constants.js';
import { getCode, getTag } from '../protocol/generated/frame-head.js';
import type { ErrorDetail } from '../protocol/generated/types.js';
import { sendFrame } from '../protocol/send.js';
import type { Observation } from './cluster-plan.js';
import type { ClusterInputs, ClusterPort } from './cluster-port.js';
import { MasterWatch } from './master-watch.js';
import { Mdm } from './mdm.js';
import type { MdmOptions } from './options.js';
import { PeerLinks } from './peer-links.js';

const MARKS = {
  took: mark('mdm: a standby took over'),
  lostRace: mark('mdm: another standby was faster'),
  deposed: mark('mdm: a master found that it was deposed'),
  cutOff: mark('mdm: a master gave up because the store did not answer'),
  waking: mark('mdm: a master woke up too late and gave up'),
  redirected: mark('mdm: a standby redirected a client'),
  full: mark('mdm: a command was refused because the store is full'),
  inherited: mark('mdm: a standby took over from a master that gave up the key'),
  handedOver: mark('mdm: a master handed the key over to another MDM'),
};

export interface ManagerTimes {
  readonly beatMs: number;
  /** Silence after which a standby takes the master key. */
  readonly silenceMs: number;
  /**
   * A master whose last answered beat was sent so long ago gives up. More than the silence, less than silence and
   * detection time together.
   */
  readonly giveUpMs: number;
}

/** Standbys ask the store so often. */
const LOOKS_PER_SILENCE = 5;

export interface ManagerPorts {
  readonly links: Links;
  readonly store: SharedStore;
  readonly log: Log;
  readonly cluster?: ClusterPort;
}

/** What is true only while this is the master. */
interface Mastership {
  readonly mdm: Mdm;
  readonly term: number;
  /** When the last beat that was answered had been sent. */
  provenUs: Micros;
  beatDueUs: Micros;
  /** When the beat that is under way was sent; Infinity: none is. */
  beatSentUs: Micros;
  /** Set inside an input of the machine: it cannot go on. */
  end: string | null;
  /** Set inside an input of the machine: who shall be the master. */
  heir: string | null;
}

export class Manager implements Machine, SharedStoreInputs, ClusterInputs {
  private readonly ports: ManagerPorts;
  private readonly place: MdmPlace;
  private readonly times: ManagerTimes;
  private readonly options: MdmOptions;
  private readonly peers: PeerLinks;
  private readonly watch = new MasterWatch();
  private reign: Mastership | null = null;
  /** looking: a look is under way; taking: the master key; waiting: for the next look. */
  private standby: 'waiting' | 'looking' | 'taking' = 'waiting';
  private askedUs: Micros = 0;
  private lookDueUs: Micros = Infinity;
  /** The store takes nothing, so nobody can become master. */
  private full = false;
  private token: Token = 0;

  /** @param options - of the metadata manager that each mastership makes */
  constructor(ports: ManagerPorts, place: MdmPlace, times: ManagerTimes, options: MdmOptions) {
    this.ports = ports;
    this.peers = new PeerLinks(ports.links);
    this.place = place;
    this.times = times;
    this.options = options;
  }

  /** Begins as standby. Called once, before any other input. */
  start(nowUs: Micros): void {
    this.look(nowUs);
  }

  isMaster(): boolean {
    return this.reign !== null;
  }

  /** The process ends in order: another MDM need not wait. */
  stop(): void {
    const { reign } = this;
    this.reign = null;
    this.standby = 'waiting';
    this.lookDueUs = Infinity;
    if (reign !== null) this.ports.store.release('');
    this.ports.store.abandon();
  }

  /** The content is to leave the store: this is no master any more, and the store still knows its mastership. */
  retire(): void {
    this.reign = null;
    this.standby = 'waiting';
    this.lookDueUs = Infinity;
    this.peers.closeAll();
  }

  linkUp(nowUs: Micros, link: LinkId, peer: Peer): void {
    this.wake(nowUs);
    this.peers.up(link, peer);
    this.rule(nowUs, ({ mdm }) => {
      mdm.linkUp(nowUs, link, peer);
    });
  }

  linkDown(nowUs: Micros, link: LinkId): void {
    this.wake(nowUs);
    if (!this.peers.down(link)) return;
    this.rule(nowUs, ({ mdm }) => {
      mdm.linkDown(nowUs, link);
    });
  }

  frame(nowUs: Micros, link: LinkId, bytes: Uint8Array, view: DataView, at: number): boolean {
    this.wake(nowUs);
    const peer = this.peers.of(link);
    if (peer === undefined) return true;
    const { reign } = this;
    if (this.full && (reign === null || isCommandCode(getCode(view, at)))) {
      MARKS.full.hits++;
      this.refuse(link, peer, getTag(view, at), ERR.STORE_FULL, []);
      return true;
    }
    if (reign === null) {
      MARKS.redirected.hits++;
      this.refuse(link, peer, getTag(view, at), ERR.NOT_MASTER, this.masterDetails());
      return true;
    }
    let taken = true;
    this.rule(nowUs, ({ mdm }) => {
      taken = mdm.frame(nowUs, link, bytes, view, at);
    });
    return taken;
  }

  tick(nowUs: Micros): void {
    this.wake(nowUs);
    if (this.reign === null) {
      if (this.standby === 'waiting' && nowUs >= this.lookDueUs) this.look(nowUs);
      return;
    }
    this.beat(nowUs, this.reign);
    this.rule(nowUs, ({ mdm }) => {
      if (mdm.nextDeadlineUs() <= nowUs) mdm.tick(nowUs);
    });
  }

  nextDeadlineUs(): Micros {
    const { reign } = this;
    if (reign === null) return this.standby === 'waiting' ? this.lookDueUs : Infinity;
    const beatUs = reign.beatSentUs === Infinity ? reign.beatDueUs : Infinity;
    return Math.min(beatUs, this.giveUpUs(reign), reign.mdm.nextDeadlineUs());
  }

  looked(nowUs: Micros, token: Token, view: MasterView | null): void {
    if (token !== this.token || this.standby !== 'looking') return;
    this.standby = 'waiting';
    this.lookDueUs = nowUs + this.lookPauseUs();
    const { watch } = this;
    if (view === null) return;
    // Whoever shows life has written.
    if (watch.saw(nowUs, this.askedUs, view, 2 * this.lookPauseUs())) this.noteFull(false);
    const isOffered = view.heir === '' || view.heir === this.place.name;
    if (isOffered) MARKS.inherited.hits++;
    const isDue = view.term === 0 || isOffered;
    if (isDue || watch.silenceUs >= this.times.silenceMs * MICROS_PER_MS) this.take(nowUs, view);
  }

  taken(nowUs: Micros, token: Token, outcome: CommitOutcome, content: TakenContent | null): void {
    if (token !== this.token || this.standby !== 'taking') return;
    this.standby = 'waiting';
    this.watch.restart();
    if (outcome !== 'unknown') this.noteFull(outcome === 'full');
    if (outcome !== 'done' || content === null) {
      if (outcome === 'conflict') MARKS.lostRace.hits++;
      this.lookDueUs = nowUs + this.lookPauseUs();
      return;
    }
    MARKS.took.hits++;
    this.reignBegins(nowUs, content);
  }

  beaten(nowUs: Micros, _token: Token, outcome: CommitOutcome): void {
    const { reign } = this;
    if (reign === null || reign.beatSentUs === Infinity) return;
    const sentUs = reign.beatSentUs;
    reign.beatSentUs = Infinity;
    this.wake(nowUs);
    if (this.reign !== reign) return;
    if (outcome === 'conflict') {
      MARKS.deposed.hits++;
      this.depose(nowUs, 'another MDM took over');
      return;
    }
    // A full store takes no sign of life of anybody, so nobody can take over either.
    if (outcome === 'done' || outcome === 'full') {
      this.noteFull(outcome === 'full');
      reign.provenUs = sentUs;
    }
    reign.beatDueUs = Math.max(nowUs, sentUs + this.times.beatMs * MICROS_PER_MS);
  }

  observed(nowUs: Micros, token: Token, observation: Observation): void {
    this.wake(nowUs);
    this.rule(nowUs, ({ mdm }) => {
      mdm.observed(nowUs, token, observation);
    });
  }

  performed(nowUs: Micros, token: Token, failure: string | null): void {
    this.wake(nowUs);
    this.rule(nowUs, ({ mdm }) => {
      mdm.performed(nowUs, token, failure);
    });
  }

  committed(nowUs: Micros, token: Token, outcome: CommitOutcome): void {
    this.wake(nowUs);
    this.rule(nowUs, ({ mdm }) => {
      mdm.committed(nowUs, token, outcome);
    });
  }

  private reignBegins(nowUs: Micros, { term, sequence, entries }: TakenContent): void {
    const links = this.peers.lent;
    let reign: Mastership | null = null;
    const host = {
      steppedDown: (_: Micros, reason: string): void => {
        if (reign !== null) reign.end = reason;
      },
      handOver: (_: Micros, heir: string): void => {
        if (reign !== null) reign.heir = heir;
      },
    };
    // The machine takes the term behind the one that it is given: that is the one of the master key.
    const content = { term: term - 1, sequence, entries };
    const mdm = new Mdm({ ...this.ports, links, host }, content, this.options);
    reign = {
      ...{ mdm, term, end: null, heir: null },
      // Reading the content may have taken long: the first beat, sent at once, finds out whether the key is still ours.
      ...{ provenUs: nowUs, beatDueUs: nowUs, beatSentUs: Infinity },
    };
    // Who is connected was told to look elsewhere; everybody introduces himself to the new master.
    this.peers.closeAll();
    this.reign = reign;
    this.rule(nowUs, () => {
      mdm.start(nowUs);
    });
    this.tick(nowUs);
  }

  /** Gives one input to the metadata manager, if there is one, and ends it when it cannot go on. */
  private rule(nowUs: Micros, input: (reign: Mastership) => void): void {
    const { reign } = this;
    if (reign === null) return;
    input(reign);
    if (reign.end !== null) this.depose(nowUs, reign.end);
    else if (reign.heir !== null) this.handOver(nowUs, reign.heir);
  }

  /** Gives the key up for another MDM, and takes part as standby. */
  private handOver(nowUs: Micros, heir: string): void {
    MARKS.handedOver.hits++;
    this.ports.log.event('info', 'mdm.handed-over', { heir });
    this.reign = null;
    this.ports.store.release(heir);
    this.ports.store.abandon();
    this.peers.closeAll();
    this.watch.forget();
    this.standby = 'waiting';
    this.lookDueUs = nowUs + this.lookPauseUs();
  }

  private beat(nowUs: Micros, reign: Mastership): void {
    if (reign.beatSentUs !== Infinity || nowUs < reign.beatDueUs) return;
    reign.beatSentUs = nowUs;
    this.ports.store.beat(++this.token);
  }

  private giveUpUs({ provenUs }: Mastership): Micros {
    return provenUs + this.times.giveUpMs * MICROS_PER_MS;
  }

  /** Every input passes here first: a master that was stopped meanwhile, or cut off, must not use it. */
  private wake(nowUs: Micros): void {
    const { reign } = this;
    if (reign === null || nowUs < this.giveUpUs(reign)) return;
    if (reign.beatSentUs === Infinity) MARKS.waking.hits++;
    else MARKS.cutOff.hits++;
    this.depose(nowUs, 'the metadata store did not confirm the mastership in time');
  }

  private depose(nowUs: Micros, reason: string): void {
    const { reign } = this;
    if (reign === null) return;
    this.reign = null;
    this.ports.store.abandon();
    this.ports.log.event('warn', 'mdm.deposed', { term: reign.term, reason });
    // Answers that were given before still go out.
    this.peers.closeAll();
    this.watch.forget();
    this.look(nowUs);
  }

  private look(nowUs: Micros): void {
    this.standby = 'looking';
    this.askedUs = nowUs;
    this.ports.store.look(++this.token);
  }

  private take(nowUs: Micros, view: MasterView): void {
    this.standby = 'taking';
    this.askedUs = nowUs;
    this.ports.store.take(++this.token, view, this.place);
  }

  private lookPauseUs(): Micros {
    return Math.floor((this.times.silenceMs * MICROS_PER_MS) / LOOKS_PER_SILENCE);
  }

  private noteFull(full: boolean): void {
    if (this.full === full) return;
    this.full = full;
    const { log } = this.ports;
    if (full) log.event('error', 'mdm.store-full', {});
    else log.event('info', 'mdm.store-has-room', {});
  }

  private masterDetails(): ErrorDetail[] {
    const master = this.watch.last?.master ?? null;
    if (master === null || master.name === this.place.name) return [];
    return [{ name: 'master', value: `${master.host} ${master.port}` }];
  }

  private refuse(
    link: LinkId,
    { version }: Peer,
    tag: number,
    status: number,
    details: readonly ErrorDetail[],
  ): void {
    if (tag === 0) return;
    sendFrame(this.ports.links, link, encodeRefusal(tag, status, details, version));
  }
}
