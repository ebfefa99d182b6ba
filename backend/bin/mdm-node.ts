// What an MDM process is at the moment, and how it becomes something else: without a system, the only MDM with a store of
// its own, or part of a cluster on etcd. What it is follows from what lies on its disk alone (`boot`), so that a process
// that was killed at any moment goes on as the next one. It owns the stores and the node's member of etcd; it must never
// have two machines at work at the same time.
//
// The content moves as a whole: the store that it goes to is complete before the one that it comes from is sealed, and the
// seal is the moment of the change. Whoever finds a sealed store goes to the other one.

import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { VERSION } from '../core/version.js';
import { VERSION_MAX } from '../protocol/generated/constants.js';
import type { Step } from '../mdm/cluster-plan.js';
import type { ClusterInputs, ClusterPort } from '../mdm/cluster-port.js';
import { placeName } from '../mdm/cluster-state.js';
import { Manager } from '../mdm/manager.js';
import { Mdm } from '../mdm/mdm.js';
import { validName } from '../mdm/names.js';
import { NodeMachine } from '../mdm/node.js';
import type { NodeAsker, NodeHost } from '../mdm/node.js';
import { judgeBoot, judgeTask, leftRecord, NO_PART } from '../protocol/node-state.js';
import type { NodeRecord } from '../protocol/node-state.js';
import type { InitialSystem, MdmOptions } from '../mdm/options.js';
import type {
  MdmCreateBody,
  MdmNodeReplyBody,
  MdmNodeTaskBody,
} from '../protocol/generated/types.js';
import { OPTIONS } from '../protocol/tables/options.js';
import { ClusterError } from '../runtime/cluster.js';
import { ForeignPrefixError } from '../runtime/etcd/layout.js';
import type { Seal } from '../runtime/etcd/layout.js';
import { EtcdStore } from '../runtime/etcd/store.js';
import { Transfer, TransferError } from '../runtime/etcd/transfer.js';
import type { TcpLinks } from '../runtime/links/tcp-links.js';
import type { ProcessLog } from '../runtime/log-sink.js';
import type { Loop } from '../runtime/loop.js';
import { NodeCaller, reasonOf } from '../runtime/mdm-node/caller.js';
import { removeOthers, Seat } from '../runtime/mdm-node/member.js';
import type { SeatTools } from '../runtime/mdm-node/member.js';
import { readRecord, writeRecord } from '../runtime/mdm-node/record.js';
import { LmdbStore, StoreError } from '../runtime/metadata-store.js';

import type { MdmConfig } from './mdm-config.js';
import { freshSystem } from './mdm-options.js';
import { StoreReach } from './mdm-reach.js';

/** Part of the detection time for which a master that cannot be confirmed holds on to its links. */
const HOLD_ON_OF_DETECTION = 0.4;
const OPEN_RETRY_MS = 500;

/** What the node is, and what it needs for it. */
type Role =
  | { readonly kind: 'blank' }
  | { readonly kind: 'alone'; readonly machine: Mdm; readonly store: LmdbStore }
  | { readonly kind: 'manager'; readonly machine: Manager; readonly store: EtcdStore }
  | { readonly kind: 'tieBreaker' };

/** Attempts to move the content for one change of the cluster, in the life of this process. */
interface Moves {
  readonly job: number;
  attempts: number;
  /** Why it is given up. */
  failure: string | null;
}

const MOVES_MAX = 3;

export interface NodeTools {
  readonly config: MdmConfig;
  readonly secret: Uint8Array;
  readonly log: ProcessLog;
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
  private readonly seatTools: SeatTools;
  private role: Role = { kind: 'blank' };
  private seat: Seat | null = null;
  private record: NodeRecord = NO_PART;
  /** Changes of what the node is, one after the other. */
  private work: Promise<void> = Promise.resolve();
  private stopping = false;
  private moves: Moves = { job: 0, attempts: 0, failure: null };

  constructor(tools: NodeTools) {
    this.tools = tools;
    const { config, secret, log, links } = tools;
    this.caller = new NodeCaller(secret, { event: () => undefined });
    this.machine = new NodeMachine(links, this);
    const { program } = config.cluster;
    this.seatTools = { stateDir: config.stateDir, program, secret, log };
  }

  /** Becomes what the disk says. @throws StoreError, RecordError, MemberError, ForeignPrefixError */
  start(): Promise<void> {
    return this.next(() => this.boot());
  }

