// Coverage marks: a place in a machine that matters says so when it runs, and the simulator reports the marks that no
// scenario ever reached. It owns the list of marks and their counts; it must never influence a decision.
//
// A mark costs one increment, so that it may stand on rare branches of the data path too. The registry is the only state
// at module level below the shells: nothing reads it back but tests and the simulator.

import { assert } from './assert.js';

/** A place that scenarios should reach. */
export interface Mark {
  readonly name: string;
  hits: number;
}

const REGISTRY = new Map<string, Mark>();

/**
 * Registers a place, once, when its module loads.
 *
 * @param name - `part: what happened`, unique
 */
export function mark(name: string): Mark {
  assert(!REGISTRY.has(name), `mark "${name}" is registered once`);
  const made: Mark = { name, hits: 0 };
  REGISTRY.set(name, made);
  return made;
}

/** All marks of the loaded modules, in order of name. */
export function marks(): readonly Readonly<Mark>[] {
  return [...REGISTRY.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
}
