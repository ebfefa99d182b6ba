// A byte conversation over a unix socket as its client: connects, and connects again for as long as it is wanted. It owns
// the socket, the receive buffer and the one write per batch; it must never look into the bytes.

import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { writeNow } from './links/write-now.js';
import type { Loop } from './loop.js';

const RECEIVE_BYTES = 262144;
const RETRY_MS_MIN = 20;
const RETRY_MS_MAX = 250;

/** One connection's worth of conversation, without I/O of its own. */
export interface ByteClient {
  receive(bytes: Uint8Array, from: number, to: number): void;
  /** Why the connection has to be closed; empty: it has not. */
  readonly failure: string;
  readonly out: {
    readonly length: number;
    take(): Uint8Array;
    giveBack(): void;
  };
}

export interface UnixLinkHost {
  /** A connection was made: its conversation. */
  connected(): ByteClient;
  /** The connection is gone. */
  disconnected(reason: string): void;
}

export class UnixLink {
  readonly #path: string;
  readonly #loop: Loop;
  readonly #host: UnixLinkHost;
  readonly #buffer = new Uint8Array(RECEIVE_BYTES);
  #socket: Socket | null = null;
  #client: ByteClient | null = null;
  #inFlight: Uint8Array | null = null;
  #retryMs = RETRY_MS_MIN;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;
  readonly #onWritten = (): void => {
    const content = this.#inFlight;
    if (content === null || (this.#socket?.writableLength ?? 0) > 0) return;
    this.#inFlight = null;
    this.#client?.out.giveBack();
    this.flush();
  };

  constructor(path: string, loop: Loop, host: UnixLinkHost) {
    this.#path = path;
    this.#loop = loop;
    this.#host = host;
    this.#connect();
  }

  /** Connects now, if it waits for its next attempt. */
  hurry(): void {
    if (this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#connect();
  }

  #connect(): void {
    this.#timer = null;
    const socket = connect({
      path: this.#path,
      onread: {
        buffer: this.#buffer,
        callback: (count) => {
          this.#received(socket, count);
          return true;
        },
      },
    });
    this.#socket = socket;
    let reason = 'closed by the other end';
    socket.once('connect', () => {
      if (this.#socket !== socket) return;
      this.#retryMs = RETRY_MS_MIN;
      this.#loop.begin();
      this.#client = this.#host.connected();
      this.#loop.end();
    });
    socket.on('error', (error) => {
      reason = error.message;
    });
    // The other end has finished; without this a half-closed socket would stay open.
    socket.once('end', () => socket.destroy());
    socket.once('close', () => {
      if (this.#socket === socket) this.#lost(reason);
    });
  }

  #received(socket: Socket, count: number): void {
    const client = this.#client;
    if (this.#socket !== socket || client === null) return;
    this.#loop.begin();
    client.receive(this.#buffer, 0, count);
    if (client.failure !== '') socket.destroy(new Error(client.failure));
    this.#loop.end();
  }

  #lost(reason: string): void {
    const had = this.#client !== null;
    this.#socket = null;
    this.#client = null;
    this.#inFlight = null;
    this.#loop.begin();
    if (had) this.#host.disconnected(reason);
    this.#loop.end();
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#connect();
    }, this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MS_MAX);
  }

  /** Hands what was appended to the socket in one write, unless an earlier write is under way. */
  flush(): void {
    const socket = this.#socket;
    const client = this.#client;
    if (socket === null || client === null || this.#inFlight !== null) return;
    const { out } = client;
    if (out.length === 0) return;
    const content = out.take();
    this.#inFlight = content;
    const done = writeNow(socket, content, 0, content.length);
    if (done < content.length) socket.write(content.subarray(done), this.#onWritten);
    if (socket.writableLength > 0) return;
    this.#inFlight = null;
    out.giveBack();
  }

  /** Ends the conversation for good, without a word. */
  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const socket = this.#socket;
    this.#socket = null;
    this.#client = null;
    socket?.destroy();
  }
}
