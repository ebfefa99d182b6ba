// What an MDM process is at the moment, and how it becomes something else: without a system, the only MDM with a store of
// its own, or part of a cluster on etcd. What it is follows from what lies on its disk alone (`boot`), so that a process
// that was killed at any moment goes on as the next one. It owns the order of these changes; it must never have two
// machines at work at the same time.

import { VERSION } from '../core/version.js';
import { VERSION_MAX } from '../protocol/generated/constants.js';
import type { Step } from '../mdm/cluster-plan.js';
import type { ClusterInputs, ClusterPort } from '../mdm/cluster-port.js';
import { Manager } from '../mdm/manager.js';
import { Mdm } from '../mdm/mdm.js';
import { validName } from '../mdm/names.js';
import { NodeMachine } from '../mdm/node.js';
import type { NodeAsker, NodeHost } from '../mdm/node.js';
import type { InitialSystem, MdmOptions } from '../mdm/options.js';
import { Recovery } from '../mdm/recovery.js';
import type {
  MdmCreateBody,
  MdmNodeReplyBody,
  MdmNodeTaskBody,
} from '../protocol/generated/types.js';
import { judgeBoot, judgeTask } from '../protocol/node-state.js';
import { ClusterError } from '../runtime/cluster.js';
import type { Seal } from '../runtime/etcd/layout.js';
import { EtcdStore } from '../runtime/etcd/store.js';
import type { TcpLinks } from '../runtime/links/tcp-links.js';
import type { Loop } from '../runtime/loop.js';
import { NodeCaller, reasonOf } from '../runtime/mdm-node/caller.js';
import { StoreError } from '../runtime/metadata-store.js';
import type { LmdbStore } from '../runtime/metadata-store.js';

import { ClusterDoor } from './mdm-door.js';
import { watchFormer } from './mdm-former.js';
import { Moves } from './mdm-moves.js';
import { freshSystem, managerTimes, ownPlace } from './mdm-options.js';
import { NodePart } from './mdm-part.js';
import type { PartTools } from './mdm-part.js';
import { StoreReach } from './mdm-reach.js';
import { OneByOne } from './one-by-one.js';

/** What the node is, and what it needs for it. */
type Role =
  | { readonly kind: 'blank' }
  | { readonly kind: 'alone'; readonly machine: Mdm; readonly store: LmdbStore }
  | { readonly kind: 'restored'; readonly machine: Recovery; readonly store: LmdbStore }
  | { readonly kind: 'manager'; readonly machine: Manager; readonly store: EtcdStore }
  | { readonly kind: 'tieBreaker' };

export interface NodeTools extends PartTools {
  readonly loop: Loop;
  readonly links: TcpLinks;
  readonly options: MdmOptions;
  /** Hears when the process cannot go on: the next one reads what is true. */
  readonly failed: (error: Error) => void;
}

export class MdmNode implements NodeHost {
  readonly machine: NodeMachine;
  private readonly tools: NodeTools;
  private readonly caller: NodeCaller;
  private readonly part: NodePart;
  private readonly moves: Moves;
  private role: Role = { kind: 'blank' };
  /** Changes of what the node is. */
  private readonly work: OneByOne;
  private stopping = false;

  constructor(tools: NodeTools) {
    this.tools = tools;
    const { secret, log, links, failed } = tools;
    this.work = new OneByOne(failed);
    this.caller = new NodeCaller(secret, { event: () => undefined });
    this.machine = new NodeMachine(links, this);
    this.part = new NodePart(tools, (endpoints) => {
      if (this.role.kind === 'manager') this.role.store.reach(endpoints);
    });
    this.moves = new Moves(this.part, log, () => this.stopping);
  }

  /** Becomes what the disk says. @throws StoreError, RecordError, MemberError, ForeignPrefixError */
  start(): Promise<void> {
    return this.work.next(() => this.boot());
  }

  /** Ends everything in order. */
  async stop(): Promise<void> {
    this.stopping = true;
    await this.work.next(async () => {
      const { role } = this;
      if (role.kind === 'manager') role.machine.stop();
      await this.leaveRole();
      await this.part.stop();
    });
    this.caller.close();
  }

  report(): MdmNodeReplyBody {
    const { role } = this;
    const { record, seat } = this.part;
    const state = {
      blank: 'blank',
      alone: 'alone',
      restored: 'alone',
      manager: 'member',
      tieBreaker: 'member',
    } as const;
    return {
      state: state[role.kind],
      token: record.part === 'none' ? '' : record.token,
      storeUp: seat?.up === true,
      storeFault: seat?.fault ?? '',
      systemId: this.systemId(),
      version: VERSION,
      protocolMax: VERSION_MAX,
    };
  }

  task(asker: NodeAsker, task: MdmNodeTaskBody): void {
    this.answer(asker, () => this.obey(task));
  }

