// Errors as REST clients know them. It owns the body of an error answer and how refusals of the cluster become one; it
// must never show an internal reason, a stack or a secret.

import { ClusterError } from '../runtime/cluster.js';
import { ERROR_BY_NAME } from '../protocol/generated/errors.js';
import type { ErrorName } from '../protocol/generated/errors.js';
import { errorText } from '../protocol/error-text.js';

/** The three fields that every client reads. */
export interface ErrorBody {
  readonly message: string;
  readonly httpStatusCode: number;
  readonly errorCode: number;
  readonly details?: readonly ErrorPart[];
}

/** What went wrong with a part of a request, where clients look for it. */
interface ErrorPart {
  readonly error: string;
  readonly rc: number;
  readonly errorMessage: string;
}

/** Symbols of the original by our names: of errors that clients look for among the details. */
const DETAILED: Partial<Record<ErrorName, string>> = { SNAPSHOT_LIMIT: 'TOO_MANY_SNAPS_IN_VTREE' };

/** An error answer on its way. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly httpStatus: number;
  readonly errorCode: number;
  private readonly symbol: string;

  /** @param symbol - under which details name it; empty: it has none */
  constructor(httpStatus: number, errorCode: number, message: string, symbol = '') {
    super(message);
    this.symbol = symbol;
    this.httpStatus = httpStatus;
    this.errorCode = errorCode;
  }

  /**
   * From a row of the error table.
   * @param reason - fills `{reason}` of its text
   */
  static named(name: ErrorName, reason = ''): ApiError {
    const { code, httpStatus, restCode } = ERROR_BY_NAME[name];
    return new ApiError(httpStatus, restCode, errorText(code, [{ name: 'reason', value: reason }]));
  }

  /** A request that breaks the rules of its route. */
  static invalid(reason: string): ApiError {
    return ApiError.named('INVALID_PARAMETER', reason);
  }

  /** Not logged in, or not any more. */
  static unauthorized(): ApiError {
    return ApiError.named('AUTHENTICATION_FAILED');
  }

  body(): ErrorBody {
    const { message, httpStatus, errorCode, symbol } = this;
    const body = { message, httpStatusCode: httpStatus, errorCode };
    if (symbol === '') return body;
    return { ...body, details: [{ error: symbol, rc: errorCode, errorMessage: message }] };
  }
}

/** Any failure as an error answer; what is not meant for clients becomes an internal error. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  // On this side of the link it means that no master took the question in time.
  if (error instanceof ClusterError && error.info.name === 'NOT_READY')
    return new ApiError(503, error.info.restCode, 'The MDM cannot be reached');
  if (error instanceof ClusterError) {
    const { name, httpStatus, restCode } = error.info;
    return new ApiError(httpStatus, restCode, error.message, DETAILED[name]);
  }
  return ApiError.named('INTERNAL');
}
