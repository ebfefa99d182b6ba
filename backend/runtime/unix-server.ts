// Serves byte conversations on unix sockets: one listening socket per name, one session object per connection. It owns
// sockets, receive buffers and the one write per batch; it must never look into the bytes.

import { chmodSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import type { Micros } from '../core/ports.js';
import { adoptSocket } from './links/sockets.js';
import { writeNow } from './links/write-now.js';
import type { Loop } from './loop.js';

const RECEIVE_BYTES = 262144;
const CONNECTIONS_MAX = 64;
/** How often a client that is not read from is looked at: nothing is heard of its end otherwise. */
const PROBE_MS = 1000;
const NOTHING = new Uint8Array(0);

/** A conversation with one client, without I/O of its own. */
export interface ByteSession {
  /** Takes bytes; fewer than given: it is blocked until `resumeAll`, or closed. */
  receive(nowUs: Micros, bytes: Uint8Array, from: number, to: number): number;
  readonly closed: boolean;
  /** What was taken last could not be handled for want of room. */
  readonly blocked: boolean;
  readonly out: {
    readonly length: number;
    take(): Uint8Array;
    /** What was taken last is written. */
    giveBack(): void;
    /** Set by this server: there is something to write. */
    onDirty: () => void;
  };
  /** Kept up to date by this server: what the socket has not taken yet. */
  unsentBytes: number;
}

/** Makes and forgets the sessions of one listening socket. */
export interface SessionSource {
  open(): ByteSession;
  close(session: ByteSession): void;
}

/** Connections that have something to write at the end of the batch, of one server or several. */
export class FlushList {
  readonly #list: Flushable[] = [];

  add(connection: Flushable): void {
    if (connection.listed) return;
    connection.listed = true;
    this.#list.push(connection);
  }

  /** One write to each. */
  flush(): void {
    for (let next = this.#list.pop(); next !== undefined; next = this.#list.pop()) {
      next.listed = false;
      next.flush();
    }
  }
}

interface Flushable {
  listed: boolean;
  flush(): void;
}

class Connection implements Flushable {
  readonly session: ByteSession;
  listed = false;
  readonly #socket: Socket;
  readonly #loop: Loop;
  readonly #list: FlushList;
  readonly #onStopped: () => void;
  readonly #buffer = new Uint8Array(RECEIVE_BYTES);
  /** Received bytes that the session has not taken: from, to. */
  #from = 0;
  #to = 0;
  #inFlight: Uint8Array | null = null;
  readonly #onWritten = (): void => {
    const content = this.#inFlight;
    if (content === null || this.#socket.writableLength > 0) return;
    this.#inFlight = null;
    this.session.unsentBytes = 0;
    this.session.out.giveBack();
    this.#list.add(this);
    this.#goOn();
  };
  /** Replies have left: a client that reads again is read from again. */
  readonly #goOn = (): void => {
    this.#loop.begin();
    this.resume();
    this.#loop.end();
  };

  constructor(
    accepted: Socket,
    session: ByteSession,
    loop: Loop,
    list: FlushList,
    onStopped: () => void,
    onEnd: () => void,
  ) {
    this.session = session;
    this.#onStopped = onStopped;
    this.#loop = loop;
    this.#list = list;
    session.out.onDirty = () => {
      list.add(this);
    };
    this.#socket = adoptSocket(accepted, {
      nextBuffer: () => this.#buffer,
      received: (count) => this.#received(count),
      receivedCopy: (chunk) => {
        this.#buffer.set(chunk.subarray(0, RECEIVE_BYTES));
        return this.#received(chunk.length);
      },
    });
    this.#socket.once('close', onEnd);
    // The reason of a broken connection is of no use: the client asks again through a new one.
    this.#socket.on('error', () => this.#socket.destroy());
    this.#socket.resume();
    this.flush();
  }

  #received(count: number): boolean {
    this.#from = 0;
    this.#to = count;
    this.#loop.begin();
    const all = this.feed();
    this.#loop.endWithOthers();
    return all;
  }

  /** Offers what is left to the session; true when it took and handled everything, and reading goes on. */
  feed(): boolean {
    const { session } = this;
    this.#from += session.receive(this.#loop.nowUs, this.#buffer, this.#from, this.#to);
    // It may have ended without a reply.
    if (session.closed) this.#list.add(this);
    if (!this.isStopped) return true;
    this.#onStopped();
    return false;
  }

  /** It is not read from, until its session has room. */
  get isStopped(): boolean {
    return this.#from !== this.#to || this.session.blocked;
  }

  /** As `feed`, for a connection that may have stopped reading. */
  resume(): void {
    if (this.isStopped && this.feed()) this.#socket.resume();
  }

  /** A write of no bytes is nothing to a client that lives, and an error of the socket when it is gone. */
  probe(): void {
    if (this.isStopped && this.#inFlight === null) this.#socket.write(NOTHING);
  }

  /** Hands replies to the socket in one write, unless an earlier write is under way. */
  flush(): void {
    const { out } = this.session;
    if (this.#inFlight === null && out.length > 0) {
      const content = out.take();
      const done = writeNow(this.#socket, content, 0, content.length);
      if (done < content.length) this.#socket.write(content.subarray(done), this.#onWritten);
      if (this.#socket.writableLength === 0) {
        out.giveBack();
        if (this.session.blocked) setImmediate(this.#goOn);
      } else {
        this.#inFlight = content;
        this.session.unsentBytes = content.length;
      }
    }
    if (this.session.closed && this.#inFlight === null) this.#socket.end();
  }

  end(): void {
    this.#socket.destroy();
  }
}

export class UnixServer {
  readonly #server: Server;
  readonly #path: string;
  readonly #loop: Loop;
  readonly #list: FlushList;
  readonly #connections = new Set<Connection>();
  #probing: NodeJS.Timeout | null = null;
  readonly #probeSoon = (): void => {
    this.#probing ??= setTimeout(() => {
      this.#probe();
    }, PROBE_MS).unref();
  };

  /**
   * @param path - where the socket is made, mode 0600; a leftover of an earlier process is replaced
   * @param onFailure - the socket cannot be listened on
   * @param list - flushed by the caller at the end of every batch
   */
  constructor(
    path: string,
    source: SessionSource,
    loop: Loop,
    onFailure: (error: Error) => void,
    list: FlushList,
  ) {
    this.#path = path;
    this.#loop = loop;
    this.#list = list;
    this.#server = createServer({ pauseOnConnect: true }, (socket) => {
      this.#accept(socket, source);
    });
    this.#server.maxConnections = CONNECTIONS_MAX;
    this.#server.once('error', onFailure);
    rmSync(path, { force: true });
    this.#server.listen(path, () => {
      chmodSync(path, 0o600);
    });
  }

  #accept(socket: Socket, source: SessionSource): void {
    const session = source.open();
    const ended = (): void => {
      this.#connections.delete(connection);
      this.#loop.begin();
      source.close(session);
      this.#loop.end();
    };
    const connection = new Connection(
      socket,
      session,
      this.#loop,
      this.#list,
      this.#probeSoon,
      ended,
    );
    this.#connections.add(connection);
  }

  /** Looks at the clients that are not read from, again and again while there are some. */
  #probe(): void {
    this.#probing = null;
    for (const connection of this.#connections) {
      if (!connection.isStopped) continue;
      connection.probe();
      this.#probeSoon();
    }
  }

  /** Connections that were blocked are offered their bytes again. */
  resumeAll(): void {
    for (const connection of this.#connections) connection.resume();
  }

  /** Ends all connections and removes the socket. */
  close(): void {
    this.#server.close();
    if (this.#probing !== null) clearTimeout(this.#probing);
    for (const connection of this.#connections) connection.end();
    rmSync(this.#path, { force: true });
  }
}
