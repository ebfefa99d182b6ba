// Beginning and end of a server of HTTP, whatever it serves. It must never cut off a request that still has time.

import type { Server } from 'node:http';
import type { Server as TlsServer } from 'node:https';
import type { ListenOptions } from 'node:net';

type AnyServer = Server | TlsServer;

/** Listens; resolves with the port, 0 for a socket. @throws Error with code EADDRINUSE or EADDRNOTAVAIL */
export function listenOn(server: AnyServer, place: ListenOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(place, () => {
      server.removeListener('error', reject);
      const address = server.address();
      resolve(typeof address === 'object' ? (address?.port ?? 0) : 0);
    });
  });
}

/** Takes no more requests; those under way have so long to end. */
export function closeServer(server: AnyServer, drainMs: number): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => {
      server.closeAllConnections();
    }, drainMs);
    server.close(() => {
      clearTimeout(force);
      resolve();
    });
    server.closeIdleConnections();
  });
}
