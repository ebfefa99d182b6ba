// How often two devices carry the same comb. It must never know which combs these are.

/** With more devices than this, partnerships are counted in a hash table. */
const TABLE_DEVICES_MAX = 2048;

/** How often two devices are partners. */
export class Partnerships {
  private readonly size: number;
  private readonly table: Int32Array | null;
  private readonly sparse = new Map<number, number>();

  constructor(devices: number) {
    this.size = devices;
    this.table = devices <= TABLE_DEVICES_MAX ? new Int32Array(devices * devices) : null;
  }

  of(one: number, other: number): number {
    const at = this.at(one, other);
    return this.table === null ? (this.sparse.get(at) ?? 0) : (this.table[at] ?? 0);
  }

  add(one: number, other: number, by: number): void {
    const at = this.at(one, other);
    const next = this.of(one, other) + by;
    if (this.table === null) this.sparse.set(at, next);
    else this.table[at] = next;
  }

  private at(one: number, other: number): number {
    return one < other ? one * this.size + other : other * this.size + one;
  }
}