  create(asker: NodeAsker, system: MdmCreateBody): void {
    this.answer(asker, async () => {
      if (this.role.kind !== 'blank' || this.part.record.part !== 'none')
        throw ClusterError.named('ALREADY_CONFIGURED');
      const { name, mdmName, adminName, salt, hash } = system;
      for (const each of mdmName === '' ? [name, adminName] : [name, adminName, mdmName])
        validName(each);
      const store = await this.part.openStore();
      this.becomeAlone(store, freshSystem(name, { name: adminName, salt, hash }), mdmName);
      return false;
    });
  }

  /** The machine of the moment, for what it asked; null: it is not at work any more. */
  private current(role: Role): ClusterInputs | null {
    const isOfCluster = role.kind === 'alone' || role.kind === 'manager';
    return this.role === role && isOfCluster ? role.machine : null;
  }

  /**
   * Does what was asked, answers, and then becomes what follows from it: that may end the link of whoever asked.
   *
   * @param run - true: something follows
   */
  private answer(asker: NodeAsker, run: () => Promise<boolean>): void {
    const say = (status: number, details: ClusterError['details']): void => {
      this.input(() => {
        this.machine.answered(asker, status, details);
      });
    };
    this.work.detached(async () => {
      let follows: boolean;
      try {
        follows = await run();
      } catch (error) {
        const told =
          error instanceof ClusterError
            ? error
            : ClusterError.named('CLUSTER_UNCHANGED', reasonOf(error));
        say(told.info.code, told.details);
        return;
      }
      say(0, []);
      if (follows) await this.boot();
    });
  }

  private input(run: (nowUs: number) => void): void {
    const { loop } = this.tools;
    loop.begin();
    run(loop.nowUs);
    loop.end();
  }

  /**
   * What a master told this node; true: it has to become something else now.
   *
   * @throws ClusterError, MemberError
   */
  private async obey(task: MdmNodeTaskBody): Promise<boolean> {
    const { part } = this;
    const isAlone = this.role.kind === 'alone';
    const judged = judgeTask(part.record, isAlone, task);
    switch (judged.kind) {
      case 'refused':
        throw ClusterError.named('CLUSTER_UNCHANGED', judged.reason);
      case 'nothing':
        return false;
      case 'leaves':
        await this.leave(task.term);
        return !isAlone;
      case 'enters':
        part.keep(judged.record);
    }
    try {
      await part.takeSeat();
    } catch (error) {
      await this.leave(task.term);
      throw error;
    }
    return !isAlone;
  }

  /** Takes part in nothing any more; an own store stays what it is. */
  private async leave(term: number): Promise<void> {
    const { kind } = this.role;
    if (kind === 'manager' || kind === 'tieBreaker') await this.leaveRole();
    await this.part.leave(term);
  }

  /** No machine is at work; the stores stay as they are. */
  private becomeNothing(): void {
    this.role = { kind: 'blank' };
    this.input((nowUs) => {
      this.machine.become(nowUs, null);
    });
  }

  /** The machine of the moment ends; what it committed stays. */
  private async leaveRole(): Promise<void> {
    const { role } = this;
    this.becomeNothing();
    if (role.kind === 'manager') {
      role.store.abandon();
      await role.store.close();
    }
    if (role.kind === 'alone' || role.kind === 'restored') await role.store.close();
  }

  /** Becomes what lies on the disk. */
  private async boot(): Promise<void> {
    const { options } = this.tools;
    const { part } = this;
    if (this.stopping) return;
    await this.leaveRole();
    await part.read();
    const before = part.record;
    const begins = options.initial !== null && before.part === 'none' && before.term === 0;
    const store = part.hasStore() || begins ? await part.openStore() : null;
    const own = store && { mark: store.mark(), isEmpty: store.content.sequence === 0 };
    const { boot, record } = judgeBoot(before, own, begins);
    if (record !== before) part.keep(record);
    if (boot.kind === 'alone' && store !== null) {
      if (record.part === 'forming') await part.takeSeat();
      this.becomeAlone(store, options.initial);
      return;
    }
    if (boot.kind === 'restored' && store !== null) {
      this.becomeRestored(store);
      return;
    }
    await store?.close();
    if (boot.kind === 'member') await this.becomeMember(boot.opens);
    else if (boot.kind === 'lost')
      throw new StoreError(
        `${part.storeDirectory} is not in use any more: the metadata went into the MDM cluster ${boot.token}, of which this node knows nothing`,
      );
    else await part.forget();
  }

