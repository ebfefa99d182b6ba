// An MDM of a simulated cluster: its host, what lies on its disk, its process of the moment. It owns starting and killing;
// what a process is follows from the disk, as with real ones. It must never look into the machine.

import { assert } from '../core/assert.js';
import type { Change, Machine } from '../core/ports.js';
import { Mdm } from '../mdm/mdm.js';
import type { ClusterInputs } from '../mdm/cluster-port.js';
import { placeName } from '../mdm/cluster-state.js';
import { Manager } from '../mdm/manager.js';
import { NodeMachine } from '../mdm/node.js';
import type { MdmContent, MdmOptions } from '../mdm/options.js';
import type { Recovery } from '../mdm/recovery.js';
import type { NodeReport, Step } from '../mdm/cluster-plan.js';
import { mark } from '../core/marks.js';
import { ERR, VERSION_MAX } from '../protocol/generated/constants.js';
import { judgeBoot, judgeTask, leftRecord } from '../protocol/node-state.js';
import type { NodeRecord, ToldTask } from '../protocol/node-state.js';

import type { EventTarget } from './event-queue.js';
import type { SimHost } from './host.js';
import type { SimLog } from './log.js';
import { SimMetadataStore } from './metadata-store.js';
import type { SimMetadata, StoreTiming } from './metadata-store.js';
import { MDM_PORT } from './mdm-company.js';
import type { MdmCompany, SimMdm } from './mdm-company.js';
import { ContentMove } from './mdm-content-move.js';
import { MdmDisk } from './mdm-disk.js';
import { MANAGER_TIMES, simulatedOptions } from './mdm-options.js';
import { recoveryOf, watchFormer } from './mdm-recovery.js';
import { SimReach } from './mdm-reach.js';
import type { SimNetwork } from './network.js';
import { SimProcess } from './process.js';
import { SimSharedStore } from './shared-store.js';
import type { SimEtcd } from './shared-store.js';
import type { Simulation } from './simulation.js';

const MARKS = {
  followed: mark('sim: an MDM found out that the content is in its own store'),
};

const RETRY_US = 300_000;

type Role =
  | { readonly kind: 'none' }
  | { readonly kind: 'alone'; readonly machine: Mdm; readonly store: SimMetadataStore }
  | { readonly kind: 'restored'; readonly machine: Recovery }
  | { readonly kind: 'manager'; readonly machine: Manager; readonly store: SimSharedStore };

export class MdmNode implements EventTarget, SimMdm {
  readonly host: SimHost;
  process: SimProcess | null = null;
  /** Changed while it runs. */
  readonly timing: StoreTiming;
  private readonly disk = new MdmDisk();
  private readonly sim: Simulation;
  private readonly network: SimNetwork;
  private readonly log: SimLog;
  private readonly options: Partial<MdmOptions>;
  private readonly node: number;
  /** null: it is the only MDM, and will be. */
  private readonly company: MdmCompany | null;
  private readonly begins: boolean;
  private role: Role = { kind: 'none' };
  private machine: NodeMachine | null = null;
  private readonly contentMove: ContentMove;

  /** @param begins - the system begins here; other MDMs are taken in */
  constructor(
    sim: Simulation,
    network: SimNetwork,
    log: SimLog,
    host: SimHost,
    node: number,
    timing: StoreTiming,
    options: Partial<MdmOptions>,
    company: MdmCompany | null,
    begins: boolean,
  ) {
    this.sim = sim;
    this.network = network;
    this.log = log;
    this.host = host;
    this.node = node;
    this.timing = timing;
    this.options = options;
    this.company = company;
    this.begins = begins;
    this.contentMove = new ContentMove(sim, this, this.disk);
  }

  get record(): NodeRecord {
    return this.disk.record;
  }

  get address(): { readonly host: string; readonly port: number } {
    return { host: this.host.address, port: MDM_PORT };
  }

  /** The MDM of a cluster that this is at the moment. */
  get manager(): Manager | null {
    return this.role.kind === 'manager' ? this.role.machine : null;
  }

  /** Is told what took the place of everything when a backup was restored. */
  restored: (changes: readonly Change[]) => void = () => undefined;

  /** Hears of every commit in its own store. */
  watch(watcher: SimMetadata['watcher']): void {
    this.disk.content.watcher = watcher;
  }

  isMaster(): boolean {
    return this.role.kind === 'alone' || this.manager?.isMaster() === true;
  }

  start(): void {
    if (this.process?.alive === true) return;
    const identity = { role: 'mdm' as const, key: 0, incarnation: 1, run: 0 };
    const name = this.company === null ? 'mdm' : `mdm-${this.host.address}`;
    const process = new SimProcess(this.sim, this.host, name, this.node, identity, MDM_PORT);
    this.process = process;
    const machine = new NodeMachine(this.network.linksOf(process), {
      report: () => this.report(),
      // Tasks come by other ways here.
      task: (asker) => {
        machine.answered(asker, ERR.PERMISSION_DENIED, []);
      },
      create: (asker) => {
        machine.answered(asker, ERR.ALREADY_CONFIGURED, []);
      },
    });
    this.machine = machine;
    this.role = { kind: 'none' };
    process.attach(machine);
    this.boot();
  }

