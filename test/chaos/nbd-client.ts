// A client of an NBD server on a unix socket, as small as the workload needs it: one connection, requests that overlap,
// simple replies. It must never repeat a request: what became of those under way when the connection ends is not known.

import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

import {
  COMMAND,
  HANDSHAKE_FLAG,
  NBD,
  OPTION,
  OPTION_REPLY,
} from '../../backend/sdc/nbd/constants.js';

const REQUEST_BYTES = 28;
const REPLY_BYTES = 16;
const GREETING_BYTES = 18;
const OPTION_HEADER_BYTES = 20;
const FUA = 1;
const RECONNECT_MS = 100;

/** The connection ended before the answer came: the request may have been done. */
export class Unanswered extends Error {
  override readonly name = 'Unanswered';
}

/** The server answered with an error. */
export class IoError extends Error {
  override readonly name = 'IoError';
  readonly errno: number;

  constructor(errno: number) {
    super(`errno ${errno}`);
    this.errno = errno;
  }
}

interface Waiting {
  readonly length: number;
  readonly done: (data: Buffer) => void;
  readonly failed: (error: Error) => void;
}

interface Request {
  readonly type: number;
  readonly flags?: number;
  readonly offset?: number;
  readonly length?: number;
  readonly data?: Buffer;
}

export class NbdClient {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiting>();
  #cookie = 0;
  #received: Buffer = Buffer.alloc(0);
  #ended: Error | null = null;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** @throws Error when nobody listens there, or it is no NBD server */
  static async open(path: string): Promise<NbdClient> {
    const socket = connect(path);
    try {
      await negotiate(socket);
    } catch (error) {
      socket.destroy();
      throw error;
    }
    const client = new NbdClient(socket);
    socket.on('data', (bytes: Buffer) => {
      client.#take(bytes);
    });
    // `close` follows, and tells those who wait.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      client.#end();
    });
    return client;
  }

  get isOpen(): boolean {
    return this.#ended === null;
  }

  #end(): void {
    this.#ended ??= new Unanswered('the connection ended');
    for (const { failed } of this.#waiting.values()) failed(this.#ended);
    this.#waiting.clear();
  }

  #take(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes]);
    while (this.#received.length >= REPLY_BYTES) {
      if (this.#received.readUInt32BE(0) !== NBD.simpleReplyMagic)
        throw new Error('the NBD server sent something that is no simple reply');
      const errno = this.#received.readUInt32BE(4);
      const cookie = this.#received.readUInt32BE(12);
      const request = this.#waiting.get(cookie);
      if (request === undefined) throw new Error('the NBD server answered what nobody asked');
      const end = REPLY_BYTES + (errno === 0 ? request.length : 0);
      if (this.#received.length < end) return;
      const data = this.#received.subarray(REPLY_BYTES, end);
      this.#received = this.#received.subarray(end);
      this.#waiting.delete(cookie);
      if (errno === 0) request.done(data);
      else request.failed(new IoError(errno));
    }
  }

  #ask({ type, flags = 0, offset = 0, length = 0, data }: Request): Promise<Buffer> {
    return new Promise((done, failed) => {
      if (this.#ended !== null) {
        failed(this.#ended);
        return;
      }
      const cookie = ++this.#cookie;
      const header = Buffer.alloc(REQUEST_BYTES);
      header.writeUInt32BE(NBD.requestMagic, 0);
      header.writeUInt16BE(flags, 4);
      header.writeUInt16BE(type, 6);
      header.writeUInt32BE(cookie, 12);
      header.writeBigUInt64BE(BigInt(offset), 16);
      header.writeUInt32BE(length, 24);
      this.#waiting.set(cookie, { length: type === COMMAND.read ? length : 0, done, failed });
      this.#socket.write(data === undefined ? header : Buffer.concat([header, data]));
    });
  }

  read(offset: number, length: number): Promise<Buffer> {
    return this.#ask({ type: COMMAND.read, offset, length });
  }

  async write(offset: number, data: Buffer, fua: boolean): Promise<void> {
    const flags = fua ? FUA : 0;
    await this.#ask({ type: COMMAND.write, flags, offset, length: data.length, data });
  }

  async zero(offset: number, length: number): Promise<void> {
    await this.#ask({ type: COMMAND.writeZeroes, offset, length });
  }

  async trim(offset: number, length: number): Promise<void> {
    await this.#ask({ type: COMMAND.trim, offset, length });
  }

  async flush(): Promise<void> {
    await this.#ask({ type: COMMAND.flush });
  }

  close(): void {
    this.#socket.destroy();
    this.#end();
  }
}

/** Connects until somebody listens there; null: it is enough before that. */
export async function openAgain(path: string, isEnough: () => boolean): Promise<NbdClient | null> {
  while (!isEnough())
    try {
      return await NbdClient.open(path);
    } catch (error) {
      // A client process that was killed comes again; one that never does ends the run by its limits.
      if (!(error instanceof Error)) throw error;
      await pause(RECONNECT_MS);
    }
  return null;
}

/** Reads from a socket in pieces of known length. */
class Pieces {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  async take(bytes: number): Promise<Buffer> {
    for (;;) {
      const piece = (bytes === 0 ? Buffer.alloc(0) : this.#socket.read(bytes)) as Buffer | null;
      if (piece !== null) return piece;
      await new Promise<void>((done, failed) => {
        const settle = (error?: Error): void => {
          for (const name of ['readable', 'end', 'close', 'error'])
            this.#socket.removeListener(name, listeners[name] ?? done);
          if (error === undefined) done();
          else failed(error);
        };
        const listeners: Record<string, (error?: Error) => void> = {
          readable: () => {
            settle();
          },
          end: () => {
            settle(new Error('the NBD server ended the connection'));
          },
          close: () => {
            settle(new Error('the NBD server closed the connection'));
          },
          error: (error) => {
            settle(error);
          },
        };
        for (const [name, listener] of Object.entries(listeners)) this.#socket.on(name, listener);
      });
    }
  }
}

async function negotiate(socket: Socket): Promise<void> {
  const pieces = new Pieces(socket);
  const greeting = await pieces.take(GREETING_BYTES);
  if (greeting.readUInt32BE(0) !== NBD.magic[0]) throw new Error('this is no NBD server');
  const option = Buffer.alloc(26);
  option.writeUInt32BE(HANDSHAKE_FLAG.fixedNewstyle | HANDSHAKE_FLAG.noZeroes, 0);
  option.writeUInt32BE(NBD.optionMagic[0], 4);
  option.writeUInt32BE(NBD.optionMagic[1], 8);
  option.writeUInt32BE(OPTION.go, 12);
  // An empty name, and no questions.
  option.writeUInt32BE(6, 16);
  socket.write(option);
  for (;;) {
    const reply = await pieces.take(OPTION_HEADER_BYTES);
    await pieces.take(reply.readUInt32BE(16));
    const type = reply.readUInt32BE(12);
    if (type === OPTION_REPLY.ack) return;
    if (type !== OPTION_REPLY.info) throw new Error(`the NBD server refused: ${type}`);
  }
}
