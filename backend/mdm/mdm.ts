// The metadata manager: all configuration, placement and membership. A deterministic machine: a request in, a committed
// batch of changes, then its effects. It owns which part hears which input. It must never be in the path of I/O.

import { mark } from '../core/marks.js';
import type { CommitOutcome, LinkId, Machine, Micros, Peer, Token } from '../core/ports.js';
import { bodyOf } from '../protocol/control.js';
import type { ControlMessage } from '../protocol/control.js';
import { ERR, MSG } from '../protocol/generated/constants.js';
import { getCode, getTag } from '../protocol/generated/frame-head.js';
import { Additions } from './additions.js';
import { Budgets } from './budgets.js';
import type { Observation } from './cluster-plan.js';
import type { ClusterInputs } from './cluster-port.js';
import { noteSelf } from './cluster-state.js';
import { Checker } from './checker.js';
import type { Seen } from './commands/context.js';
import { CommandRunner } from './commands/runner.js';
import { Cuts } from './cuts.js';
import { Drains } from './drains.js';
import { Engine } from './engine.js';
import { makeSystem } from './first-start.js';
import { decodeInput } from './inputs.js';
import type { Touch } from './journal.js';
import { digest, movedCombs } from './digest.js';
import type { Digest } from './digest.js';
import { Maintenance } from './maintenance.js';
import { Membership } from './membership.js';
import { Merges } from './merges.js';
import { Mover } from './mover.js';
import type { MdmContent, MdmOptions, MdmPorts } from './options.js';
import { Policies } from './policies.js';
import { Queries } from './queries.js';
import { Questions } from './questions.js';
import { Registrations } from './registrations.js';
import { replaceCombs } from './replacement.js';
import { Reshaper } from './reshaper.js';
import { NO_LINK, Runs } from './runs.js';
import { SdsMover } from './sds-mover.js';
import { SecureClock } from './secure-clock.js';
import { Sessions } from './sessions.js';
import type { Session } from './sessions.js';
import { SlowDevices } from './slow-devices.js';
import { ContentError } from './state.js';
import { Subscribers } from './subscribers.js';
import { Tombstones } from './tombstones.js';
import { Versions } from './versions.js';
import { UsageSamples } from './usage-samples.js';

const MARKS = {
  backlog: mark('mdm: a link was made to wait because too much waits for the store'),
};

/** Work that may wait for the store before links are made to wait. */
const BACKLOG_MAX = 4096;

export class Mdm implements Machine, ClusterInputs {
  private readonly engine: Engine;
  private readonly runs = new Runs();
  private readonly sessions: Sessions;
  private readonly membership: Membership;
  private readonly mover: Mover;
  private readonly maintenance: Maintenance;
  private readonly sdsMover: SdsMover;
  private readonly slowDevices: SlowDevices;
  private readonly usageSamples: UsageSamples;
  private readonly budgets: Budgets;
  private readonly drains: Drains;
  private readonly additions: Additions;
  private readonly subscribers: Subscribers;
  private readonly tombstones: Tombstones;
  private readonly merges: Merges;
  private readonly cuts: Cuts;
  private readonly secureClock: SecureClock;
  private readonly policies: Policies;
  private readonly versions: Versions;
  private readonly registrations: Registrations;
  private readonly reshaper: Reshaper;
  private readonly checker: Checker;
  private readonly commands: CommandRunner;
  private queries: Queries;
  private readonly questions: Questions;
  private readonly blocked = new Set<LinkId>();

