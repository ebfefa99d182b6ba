// How a simulated master reaches other MDMs and the members of the store: with delays, answers that get lost, and tasks that
// are done long after whoever gave them gave up. It must never decide anything.

import type { Micros, Token } from '../core/ports.js';
import { mark } from '../core/marks.js';
import type { MoveFailure, NodeReport, Step, StoreMember } from '../mdm/cluster-plan.js';
import type { ClusterInputs, ClusterPort } from '../mdm/cluster-port.js';
import type { Mdm } from '../protocol/generated/types.js';

import type { MdmCompany, SimMdm } from './mdm-company.js';
import type { SimNetwork } from './network.js';
import type { SimProcess } from './process.js';
import type { Simulation } from './simulation.js';

const MARKS = {
  late: mark('sim: an MDM was told a task late'),
  unready: mark('sim: a learner was to become a member too early'),
};

const DELAY_US_MAX = 20_000;
const NO_ANSWER_US = 1_500_000;
const LATE_US_MAX = 8_000_000;

export interface ReachOwner {
  readonly current: () => ClusterInputs | null;
  readonly moveFailure: () => MoveFailure | null;
  readonly move: (step: Extract<Step, { kind: 'move' }>) => void;
}

export class SimReach implements ClusterPort {
  readonly token: string;
  private readonly sim: Simulation;
  private readonly network: SimNetwork;
  private readonly company: MdmCompany;
  private readonly process: SimProcess;
  private readonly owner: ReachOwner;

  constructor(
    sim: Simulation,
    network: SimNetwork,
    company: MdmCompany,
    process: SimProcess,
    token: string,
    owner: ReachOwner,
  ) {
    this.sim = sim;
    this.network = network;
    this.company = company;
    this.process = process;
    this.token = token;
    this.owner = owner;
  }

  observe(token: Token, nodes: readonly Mdm[]): void {
    this.after(this.sim.prng.below(DELAY_US_MAX), () => {
      const reports = new Map<number, NodeReport | string>();
      for (const { key, host } of nodes) {
        const node = this.node(host);
        reports.set(key, node !== null && this.hears(node) ? node.report() : 'no answer');
      }
      const observation = { reports, store: this.members(), moveFailure: this.owner.moveFailure() };
      this.deliver((machine, nowUs) => {
        machine.observed(nowUs, token, observation);
      });
    });
  }

  perform(token: Token, step: Step, term: number): void {
    const { prng } = this.sim;
    if (step.kind === 'move') {
      // The machine ends; what is under way must not reach it any more.
      this.after(0, () => {
        if (this.owner.current() !== null) this.owner.move(step);
      });
      return;
    }
    const { etcds } = this.company;
    const { lostPermille, lives } = etcds;
    const isLate = prng.chance(lostPermille, 1000);
    if (isLate) MARKS.late.hits++;
    const inUs = isLate ? prng.below(LATE_US_MAX) : prng.below(DELAY_US_MAX);
    let failure: string | null = 'no answer';
    this.sim.queue.push(
      this.sim.nowUs + inUs,
      {
        fire: () => {
          // Everybody was stopped since.
          if (lives !== etcds.lives) return;
          failure = 'seat' in step ? this.change(step.kind, step.seat) : this.tell(step, term);
        },
      },
      0,
      0,
    );
    this.after(isLate ? NO_ANSWER_US : inUs + prng.below(DELAY_US_MAX) + 1, () => {
      this.deliver((machine, nowUs) => {
        machine.performed(nowUs, token, failure);
      });
    });
  }

  private tell(
    step: Extract<Step, { kind: 'form' | 'join' | 'leave' }>,
    term: number,
  ): string | null {
    const node = this.node(step.node.host);
    if (node === null || !this.hears(node)) return 'no answer';
    const { kind: task, token } = step;
    const seats = 'seats' in step ? step.seats : [];
    return node.obey({ task, term, token, seats, prefix: '/sim', selfKey: step.node.key });
  }

  private change(kind: 'add' | 'promote' | 'drop', { host }: StoreMember): string | null {
    if (!this.company.etcds.reaches(this.process.host.address)) return 'etcd does not answer';
    const etcd = this.company.etcds.store(this.token);
    const { members } = etcd;
    if (kind === 'drop') members.delete(host);
    else if (kind === 'add')
      members.set(host, members.get(host) ?? { isLearner: true, works: false });
    else {
      const member = members.get(host);
      const record = this.node(host)?.record;
      const isThere = record?.token === this.token;
      // It is started again and again until it begins.
      if (isThere)
        etcd.begin(
          host,
          record.seats.map((seat) => seat.host),
        );
      if (member !== undefined && !(isThere && member.works)) {
        MARKS.unready.hits++;
        return 'the learner has not everything yet';
      }
      if (member !== undefined) member.isLearner = false;
    }
    return null;
  }

  private members(): readonly StoreMember[] | null {
    const { etcds } = this.company;
    if (this.token === '' || !etcds.reaches(this.process.host.address)) return null;
    return [...etcds.store(this.token).members].map(([host, { isLearner }]) => ({
      ...{ host, peerPort: 9013, isLearner },
      isStarted: this.node(host)?.record.token === this.token,
    }));
  }

  private node(host: string): SimMdm | null {
    return this.company.nodes().find((node) => node.host.address === host) ?? null;
  }

  private hears({ host, process }: SimMdm): boolean {
    if (process?.alive !== true || process.paused) return false;
    return host === this.process.host || this.network.connects(this.process.host, host);
  }

  private after(inUs: Micros, run: () => void): void {
    this.sim.queue.push(this.sim.nowUs + inUs, { fire: run }, 0, 0);
  }

  private deliver(give: (machine: ClusterInputs, nowUs: number) => void): void {
    this.process.input((nowUs) => {
      const machine = this.owner.current();
      if (machine !== null) give(machine, nowUs);
    });
  }
}
