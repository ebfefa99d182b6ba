// What the operator does with servers while the system runs: adds them, removes them with all that they hold, takes them to
// another protection domain and back, changes his mind.
// It owns which servers are part of the system, as far as the answers say.

import { ERR } from '../protocol/generated/constants.js';
import type { CommandParams } from '../protocol/generated/types.js';

import type { Admin } from './admin.js';
import type { ServerNode } from './server-node.js';

const ABORT_US_MAX = 1_500_000;
const AWAY_US_MAX = 6_000_000;
/** After so many refusals a server that cannot come back stays where it is: its disk is broken. */
const RETURNS_MAX = 100;

/** What becomes of a server that is to go to the other protection domain. */
export type MoveEnd = 'stays' | 'aborts' | 'returns';

/** Where a server with one device goes. */
export type MoveTarget = Pick<CommandParams['MOVE_SDS'], 'domainKey' | 'faultSetKey' | 'poolKey'>;

/** The operator, as far as this work needs him. */
interface Operator {
  readonly admin: Admin;
  /** Runs something after a while. */
  soon(inUs: number, run: (nowUs: number) => void): void;
  /** How a server is added. */
  sdsParams(server: ServerNode): CommandParams['ADD_SDS'];
  /** The other protection domain. */
  awayParams(): MoveTarget;
  /** Pause before a command is asked again whose outcome is this status. */
  pauseUs(status: number): number;
  /** A number below `below`, drawn for this scenario. */
  draw(below: number): number;
}

export class ServerWork {
  private readonly operator: Operator;
  /** Key of the SDS by server; 0: its addition has an unknown outcome. */
  private readonly keys = new Map<ServerNode, number>();
  private readonly leavingServers = new Set<ServerNode>();
  private changes = 0;
  /** Removals and moves that were accepted: a device that left comes back as another one. */
  private departures = 0;

  constructor(operator: Operator) {
    this.operator = operator;
  }

  get isChanging(): boolean {
    return this.changes > 0;
  }

  /** Servers that are part of the system and stay, as far as the answers say. */
  isUsed(server: ServerNode): boolean {
    return (this.keys.get(server) ?? 0) !== 0 && !this.leavingServers.has(server);
  }

  /** Key of a server that is part of the system and stays, 0: it is not, or that is not known. */
  keyOf(server: ServerNode): number {
    return this.isUsed(server) ? (this.keys.get(server) ?? 0) : 0;
  }

  /** Which servers are part of the system; null: one is leaving, or nobody knows. */
  facts(): string | null {
    const keys = [...this.keys.values()];
    const isUnsure = this.leavingServers.size > 0 || keys.includes(0);
    return isUnsure ? null : `${keys.join(' ')} after ${this.departures}`;
  }

  /** Servers whose removal was accepted. */
  leaving(): Iterable<ServerNode> {
    return this.leavingServers;
  }

  added(server: ServerNode, key: number): void {
    this.keys.set(server, key);
  }

  /** Adds a server that is not part of the system; false: it is. */
  add(server: ServerNode): boolean {
    if (this.changes > 0 || this.keys.has(server)) return false;
    const { operator } = this;
    this.changes += 1;
    operator.soon(0, (nowUs) => {
      operator.admin.ask(nowUs, 'ADD_SDS', operator.sdsParams(server), (status, result) => {
        this.changes -= 1;
        if (status === 0 && result !== null) this.added(server, result.key);
        // Whatever came of it, it is not removed again.
        else if (status === ERR.TIMED_OUT || status === ERR.SDS_NAME_IN_USE) this.added(server, 0);
      });
    });
    return true;
  }

  /**
   * Removes a server with its data, or is refused.
   *
   * @param aborts - changes his mind after a while
   * @returns false: it is not part of the system, or another one is being removed
   */
  remove(server: ServerNode, aborts: boolean): boolean {
    const key = this.keys.get(server) ?? 0;
    if (this.changes > 0 || key === 0 || this.leavingServers.size > 0) return false;
    const { operator } = this;
    this.changes += 1;
    operator.soon(0, (nowUs) => {
      operator.admin.ask(nowUs, 'REMOVE_SDS', { key, force: false }, (status) => {
        this.changes -= 1;
        if (status === ERR.TIMED_OUT) this.keys.set(server, 0);
        if (status !== 0) return;
        this.leavingServers.add(server);
        this.departures += 1;
        if (aborts) this.abort(server, key);
      });
    });
    return true;
  }

