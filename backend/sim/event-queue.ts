// The order of everything in a simulated run: a binary heap of (time, sequence) over typed arrays. It owns when what
// fires; it must never know what an event means. Events of equal time fire in the order in which they were added.

import { assert } from '../core/assert.js';

/** Whatever an event acts upon. Two numbers instead of a closure: adding an event allocates nothing. */
export interface EventTarget {
  fire(timeUs: number, what: number, argument: number): void;
}

export class EventQueue {
  private capacity = 1024;
  private times = new Float64Array(this.capacity);
  private sequences = new Float64Array(this.capacity);
  private whats = new Int32Array(this.capacity);
  private args = new Float64Array(this.capacity);
  private targets: (EventTarget | null)[] = new Array<EventTarget | null>(this.capacity).fill(null);
  private heap = new Int32Array(this.capacity);
  private free = new Int32Array(this.capacity);
  private freeCount = 0;
  private count = 0;
  private nextSequence = 0;

  constructor() {
    this.fillFree(0);
  }

  get length(): number {
    return this.count;
  }

  /** Forgets all events; the memory stays. */
  clear(): void {
    this.targets.fill(null);
    this.count = 0;
    this.nextSequence = 0;
    this.freeCount = 0;
    this.fillFree(0);
  }

  push(timeUs: number, target: EventTarget, what: number, argument: number): void {
    if (this.freeCount === 0) this.grow();
    const slot = this.free[--this.freeCount] ?? 0;
    this.times[slot] = timeUs;
    this.sequences[slot] = this.nextSequence++;
    this.whats[slot] = what;
    this.args[slot] = argument;
    this.targets[slot] = target;
    this.siftUp(this.count++, slot);
  }

  /** When the next event fires; Infinity when there is none. */
  nextTimeUs(): number {
    return this.count === 0 ? Infinity : (this.times[this.heap[0] ?? 0] ?? 0);
  }

  /** Takes the next event out and fires it. The queue is not empty. */
  fireNext(): void {
    assert(this.count > 0, 'an event waits');
    const slot = this.heap[0] ?? 0;
    this.count -= 1;
    if (this.count > 0) this.siftDown(this.heap[this.count] ?? 0);
    const target = this.targets[slot];
    this.targets[slot] = null;
    this.free[this.freeCount++] = slot;
    assert(target !== null && target !== undefined, 'an event has a target');
    target.fire(this.times[slot] ?? 0, this.whats[slot] ?? 0, this.args[slot] ?? 0);
  }

  private before(one: number, other: number): boolean {
    const oneTime = this.times[one] ?? 0;
    const otherTime = this.times[other] ?? 0;
    if (oneTime !== otherTime) return oneTime < otherTime;
    return (this.sequences[one] ?? 0) < (this.sequences[other] ?? 0);
  }

  private siftUp(start: number, slot: number): void {
    let place = start;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      const above = this.heap[parent] ?? 0;
      if (!this.before(slot, above)) break;
      this.heap[place] = above;
      place = parent;
    }
    this.heap[place] = slot;
  }

  private siftDown(slot: number): void {
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= this.count) break;
      const right = child + 1;
      if (right < this.count && this.before(this.heap[right] ?? 0, this.heap[child] ?? 0))
        child = right;
      const below = this.heap[child] ?? 0;
      if (!this.before(below, slot)) break;
      this.heap[place] = below;
      place = child;
    }
    this.heap[place] = slot;
  }

  private fillFree(from: number): void {
    for (let slot = this.capacity - 1; slot >= from; slot--) this.free[this.freeCount++] = slot;
  }

  private grow(): void {
    const before = this.capacity;
    this.capacity = before * 2;
    this.times = grown(new Float64Array(this.capacity), this.times);
    this.sequences = grown(new Float64Array(this.capacity), this.sequences);
    this.whats = grown(new Int32Array(this.capacity), this.whats);
    this.args = grown(new Float64Array(this.capacity), this.args);
    this.heap = grown(new Int32Array(this.capacity), this.heap);
    this.free = grown(new Int32Array(this.capacity), this.free);
    for (let slot = before; slot < this.capacity; slot++) this.targets.push(null);
    this.fillFree(before);
  }
}

function grown<T extends Int32Array | Float64Array>(larger: T, smaller: T): T {
  larger.set(smaller);
  return larger;
}
