// Rows of the directory by what they belong to: doubly linked lists in two arrays, so that a row costs eight bytes and
// joins or leaves without a search. It must never know what a key is.

const NONE = -1;

export class RowLists {
  private readonly next: Int32Array;
  private readonly previous: Int32Array;
  private readonly heads = new Map<number, number>();

  /** @param capacity - rows; memory that is not used costs nothing yet */
  constructor(capacity: number) {
    this.next = new Int32Array(capacity);
    this.previous = new Int32Array(capacity);
  }

  /** The row is in no list of these. */
  link(key: number, row: number): void {
    const head = this.heads.get(key) ?? NONE;
    this.next[row] = head;
    this.previous[row] = NONE;
    if (head !== NONE) this.previous[head] = row;
    this.heads.set(key, row);
  }

  /** The row is in the list of the key. */
  unlink(key: number, row: number): void {
    const next = this.next[row] ?? NONE;
    const previous = this.previous[row] ?? NONE;
    if (next !== NONE) this.previous[next] = previous;
    if (previous !== NONE) this.next[previous] = next;
    else if (next !== NONE) this.heads.set(key, next);
    else this.heads.delete(key);
  }

  /** Any row of a key, the latest that joined; -1: there is none. */
  first(key: number): number {
    return this.heads.get(key) ?? NONE;
  }

  /** Rows of a key, ascending. */
  rowsOf(key: number): number[] {
    const rows: number[] = [];
    for (let row = this.heads.get(key) ?? NONE; row !== NONE; row = this.next[row] ?? NONE)
      rows.push(row);
    return rows.sort((one, other) => one - other);
  }
}