  /** Says that a device was looked after; asked until it is answered. */
  clearError(server: ServerNode): void {
    if (!this.isUsed(server)) return;
    const { operator } = this;
    this.changes += 1;
    const clear = (nowUs: number): void => {
      operator.admin.ask(nowUs, 'CLEAR_DEVICE_ERROR', { key: server.deviceKey }, (status) => {
        if (status === 0 || status === ERR.DEVICE_NOT_FOUND) this.changes -= 1;
        else operator.soon(ABORT_US_MAX, clear);
      });
    };
    operator.soon(0, clear);
  }

  private abort(server: ServerNode, key: number): void {
    const { operator } = this;
    this.changes += 1;
    operator.soon(1 + operator.draw(ABORT_US_MAX), (nowUs) => {
      operator.admin.ask(nowUs, 'ABORT_REMOVE_SDS', { key }, (status) => {
        this.changes -= 1;
        if (status === 0) this.leavingServers.delete(server);
        if (status === ERR.TIMED_OUT) {
          this.leavingServers.delete(server);
          this.keys.set(server, 0);
        }
      });
    });
  }

  /**
   * Takes a server to the other protection domain, or is refused.
   *
   * @returns false: it is not part of the system, or another one is on its way
   */
  move(server: ServerNode, end: MoveEnd): boolean {
    const key = this.keys.get(server) ?? 0;
    if (this.changes > 0 || key === 0 || this.leavingServers.size > 0) return false;
    const { operator } = this;
    this.changes += 1;
    operator.soon(0, (nowUs) => {
      const params = { ...operator.awayParams(), key, devices: [], force: false };
      operator.admin.ask(nowUs, 'MOVE_SDS', params, (status) => {
        this.changes -= 1;
        if (status === ERR.TIMED_OUT) this.keys.set(server, 0);
        if (status !== 0) return;
        this.leavingServers.add(server);
        this.departures += 1;
        if (end === 'aborts') this.abortMove(server, key);
        else if (end === 'returns') this.comeBack(server, key);
      });
    });
    return true;
  }

  private abortMove(server: ServerNode, key: number): void {
    const { operator } = this;
    this.changes += 1;
    operator.soon(1 + operator.draw(ABORT_US_MAX), (nowUs) => {
      operator.admin.ask(nowUs, 'ABORT_MOVE_SDS', { key }, (status) => {
        this.changes -= 1;
        this.settled(server, status);
      });
    });
  }

  /** Asked until it is accepted: it may still be on its way, or away from the network. */
  private comeBack(server: ServerNode, key: number): void {
    const { operator } = this;
    const { domainKey, faultSetKey, devices } = operator.sdsParams(server);
    const poolKey = devices[0]?.poolKey ?? 0;
    const params = { key, domainKey, faultSetKey, poolKey, devices: [], force: false };
    let tries = 0;
    const ask = (nowUs: number): void => {
      operator.admin.ask(nowUs, 'MOVE_SDS', params, (status) => {
        tries += 1;
        if (status !== 0 && status !== ERR.TIMED_OUT && tries < RETURNS_MAX) {
          operator.soon(operator.pauseUs(status), ask);
          return;
        }
        this.changes -= 1;
        this.settled(server, status);
      });
    };
    this.changes += 1;
    operator.soon(1 + operator.draw(AWAY_US_MAX), ask);
  }

  /** It is on its way back, or stays away, or nobody knows. */
  private settled(server: ServerNode, status: number): void {
    if (status === 0) this.leavingServers.delete(server);
    if (status !== ERR.TIMED_OUT) return;
    this.leavingServers.delete(server);
    this.keys.set(server, 0);
  }
}
