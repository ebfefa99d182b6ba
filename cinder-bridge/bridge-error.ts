// What can go wrong with a request to the bridge, in the words that the driver translates into Cinder's exceptions. It
// owns the codes and their HTTP status; it must never carry a stack or a secret outside.

/** Codes of refusals; the driver and the API document know the same ones. */
export const BRIDGE_ERRORS = {
  invalid: { httpStatus: 400, about: 'the request breaks the rules of its operation' },
  unauthorized: {
    httpStatus: 401,
    about: 'the request is not signed with the token of this bridge',
  },
  notFound: { httpStatus: 404, about: 'there is no such volume, pool or client host' },
  conflict: { httpStatus: 409, about: 'the object exists and differs from what was asked for' },
  busy: { httpStatus: 423, about: 'the volume is in use' },
  snapshotLimit: { httpStatus: 507, about: 'its V-tree has as many snapshots as it may' },
  stale: { httpStatus: 412, about: 'the attachment was replaced by a newer one' },
  tooLarge: { httpStatus: 413, about: 'the body is larger than 1 MiB' },
  refused: { httpStatus: 422, about: 'the cluster refused; the message says why' },
  unsupported: { httpStatus: 501, about: 'this release of MeshSAN cannot do that' },
  unavailable: { httpStatus: 503, about: 'no gateway answered in time; asking again is safe' },
  internal: { httpStatus: 500, about: 'a fault of the bridge; its log says more' },
} as const;

export type BridgeErrorCode = keyof typeof BRIDGE_ERRORS;

export class BridgeError extends Error {
  override readonly name = 'BridgeError';
  readonly code: BridgeErrorCode;

  constructor(code: BridgeErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }

  get httpStatus(): number {
    return BRIDGE_ERRORS[this.code].httpStatus;
  }
}
