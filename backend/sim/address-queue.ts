// Addresses of frames in the order in which they go. It owns the order; it must never know what lies at an address. The list
// that it keeps them in never shrinks: with every frame that would cost more than the rest of its way.

export class AddressQueue {
  private readonly list: number[] = [];
  private head = 0;
  private tail = 0;

  get length(): number {
    return this.tail - this.head;
  }

  push(address: number): void {
    this.list[this.tail++] = address;
  }

  /** @param index - from 0, which goes next; below the length */
  at(index: number): number {
    return this.list[this.head + index] ?? 0;
  }

  /** Takes out what goes next: there is something. */
  shift(): number {
    const address = this.list[this.head++] ?? 0;
    if (this.head === this.tail) this.clear();
    return address;
  }

  clear(): void {
    this.head = 0;
    this.tail = 0;
  }
}
