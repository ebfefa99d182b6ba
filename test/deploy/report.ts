// What the deployment test prints: one line per check, with the seconds that it took, and the sum. It owns when the test has
// failed.

export class Report {
  #passed = 0;
  #failed = 0;
  readonly #began = Date.now();

  say(text: string): void {
    process.stdout.write(`${text}\n`);
  }

  /** Runs a check; one that fails is shown and ends the part of the test that it belongs to. */
  async check(name: string, work: () => Promise<string | undefined>): Promise<void> {
    const began = Date.now();
    const seconds = (): string => ((Date.now() - began) / 1000).toFixed(1);
    try {
      const detail = await work();
      this.#passed++;
      this.say(`ok    ${name} (${seconds()} s)${detail === undefined ? '' : `: ${detail}`}`);
    } catch (error) {
      this.#failed++;
      this.say(
        `FAIL  ${name} (${seconds()} s)\n${error instanceof Error ? (error.stack ?? '') : String(error)}`,
      );
      throw new CheckFailed(name);
    }
  }

  /** The last line. @returns whether everything passed */
  finish(): boolean {
    const seconds = Math.round((Date.now() - this.#began) / 1000);
    this.say(`deploy-test: ${this.#passed} passed, ${this.#failed} failed in ${seconds} s`);
    return this.#failed === 0 && this.#passed > 0;
  }
}

/** Ends a part; it was reported already. */
export class CheckFailed extends Error {}

/** @throws Error unless it holds */
export function expect(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new Error(otherwise);
}