  /**
   * @param content - what the store holds
   * @throws ContentError when the content cannot be understood, or when it is empty and `options.initial` is null
   */
  constructor(ports: MdmPorts, content: MdmContent, options: MdmOptions) {
    const engine = new Engine(ports, options, content.term + 1, content.sequence);
    this.engine = engine;
    engine.state.load(content.entries);
    if (!engine.state.hasSystem() && options.initial === null)
      throw new ContentError('the metadata store is empty and no initial system is configured');
    engine.published = (nowUs, touches) => {
      this.published(nowUs, touches);
    };
    const { runs } = this;
    this.sessions = new Sessions(ports.links, (nowUs, session) => {
      this.registrations.ended(nowUs, session);
    });
    const { sessions } = this;
    this.membership = new Membership(engine, runs);
    this.maintenance = new Maintenance(engine, runs, this.membership);
    this.slowDevices = new SlowDevices(engine, runs, this.membership);
    this.usageSamples = new UsageSamples(engine, runs, this.membership, (poolKey) =>
      this.queries.poolThinUsedBytes(poolKey),
    );
    this.drains = new Drains(engine, runs);
    this.mover = new Mover(engine, runs, this.membership, this.drains);
    this.additions = new Additions(engine, runs, sessions, this.membership, (poolKey) => {
      replaceCombs(engine.state, poolKey, engine.nextSequence, options.combsPerPair);
    });
    this.budgets = new Budgets(engine, runs, sessions);
    this.sdsMover = new SdsMover(engine, this.drains, this.additions);
    this.subscribers = new Subscribers(engine, sessions);
    this.drains.remind = (deviceKey, sequence) => {
      this.subscribers.remind(runs.devices.get(deviceKey)?.link ?? NO_LINK, sequence);
    };
    this.tombstones = new Tombstones(engine, runs);
    this.merges = new Merges(engine, runs);
    this.cuts = new Cuts(engine, runs, sessions);
    this.secureClock = new SecureClock(engine);
    const seen = this.seen();
    this.policies = new Policies(engine, this.cuts, this.secureClock, seen);
    this.versions = new Versions(engine, runs, sessions, (nowUs, key) =>
      this.reshaper.report(nowUs, key),
    );
    this.registrations = new Registrations(
      engine,
      runs,
      sessions,
      this.membership,
      this.additions,
      this.subscribers,
      this.versions,
    );
    this.reshaper = new Reshaper(engine, ports.cluster);
    this.checker = new Checker(engine, runs, sessions);
    this.queries = new Queries(engine, runs, this.membership, this.reshaper, 0);
    this.questions = new Questions(engine, sessions, () => this.queries);
    this.commands = new CommandRunner(
      engine,
      sessions,
      this.drains,
      this.additions,
      this.cuts,
      this.reshaper,
      this.checker,
      this.secureClock,
      seen,
    );
  }

  /** What commands judge by beside what is committed. */
  private seen(): Seen {
    return {
      componentsBelow: (nowUs, version) => this.versions.below(nowUs, version),
      mdm: (nowUs, key) => this.reshaper.report(nowUs, key),
      isGood: (member) => this.runs.isGood(member),
      waitingSds: (host, port) => this.registrations.waitingSds(host, port),
      sdsConnected: (key) => this.runs.sds.has(this.engine.state.sds.get(key)?.guid ?? ''),
      sdcConnected: (key) => this.runs.sdcs.has(key),
      layerUsedBytes: (poolKey, key) => this.queries.layerUsedBytes(poolKey, key),
      poolThinUsedBytes: (poolKey) => this.queries.poolThinUsedBytes(poolKey),
    };
  }

  /** Takes the term; everything else waits until that is committed. Called once, before any other input. */
  start(nowUs: Micros): void {
    const { engine, membership } = this;
    const { state, options, ports } = engine;
    this.queries = new Queries(engine, this.runs, membership, this.reshaper, engine.wallMs(nowUs));
    engine.commitTerm(nowUs, (at) => {
      if (!state.hasSystem() && options.initial !== null)
        makeSystem(state, options.initial, engine.wallMs(at));
      if (this.reshaper.storeToken === '') noteSelf(state, options);
      engine.after((done) => {
        this.drains.start();
        this.reshaper.start(done);
        membership.start(done);
        this.mover.start(done);
        this.maintenance.start(done);
        this.sdsMover.start(done);
        this.slowDevices.start(done);
        this.usageSamples.start(done);
        this.budgets.start(done);
        this.cuts.start(done);
        this.secureClock.start(done);
        this.policies.start(done);
        ports.log.event('info', 'mdm.master', { term: engine.term, sequence: engine.sequence });
      });
    });
    const systemId = this.registrations.systemId();
    ports.links.identify({ key: 0, incarnation: engine.term, run: 0, systemId });
  }

