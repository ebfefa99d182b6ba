// The metadata store of several MDMs in virtual time: a linearizable store whose members may be unreachable for one MDM or
// for all, whose answers get lost, and in which a request may be done long after whoever asked gave up. It owns the durable
// content and who is master; it must never know what a key means.

import type {
  Change,
  CommitOutcome,
  MasterView,
  MdmPlace,
  SharedStore,
  SharedStoreInputs,
  Token,
} from '../core/ports.js';
import { assert } from '../core/assert.js';
import { mark } from '../core/marks.js';
import type { Prng } from '../core/prng.js';

import type { EventTarget } from './event-queue.js';
import { SimMetadata } from './metadata-store.js';
import type { SimProcess } from './process.js';
import type { Simulation } from './simulation.js';
import { TRACE } from './trace.js';

const MARKS = {
  late: mark('sim: a request reached the metadata store after its MDM gave up'),
  lateCommit: mark('sim: a commit was done after its MDM gave up'),
  fenced: mark('sim: the metadata store refused a master that was deposed'),
  answerLost: mark('sim: an answer of the metadata store got lost'),
  tookDeaf: mark('sim: an MDM took the master key and never learned it'),
};

const LATENCY_US_MIN = 200;
/** How long an attempt is waited for before the store is asked again. */
const ATTEMPT_US = 300_000;
/** How long an outcome is looked for. */
const PATIENCE_US = 5_000_000;
const BEAT_PATIENCE_US = 1_000_000;
const LATE_US_MAX = 8_000_000;

/** What becomes of etcd on all nodes, and the stores that there are by token. */
export class SimEtcds {
  /** Addresses of hosts that reach no majority of its members. */
  readonly cutOff = new Set<string>();
  /** No host does. */
  down = false;
  /** It takes no writes. */
  full = false;
  /** Of a thousand answers, how many get lost. */
  lostPermille = 0;
  /** What every request takes longer. */
  slowUs = 0;
  /** How often everything that MDMs share was put aside: what was on its way before reaches nobody. */
  lives = 0;
  /** Latency of a request, at most. */
  readonly latencyUsMax: number;
  /** Highest sequence of which a living master was told that it is committed, in whatever store. */
  toldSequence = 0;
  /** Hears of every commit in any of them. */
  watcher: SimMetadata['watcher'] = () => undefined;
  private readonly stores = new Map<string, SimEtcd>();

  constructor(latencyUsMax: number) {
    this.latencyUsMax = Math.max(LATENCY_US_MIN + 1, latencyUsMax);
  }

  store(token: string): SimEtcd {
    const known = this.stores.get(token);
    if (known !== undefined) return known;
    const made = new SimEtcd(this);
    made.metadata.watcher = (changes, decidedUs) => {
      this.watcher(changes, decidedUs);
    };
    this.stores.set(token, made);
    return made;
  }

  /** No member of any store runs any more, and none will. */
  putAside(): void {
    this.lives += 1;
    // Lives have nothing in common: a later one may begin below the one before.
    this.toldSequence = 0;
    for (const store of this.stores.values()) store.isAside = true;
  }

  tell(sequence: number): void {
    this.toldSequence = Math.max(this.toldSequence, sequence);
  }

  reaches(address: string): boolean {
    return !this.down && !this.cutOff.has(address);
  }
}

interface StoreSeat {
  isLearner: boolean;
  /** It began to work, so it gets all that the others have. */
  works: boolean;
}

/** A store that all MDMs of a cluster share. */
export class SimEtcd {
  readonly all: SimEtcds;
  readonly metadata = new SimMetadata();
  /** Nobody uses it before the content is complete. */
  open = false;
  /** Its members do not run any more. */
  isAside = false;
  /** Where the content went. */
  seal: { readonly token: string; readonly to: number } | null = null;
  /** By address; learners do not count yet. */
  readonly members = new Map<string, StoreSeat>();
  term = 0;
  master: MdmPlace | null = null;
  heir: string | null = null;
  masterRevision = 0;
  beatRevision = 0;
  private revision = 0;

  constructor(all: SimEtcds) {
    this.all = all;
  }

  nextRevision(): number {
    return ++this.revision;
  }

  /** A member is started: as in etcd it begins only with a list of just those members that there are. */
  begin(address: string, told: readonly string[]): void {
    const seat = this.members.get(address);
    if (seat === undefined) return;
    seat.works ||= told.length === this.members.size && told.every((one) => this.members.has(one));
  }

  view(): MasterView {
    const { term, master, masterRevision, beatRevision, heir, metadata } = this;
    return { term, master, heir, life: `${masterRevision} ${beatRevision} ${metadata.sequence}` };
  }
}

interface Held {
  readonly term: number;
  readonly masterRevision: number;
}

