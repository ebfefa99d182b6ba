// What devices remember of combs, as they tell it page by page. It owns who was asked and how far each has told; it must never
// judge what that means.

import type { LinkId } from '../core/ports.js';
import { MSG } from '../protocol/generated/constants.js';
import type { CombMemory, CombsRememberedBody } from '../protocol/generated/types.js';
import type { Sessions } from './sessions.js';

/** First protocol version in which devices can be asked. */
const SINCE_VERSION = 2;

interface Asked {
  readonly link: LinkId;
  next: number;
}

export class CombsHeard {
  private readonly sessions: Sessions;
  private readonly asked = new Map<number, Asked>();
  private readonly page: (
    deviceKey: number,
    poolKey: number,
    from: number,
    through: number,
    memories: readonly CombMemory[],
  ) => void;
  private readonly complete: (deviceKey: number) => void;

  /**
   * @param page - hears of each page: these are all combs of these numbers that the device remembers
   * @param complete - the device told everything
   */
  constructor(sessions: Sessions, page: CombsHeard['page'], complete: CombsHeard['complete']) {
    this.sessions = sessions;
    this.page = page;
    this.complete = complete;
  }

  /** Asks a device from the beginning; false: it cannot be asked. */
  ask(deviceKey: number, link: LinkId): boolean {
    if ((this.sessions.get(link)?.peer.version ?? 0) < SINCE_VERSION) return false;
    this.asked.set(deviceKey, { link, next: 0 });
    this.sessions.send(link, MSG.COMBS_WANTED, 0, { from: 0 });
    return true;
  }

  /** Devices that did not tell everything yet. */
  get open(): Iterable<number> {
    return this.asked.keys();
  }

  forget(deviceKey: number): void {
    this.asked.delete(deviceKey);
  }

  told(deviceKey: number, link: LinkId, body: CombsRememberedBody): void {
    const asked = this.asked.get(deviceKey);
    const { poolKey, from, through, more, memories } = body;
    // An answer to an earlier question.
    if (asked?.link !== link || asked.next !== from) return;
    this.page(deviceKey, poolKey, from, through, memories);
    if (more) {
      asked.next = through + 1;
      this.sessions.send(link, MSG.COMBS_WANTED, 0, { from: asked.next });
      return;
    }
    this.asked.delete(deviceKey);
    this.complete(deviceKey);
  }
}
