// Signs of life on links: asks a silent other end, gives up on one that stays silent (a host without power sends no FIN).
// It must never blame the other end for a time in which this process itself stood still.

import type { Loop } from '../loop.js';
import type { Connection } from './connection.js';

const US_PER_MS = 1000;

export class Liveness {
  private readonly loop: Loop;
  private readonly open: ReadonlyMap<number, Connection>;
  private readonly idleUs: number;
  private readonly deadUs: number;
  private timer: NodeJS.Timeout | null = null;
  private checkedUs = 0;

  constructor(loop: Loop, open: ReadonlyMap<number, Connection>, idleMs: number, deadMs: number) {
    this.loop = loop;
    this.open = open;
    this.idleUs = idleMs * US_PER_MS;
    this.deadUs = deadMs * US_PER_MS;
  }

  start(): void {
    if (this.timer !== null) return;
    this.checkedUs = this.loop.nowUs;
    this.timer = setInterval(
      () => {
        this.loop.begin();
        this.check();
        this.loop.end();
      },
      this.idleUs / US_PER_MS / 2,
    );
    // Waiting for signs of life is no reason for a process to go on.
    this.timer.unref();
  }

  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
  }

  private check(): void {
    const { nowUs } = this.loop;
    const stoodStill = nowUs - this.checkedUs > this.idleUs * 2;
    this.checkedUs = nowUs;
    for (const connection of [...this.open.values()]) {
      if (stoodStill) connection.heardUs = Math.max(connection.heardUs, nowUs - this.idleUs);
      const silentUs = nowUs - connection.heardUs;
      if (connection.paused) connection.showLife();
      else if (silentUs >= this.deadUs)
        connection.fail(`no sign of life for ${Math.floor(silentUs / US_PER_MS)} ms`);
      else if (silentUs >= this.idleUs) connection.ping();
    }
  }
}