  /** @param name - of this MDM in a new system; empty: as it is configured */
  private becomeAlone(store: LmdbStore, initial: InitialSystem | null, name = ''): void {
    const { loop, log, failed } = this.tools;
    const options = { ...this.tools.options, ...(name === '' ? {} : { name }), initial };
    const { links } = this.machine;
    const host = {
      steppedDown: (_: number, reason: string): void => {
        failed(new Error(reason));
      },
    };
    const role: { kind: 'alone'; machine?: Mdm; store: LmdbStore } = { kind: 'alone', store };
    const cluster = this.clusterPort('', () => role as Role);
    const mdm = new Mdm({ links, store, log, host, cluster }, store.content, options);
    role.machine = mdm;
    store.attach(loop, mdm);
    this.role = role as Role;
    this.input((nowUs) => {
      mdm.start(nowUs);
      this.machine.become(nowUs, mdm);
    });
  }

  /** What was restored waits for the devices, and then becomes the content of the store. */
  private becomeRestored(store: LmdbStore): void {
    const { log, options } = this.tools;
    const { links } = this.machine;
    const { content } = store;
    const recovered = (
      _: number,
      sequence: number,
      entries: LmdbStore['content']['entries'],
    ): void => {
      this.work.detached(async () => {
        if (this.role.kind !== 'restored') return;
        this.becomeNothing();
        store.import('confirmed', { term: content.term + 1, sequence, entries }, 'used');
        await store.close();
        await this.boot();
      });
    };
    const machine = new Recovery({ links, log, recovered }, content, options);
    const role: Role = { kind: 'restored', machine, store };
    this.role = role;
    this.input((nowUs) => {
      this.machine.become(nowUs, machine);
      machine.start(nowUs);
    });
    const { config, loop } = this.tools;
    const reach = new StoreReach(
      this.caller,
      () => this.report(),
      config,
      () => null,
    );
    watchFormer(machine, reach, loop, () => this.role === role);
  }

  /** @param opens - it was this node's store that the content came from: the other one is opened for all */
  private async becomeMember(opens: boolean): Promise<void> {
    const { record } = this.part;
    const seat = await this.part.takeSeat();
    if (opens) this.moves.openFor(record.token);
    const self = record.seats.find(({ key }) => key === record.selfKey);
    if (self?.role === 'tieBreaker') {
      this.role = { kind: 'tieBreaker' };
      return;
    }
    const { config, secret, log, loop, options, failed } = this.tools;
    const { endpoints, tls } = seat;
    const { prefix } = record;
    const store = new EtcdStore({ endpoints, tls, log, prefix, secret });
    const role: { kind: 'manager'; machine?: Manager; store: EtcdStore } = {
      kind: 'manager',
      store,
    };
    const cluster = this.clusterPort(record.token, () => role as Role);
    const ports = { links: this.machine.links, store, log, cluster };
    const manager = new Manager(
      ports,
      ownPlace(config),
      managerTimes(config, options.detectionMs),
      options,
    );
    role.machine = manager;
    store.attach(loop, manager, failed, (seal) => {
      if (this.role === role) this.followSeal(seal);
    });
    this.role = role as Role;
    this.input((nowUs) => {
      this.machine.become(nowUs, manager);
      manager.start(nowUs);
    });
  }

  /** The content left the shared store: where it went, it is used from now on. */
  private followSeal(seal: Seal): void {
    if (seal.to !== this.part.record.selfKey) return;
    this.work.detached(async () => {
      if (this.part.record.part !== 'member' || this.role.kind !== 'manager') return;
      await this.leaveRole();
      await this.moves.arrive(seal);
      await this.boot();
    });
  }

  private clusterPort(token: string, role: () => Role): ClusterPort {
    const { loop, config } = this.tools;
    const { caller, part, moves } = this;
    const seat = (): NodePart['seat'] => (token === '' ? null : part.seat);
    return new ClusterDoor(token, {
      reach: new StoreReach(caller, () => this.report(), config, seat),
      ...{ caller, loop },
      machine: () => this.current(role()),
      moveFailure: () => moves.failure,
      prefixOf: (asked) => part.prefixOf(asked),
      obey: (task) =>
        this.work.next(async () => {
          await this.obey(task);
        }),
      move: (step) => this.move(step),
    });
  }

  /**
   * Has the content go to another store, and becomes what follows.
   *
   * @throws Error with the reason, when nothing was changed and the machine of the moment goes on
   */
  private async move(step: Extract<Step, { kind: 'move' }>): Promise<void> {
    const { role, moves } = this;
    moves.begin(step.job);
    if (role.kind === 'alone') await moves.check(step.token);
    await this.work.settled(async () => {
      if (this.role !== role || this.stopping) return;
      await moves.attempt(async () => {
        if (role.kind === 'alone') {
          this.becomeNothing();
          await moves.out(role.store, step.token);
        } else if (role.kind === 'manager') {
          role.machine.retire();
          this.becomeNothing();
          await moves.home(role.store, step.job);
        }
      });
      await this.boot();
    });
  }

  private systemId(): string {
    return this.role.kind === 'alone' || this.role.kind === 'restored'
      ? this.role.machine.systemId()
      : '';
  }
}
