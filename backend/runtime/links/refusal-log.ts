// Words about strangers that were turned away. It must never let a stranger fill the log: one line a second, with the
// number of those that got none.

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
