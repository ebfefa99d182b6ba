// One TCP connection: handshake, frames in, frames out, signs of life, the end. It owns the socket; it must never
// interpret a frame beyond the link's own (handshake, PING, PONG), nor let one through before the handshake is done.
//
// A frame whose header is right but that this program does not know is answered with BAD_FRAME; anything that makes the
// place of the next frame doubtful ends the connection.

import type { Socket } from 'node:net';

import { unreachable } from '../../core/assert.js';
import type { Peer } from '../../core/ports.js';
import { encodeControl, encodeRefusal } from '../../protocol/control.js';
import { CHECK, CHECK_REASONS, checkBody, checkHeader } from '../../protocol/frames.js';
import { ERR, MSG, VERSION_MIN } from '../../protocol/generated/constants.js';
import { getCode, getTag, getVersion } from '../../protocol/generated/frame-head.js';
import { handshakeHeaderFault } from '../../protocol/handshake.js';
import type { AcceptorHandshake, InitiatorHandshake } from '../../protocol/handshake.js';
import type { Loop } from '../loop.js';
import type { BufferPool } from './buffer-pool.js';
import { LATER, Receiver, STOP, TAKEN } from './receiver.js';
import type { FrameSink } from './receiver.js';
import { adoptSocket, openSocket } from './sockets.js';
import type { ByteSink } from './sockets.js';
import { Transmitter } from './transmitter.js';

/** Slab for left-overs once the other end is known. */
const OPEN_SLAB_BYTES = 64 * 1024;
/** A connection that was closed on purpose may take this long to send what is left. */
const LINGER_MS = 1000;

/** What happens on a connection; called inside a batch of the loop. */
export interface ConnectionOwner {
  /** Both sides have proved themselves. */
  opened(connection: Connection, peer: Peer): void;
  /** It is over, whether it had been open or not; not told when the owner closed it. */
  ended(connection: Connection, reason: string): void;
  /** A frame, checked; false: keep it until `resume`. */
  arrived(
    connection: Connection,
    bytes: Uint8Array,
    view: DataView,
    at: number,
    bodyBytes: number,
  ): boolean;
  /** Something is waiting to be written. */
  dirty(connection: Connection): void;
}

export interface ConnectionTools {
  readonly loop: Loop;
  readonly pool: BufferPool;
  readonly owner: ConnectionOwner;
  readonly handshakeTimeoutMs: number;
}

export class Connection implements FrameSink, ByteSink {
  /** Number of the link, once it has one. */
  link = 0;
  peer: Peer | null = null;
  /** Address of the other end as this host sees it. */
  remoteHost = '';
  /** Loop time at which the last bytes arrived. */
  heardUs: number;
  /** Already on its owner's list of those to flush. */
  listed = false;
  readonly transmitter: Transmitter;
  private readonly tools: ConnectionTools;
  private readonly receiver: Receiver;
  private readonly socket: Socket;
  private handshake: InitiatorHandshake | AcceptorHandshake | null;
  private headerCheck: number = CHECK.OK;
  private closed = false;
  private timer: NodeJS.Timeout | null;

  private constructor(
    tools: ConnectionTools,
    handshake: InitiatorHandshake | AcceptorHandshake,
    socketFor: (sink: ByteSink) => Socket,
    timeoutMs: number,
    timeoutReason: string,
  ) {
    this.tools = tools;
    this.handshake = handshake;
    this.heardUs = tools.loop.nowUs;
    this.receiver = new Receiver(tools.pool, this);
    this.socket = socketFor(this);
    this.transmitter = new Transmitter(tools.pool, this.socket);
    this.timer = setTimeout(() => {
      this.finish(timeoutReason);
    }, timeoutMs);
    this.socket.on('error', (error) => {
      this.finish(error.message);
    });
    this.socket.on('end', () => {
      this.finish('the other end closed the connection');
    });
    this.socket.on('close', () => {
      this.finish('the connection was closed');
    });
  }

  /** Connects, then opens the link. */
  static dial(
    tools: ConnectionTools,
    handshake: InitiatorHandshake,
    address: { readonly host: string; readonly port: number },
    connectTimeoutMs: number,
    localHost: string | undefined,
  ): Connection {
    const connection = new Connection(
      tools,
      handshake,
      (sink) => openSocket(address, localHost, sink),
      connectTimeoutMs,
      `no connection within ${connectTimeoutMs} ms`,
    );
    connection.socket.on('connect', () => {
      connection.connected(handshake);
    });
    return connection;
  }

  /** Takes an accepted socket, then waits for its HELLO. */
  static accept(tools: ConnectionTools, handshake: AcceptorHandshake, socket: Socket): Connection {
    const host = plainAddress(socket);
    const connection = new Connection(
      tools,
      handshake,
      (sink) => adoptSocket(socket, sink),
      tools.handshakeTimeoutMs,
      `not authenticated within ${tools.handshakeTimeoutMs} ms`,
    );
    connection.remoteHost = host;
    return connection;
  }

  /** Protocol version of the link; that of handshakes until it is open. */
  private get version(): number {
    return this.peer?.version ?? VERSION_MIN;
  }

  get paused(): boolean {
    return this.receiver.paused;
  }

  /** Sends one whole frame. */
  send(frame: Uint8Array): void {
    if (this.closed) return;
    const at = this.transmitter.reserve(frame.length);
    this.transmitter.slab?.bytes.set(frame, at);
    this.tools.owner.dirty(this);
  }