  report(): NodeReport {
    const { record, role, company, host } = this;
    const isAlone = role.kind === 'alone' || role.kind === 'restored';
    const state = record.part === 'member' ? 'member' : isAlone ? 'alone' : 'blank';
    const store = company?.etcds.store(record.token);
    const seat = store?.isAside === false ? store.members.get(host.address) : undefined;
    const storeUp = company?.etcds.reaches(host.address) === true && seat?.isLearner === false;
    const token = record.part === 'none' ? '' : record.token;
    const about = { systemId: '', version: 'sim', protocolMax: VERSION_MAX };
    return { state, token, storeUp, storeFault: '', ...about };
  }

  /** What a master told this node. @returns why not, null: it is so */
  obey(told: ToldTask): string | null {
    const judged = judgeTask(this.record, this.role.kind === 'alone', told);
    if (judged.kind === 'refused') return judged.reason;
    if (judged.kind === 'nothing') return null;
    const isAlone = this.role.kind === 'alone';
    if (judged.kind === 'leaves') this.disk.record = leftRecord(this.record, told.term);
    else {
      this.disk.record = judged.record;
      const { address } = this.host;
      const etcd = this.etcd(told.token);
      if (judged.record.joins)
        etcd.begin(
          address,
          told.seats.map(({ host }) => host),
        );
      else etcd.members.set(address, { isLearner: false, works: true });
    }
    if (!isAlone) this.boot();
    return null;
  }

  /** kill -9; without power nobody is told. */
  kill(resets = true): void {
    const { process } = this;
    if (process?.alive !== true) return;
    process.die();
    if (this.role.kind === 'alone') this.role.store.processDied();
    this.role = { kind: 'none' };
    this.network.processEnded(process, resets);
  }

  /** What lies on its disk becomes what was restored; no process of it runs. */
  restore(content: MdmContent): void {
    assert(this.process?.alive !== true, 'nothing is restored under an MDM that runs');
    this.disk.restore(content);
  }

  /** What it was part of does not concern it any more; no process of it runs. */
  forget(): void {
    assert(this.process?.alive !== true, 'an MDM that runs forgets nothing');
    this.disk.record = leftRecord(this.record, 1);
    this.disk.clear();
  }

  /** It takes part in a cluster that is no more. */
  get isLeftBehind(): boolean {
    const { part, token } = this.record;
    return part !== 'none' && this.company?.etcds.store(token).isAside === true;
  }

  restartIn(inUs: number): void {
    this.sim.queue.push(this.sim.nowUs + inUs, this, 2, 0);
  }

  fire(_timeUs: number, what: number): void {
    if (what === 1) {
      this.kill();
      this.restartIn(100_000);
    } else if (this.host.powered) this.start();
  }

  etcd(token: string): SimEtcd {
    if (this.company === null) throw new Error('an MDM alone shares nothing');
    return this.company.etcds.store(token);
  }

  /** Becomes what lies on the disk. */
  boot(): void {
    this.becomeNothing();
    const own = { mark: this.disk.mark, isEmpty: this.disk.content.sequence === 0 };
    const { boot, record } = judgeBoot(this.record, own, this.begins);
    this.disk.record = record;
    switch (boot.kind) {
      case 'blank':
        this.disk.clear();
        return;
      case 'alone':
        this.becomeAlone();
        return;
      case 'member':
        this.becomeMember();
        if (boot.opens) this.open(record.token);
        return;
      case 'lost':
        this.sim.fail(
          `${this.host.address} knows nothing of the store ${boot.token} that has its content`,
        );
        return;
      case 'restored':
        this.becomeRestored();
    }
  }

  /** What was restored waits for the devices. */
  private becomeRestored(): void {
    const { sim, process, machine, disk } = this;
    if (process === null || machine === null) return;
    const site = {
      disk,
      restored: this.restored,
      boot: () => {
        if (process === this.process) this.boot();
      },
    };
    const ports = { links: machine.links, log: this.log.of('mdm') };
    const recovery = recoveryOf(sim, process, site, ports, this.machineOptions());
    this.role = { kind: 'restored', machine: recovery };
    this.become(recovery, () => undefined);
    process.input((nowUs) => {
      recovery.start(nowUs);
    });
    const isCurrent = (): boolean =>
      this.role.kind === 'restored' && this.role.machine === recovery && process.alive;
    watchFormer(sim, recovery, (current) => this.reach('', current), isCurrent);
  }

  private becomeNothing(): void {
    const { role } = this;
    this.role = { kind: 'none' };
    if (role.kind === 'alone') role.store.settle();
    if (role.kind === 'manager') role.store.abandon();
    this.become(null, () => undefined);
  }