/** A request until its outcome is delivered. */
class Request {
  readonly life: number;
  readonly deadlineUs: number;
  /** What it does at the store, each time that it arrives there; the outcome as far as the store tells. */
  readonly arrive: () => CommitOutcome;
  readonly deliver: (nowUs: number, outcome: CommitOutcome) => void;
  outcome: CommitOutcome = 'unknown';
  delivered = false;

  constructor(
    life: number,
    deadlineUs: number,
    arrive: () => CommitOutcome,
    deliver: (nowUs: number, outcome: CommitOutcome) => void,
  ) {
    this.life = life;
    this.deadlineUs = deadlineUs;
    this.arrive = arrive;
    this.deliver = deliver;
  }
}

const WHAT_SEND = 0;
const WHAT_ARRIVE = 1;
const WHAT_ANSWER = 2;

/** The store as one process of an MDM reaches it. */
export class SimSharedStore implements SharedStore, EventTarget {
  private readonly sim: Simulation;
  private readonly process: SimProcess;
  private readonly etcd: SimEtcd;
  private readonly sink: SharedStoreInputs;
  private readonly sealed: (seal: NonNullable<SimEtcd['seal']>) => void;
  private readonly prng: Prng;
  private readonly requests = new Map<number, Request>();
  private nextRequest = 1;
  private life = 0;
  private held: Held | null = null;

  constructor(
    sim: Simulation,
    process: SimProcess,
    etcd: SimEtcd,
    sink: SharedStoreInputs,
    sealed: (seal: NonNullable<SimEtcd['seal']>) => void,
  ) {
    this.sealed = sealed;
    this.sim = sim;
    this.process = process;
    this.etcd = etcd;
    this.sink = sink;
    this.prng = sim.prng.fork();
  }

  look(token: Token): void {
    let view: MasterView | null = null;
    let seal: SimEtcd['seal'] = null;
    this.request(
      BEAT_PATIENCE_US,
      () => {
        const { etcd } = this;
        view = etcd.open && etcd.seal === null ? etcd.view() : null;
        seal = etcd.seal;
        return 'done';
      },
      (nowUs, outcome) => {
        this.sink.looked(nowUs, token, outcome === 'done' ? view : null);
        if (outcome === 'done' && seal !== null) this.sealed(seal);
      },
    );
  }

  take(token: Token, seen: MasterView, claim: MdmPlace): void {
    const { etcd } = this;
    // Terms go on where the content came from another store.
    const term = Math.max(seen.term, etcd.metadata.term) + 1;
    let held: Held | null = null;
    const arrive = (): CommitOutcome => {
      if (held !== null) return 'done';
      if (etcd.all.full) return 'full';
      if (etcd.seal !== null || etcd.view().life !== seen.life) return 'conflict';
      held = { term, masterRevision: etcd.nextRevision() };
      Object.assign(etcd, { term, master: claim, heir: null });
      Object.assign(etcd, {
        masterRevision: held.masterRevision,
        beatRevision: held.masterRevision,
      });
      return 'done';
    };
    this.request(PATIENCE_US, arrive, (nowUs, outcome) => {
      if (outcome === 'unknown' && held !== null) MARKS.tookDeaf.hits++;
      // The content is read after the key was taken: nobody else commits since, unless he took the key in turn.
      const isStill = held !== null && held.masterRevision === etcd.masterRevision;
      if (outcome !== 'done' || !isStill) {
        this.sink.taken(nowUs, token, outcome === 'done' ? 'unknown' : outcome, null);
        return;
      }
      this.held = held;
      const content = { term, sequence: etcd.metadata.sequence, entries: etcd.metadata.entries() };
      this.sink.taken(nowUs, token, 'done', content);
    });
  }

  beat(token: Token): void {
    const { etcd } = this;
    const held = this.mastership();
    const arrive = (): CommitOutcome => {
      if (etcd.all.full) return 'full';
      if (etcd.masterRevision !== held.masterRevision) return 'conflict';
      etcd.beatRevision = etcd.nextRevision();
      return 'done';
    };
    this.request(BEAT_PATIENCE_US, arrive, (nowUs, outcome) => {
      this.sink.beaten(nowUs, token, outcome);
    });
  }

  confirm(token: Token): void {
    const held = this.mastership();
    const arrive = (): CommitOutcome =>
      this.etcd.masterRevision === held.masterRevision ? 'done' : 'conflict';
    this.request(PATIENCE_US, arrive, (nowUs, outcome) => {
      this.sink.committed(nowUs, token, outcome);
    });
  }

