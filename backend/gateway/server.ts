// The HTTPS server of the gateway: its certificate and renewal, its sockets and their limits. It must never answer a
// request itself.

import { createServer } from 'node:https';
import { isIP } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';
import type { Express } from 'express';

import type { Log } from '../core/ports.js';
import { Connections } from '../runtime/connections.js';
import type { ServerTls } from '../runtime/tls-store.js';
import { closeServer, listenOn } from '../runtime/http-server.js';

const RENEW_CHECK_MS = 12 * 3_600_000;
const REQUEST_MS_MAX = 120_000;
const HEADERS_MS_MAX = 20_000;
const KEEP_ALIVE_MS = 65_000;
const HANDSHAKE_MS_MAX = 15_000;
/** How often the server looks for requests that take too long to come. */
const LATE_CHECK_MS = 5_000;
const CONNECTIONS_MAX = 1024;
const DRAIN_MS = 5_000;

export interface Listen {
  readonly host: string;
  readonly port: number;
}

export interface ServerOptions {
  readonly app: Express;
  readonly listen: readonly Listen[];
  /** Certificate and key as they should be now; renews where needed. */
  readonly tls: () => Promise<ServerTls>;
  readonly log: Log;
  /** Held at a time by each listening address. */
  readonly connectionsMax?: number;
}

export interface RunningServer {
  /** Where it listens; ports are the actual ones. */
  readonly addresses: readonly Listen[];
  /** Stops taking connections, lets requests end, resolves when all is closed. */
  close(): Promise<void>;
}

/** Names and addresses under which clients may reach the given listening addresses. */
export function certificateNames(
  listen: readonly Listen[],
  further: readonly string[],
): readonly string[] {
  const hosts = listen.map(({ host }) => host);
  const everywhere = hosts.some((host) => host === '0.0.0.0' || host === '::');
  const local = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .map(({ address }) => address.replace(/%.*$/, ''));
  const names = [
    ...hosts.filter((host) => host !== '0.0.0.0' && host !== '::'),
    ...(everywhere ? local : []),
    ...further,
    hostname(),
    'localhost',
  ];
  return [...new Set(names.map((name) => name.toLowerCase()))].filter(
    (name) => isIP(name) !== 0 || /^[a-z0-9*]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(name),
  );
}

function makeServer({ app, log, connectionsMax = CONNECTIONS_MAX }: ServerOptions, tls: ServerTls) {
  const server = createServer(
    {
      cert: tls.cert,
      key: tls.key,
      minVersion: 'TLSv1.2',
      handshakeTimeout: HANDSHAKE_MS_MAX,
      requestTimeout: REQUEST_MS_MAX,
      headersTimeout: HEADERS_MS_MAX,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: LATE_CHECK_MS,
      maxHeaderSize: 16_384,
    },
    app,
  );
  new Connections(connectionsMax, log, Date.now).watch(server);
  return server;
}

/**
 * Starts to listen.
 * @throws Error with code EADDRINUSE or EADDRNOTAVAIL of the first address that cannot be had; then none is held
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { listen, log } = options;
  const tls = await options.tls();
  const servers = listen.map(() => makeServer(options, tls));
  const addresses: Listen[] = [];
  try {
    for (const [index, server] of servers.entries()) {
      const wanted = listen[index];
      if (wanted === undefined) continue;
      addresses.push({ host: wanted.host, port: await listenOn(server, wanted) });
    }
  } catch (error) {
    await Promise.all(
      servers.filter((server) => server.listening).map((server) => closeServer(server, DRAIN_MS)),
    );
    throw error;
  }
  const renewal = setInterval(() => {
    options.tls().then(
      (fresh) => {
        if (!fresh.renewed) return;
        for (const server of servers) server.setSecureContext({ cert: fresh.cert, key: fresh.key });
        log.event('info', 'gateway.certificate.renewed', { notAfterMs: fresh.notAfterMs });
      },
      (error: unknown) => {
        log.event('error', 'gateway.certificate.failed', { reason: String(error) });
      },
    );
  }, RENEW_CHECK_MS);
  renewal.unref();
  return {
    addresses,
    async close(): Promise<void> {
      clearInterval(renewal);
      await Promise.all(servers.map((server) => closeServer(server, DRAIN_MS)));
    },
  };
}
