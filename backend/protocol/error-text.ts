// Errors as text for people. It must never decide what to do about one.

import { ERROR_BY_CODE } from './generated/errors.js';
import type { ErrorInfo } from './generated/errors.js';
import type { ErrorDetail } from './generated/types.js';

/** The row of an error code, or undefined when the sender knows more errors than this program. */
export function errorInfo(code: number): ErrorInfo | undefined {
  return ERROR_BY_CODE.get(code);
}

/**
 * The text of an error with its places filled; a place without a detail stays empty.
 *
 * @param code - of an answer's status
 */
export function errorText(code: number, details: readonly ErrorDetail[] = []): string {
  const info = ERROR_BY_CODE.get(code);
  if (info === undefined) return `Error ${code}`;
  const values = new Map(details.map(({ name, value }) => [name, value]));
  return info.text.replaceAll(/\{(\w+)\}/g, (_, name: string) => values.get(name) ?? '');
}
