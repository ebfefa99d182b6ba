// What the operator of a simulated cluster does with its MDMs: takes them in, switches the cluster between its modes, and
// exchanges its members. It
// must never know which MDM is what but by asking.

import type { ClusterQueryReplyBody, MdmMember } from '../protocol/generated/types.js';
import type { Prng } from '../core/prng.js';

import type { Admin } from './admin.js';
import { MDM_PORT } from './mdm-company.js';
import type { SimMdm } from './mdm-company.js';

const RETRY_US = 200_000;

/** How the operator waits. */
export type Soon = (inUs: number, run: (nowUs: number) => void) => void;

export class MdmOperator {
  /** A change was begun and has not ended. */
  isSwitching = false;
  private readonly admin: Admin;
  private readonly soon: Soon;
  private readonly prng: Prng;

  constructor(admin: Admin, soon: Soon, prng: Prng) {
    this.admin = admin;
    this.soon = soon;
    this.prng = prng;
  }

  /** Takes an MDM in. @param done - once it is known */
  takeIn(
    nowUs: number,
    node: SimMdm,
    role: 'manager' | 'tieBreaker',
    done: (nowUs: number) => void,
  ): void {
    const host = node.host.address;
    const params = { ...{ name: '', host, role, clean: true }, port: MDM_PORT };
    this.admin.ask(nowUs, 'ADD_STANDBY_MDM', { ...params, clientPort: 0, peerPort: 0 }, () => {
      this.ask((state, atUs) => {
        if (state.members.some((member) => member.host === host)) done(atUs);
        else
          this.soon(RETRY_US, (againUs) => {
            this.takeIn(againUs, node, role, done);
          });
      });
    });
  }

  /** Switches until the cluster has so many members. */
  insist(mode: number, done: (nowUs: number) => void): void {
    this.ask((state, nowUs) => {
      if (state.mode === mode && state.job === 0) {
        done(nowUs);
        return;
      }
      this.begin(state, mode, nowUs, () => {
        this.soon(RETRY_US, () => {
          this.insist(mode, done);
        });
      });
    });
  }

  /** Half of the operators insist on so many members, when nothing else is under way. */
  reform(mode: number): void {
    if (this.isSwitching || !this.prng.chance(1, 2)) return;
    this.isSwitching = true;
    this.insist(mode, () => {
      this.isSwitching = false;
    });
  }

  /** Switches the cluster to another mode, whatever comes of it. */
  switch(): void {
    this.isSwitching = true;
    this.ask((state, nowUs) => {
      const modes = [1, 3, 5].filter((mode) => mode !== state.mode && mode <= state.members.length);
      const end = (): void => {
        this.isSwitching = false;
      };
      if (modes.length === 0) end();
      else this.begin(state, this.prng.pick(modes), nowUs, end);
    });
  }

  /** Exchanges a member for a standby, while both are there or not; nothing happens where there is none. */
  exchange(): void {
    this.isSwitching = true;
    this.ask((state, nowUs) => {
      const end = (): void => {
        this.isSwitching = false;
      };
      const gone = this.shuffled(state.members.filter(({ member, master }) => member && !master));
      for (const { key, role } of gone) {
        const standby = state.members.find((other) => !other.member && other.role === role);
        if (standby === undefined) continue;
        this.change(nowUs, state.mode, [standby.key], [key], end);
        return;
      }
      end();
    });
  }

  private begin(
    state: ClusterQueryReplyBody,
    mode: number,
    nowUs: number,
    ended: () => void,
  ): void {
    const managers = (mode + 1) / 2;
    const [add, remove] = [[] as number[], [] as number[]];
    for (const [role, wanted] of [
      ['manager', managers],
      ['tieBreaker', mode - managers],
    ] as const) {
      const all = state.members.filter((member) => member.role === role);
      const present = all.filter(({ member }) => member);
      const others = this.shuffled(present.filter(({ master }) => !master));
      remove.push(...others.slice(0, Math.max(0, present.length - wanted)).map(({ key }) => key));
      const standbys = this.shuffled(all.filter(({ member }) => !member));
      add.push(...standbys.slice(0, Math.max(0, wanted - present.length)).map(({ key }) => key));
    }
    this.change(nowUs, mode, add, remove, ended);
  }

  private change(
    nowUs: number,
    mode: number,
    add: readonly number[],
    remove: readonly number[],
    ended: () => void,
  ): void {
    const params = { mode, add, remove, allowFailed: this.prng.chance(1, 2) };
    this.admin.ask(nowUs, 'SWITCH_CLUSTER', params, (status, result) => {
      if (result === null || status !== 0) this.soon(RETRY_US, ended);
      else this.follow(result.job, ended);
    });
  }

  /** Waits until a change ended, well or not. */
  private follow(job: number, ended: () => void): void {
    this.ask(({ lastJob }) => {
      if (lastJob >= job) ended();
      else
        this.soon(RETRY_US, () => {
          this.follow(job, ended);
        });
    });
  }

  private shuffled(members: readonly MdmMember[]): MdmMember[] {
    const left = [...members];
    const drawn: MdmMember[] = [];
    while (left.length > 0) drawn.push(...left.splice(this.prng.below(left.length), 1));
    return drawn;
  }

  private ask(answered: (state: ClusterQueryReplyBody, nowUs: number) => void): void {
    this.soon(0, (nowUs) => {
      this.admin.askCluster(nowUs, (state) => {
        this.soon(state === null ? RETRY_US : 0, (atUs) => {
          if (state === null) this.ask(answered);
          else answered(state, atUs);
        });
      });
    });
  }
}