  linkUp(nowUs: Micros, link: LinkId, peer: Peer): void {
    this.membership.turn(nowUs);
    this.sessions.open(link, peer);
  }

  linkDown(nowUs: Micros, link: LinkId): void {
    this.membership.turn(nowUs);
    this.blocked.delete(link);
    this.sessions.ended(nowUs, link);
    // Nothing is asked of an SDC that is gone.
    this.checkDrains(nowUs);
  }

  frame(nowUs: Micros, link: LinkId, bytes: Uint8Array, view: DataView, at: number): boolean {
    this.membership.turn(nowUs);
    const session = this.sessions.get(link);
    if (session === undefined || this.engine.isStopped()) return true;
    if (this.engine.backlog >= BACKLOG_MAX) {
      MARKS.backlog.hits++;
      this.blocked.add(link);
      return false;
    }
    const tag = getTag(view, at);
    const input = decodeInput(
      this.sessions,
      session,
      getCode(view, at),
      tag,
      bodyOf(bytes, view, at),
    );
    if (input === null) return true;
    if ('name' in input) this.commands.run(nowUs, link, tag, input);
    else this.message(nowUs, session, tag, input);
    return true;
  }

  /** The store reports the outcome of a commit. */
  committed(nowUs: Micros, token: Token, outcome: CommitOutcome): void {
    this.membership.turn(nowUs);
    this.engine.committed(nowUs, token, outcome);
    if (this.engine.backlog >= BACKLOG_MAX / 2) return;
    for (const link of this.blocked) this.engine.ports.links.resume(link);
    this.blocked.clear();
  }

  /** 16 hex digits, empty before the first commit. */
  systemId(): string {
    return this.registrations.systemId();
  }

  /** What the nodes of the MDM cluster said. */
  observed(nowUs: Micros, token: Token, observation: Observation): void {
    this.membership.turn(nowUs);
    if (!this.engine.isStopped()) this.reshaper.observed(nowUs, token, observation);
  }

  /** What became of a step of a change of the MDM cluster. */
  performed(nowUs: Micros, token: Token, failure: string | null): void {
    this.membership.turn(nowUs);
    if (!this.engine.isStopped()) this.reshaper.performed(nowUs, token, failure);
  }

  tick(nowUs: Micros): void {
    this.membership.turn(nowUs);
    if (this.engine.isStopped()) return;
    this.membership.tick(nowUs);
    this.mover.tick(nowUs);
    this.maintenance.tick(nowUs);
    this.sdsMover.tick(nowUs);
    this.slowDevices.tick(nowUs);
    this.usageSamples.tick(nowUs);
    this.budgets.tick(nowUs);
    this.additions.tick(nowUs);
    this.tombstones.tick(nowUs);
    this.merges.tick(nowUs);
    this.cuts.tick(nowUs);
    this.secureClock.tick(nowUs);
    this.policies.tick(nowUs);
    this.reshaper.tick(nowUs);
    this.checker.tick(nowUs);
    this.checkDrains(nowUs);
  }

  nextDeadlineUs(): Micros {
    // The completion of the commit in flight is an input, after which deadlines are asked for again.
    if (this.engine.isStopped() || this.engine.isBusy()) return Infinity;
    return Math.min(
      this.membership.nextDeadlineUs(),
      this.mover.nextDeadlineUs(),
      this.maintenance.nextDeadlineUs(),
      this.sdsMover.nextDeadlineUs(),
      this.slowDevices.nextDeadlineUs(),
      this.usageSamples.nextDeadlineUs(),
      this.budgets.nextDeadlineUs(),
      this.additions.nextDeadlineUs(),
      this.tombstones.nextDeadlineUs(),
      this.merges.nextDeadlineUs(),
      this.cuts.nextDeadlineUs(),
      this.secureClock.nextDeadlineUs(),
      this.policies.nextDeadlineUs(),
      this.reshaper.nextDeadlineUs(),
      this.checker.nextDeadlineUs(),
      this.drains.nextDeadlineUs(),
    );
  }

