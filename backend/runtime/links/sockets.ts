// Sockets that read into memory of ours. It owns how that is asked of Node; it must never look into what was read.
//
// `onread` halves the cost of a small frame, but Node offers it for sockets that connect only. An accepted socket is
// taken over by a new one on the same handle before anything was read from it. That uses two members that are not
// documented (`_handle`, `_server`), the same in Node 20, 22 and 24; where they are missing, 'data' events and one copy
// do the same, slower.

import { Socket, connect } from 'node:net';

/** Where bytes go, and whether reading goes on. */
export interface ByteSink {
  nextBuffer(): Uint8Array;
  received(count: number): boolean;
  receivedCopy(chunk: Uint8Array): boolean;
}

interface Internals {
  _handle: { readStart?: unknown; useUserBuffer?: unknown } | null;
  _server: unknown;
}

interface Adoption {
  readonly handle: unknown;
  readonly onread: {
    readonly buffer: () => Uint8Array;
    readonly callback: (count: number, buffer: Uint8Array) => boolean;
  };
}

function onreadOf(sink: ByteSink): Adoption['onread'] {
  return { buffer: () => sink.nextBuffer(), callback: (count) => sink.received(count) };
}

/**
 * Starts to connect; the outcome is an event of the socket.
 *
 * @param localHost - address to connect from; undefined: the system chooses
 */
export function openSocket(
  address: { readonly host: string; readonly port: number },
  localHost: string | undefined,
  sink: ByteSink,
): Socket {
  const { host, port } = address;
  const from = localHost === undefined ? {} : { localAddress: localHost };
  return connect({ host, port, noDelay: true, onread: onreadOf(sink), ...from });
}

/**
 * Takes over an accepted socket (of a server with `pauseOnConnect`, nothing read yet).
 *
 * @returns the socket to use from now on
 */
export function adoptSocket(accepted: Socket, sink: ByteSink): Socket {
  const old = accepted as unknown as Internals;
  const handle = old._handle;
  if (typeof handle?.readStart !== 'function' || typeof handle.useUserBuffer !== 'function') {
    accepted.on('data', (chunk: Uint8Array) => {
      if (!sink.receivedCopy(chunk)) accepted.pause();
    });
    accepted.setNoDelay(true);
    return accepted;
  }
  old._handle = null;
  const adoption: Adoption = { handle, onread: onreadOf(sink) };
  const socket = new Socket(adoption as ConstructorParameters<typeof Socket>[0]);
  // The server counts its connections by this reference.
  (socket as unknown as Internals)._server = old._server;
  old._server = null;
  socket.setNoDelay(true);
  return socket;
}
