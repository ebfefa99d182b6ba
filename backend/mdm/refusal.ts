// Why a request is refused: a row of the error table with the details of its text. Thrown while a request is judged,
// before or after changes were noted: whoever runs requests takes the changes of a refused one back.

import { ERROR_BY_NAME } from '../protocol/generated/errors.js';
import type { ErrorName } from '../protocol/generated/errors.js';
import type { ErrorDetail } from '../protocol/generated/types.js';

export class Refusal extends Error {
  override readonly name: string = 'Refusal';
  readonly status: number;
  readonly details: readonly ErrorDetail[];

  constructor(error: ErrorName, details: readonly ErrorDetail[] = []) {
    super([error, ...details.map(({ value }) => value)].join(': '));
    this.status = ERROR_BY_NAME[error].code;
    this.details = details;
  }
}

/**
 * A refusal that is true only once no device can act on what was taken away before: until then the answer is PENDING
 * (C13).
 */
export class RefusalWhenDrained extends Refusal {
  readonly poolKey: number;

  constructor(error: ErrorName, poolKey: number) {
    super(error);
    this.poolKey = poolKey;
  }
}

/** Refuses the request at hand. `reason` fills the place of that name in the error's text. */
export function refuse(error: ErrorName, reason?: string): never {
  throw new Refusal(error, reason === undefined ? [] : [{ name: 'reason', value: reason }]);
}

/** As `refuse`, for errors whose text has other places. */
export function refuseWith(
  error: ErrorName,
  values: Readonly<Record<string, string | number>>,
): never {
  const details = Object.entries(values).map(([name, value]) => ({ name, value: String(value) }));
  throw new Refusal(error, details);
}

/** The object, or a refusal when there is none. */
export function found<T>(object: T | undefined, error: ErrorName): T {
  if (object === undefined) refuse(error);
  return object;
}
