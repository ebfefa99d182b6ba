// Runs one machine on the event loop of this process: batches of inputs, completions that came about during an input,
// the deadline timer, and the flush at the end of each batch. It owns the clock of the machine; it must never look into
// an input. An exception of the machine is never caught here: it ends the process.

import type { Machine, Micros } from '../core/ports.js';

/** Something that finishes work while the machine runs, and hands it over as inputs when asked. */
export interface CompletionSource {
  /** Gives the machine what is finished, in order; false when there was nothing. */
  drain(nowUs: Micros): boolean;
}

/** Node fires timers of more than 2^31-1 ms at once. */
const TIMER_MS_MAX = 0x7fffffff;
/** After so many rounds of completions within one batch, other events of the process get their turn. */
const ROUNDS_MAX = 64;

type Tickable = Pick<Machine, 'tick' | 'nextDeadlineUs' | 'endBatch'>;

/** Microseconds since the start of the process, on the monotonic clock. */
export function monotonicUs(): Micros {
  return Math.floor(performance.now() * 1000);
}

/**
 * Use: `loop.begin(); machine.input(loop.nowUs, ...); loop.end();` around every input from outside, or around several
 * that arrived together.
 */
export class Loop {
  /** Time of the running batch. */
  nowUs: Micros = monotonicUs();
  private machine: Tickable | null = null;
  private readonly sources: CompletionSource[] = [];
  private readonly flushes: (() => void)[] = [];
  private depth = 0;
  private timer: NodeJS.Timeout | null = null;
  private armedUs = Infinity;
  private continuing = false;
  /** The batch that runs ends when the events at hand are through. */
  private ending = false;
  private stopped = false;
  private readonly onTimer = (): void => {
    this.timer = null;
    this.armedUs = Infinity;
    this.begin();
    this.end();
  };
  private readonly onContinue = (): void => {
    this.continuing = false;
    this.begin();
    this.end();
  };
  private readonly onEvents = (): void => {
    if (!this.ending) return;
    this.begin();
    this.end();
  };

  /** The machine that is driven; once, before the first input. */
  attach(machine: Tickable): void {
    this.machine = machine;
    this.begin();
    this.end();
  }

  /** Adds somebody whose completions are handed over before a batch ends. */
  addSource(source: CompletionSource): void {
    this.sources.push(source);
  }

  /** Adds what is done at the end of every batch, such as writing to sockets. */
  addFlush(flush: () => void): void {
    this.flushes.push(flush);
  }

  /** Begins an input, or an outer batch of inputs. */
  begin(): void {
    if (this.depth++ === 0) this.nowUs = monotonicUs();
  }

  /** Ends what `begin` began; the outermost end hands over completions, flushes and sets the timer. */
  end(): void {
    if (this.depth === 1 && !this.stopped) this.finish();
    this.depth--;
  }

  /**
   * As `end`, but what other sockets and completions have at hand now joins the batch: one write to the log and to each
   * socket for all of them.
   */
  endWithOthers(): void {
    if (this.depth === 1 && !this.stopped && !this.ending) {
      this.ending = true;
      setImmediate(this.onEvents);
    }
    this.depth--;
  }

  /** No input reaches the machine through this loop's timer any more. */
  stop(): void {
    this.stopped = true;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.armedUs = Infinity;
  }

  private finish(): void {
    const machine = this.machine;
    this.ending = false;
    let rounds = 0;
    let ticked = false;
    do {
      while (this.drainAll() && ++rounds < ROUNDS_MAX);
      if (machine === null) continue;
      // Once: time stands still in a batch, and asking every part for its deadline is not free.
      if (!ticked && machine.nextDeadlineUs() <= this.nowUs) machine.tick(this.nowUs);
      ticked = true;
      machine.endBatch?.(this.nowUs);
    } while (rounds < ROUNDS_MAX && this.drainAll() && ++rounds < ROUNDS_MAX);
    for (const flush of this.flushes) flush();
    if (rounds >= ROUNDS_MAX && !this.continuing) {
      this.continuing = true;
      setImmediate(this.onContinue);
    }
    if (machine !== null) this.arm(machine.nextDeadlineUs());
  }

  private drainAll(): boolean {
    let any = false;
    for (const source of this.sources) if (source.drain(this.nowUs)) any = true;
    return any;
  }

  /** A timer that fires too early costs one idle turn; so it is only moved when it would fire too late. */
  private arm(deadlineUs: Micros): void {
    if (deadlineUs >= this.armedUs || this.stopped) return;
    if (this.timer !== null) clearTimeout(this.timer);
    const delayMs = Math.max(0, Math.ceil((deadlineUs - monotonicUs()) / 1000));
    this.armedUs = deadlineUs;
    this.timer = setTimeout(this.onTimer, Math.min(delayMs, TIMER_MS_MAX));
  }
}
