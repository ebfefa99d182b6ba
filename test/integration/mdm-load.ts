// Commands without pause on an MDM, and what of them must be there afterwards.

import { ClusterError } from '../../backend/runtime/cluster.js';
import type { MdmSession } from '../../backend/runtime/mdm-session.js';
import { until } from '../support/until.js';

const SLOTS = 8;

/** Commands without pause, each of which gives one of a few objects a higher number. */
export class Load {
  private readonly session: MdmSession;
  private readonly slots: { key: number; acknowledged: number; asked: number }[] = [];
  private stopped = false;
  private ended: Promise<void> = Promise.resolve();
  private number = 0;
  private done = 0;

  constructor(session: MdmSession) {
    this.session = session;
  }

  /** Makes the objects, and begins to change them. @param session - one that waits for long */
  async start(session: MdmSession): Promise<void> {
    for (let slot = 0; slot < SLOTS; slot++) {
      const name = `d-${slot}-0`;
      const { key } = await session.command('ADD_PROTECTION_DOMAIN', 'admin', { name });
      this.slots.push({ key, acknowledged: 0, asked: 0 });
    }
    this.ended = this.run();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.ended;
  }

  /** Waits until a command is acknowledged that was asked from now on; how long that took. */
  async goesOn(): Promise<number> {
    const beganMs = Date.now();
    const before = this.number;
    await until('commands are acknowledged', () => (this.done > before ? true : null));
    return Date.now() - beganMs;
  }

  /** What must be there by now: for each object the least number. */
  private promised(): ReadonlyMap<number, number> {
    return new Map(this.slots.map(({ key, acknowledged }) => [key, acknowledged]));
  }

  /** The highest number that an object may have by now. */
  private asked(key: number): number {
    return this.slots.find((slot) => slot.key === key)?.asked ?? -1;
  }

  /** What contradicts the promise in what an MDM has; null: nothing. */
  async fault(reader: MdmSession): Promise<string | null> {
    const promised = this.promised();
    const domains = await reader.query('protectionDomain');
    if (domains.length !== SLOTS) return `${domains.length} objects instead of ${SLOTS}`;
    for (const { key, name } of domains) {
      const number = Number(name.split('-')[2]);
      const least = promised.get(key) ?? Infinity;
      if (number < least) return `${number} of ${key}, but ${least} was acknowledged`;
      if (number > this.asked(key)) return `${number} of ${key} was never asked for`;
    }
    return null;
  }

  private async run(): Promise<void> {
    while (!this.stopped) {
      const number = ++this.number;
      const slot = this.slots[number % SLOTS];
      if (slot === undefined) throw new Error('a slot');
      slot.asked = number;
      const name = `d-${number % SLOTS}-${number}`;
      try {
        await this.session.command('RENAME_PROTECTION_DOMAIN', 'admin', { key: slot.key, name });
        slot.acknowledged = number;
        this.done = number;
      } catch (error) {
        if (!(error instanceof ClusterError)) throw error;
        const { class: kind } = error.info;
        if (kind !== 'maybe' && kind !== 'retry') throw error;
        // A session that was closed refuses at once.
        await new Promise((done) => setTimeout(done, 10));
      }
    }
  }
}