  /** Ends everything in order. */
  async stop(): Promise<void> {
    this.stopping = true;
    await this.next(async () => {
      const { role } = this;
      if (role.kind === 'manager') role.machine.stop();
      await this.leaveRole();
      await this.seat?.stop();
    });
    this.caller.close();
  }

  report(): MdmNodeReplyBody {
    const { role, seat, record } = this;
    const state = {
      blank: 'blank',
      alone: 'alone',
      manager: 'member',
      tieBreaker: 'member',
    } as const;
    return {
      state: state[role.kind],
      token: record.part === 'none' ? '' : record.token,
      storeUp: seat?.up === true,
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
      if (this.role.kind !== 'blank' || this.record.part !== 'none')
        throw ClusterError.named('ALREADY_CONFIGURED');
      const { name, mdmName, adminName, salt, hash } = system;
      checkNames(name, adminName, ...(mdmName === '' ? [] : [mdmName]));
      const store = await this.openStore();
      this.becomeAlone(store, freshSystem(name, { name: adminName, salt, hash }), mdmName);
      return false;
    });
  }

  /** The machine of the moment, for what it asked; null: it is not at work any more. */
  private current(role: Role): ClusterInputs | null {
    return this.role === role && 'machine' in role ? role.machine : null;
  }

  /** One thing after the other; a failure of one is the failure of the process unless `run` handles it. */
  private next(run: () => Promise<void>): Promise<void> {
    const done = this.work.then(run);
    this.work = done.catch(() => undefined);
    return done;
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
    void this.next(async () => {
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
    }).catch((error: unknown) => {
      this.tools.failed(error instanceof Error ? error : new Error(String(error)));
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
    const { record, role } = this;
    const isAlone = role.kind === 'alone';
    const judged = judgeTask(record, isAlone, task);
    switch (judged.kind) {
      case 'refused':
        throw ClusterError.named('CLUSTER_UNCHANGED', judged.reason);
      case 'nothing':
        return false;
      case 'leaves':
        await this.leave(task.term);
        return !isAlone;
      case 'enters':
        this.keep(judged.record);
    }
    try {
      await this.takeSeat();
    } catch (error) {
      await this.leave(task.term);
      throw error;
    }
    return !isAlone;
  }

  /** Takes part in nothing any more; an own store stays what it is. */
  private async leave(term: number): Promise<void> {
    const { role, seat } = this;
    if (role.kind === 'manager' || role.kind === 'tieBreaker') await this.leaveRole();
    this.keep(leftRecord(this.record, term));
    this.seat = null;
    await seat?.discard();
  }

  private keep(record: NodeRecord): void {
    writeRecord(this.tools.config.stateDir, record);
    this.record = record;
  }

  /** Runs the node's member of the store that it takes part in. @throws MemberError */
  private async takeSeat(): Promise<Seat> {
    this.seat ??= await Seat.start(this.seatTools, this.record, (endpoints) => {
      const { role, record } = this;
      const isKnown =
        record.started && JSON.stringify(record.endpoints) === JSON.stringify(endpoints);
      if (!isKnown) this.keep({ ...record, started: true, endpoints });
      if (role.kind === 'manager') role.store.reach(endpoints);
    });
    return this.seat;
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
    if (role.kind === 'alone') await role.store.close();
  }

  private openStore(): Promise<LmdbStore> {
    const { secret, log } = this.tools;
    return LmdbStore.open(this.storeDirectory, secret, log);
  }

  private get storeDirectory(): string {
    return join(this.tools.config.stateDir, 'store');
  }

  private hasStore(): boolean {
    return existsSync(join(this.storeDirectory, 'metadata.mdb'));
  }

  /** Becomes what lies on the disk. */
  private async boot(): Promise<void> {
    const { config, options } = this.tools;
    if (this.stopping) return;
    await this.leaveRole();
    this.record = readRecord(config.stateDir);
    const { part, token, term } = this.record;
    await removeOthers(this.seatTools, part === 'none' ? '' : token);
    const begins = options.initial !== null && part === 'none' && term === 0;
    const store = this.hasStore() || begins ? await this.openStore() : null;
    const own = store && { mark: store.mark(), isEmpty: store.content.sequence === 0 };
    const { boot, record } = judgeBoot(this.record, own, begins);
    if (record !== this.record) this.keep(record);
    if (boot.kind === 'alone' && store !== null) {
      if (record.part === 'forming') await this.takeSeat();
      this.becomeAlone(store, options.initial);
      return;
    }
    await store?.close();
    if (boot.kind === 'member') await this.becomeMember(boot.opens);
    else if (boot.kind === 'lost')
      throw new StoreError(
        `${this.storeDirectory} is not in use any more: the metadata went into the MDM cluster ${boot.token}, of which this node knows nothing`,
      );
    else {
      await removeOthers(this.seatTools, '');
      rmSync(this.storeDirectory, { recursive: true, force: true });
    }
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

  /** @param opens - it was this node's store that the content came from: the other one is opened for all */
  private async becomeMember(opens: boolean): Promise<void> {
    const { record } = this;
    const seat = await this.takeSeat();
    if (opens) this.openStoreOf(record.token);
    const self = record.seats.find(({ key }) => key === record.selfKey);
    if (self?.role === 'tieBreaker') {
      this.role = { kind: 'tieBreaker' };
      return;
    }
    const { config, secret, log, loop, options, failed } = this.tools;
    const { endpoints, tls } = seat;
    const { prefix } = record;
    const store = new EtcdStore({ endpoints, tls, log, prefix, secret });
    const [address] = config.addresses;
    const host = address?.host ?? '';
    const place = { name: placeName({ host, port: config.port }), host, port: config.port };
    const beatMs = config.options.masterBeatMs ?? OPTIONS.masterBeatMs.default;
    const silenceMs = config.options.masterSilenceMs ?? OPTIONS.masterSilenceMs.default;
    const giveUpMs = silenceMs + Math.floor(options.detectionMs * HOLD_ON_OF_DETECTION);
    const role: { kind: 'manager'; machine?: Manager; store: EtcdStore } = {
      kind: 'manager',
      store,
    };
    const cluster = this.clusterPort(record.token, () => role as Role);
    const ports = { links: this.machine.links, store, log, cluster };
    const manager = new Manager(ports, place, { beatMs, silenceMs, giveUpMs }, options);
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

  /** Lets everybody use the store that this node's content went into, as soon as that answers. */
  private openStoreOf(token: string): void {
    const transfer = this.transfer();
    const attempt = (): void => {
      if (this.stopping || this.record.token !== token) {
        transfer.close();
        return;
      }
      transfer.open(token).then(
        () => {
          transfer.close();
        },
        (error: unknown) => {
          this.tools.log.event('warn', 'mdm-cluster.not-open', { reason: reasonOf(error) });
          setTimeout(attempt, OPEN_RETRY_MS);
        },
      );
    };
    attempt();
  }

  private transfer(): Transfer {
    const { record, seat, tools } = this;
    if (seat === null) throw new Error('a node without a store reaches none');
    const { secret, log } = tools;
    const { endpoints, tls } = seat;
    return new Transfer({ endpoints, tls, log, secret, prefix: record.prefix });
  }

  /** The content left the shared store: where it went, it is used from now on. */
  private followSeal(seal: Seal): void {
    if (seal.to !== this.record.selfKey) return;
    void this.next(async () => {
      if (this.record.part !== 'member' || this.role.kind !== 'manager') return;
      await this.leaveRole();
      const store = await this.openStore();
      const isHere = store.activate(seal.token);
      await store.close();
      if (isHere) await this.leave(this.record.term);
      await this.boot();
    }).catch((error: unknown) => {
      this.tools.failed(error instanceof Error ? error : new Error(String(error)));
    });
  }

  private clusterPort(token: string, role: () => Role): ClusterPort {
    const { loop, config } = this.tools;
    const reach = new StoreReach(
      this.caller,
      () => this.report(),
      config,
      () => (token === '' ? null : this.seat),
    );
    const deliver = (give: (machine: ClusterInputs, nowUs: number) => void): void => {
      const machine = this.current(role());
      if (machine === null) return;
      loop.begin();
      give(machine, loop.nowUs);
      loop.end();
    };
    return {
      token,
      observe: (asked, nodes) => {
        void reach.observe(nodes).then((seen) => {
          deliver((machine, nowUs) => {
            machine.observed(nowUs, asked, { ...seen, moveFailure: this.moves.failure });
          });
        });
      },
      perform: (asked, step, term) => {
        this.perform(reach, step, term).then(
          () => {
            deliver((machine, nowUs) => {
              machine.performed(nowUs, asked, null);
            });
          },
          (error: unknown) => {
            deliver((machine, nowUs) => {
              machine.performed(nowUs, asked, reasonOf(error));
            });
          },
        );
      },
    };
  }

  private async perform(reach: StoreReach, step: Step, term: number): Promise<void> {
    switch (step.kind) {
      case 'form':
      case 'join':
      case 'leave': {
        const task = {
          ...{ task: step.kind, term, token: step.token, selfKey: step.node.key },
          prefix: this.prefixOf(step.token),
          seats: 'seats' in step ? step.seats : [],
        };
        if (reach.isSelf(step.node))
          await this.next(async () => {
            await this.obey(task);
          });
        else await this.caller.task(step.node, task);
        return;
      }
      case 'move':
        await this.move(step);
        return;
      default:
        await reach.change(step.kind, step.seat);
    }
  }

  /** Of the keys of a system in the store of a token. */
  private prefixOf(token: string): string {
    const { record, tools } = this;
    return record.token === token && record.prefix !== ''
      ? record.prefix
      : tools.config.cluster.prefix;
  }

  /**
   * Has the content go to another store, and becomes what follows.
   *
   * @throws Error with the reason, when nothing was changed and the machine of the moment goes on
   */
  private async move(step: Extract<Step, { kind: 'move' }>): Promise<void> {
    const { role } = this;
    if (this.moves.job !== step.job) this.moves = { job: step.job, attempts: 0, failure: null };
    const { moves } = this;
    if (role.kind === 'alone') await this.checkPrefix(step.token, moves);
    await this.next(async () => {
      if (this.role !== role || this.stopping) return;
      try {
        if (role.kind === 'alone') await this.moveOut(role, step.token);
        else if (role.kind === 'manager') await this.moveHome(role, step.job);
      } catch (error) {
        // What fails in the store of this node leaves open what that holds: the next process reads it.
        if (!(error instanceof TransferError || error instanceof ForeignPrefixError)) throw error;
        moves.attempts += 1;
        if (moves.attempts >= MOVES_MAX) moves.failure = error.message;
        this.tools.log.event('error', 'mdm-cluster.not-moved', { reason: error.message });
      }
      await this.boot();
    }).catch((error: unknown) => {
      this.tools.failed(error instanceof Error ? error : new Error(String(error)));
    });
  }

  /** Whether the content may go there, before anything stops for it. @throws TransferError, ForeignPrefixError */
  private async checkPrefix(token: string, moves: Moves): Promise<void> {
    const transfer = this.transfer();
    try {
      await transfer.check(token);
    } catch (error) {
      if (error instanceof ForeignPrefixError) moves.failure = error.message;
      throw error;
    } finally {
      transfer.close();
    }
  }

  /** From the store of this node into the one that it shares. @throws TransferError, ForeignPrefixError */
  private async moveOut({ store }: Extract<Role, { kind: 'alone' }>, token: string): Promise<void> {
    this.becomeNothing();
    const transfer = this.transfer();
    try {
      const content = store.present();
      await transfer.fill(token, content);
      if (!store.seal(token, content.sequence))
        throw new StoreError('the store of this MDM changed while its content was copied');
    } finally {
      transfer.close();
      await store.close();
    }
  }

  /** From the shared store into the one of this node. @throws TransferError */
  private async moveHome(role: Extract<Role, { kind: 'manager' }>, job: number): Promise<void> {
    role.machine.retire();
    this.becomeNothing();
    try {
      const content = await role.store.content();
      if (content === null)
        throw new TransferError('another MDM became the master, or etcd does not answer');
      const token = `home-${job}-${content.sequence}`;
      const store = await this.openStore();
      try {
        store.import(token, content);
        const outcome = await role.store.seal({ token, to: this.record.selfKey });
        // Whoever looks at the shared store next finds out whether it is sealed.
        if (outcome !== 'done')
          throw new TransferError(`the seal of the store ended as ${outcome}`);
        store.activate(token);
      } finally {
        await store.close();
      }
      await this.leave(this.record.term);
    } finally {
      role.store.abandon();
      await role.store.close();
    }
  }

  private systemId(): string {
    return this.role.kind === 'alone' ? this.role.machine.systemId() : '';
  }
}

/** @throws Refusal */
function checkNames(...names: readonly string[]): void {
  for (const name of names) validName(name);
}
