// Words about links that did not come about: strangers that were turned away, and targets that did not answer or did not
// want us. It must never let them fill the log: strangers get one line a second, with the number of those that got none;
// a target is named again when its reason changes, or once a minute.

import type { Log } from '../../core/ports.js';
import { monotonicUs } from '../loop.js';

const QUIET_US = 1_000_000;

export class RefusalLog {
  private readonly log: Log;
  private quietUntilUs = 0;
  private unsaid = 0;

  constructor(log: Log) {
    this.log = log;
  }

  note(host: string, reason: string): void {
    const nowUs = monotonicUs();
    if (nowUs < this.quietUntilUs) {
      this.unsaid++;
      return;
    }
    this.log.event('warn', 'links.refused', { host, reason, unsaid: this.unsaid });
    this.unsaid = 0;
    this.quietUntilUs = nowUs + QUIET_US;
  }
}

const SAY_AGAIN_US = 60_000_000;
const REASONS_MAX = 64;

export class UnreachableLog {
  private readonly log: Log;
  private readonly saidUs = new Map<string, number>();

  constructor(log: Log) {
    this.log = log;
  }

  /** @param reason - each address with what happened there */
  note(reason: string): void {
    const nowUs = monotonicUs();
    const said = this.saidUs.get(reason);
    if (said !== undefined && nowUs - said < SAY_AGAIN_US) return;
    if (this.saidUs.size >= REASONS_MAX) this.saidUs.clear();
    this.saidUs.set(reason, nowUs);
    this.log.event('warn', 'links.unreachable', { reason });
  }
}
