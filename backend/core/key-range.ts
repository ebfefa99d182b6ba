// Which part of a list that may be longer than one message comes next: a range of object keys. It owns the turn-taking of
// lists that are reported in parts over and over; it must never know what is listed.

/** No key lies beyond it. */
export const LAST_KEY = 0xffffffff;

/** Keys above `after`, up to and with `through`. */
export interface KeyRange {
  readonly after: number;
  readonly through: number;
}

export const ALL_KEYS: KeyRange = { after: 0, through: LAST_KEY };

export function inRange(key: number, { after, through }: KeyRange): boolean {
  return key > after && key <= through;
}

/** Gives one range after another, each with at most so many of the keys that there are at that moment. */
export class RangeTurn {
  private after = 0;

  /** Begins anew, for somebody who has heard nothing yet. */
  restart(): void {
    this.after = 0;
  }

  /**
   * The next range; the one after the last begins at the start again.
   *
   * @param keys - what is there now, in any order
   * @param most - how many keys a range may hold, at least 1
   */
  next(keys: readonly number[], most: number): KeyRange {
    const { after } = this;
    const left = after === 0 ? keys : keys.filter((key) => key > after);
    if (left.length <= most) {
      this.after = 0;
      return { after, through: LAST_KEY };
    }
    const ordered = [...left].sort((one, other) => one - other);
    this.after = ordered[most - 1] ?? LAST_KEY;
    return { after, through: this.after };
  }
}
