// What the operator decides while clients work: stops a protection domain and lets it go on, switches
// rebuilds off and on, takes servers out for maintenance
// and back. It owns when nothing may be served and who is out; it must never know what the servers make of that.

import type { Micros } from '../core/ports.js';
import { ERR } from '../protocol/generated/constants.js';
import type { Maintenance } from '../protocol/generated/types.js';

import type { Admin } from './admin.js';
import type { ServerWork } from './operator-servers.js';
import type { ServerNode } from './server-node.js';

const STOP_US_MAX = 600_000;
const MAINTENANCE_US_MAX = 4_000_000;
const REBUILD_OFF_US_MAX = 3_000_000;

/** A change of a pool: settings that stay as they are. */
export const KEEP_POOL = {
  ...{
    durability: null,
    fullPolicy: null,
    zeroPadding: null,
    checksums: null,
    rmcache: null,
    cacheWrites: null,
  },
  ...{ sparePercent: null, capacityAlertHighPercent: null, capacityAlertCriticalPercent: null },
  ...{ mediaType: null, loneReturn: null, force: false },
} as const;

/** The operator, as far as this work needs him. */
interface Operator {
  readonly admin: Admin;
  readonly serverWork: ServerWork;
  /** Runs something after a while. */
  soon(inUs: number, run: (nowUs: number) => void): void;
  /** Pause before a command is asked again whose outcome is this status. */
  pauseUs(status: number): number;
  /** A number below `below`, drawn for this scenario. */
  draw(below: number): number;
  /** Nothing that is asked between now and the call of the answer may be served before that call. */
  nothingIsServed(): () => void;
}

export class PolicyWork {
  private readonly operator: Operator;
  private changes = 0;
  /** The server that is out, or may be. */
  private resting: ServerNode | null = null;
  domainKey = 0;
  poolKey = 0;

  constructor(operator: Operator) {
    this.operator = operator;
  }

  get isChanging(): boolean {
    return this.changes > 0;
  }

  /** Stops the protection domain for a while; false: that is under way. */
  stopDomain(): boolean {
    if (this.changes > 0) return false;
    this.changes += 1;
    const { operator } = this;
    operator.soon(0, (nowUs) => {
      this.ask(nowUs, false, (status) => {
        const began = status === 0 ? operator.nothingIsServed() : null;
        const inUs = status === 0 ? 1 + operator.draw(STOP_US_MAX) : operator.pauseUs(status);
        operator.soon(inUs, (atUs) => {
          began?.();
          this.goOn(atUs);
        });
      });
    });
    return true;
  }

  /** Switches rebuilds of the pool off for a while; false: something else is under way. */
  stopRebuild(): boolean {
    if (this.changes > 0) return false;
    this.changes += 1;
    const { operator } = this;
    operator.soon(0, (nowUs) => {
      this.setRebuild(nowUs, false, () => {
        operator.soon(1 + operator.draw(REBUILD_OFF_US_MAX), (atUs) => {
          this.setRebuild(atUs, true, () => {
            this.changes -= 1;
          });
        });
      });
    });
    return true;
  }

  /** Sets the spare; asked once, whatever comes of it. */
  setSpare(sparePercent: number, force: boolean): void {
    const { operator } = this;
    const params = { ...KEEP_POOL, key: this.poolKey, sparePercent, force };
    operator.soon(0, (nowUs) => {
      operator.admin.ask(nowUs, 'SET_STORAGE_POOL', params, () => undefined);
    });
  }

  /** Takes the spare back, asked until it is done: writes that wait for room get what was kept free. */
  giveSpareBack(): void {
    const { operator } = this;
    const params = { ...KEEP_POOL, key: this.poolKey, sparePercent: 0, force: true };
    operator.soon(0, (nowUs) => {
      operator.admin.ask(nowUs, 'SET_STORAGE_POOL', params, (status) => {
        if (status === 0) return;
        operator.soon(operator.pauseUs(status), () => {
          this.giveSpareBack();
        });
      });
    });
  }

  /** Asked until it is done. */
  private setRebuild(nowUs: Micros, rebuildEnabled: boolean, done: () => void): void {
    const { operator } = this;
    const kept = { rebalanceEnabled: null, rebuild: null, rebalance: null, movesPerDevice: null };
    const params = { key: this.poolKey, rebuildEnabled, ...kept };
    operator.admin.ask(nowUs, 'SET_POOL_COPYING', params, (status) => {
      if (status === 0) done();
      else
        operator.soon(operator.pauseUs(status), (atUs) => {
          this.setRebuild(atUs, rebuildEnabled, done);
        });
    });
  }

  /**
   * Takes a server out for maintenance and, after a while, back; false: something else is under way, or it is no part of
   * the system.
   *
   * @param work - what is done to the server while it is out; returns what undoes it
   */
  maintain(
    server: ServerNode,
    maintenance: Maintenance,
    work: (server: ServerNode) => () => void,
  ): boolean {
    const key = this.operator.serverWork.keyOf(server);
    if (this.changes > 0 || key === 0) return false;
    this.changes += 1;
    this.resting = server;
    const { operator } = this;
    operator.soon(0, (nowUs) => {
      operator.admin.ask(nowUs, 'ENTER_MAINTENANCE', { key, maintenance }, (status) => {
        // Refused: nothing happened. Of unknown outcome: it is left, whatever it was.
        if (status !== 0 && status !== ERR.TIMED_OUT) {
          this.resting = null;
          this.changes -= 1;
          return;
        }
        const undo = status === 0 && operator.draw(2) === 0 ? work(server) : null;
        operator.soon(operator.pauseUs(status) + operator.draw(MAINTENANCE_US_MAX), (atUs) => {
          undo?.();
          this.leave(atUs, key);
        });
      });
    });
    return true;
  }

  /** Whether a server is out, or may be. */
  get isMaintaining(): boolean {
    return this.resting !== null;
  }

  private leave(nowUs: Micros, key: number): void {
    const { operator } = this;
    const params = { key, abort: false, force: false };
    operator.admin.ask(nowUs, 'EXIT_MAINTENANCE', params, (status) => {
      // Asked until it says that it works: then everything that it missed is there again.
      if (status !== ERR.SDS_NOT_IN_MAINTENANCE && status !== ERR.SDS_NOT_FOUND) {
        operator.soon(operator.pauseUs(status), (atUs) => {
          this.leave(atUs, key);
        });
        return;
      }
      this.resting = null;
      this.changes -= 1;
    });
  }

  private goOn(nowUs: Micros): void {
    const { operator } = this;
    this.ask(nowUs, true, (status) => {
      if (status === 0) this.changes -= 1;
      else
        operator.soon(operator.pauseUs(status), (atUs) => {
          this.goOn(atUs);
        });
    });
  }

  private ask(nowUs: Micros, active: boolean, answered: (status: number) => void): void {
    const params = { key: this.domainKey, active, force: true };
    this.operator.admin.ask(nowUs, 'SET_PROTECTION_DOMAIN_ACTIVE', params, (status) => {
      answered(status === ERR.PENDING && active ? 0 : status);
    });
  }
}
