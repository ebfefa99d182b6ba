// Which connections a TLS server holds, and which one gives way when there are too many: one that never sent a whole request
// first, then one that waits for its next request, each the oldest of its kind. Whoever opens connections and leaves them
// half used cannot keep others out that way. It must never close one whose request is being answered.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import type { Socket } from 'node:net';

import type { Log } from '../core/ports.js';

const LOG_PAUSE_MS = 60_000;

interface Held {
  readonly socket: Socket;
  /** Requests that came whole and are not answered yet. */
  answering: number;
}

/** The ends of a connection; the same for the socket below TLS and the one above it. */
function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress ?? ''} ${remotePort ?? ''}`;
}

export class Connections {
  readonly #max: number;
  readonly #log: Log;
  readonly #nowMs: () => number;
  readonly #held = new Map<string, Held>();
  /** No whole request has come yet. In order of age, as the next. */
  readonly #unproven = new Set<Held>();
  /** Answered before; the next request has not come. */
  readonly #waiting = new Set<Held>();
  #closed = 0;
  #loggedAtMs = -Infinity;

  /** @param max - connections held at a time, at least 1 */
  constructor(max: number, log: Log, nowMs: () => number) {
    this.#max = max;
    this.#log = log;
    this.#nowMs = nowMs;
  }

  /**
   * Begins to watch a server that does not listen yet.
   * @param trusted - whoever ends the handshake has proved who it is, and is not closed for others
   */
  watch(server: Server, trusted = false): void {
    server.on('connection', (socket: Socket) => {
      this.#take(socket);
    });
    if (trusted)
      server.on('secureConnection', (socket: Socket) => {
        const held = this.#held.get(nameOf(socket));
        if (held !== undefined) this.#unproven.delete(held);
      });
    else
      server.on('request', (request: IncomingMessage, response: ServerResponse) => {
        this.#asked(request, response);
      });
  }

  #take(socket: Socket): void {
    if (this.#held.size >= this.#max && !this.#makeRoom()) {
      this.#note();
      socket.destroy();
      return;
    }
    const name = nameOf(socket);
    const held: Held = { socket, answering: 0 };
    this.#held.set(name, held);
    this.#unproven.add(held);
    socket.once('close', () => {
      this.#forget(name, held);
    });
  }

  #forget(name: string, held: Held): void {
    if (this.#held.get(name) === held) this.#held.delete(name);
    this.#unproven.delete(held);
    this.#waiting.delete(held);
  }

  /** @returns whether one could give way */
  #makeRoom(): boolean {
    const [oldest = this.#waiting.values().next().value] = this.#unproven;
    if (oldest === undefined) return false;
    this.#note();
    // Its place is free at once, its end is told later.
    this.#forget(nameOf(oldest.socket), oldest);
    oldest.socket.destroy();
    return true;
  }

  #asked(request: IncomingMessage, response: ServerResponse): void {
    const held = this.#held.get(nameOf(request.socket));
    if (held === undefined) return;
    let isWhole = false;
    const whole = (): void => {
      if (isWhole || response.closed) return;
      isWhole = true;
      held.answering += 1;
      this.#unproven.delete(held);
      this.#waiting.delete(held);
    };
    const { 'content-length': bytes = '0', 'transfer-encoding': encoding } = request.headers;
    if (encoding === undefined && bytes === '0') whole();
    else request.once('end', whole);
    response.once('close', () => {
      if (isWhole) held.answering -= 1;
      if (held.answering > 0 || held.socket.destroyed) return;
      this.#unproven.delete(held);
      this.#waiting.delete(held);
      this.#waiting.add(held);
    });
  }

  #note(): void {
    this.#closed += 1;
    const nowMs = this.#nowMs();
    if (nowMs - this.#loggedAtMs < LOG_PAUSE_MS) return;
    this.#loggedAtMs = nowMs;
    this.#log.event('warn', 'connections.full', { max: this.#max, closed: this.#closed });
  }
}
