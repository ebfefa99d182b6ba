// Assertions. They guard our own invariants and end the process; they must never judge input from outside, and no
// shell catches them.

/** An invariant of ours is broken: the state of this process cannot be trusted any more. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/**
 * Ends the process when an invariant does not hold.
 *
 * @param condition - the invariant
 * @param message - what should have held, in words that help whoever reads the log
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** For the branch that a closed set of words leaves over: the compiler proves that nothing reaches it. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${String(value)}`);
}