  commit(token: Token, term: number, previousSequence: number, changes: readonly Change[]): void {
    const { etcd } = this;
    const { metadata } = etcd;
    const held = this.mastership();
    assert(held.term === term, 'a master commits in its own term');
    const copied = changes.map(({ key, value }) => ({
      ...{ key: key.slice(), value: value?.slice() ?? null },
    }));
    const { life } = this;
    const decidedUs = this.sim.nowUs;
    let applied = false;
    const arrive = (): CommitOutcome => {
      if (applied) return 'done';
      if (etcd.all.full) return 'full';
      if (etcd.masterRevision !== held.masterRevision) {
        MARKS.fenced.hits++;
        return 'conflict';
      }
      if (!metadata.fits(term, previousSequence)) return 'conflict';
      applied = true;
      metadata.apply(term, previousSequence, copied, decidedUs);
      if (this.life !== life || !this.process.alive) MARKS.lateCommit.hits++;
      return 'done';
    };
    this.request(PATIENCE_US, arrive, (nowUs, outcome) => {
      if (outcome === 'done') etcd.all.tell(previousSequence + 1);
      this.sim.trace.mix(TRACE.commit, this.sim.nowUs, this.process.node, token);
      this.sink.committed(nowUs, token, outcome);
    });
  }

  release(heir: string): void {
    const { etcd, held } = this;
    if (held === null) return;
    const arrive = (): CommitOutcome => {
      if (etcd.masterRevision !== held.masterRevision) return 'conflict';
      etcd.heir = heir;
      etcd.beatRevision = etcd.nextRevision();
      return 'done';
    };
    // Whoever ends waits until this is sent.
    this.request(BEAT_PATIENCE_US, arrive, () => undefined);
  }

  /** Of the mastership that this process has. */
  get term(): number {
    return this.held?.term ?? 0;
  }

  /** What the master committed last; null: it is master no more. */
  content(): SimMetadata | null {
    const { etcd, held } = this;
    return held !== null && held.masterRevision === etcd.masterRevision ? etcd.metadata : null;
  }

  /** Ends the use of the store, if this is still the master. */
  seal(token: string, to: number, sequence: number): boolean {
    const { etcd, held } = this;
    if (held?.masterRevision !== etcd.masterRevision || etcd.seal !== null) return false;
    if (etcd.metadata.sequence !== sequence) return false;
    etcd.seal = { token, to };
    etcd.masterRevision = etcd.nextRevision();
    return true;
  }

  abandon(): void {
    this.life += 1;
    this.held = null;
  }

  private mastership(): Held {
    assert(this.held !== null, 'only a master does that');
    return this.held;
  }

  private request(
    patienceUs: number,
    arrive: () => CommitOutcome,
    deliver: (nowUs: number, outcome: CommitOutcome) => void,
  ): void {
    const number = this.nextRequest++;
    const deadlineUs = this.sim.nowUs + patienceUs;
    this.requests.set(number, new Request(this.life, deadlineUs, arrive, deliver));
    this.fire(this.sim.nowUs, WHAT_SEND, number);
  }

  fire(timeUs: number, what: number, number: number): void {
    const request = this.requests.get(number);
    if (request === undefined) return;
    if (what === WHAT_SEND) this.send(timeUs, number, request);
    else if (what === WHAT_ARRIVE) this.arrived(timeUs, number, request);
    else this.answered(number, request);
  }

  /** Sends it, and looks again when no answer came. */
  private send(timeUs: number, number: number, request: Request): void {
    const { sim, prng } = this;
    const etcd = this.etcd.all;
    // A dead process sends nothing; a stopped one sends when it goes on.
    if (!this.process.alive || request.life !== this.life || request.delivered) return;
    if (timeUs >= request.deadlineUs) {
      this.deliver(number, request, 'unknown');
      return;
    }
    sim.queue.push(timeUs + ATTEMPT_US, this, WHAT_SEND, number);
    if (this.process.paused || !etcd.reaches(this.process.host.address)) return;
    const latencyUs = prng.between(LATENCY_US_MIN, etcd.latencyUsMax) + etcd.slowUs;
    const isLate = prng.chance(etcd.lostPermille, 1000);
    const takesUs = isLate ? prng.between(latencyUs, LATE_US_MAX) : latencyUs;
    sim.queue.push(timeUs + takesUs, this, WHAT_ARRIVE, number);
  }

  private arrived(timeUs: number, number: number, request: Request): void {
    const { sim, prng } = this;
    const etcd = this.etcd.all;
    if (etcd.down || this.etcd.isAside) return;
    if (request.life !== this.life || !this.process.alive) MARKS.late.hits++;
    request.outcome = request.arrive();
    const isLost = prng.chance(etcd.lostPermille, 1000);
    if (isLost || !etcd.reaches(this.process.host.address)) {
      MARKS.answerLost.hits++;
      return;
    }
    sim.queue.push(
      timeUs + prng.between(LATENCY_US_MIN, etcd.latencyUsMax),
      this,
      WHAT_ANSWER,
      number,
    );
  }

  private answered(number: number, request: Request): void {
    if (request.delivered) return;
    this.deliver(number, request, request.outcome);
  }

  private deliver(number: number, request: Request, outcome: CommitOutcome): void {
    request.delivered = true;
    // It may still arrive at the store: it is forgotten by and by.
    this.process.input((nowUs) => {
      if (request.life === this.life) request.deliver(nowUs, outcome);
    });
    if (outcome !== 'unknown') this.requests.delete(number);
  }
}
