// Numbers that a test has counted and that belong in its output although it passed: `npm test` prints them.

import type { ExecutionContext } from 'ava';

/** How such a line begins; test/run.ts looks for it. */
export const FIGURE = 'figure: ';

export function figure(t: ExecutionContext, text: string): void {
  t.log(`${FIGURE}${text}`);
}
