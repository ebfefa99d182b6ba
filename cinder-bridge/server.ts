// The socket of the bridge: a unix socket that only its owner can open, or an address of loopback. It must never answer a
// request itself.

import { chmodSync, lstatSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';

import type { Express } from 'express';

import { closeServer, listenOn } from '../backend/runtime/http-server.js';

const REQUEST_MS_MAX = 660_000;
const HEADERS_MS_MAX = 20_000;
const CONNECTIONS_MAX = 256;
const DRAIN_MS = 8_000;

export interface RunningServer {
  /** Where it listens, for people. */
  readonly place: string;
  /** Stops taking connections, lets requests end, resolves when all is closed. */
  readonly close: () => Promise<void>;
}

interface Place {
  readonly socket?: string;
  readonly host?: string;
  readonly port?: number;
}

/** Removes the socket that a bridge which was killed left; one that answers stays. */
async function clearSocket(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw inUse(`${path} is there and is no socket`);
  const answers = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => {
      resolve(false);
    });
  });
  if (answers) throw inUse(`another bridge serves ${path}`);
  rmSync(path);
}

function inUse(message: string): Error {
  return Object.assign(new Error(message), { code: 'EADDRINUSE' });
}

/** Starts to listen. @throws Error with code EADDRINUSE or EADDRNOTAVAIL */
export async function startServer(app: Express, place: Place): Promise<RunningServer> {
  const server = createServer(
    { requestTimeout: REQUEST_MS_MAX, headersTimeout: HEADERS_MS_MAX, maxHeaderSize: 16_384 },
    app,
  );
  server.maxConnections = CONNECTIONS_MAX;
  const { socket, host, port } = place;
  if (socket === undefined) await listenOn(server, { host, port });
  else {
    await clearSocket(socket);
    // From its first moment nobody else can open it.
    const before = process.umask(0o177);
    try {
      await listenOn(server, { path: socket });
    } finally {
      process.umask(before);
    }
    chmodSync(socket, 0o600);
  }
  return {
    place: socket ?? `${host ?? ''}:${port ?? 0}`,
    close: () => closeServer(server, DRAIN_MS),
  };
}
