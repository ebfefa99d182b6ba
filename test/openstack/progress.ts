// Progress lines with elapsed time, and the error that ends a run with an exit code and a message a person can act on.
// It must never print a secret: what reaches it are names, paths and counts.

/** Exit codes of `npm run openstack`, told by `--help`. */
export const EXIT = { ok: 0, failed: 1, usage: 2, unfit: 3, interrupted: 130 } as const;

/** A failure that is understood: its message says what, where and what would be right. */
export class RunError extends Error {
  readonly exitCode: number;
  constructor(message: string, exitCode: number = EXIT.failed) {
    super(message);
    this.name = 'RunError';
    this.exitCode = exitCode;
  }
}

let interruption: string | undefined;

/** After this, the next step or poll ends the run: nothing is left half-started behind its back. */
export function interrupt(signal: string): void {
  interruption = signal;
}

/** Throws if the run was interrupted. */
export function checkInterrupted(): void {
  if (interruption !== undefined)
    throw new RunError(`interrupted by ${interruption}`, EXIT.interrupted);
}

/** Lets the run clean up after an interruption. */
export function clearInterruption(): void {
  interruption = undefined;
}

/** Prints lines with the seconds since the start of the run, and remembers how long each step took. */
export class Progress {
  readonly steps: { name: string; seconds: number }[] = [];
  private readonly startedMs = Date.now();
  private readonly out: NodeJS.WritableStream;

  /** @param out stdout, or stderr when stdout carries the JSON result. */
  constructor(out: NodeJS.WritableStream) {
    this.out = out;
  }

  elapsedSeconds(): number {
    return Math.round((Date.now() - this.startedMs) / 100) / 10;
  }

  say(text: string): void {
    this.out.write(`[${this.elapsedSeconds().toFixed(1).padStart(6)}s] ${text}\n`);
  }

  /** Lines without a time stamp: announcements, tables, what to paste. */
  print(text: string): void {
    this.out.write(`${text}\n`);
  }

  /** Runs one named step and says when it is done and how long it took. */
  async step<T>(name: string, work: () => Promise<T>): Promise<T> {
    checkInterrupted();
    const fromMs = Date.now();
    const result = await work();
    const seconds = Math.round((Date.now() - fromMs) / 100) / 10;
    this.steps.push({ name, seconds });
    this.say(`${name} (${seconds.toFixed(1)} s)`);
    return result;
  }
}

/** Polls until `probe` gives a value; the last reason it gave is in the error. Waits `everyMs` between two tries. */
export async function until<T>(
  what: string,
  boundSeconds: number,
  probe: () => Promise<{ done: T } | { not: string }>,
  everyMs = 200,
): Promise<T> {
  const endMs = Date.now() + boundSeconds * 1000;
  for (;;) {
    checkInterrupted();
    const answer = await probe();
    if ('done' in answer) return answer.done;
    if (Date.now() > endMs)
      throw new RunError(`${what}: not within ${boundSeconds} s; last seen: ${answer.not}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
