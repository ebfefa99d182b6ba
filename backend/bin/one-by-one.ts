// Work of a process that must not overlap. It owns the order; it must never swallow a failure.

export class OneByOne {
  private readonly failed: (error: Error) => void;
  private last: Promise<void> = Promise.resolve();

  /** @param failed - hears of failures of what nobody waits for */
  constructor(failed: (error: Error) => void) {
    this.failed = failed;
  }

  /** @throws whatever `run` throws, and what comes next runs all the same */
  next(run: () => Promise<void>): Promise<void> {
    const done = this.last.then(run);
    this.last = done.catch(() => undefined);
    return done;
  }

  /** For what nobody waits for. */
  detached(run: () => Promise<void>): void {
    void this.settled(run);
  }

  /** Resolves at the end of the work, however it went. */
  async settled(run: () => Promise<void>): Promise<void> {
    try {
      await this.next(run);
    } catch (error) {
      this.failed(error instanceof Error ? error : new Error(String(error)));
    }
  }
}