  /** Asks the other end whether it lives. */
  ping(): void {
    this.send(encodeControl(MSG.PING, 0, 0, {}, this.version));
  }

  /** Shows the other end that this one lives, although it reads nothing. */
  showLife(): void {
    this.send(encodeControl(MSG.PONG, 0, 0, {}, this.version));
  }

  /** Offers frames again that were not taken. */
  resume(): void {
    if (this.closed || !this.receiver.paused) return;
    this.heardUs = this.tools.loop.nowUs;
    if (this.receiver.resume()) this.socket.resume();
  }

  /** Ends it without a word to the owner; what was sent before still goes out. */
  close(): void {
    if (this.closed) return;
    this.retire();
    const { socket } = this;
    if (socket.connecting) {
      socket.destroy();
      return;
    }
    this.transmitter.finish();
    const linger = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.end(() => {
      clearTimeout(linger);
      socket.destroy();
    });
  }

  /** Ends it as broken and tells the owner. */
  fail(reason: string): void {
    this.finish(reason);
  }

  nextBuffer(): Uint8Array {
    return this.receiver.nextBuffer();
  }

  received(count: number): boolean {
    const { loop } = this.tools;
    loop.begin();
    this.heardUs = loop.nowUs;
    const goOn = this.receiver.received(count);
    loop.endWithOthers();
    return goOn && !this.receiver.paused;
  }

  receivedCopy(chunk: Uint8Array): boolean {
    const { loop } = this.tools;
    loop.begin();
    this.heardUs = loop.nowUs;
    this.receiver.receivedCopy(chunk);
    loop.end();
    return !this.receiver.paused && !this.closed;
  }

  header(view: DataView, at: number): number {
    if (this.handshake !== null) {
      const fault = handshakeHeaderFault(view, at);
      if (fault === null) return TAKEN;
      this.finish(fault);
      return STOP;
    }
    const check = checkHeader(view, at);
    this.headerCheck = check;
    const inStep = check === CHECK.OK || check === CHECK.UNKNOWN_CODE || check === CHECK.NOT_ZERO;
    if (!inStep) this.finish(`a frame ${CHECK_REASONS[check] ?? 'is wrong'}`);
    else if (getVersion(view, at) !== this.peer?.version)
      this.finish(`a frame has protocol version ${getVersion(view, at)}`);
    return this.closed ? STOP : TAKEN;
  }

  frame(bytes: Uint8Array, view: DataView, at: number, bodyBytes: number): number {
    if (this.handshake !== null) return this.shakeHands(this.handshake, bytes, view, at);
    if (this.headerCheck !== CHECK.OK) {
      const reason = `the frame ${CHECK_REASONS[this.headerCheck] ?? 'is wrong'}`;
      this.send(
        encodeRefusal(
          getTag(view, at),
          ERR.BAD_FRAME,
          [{ name: 'reason', value: reason }],
          this.version,
        ),
      );
      return TAKEN;
    }
    const check = checkBody(bytes, view, at);
    const code = getCode(view, at);
    if (check !== CHECK.OK) this.finish(`a frame ${CHECK_REASONS[check] ?? 'is wrong'}`);
    else if (code >= MSG.HELLO && code <= MSG.WELCOME) this.finish('a second handshake began');
    else if (code === MSG.PING)
      this.send(encodeControl(MSG.PONG, getTag(view, at), 0, {}, this.version));
    else if (code !== MSG.PONG && !this.tools.owner.arrived(this, bytes, view, at, bodyBytes))
      return this.closed ? STOP : LATER;
    return this.closed ? STOP : TAKEN;
  }

  private connected(handshake: InitiatorHandshake): void {
    if (this.closed) return;
    this.remoteHost = plainAddress(this.socket);
    const { loop, handshakeTimeoutMs } = this.tools;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.finish(`not authenticated within ${handshakeTimeoutMs} ms`);
    }, handshakeTimeoutMs);
    loop.begin();
    this.send(handshake.start());
    loop.end();
  }

  private shakeHands(
    handshake: InitiatorHandshake | AcceptorHandshake,
    bytes: Uint8Array,
    view: DataView,
    at: number,
  ): number {
    const step = handshake.receive(bytes, view, at);
    if (step.send !== null) this.send(step.send);
    switch (step.state) {
      case 'wait':
        return TAKEN;
      case 'refused':
        this.close();
        this.tools.owner.ended(this, step.reason);
        return STOP;
      case 'open':
        this.handshake = null;
        this.peer = { ...step.peer, host: this.remoteHost };
        this.receiver.slabBytesMin = OPEN_SLAB_BYTES;
        if (this.timer !== null) clearTimeout(this.timer);
        this.timer = null;
        this.tools.owner.opened(this, this.peer);
        return this.closed ? STOP : TAKEN;
      default:
        return unreachable(step);
    }
  }

  private retire(): void {
    this.closed = true;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.receiver.stop();
  }

  private finish(reason: string): void {
    if (this.closed) return;
    this.retire();
    this.transmitter.stop();
    this.socket.destroy();
    const { loop, owner } = this.tools;
    loop.begin();
    owner.ended(this, reason);
    loop.end();
  }
}

/** The other end's address; of an IPv4 host that came through an IPv6 socket, the IPv4 form, as people write it. */
function plainAddress(socket: Socket): string {
  return (socket.remoteAddress ?? '').replace(/^::ffff:(?=\d+\.)/, '');
}
