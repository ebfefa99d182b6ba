// Requests of local programs to a process, over a unix socket that only its owner may open: one JSON object per line each
// way, answered in order. It owns the bounds on both and the proof that a socket is in use; what a request means is its
// owner's business.

import { rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';

const LINE_CHARS_MAX = 1048576;
const CONNECTIONS_MAX = 64;
const PRIVATE_UMASK = 0o177;
const ASK_MS = 30_000;

/** What a process answers; `ok: false` carries `error`, a sentence for people. */
export type ControlReply = Readonly<Record<string, unknown>> & { readonly ok: boolean };

/** A request that is refused; the message goes to the asker. */
export class ControlRefusal extends Error {
  override readonly name = 'ControlRefusal';
}

/** Answers one request that was parsed but not judged. A rejection other than a refusal ends the process. */
export type ControlHandler = (request: unknown) => Promise<Readonly<Record<string, unknown>>>;

/** Splits a stream into lines; null: a line grew beyond the bound. */
class Lines {
  #held = '';

  take(chunk: string): string[] | null {
    const parts = (this.#held + chunk).split('\n');
    this.#held = parts.pop() ?? '';
    return this.#held.length > LINE_CHARS_MAX ? null : parts.filter((line) => line.trim() !== '');
  }
}

async function answer(line: string, handle: ControlHandler): Promise<ControlReply> {
  let request: unknown;
  try {
    request = JSON.parse(line);
  } catch (error) {
    return { ok: false, error: `a request is one JSON object per line: ${String(error)}` };
  }
  try {
    return { ok: true, ...(await handle(request)) };
  } catch (error) {
    if (error instanceof ControlRefusal) return { ok: false, error: error.message };
    throw error;
  }
}

/** Serves one asker; requests that come together are answered one after the other. */
function serve(socket: Socket, handle: ControlHandler): void {
  const lines = new Lines();
  let last: Promise<void> = Promise.resolve();
  socket.setEncoding('utf8');
  // An asker that is gone needs no answer.
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: string) => {
    const complete = lines.take(chunk);
    if (complete === null) {
      // Nothing more is read, or the rest of the line would be kept after all.
      socket.removeAllListeners('data');
      socket.end(`${JSON.stringify({ ok: false, error: 'the request is too long' })}\n`);
      socket.destroySoon();
      return;
    }
    for (const line of complete)
      last = last.then(async () => {
        const reply = await answer(line, handle);
        if (socket.writable) socket.write(`${JSON.stringify(reply)}\n`);
      });
  });
}

/** Whether some process answers at a socket. */
async function inUse(path: string): Promise<boolean> {
  return new Promise((done) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      done(true);
    });
    probe.once('error', () => {
      done(false);
    });
  });
}

export class ControlServer {
  readonly #server: Server;
  readonly #path: string;
  readonly #sockets = new Set<Socket>();

  private constructor(path: string, handle: ControlHandler) {
    this.#path = path;
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
      serve(socket, handle);
    });
    this.#server.maxConnections = CONNECTIONS_MAX;
  }

  /**
   * Listens on a path, mode 0600. A socket that nobody serves any more is replaced.
   *
   * @throws Error with code EADDRINUSE when another process answers there, or another error of the system
   */
  static async listen(path: string, handle: ControlHandler): Promise<ControlServer> {
    if (await inUse(path)) {
      const error: NodeJS.ErrnoException = new Error(`${path} is in use by another process`);
      error.code = 'EADDRINUSE';
      throw error;
    }
    rmSync(path, { force: true });
    const control = new ControlServer(path, handle);
    await new Promise<void>((done, failed) => {
      control.#server.once('error', failed);
      const before = process.umask(PRIVATE_UMASK);
      control.#server.listen(path, done);
      process.umask(before);
    });
    return control;
  }

  /** Ends all conversations and removes the socket. */
  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    rmSync(this.#path, { force: true });
  }
}

/**
 * Asks a process one thing.
 *
 * @throws Error when nobody answers there, in time, or with sense; with a `code` of the system where it has one
 */
export async function askControl(
  path: string,
  request: Readonly<Record<string, unknown>>,
  timeoutMs = ASK_MS,
): Promise<ControlReply> {
  const line = await new Promise<string>((done, failed) => {
    const lines = new Lines();
    const socket = connect(path, () => socket.write(`${JSON.stringify(request)}\n`));
    const timer = setTimeout(() => {
      socket.destroy(new Error(`no answer at ${path} within ${timeoutMs / 1000} s`));
    }, timeoutMs);
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      const complete = lines.take(chunk);
      if (complete === null) socket.destroy(new Error(`the answer at ${path} is too long`));
      const first = complete?.[0];
      if (first === undefined) return;
      done(first);
      socket.destroy();
    });
    socket.once('error', failed);
    socket.once('close', () => {
      clearTimeout(timer);
      failed(new Error(`${path} was closed before an answer came`));
    });
  });
  const reply = JSON.parse(line) as unknown;
  if (typeof reply !== 'object' || reply === null || !('ok' in reply))
    throw new Error(`the answer at ${path} makes no sense`);
  return reply as ControlReply;
}
