// One run in virtual time: the queue of events, the seed's generators, the trace, the problems found. It owns the
// passing of time; it must never know what runs in it.

import { Prng } from '../core/prng.js';

import { FrameArena } from './arena.js';
import { EventQueue } from './event-queue.js';
import { Trace } from './trace.js';

/** Memory that scenarios of one worker use one after the other. */
export interface SimulationMemory {
  readonly queue: EventQueue;
  readonly arena: FrameArena;
}

export function makeSimulationMemory(): SimulationMemory {
  return { queue: new EventQueue(), arena: new FrameArena() };
}

/** Something that must not happen did; the run goes on no further. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

export class Simulation {
  readonly queue: EventQueue;
  readonly arena: FrameArena;
  readonly trace: Trace;
  readonly prng: Prng;
  nowUs = 0;
  events = 0;

  constructor(seed: number, memory: SimulationMemory, print: ((line: string) => void) | null) {
    this.queue = memory.queue;
    this.arena = memory.arena;
    this.queue.clear();
    this.arena.reset();
    this.trace = new Trace(print);
    this.prng = new Prng(seed);
  }

  /**
   * Fires events until `done` says so, the time is over, or nothing is left.
   *
   * @param untilUs - virtual time at which to stop
   * @param done - asked after each event
   * @param eventsMax - bound on the events of the whole run; beyond it the run is a violation: something spins
   * @returns whether `done` said so
   */
  run(untilUs: number, done: () => boolean, eventsMax: number): boolean {
    for (;;) {
      if (done()) return true;
      const nextUs = this.queue.nextTimeUs();
      if (nextUs > untilUs) {
        this.nowUs = Math.max(this.nowUs, Math.min(untilUs, nextUs));
        return false;
      }
      this.nowUs = nextUs;
      this.events += 1;
      if (this.events > eventsMax) this.fail(`more than ${eventsMax} events: something spins`);
      this.queue.fireNext();
    }
  }

  fail(what: string): never {
    throw new Violation(what);
  }
}