  private become(inner: Machine | null, begin: (nowUs: number) => void): void {
    const { machine } = this;
    this.process?.input((nowUs) => {
      begin(nowUs);
      machine?.become(nowUs, inner);
    });
  }

  private becomeAlone(): void {
    const { process, machine } = this;
    if (process === null || machine === null) return;
    const store: SimMetadataStore = new SimMetadataStore(
      this.sim,
      process,
      this.disk.content,
      this.timing,
      (nowUs, token, outcome) => {
        if (outcome === 'done') this.company?.etcds.tell(this.disk.content.sequence);
        if (this.role === role) mdm.committed(nowUs, token, outcome);
      },
    );
    const host = {
      steppedDown: (): void => {
        // The process ends when the running input is over.
        this.sim.queue.push(this.sim.nowUs, this, 1, process.node);
      },
    };
    const { links } = machine;
    const log = this.log.of('mdm');
    const reach = this.reach('', () => (this.role === role ? mdm : null));
    const content = {
      term: this.disk.content.term,
      sequence: this.disk.content.sequence,
      entries: this.disk.content.entries(),
    };
    const ports = { links, store, log, host, ...(reach === null ? {} : { cluster: reach }) };
    const mdm: Mdm = new Mdm(ports, content, this.machineOptions());
    const role: Role = { kind: 'alone', machine: mdm, store };
    this.role = role;
    this.become(mdm, (nowUs) => {
      mdm.start(nowUs);
    });
  }

  private becomeMember(): void {
    const { process, machine, record } = this;
    const seat = record.seats.find(({ key }) => key === record.selfKey);
    if (process === null || machine === null || seat?.role !== 'manager') return;
    const current = (): Manager | null => (this.role === role ? manager : null);
    const store: SimSharedStore = new SimSharedStore(
      this.sim,
      process,
      this.etcd(record.token),
      {
        looked: (...input) => current()?.looked(...input),
        taken: (...input) => current()?.taken(...input),
        beaten: (...input) => current()?.beaten(...input),
        committed: (...input) => current()?.committed(...input),
      },
      (seal) => {
        this.followSeal(seal);
      },
    );
    const log = this.log.of('mdm');
    const place = { ...this.address, name: placeName(this.address) };
    const cluster = this.reach(record.token, current);
    const ports = { links: machine.links, store, log, ...(cluster === null ? {} : { cluster }) };
    const manager: Manager = new Manager(ports, place, MANAGER_TIMES, this.machineOptions());
    const role: Role = { kind: 'manager', machine: manager, store };
    this.role = role;
    this.process?.input((nowUs) => {
      machine.become(nowUs, manager);
      manager.start(nowUs);
    });
  }

  private reach(token: string, current: () => ClusterInputs | null): SimReach | null {
    const { company, process } = this;
    if (company === null || process === null) return null;
    return new SimReach(this.sim, this.network, company, process, token, {
      current,
      moveFailure: () => this.contentMove.failure,
      move: (step) => {
        this.move(step);
      },
    });
  }

  /** The content goes to another store. */
  private move({ job, token }: Extract<Step, { kind: 'move' }>): void {
    const { role } = this;
    this.contentMove.begin(job);
    if (role.kind === 'alone') {
      this.becomeNothing();
      this.contentMove.out(token);
    } else if (role.kind === 'manager') {
      role.machine.retire();
      this.role = { kind: 'none' };
      this.become(null, () => undefined);
      this.contentMove.home(job, role.store);
    }
  }

  reaches(): boolean {
    return this.company?.etcds.reaches(this.host.address) === true;
  }

  /** Lets everybody use the store that the content of this node went into. */
  private open(token: string): void {
    const { process } = this;
    this.later(this.sim.prng.below(RETRY_US), () => {
      if (process !== this.process || process?.alive !== true || this.record.token !== token)
        return;
      const etcd = this.etcd(token);
      if (this.reaches() && !process.paused) etcd.open = true;
      else this.open(token);
    });
  }

  /** The content left the shared store. */
  private followSeal({ token, to }: NonNullable<SimEtcd['seal']>): void {
    if (to !== this.record.selfKey || this.role.kind !== 'manager') return;
    const { mark } = this.disk;
    if (mark?.token !== token || mark.state === 'sealed')
      this.sim.fail(`${this.host.address} has not the content that was sealed for it`);
    MARKS.followed.hits++;
    this.disk.mark = { state: 'used', token };
    this.disk.record = leftRecord(this.record, this.record.term);
    this.later(0, () => {
      this.boot();
    });
  }

  private later(inUs: number, run: () => void): void {
    this.sim.queue.push(this.sim.nowUs + inUs, { fire: run }, 0, 0);
  }

  private machineOptions(): MdmOptions {
    return simulatedOptions(this.host.address, this.begins, this.options);
  }
}
