// Adds up the coverage marks of all workers. It must never influence a scenario.

import { marks } from '../core/marks.js';

export type MarkCounts = Record<string, number>;

/** Hits of this thread since it started. */
export function countMarks(): MarkCounts {
  return Object.fromEntries(marks().map(({ name, hits }) => [name, hits]));
}

export function addMarks(into: MarkCounts, more: MarkCounts): void {
  for (const [name, hits] of Object.entries(more)) into[name] = (into[name] ?? 0) + hits;
}