  private message(nowUs: Micros, session: Session, tag: number, message: ControlMessage): void {
    const { registrations } = this;
    switch (message.code) {
      case MSG.REGISTER_SDS:
        registrations.sds(nowUs, session, tag, message.body);
        return;
      case MSG.REGISTER_DEVICE:
        registrations.device(nowUs, session, tag, message.body);
        this.budgets.changed(nowUs);
        return;
      case MSG.REGISTER_SDC:
        registrations.sdc(nowUs, session, tag, message.body);
        return;
      case MSG.DEVICE_RESULT:
        registrations.deviceResult(nowUs, session, message.body);
        return;
      case MSG.HEARTBEAT:
        registrations.heartbeat(nowUs, session, tag, message.body);
        if (this.drains.awaits(keyOf(session.registered))) this.checkDrains(nowUs);
        return;
      case MSG.COMB_CHANGE:
        registrations.combChange(nowUs, session, tag, message.body);
        return;
      case MSG.COMBS_REMEMBERED:
        if (session.registered.kind === 'device')
          this.checker.told(nowUs, session.registered.deviceKey, session.link, message.body);
        return;
      case MSG.CUT_HELD:
        if (session.registered.kind === 'device')
          this.cuts.held(nowUs, session.registered.deviceKey, message.body);
        return;
      case MSG.CUT_SWITCHED:
        if (session.registered.kind === 'device')
          this.cuts.switched(nowUs, session.registered.deviceKey, message.body);
        return;
      case MSG.COMB_QUERY:
      case MSG.QUERY:
      case MSG.STATUS_QUERY:
      case MSG.CLUSTER_QUERY:
        this.questions.ask(nowUs, session.link, tag, message);
        return;
      default:
        this.sessions.refuse(session.link, tag, ERR.PERMISSION_DENIED);
    }
  }

  private checkDrains(nowUs: Micros): void {
    if (!this.drains.areWaiting) return;
    this.engine.run(nowUs, () => {
      this.engine.after((at) => {
        this.drains.check(at);
      });
    });
  }

  /** What follows from a commit, before the answers of its requests. */
  private published(nowUs: Micros, touches: readonly Touch[]): void {
    const { state } = this.engine;
    this.membership.follow(nowUs);
    this.mover.published(nowUs, touches);
    this.maintenance.published(nowUs, touches);
    this.sdsMover.published(nowUs, touches);
    this.slowDevices.published(nowUs, touches);
    this.drains.published(touches);
    this.policies.published(nowUs, touches);
    const changed = digest(state, touches);
    this.subscribers.published(nowUs, changed);
    if (changed.pools.size > 0 || changed.volumes.length > 0) this.budgets.changed(nowUs);
    const { wantedSds, removedDevices } = changed;
    for (const sdsKey of wantedSds) this.additions.sendWants(sdsKey);
    for (const { key } of removedDevices) this.registrations.deviceRemoved(nowUs, key);
    for (const touch of touches) {
      if (touch.kind === 'sds' && touch.before !== null && state.sds.get(touch.key) === undefined)
        this.registrations.removed(touch.before.guid);
    }
    this.reconsider(nowUs, touches, changed);
    this.additions.check(nowUs);
    this.drains.check(nowUs);
    this.reshaper.published(nowUs);
  }
  /** What a commit changed may have to be decided anew: pools by other rules, combs on other devices. */
  private reconsider(nowUs: Micros, touches: readonly Touch[], changed: Digest): void {
    for (const touch of touches)
      if (touch.kind === 'storagePool')
        this.engine.run(nowUs, (at) => {
          this.membership.reconsider(at, touch.key);
        });
    for (const [poolKey, indexes] of movedCombs(changed))
      this.engine.run(nowUs, (at) => {
        this.membership.reconsiderCombs(at, poolKey, indexes);
      });
  }
}

/** Key of a component whose word may be waited for, 0: it is none. */
function keyOf(registered: Session['registered']): number {
  if (registered.kind === 'device') return registered.deviceKey;
  return registered.kind === 'sdc' ? registered.sdcKey : 0;
}
