// The Links port over TCP: every connection of a process, by link number. It owns connecting, accepting, liveness and the
// bounds on all of them; it must never decide to connect again: that is the machine's.

import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';

import { assert } from '../../core/assert.js';
import type {
  LinkId,
  Links,
  LinkTarget,
  Log,
  Machine,
  OwnIdentity,
  Peer,
  Region,
} from '../../core/ports.js';
import { FRAME_BYTES_MAX, HEADER_BYTES } from '../../protocol/frames.js';
import { LIMIT } from '../../protocol/generated/constants.js';
import { AcceptorHandshake, InitiatorHandshake } from '../../protocol/handshake.js';
import type { HandshakeRules } from '../../protocol/handshake.js';
import { OPTIONS } from '../../protocol/tables/options.js';
import type { CompletionSource, Loop } from '../loop.js';
import { newNonce } from './authentication.js';
import { BufferPool } from './buffer-pool.js';
import { Connection } from './connection.js';
import type { ConnectionOwner, ConnectionTools } from './connection.js';
import { Dial } from './dial.js';
import { Liveness } from './liveness.js';
import { RefusalLog, UnreachableLog } from './refusal-log.js';

/** Strangers that may shake hands at the same time. */
const STRANGERS_MAX = 512;
/** What may wait for one slow reader before the link counts as broken. */
const PENDING_BYTES_MAX = 64 * 1024 * 1024;

/** Timing as the options table has it. */
export const LINK_TIMING = {
  connectTimeoutMs: OPTIONS.connectTimeoutMs.default,
  handshakeTimeoutMs: OPTIONS.handshakeTimeoutMs.default,
  pingIdleMs: OPTIONS.pingIdleMs.default,
  pingDeadMs: OPTIONS.pingDeadMs.default,
} as const;

export type LinkInputs = Pick<Machine, 'linkUp' | 'linkDown' | 'frame'>;

export interface TcpLinksOptions {
  readonly loop: Loop;
  readonly rules: HandshakeRules;
  /** Until the machine says otherwise. */
  readonly identity: OwnIdentity;
  readonly log: Log;
  readonly connectTimeoutMs: number;
  readonly handshakeTimeoutMs: number;
  readonly pingIdleMs: number;
  readonly pingDeadMs: number;
  /** Local address to connect from; without it the system chooses. */
  readonly localHost?: string;
}

interface Down {
  readonly link: LinkId;
  readonly reason: string;
}

export class TcpLinks implements Links, ConnectionOwner, CompletionSource {
  private readonly options: TcpLinksOptions;
  private readonly tools: ConnectionTools;
  private readonly pool = new BufferPool();
  private readonly open = new Map<LinkId, Connection>();
  private readonly dials = new Map<LinkId, Dial>();
  private readonly dialOf = new WeakMap<Connection, Dial>();
  private readonly strangers = new Set<Connection>();
  private readonly servers: Server[] = [];
  private readonly liveness: Liveness;
  private readonly refusals: RefusalLog;
  private readonly unreachable: UnreachableLog;
  private dirtyList: Connection[] = [];
  private downs: Down[] = [];
  private resumes: LinkId[] = [];
  private machine: LinkInputs | null = null;
  private identity: OwnIdentity;
  private nextLink = 1;
  private trash: Uint8Array | null = null;
  private readonly region: { bytes: Uint8Array; view: DataView; at: number } = {
    bytes: new Uint8Array(0),
    view: new DataView(new ArrayBuffer(0)),
    at: 0,
  };

  constructor(options: TcpLinksOptions) {
    this.options = options;
    this.identity = options.identity;
    const { loop, handshakeTimeoutMs } = options;
    this.tools = { loop, pool: this.pool, owner: this, handshakeTimeoutMs };
    this.refusals = new RefusalLog(options.log);
    this.unreachable = new UnreachableLog(options.log);
    this.liveness = new Liveness(loop, this.open, options.pingIdleMs, options.pingDeadMs);
    loop.addSource(this);
    loop.addFlush(() => {
      this.flush();
    });
  }

  /** The machine that hears of links; once, before `listen` and `connect`. */
  attach(machine: LinkInputs): void {
    this.machine = machine;
    this.liveness.start();
  }

  /**
   * Accepts links on an address.
   *
   * @param port - 0: any
   * @returns the port
   * @throws Error of the system, such as EADDRINUSE
   */
  async listen(host: string, port: number): Promise<number> {
    const server = createServer({ pauseOnConnect: true }, (socket) => {
      this.accept(socket);
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port }, () => {
        server.off('error', reject);
        resolve();
      });
    });
    server.on('error', (error) => {
      this.options.log.event('error', 'links.accept-failed', { host, port, reason: error.message });
    });
    this.servers.push(server);
    const address = server.address();
    assert(address !== null && typeof address === 'object', 'a TCP server has a port');
    return address.port;
  }

  /** Stops listening and ends all links; what was sent goes out. The machine hears nothing more. */
  stop(): void {
    this.liveness.stop();
    for (const server of this.servers) server.close();
    for (const dial of this.dials.values()) dial.stop();
    for (const connection of [...this.strangers, ...this.open.values()]) connection.close();
    this.dials.clear();
    this.strangers.clear();
    this.open.clear();
    this.downs = [];
    this.machine = null;
  }

  identify(identity: OwnIdentity): void {
    this.identity = identity;
  }

  newLink(): LinkId {
    return this.nextLink++;
  }

  connect(link: LinkId, target: LinkTarget): void {
    assert(!this.open.has(link) && !this.dials.has(link), 'a link connects once');
    const { rules, connectTimeoutMs } = this.options;
    const dial = new Dial(link, target, (address) => {
      const handshake = new InitiatorHandshake(rules, this.identity, target, newNonce());
      const { localHost } = this.options;
      const connection = Connection.dial(
        this.tools,
        handshake,
        address,
        connectTimeoutMs,
        localHost,
      );
      this.dialOf.set(connection, dial);
      return connection;
    });
    this.dials.set(link, dial);
    if (!dial.next()) this.dialFailed(dial);
  }

  close(link: LinkId): void {
    const dial = this.dials.get(link);
    if (dial !== undefined) {
      this.dials.delete(link);
      dial.stop();
    }
    const connection = this.open.get(link);
    if (connection !== undefined) {
      this.open.delete(link);
      connection.close();
    }
    this.downs = this.downs.filter((down) => down.link !== link);
  }

  reserve(link: LinkId, frameBytes: number): Region {
    assert(frameBytes >= HEADER_BYTES && frameBytes <= FRAME_BYTES_MAX, 'a frame has legal length');
    const { region } = this;
    const connection = this.open.get(link);
    if (connection === undefined) {
      this.trash ??= new Uint8Array(FRAME_BYTES_MAX);
      region.bytes = this.trash;
      region.view = new DataView(this.trash.buffer);
      region.at = 0;
      return region;
    }
    const { transmitter } = connection;
    region.at = transmitter.reserve(frameBytes);
    const { slab } = transmitter;
    assert(slab !== null, 'a reservation has a slab');
    region.bytes = slab.bytes;
    region.view = slab.view;
    if (!connection.listed) this.dirty(connection);
    return region;
  }

  resume(link: LinkId): void {
    this.resumes.push(link);
  }

  pendingBytes(link: LinkId): number {
    return this.open.get(link)?.transmitter.pendingBytes ?? 0;
  }

  /** Completions: links to offer again, links that went down. */
  drain(nowUs: number): boolean {
    if (this.resumes.length === 0 && this.downs.length === 0) return false;
    const { resumes, downs } = this;
    this.resumes = [];
    this.downs = [];
    for (const link of resumes) this.open.get(link)?.resume();
    for (const { link, reason } of downs) this.machine?.linkDown(nowUs, link, reason);
    return true;
  }

  opened(connection: Connection, peer: Peer): void {
    const dial = this.dialOf.get(connection);
    this.dialOf.delete(connection);
    this.strangers.delete(connection);
    if (dial !== undefined) this.dials.delete(dial.link);
    connection.link = dial?.link ?? this.newLink();
    if (this.machine === null || this.open.size >= LIMIT.linksPerProcessMax) {
      this.refusals.note(connection.remoteHost, 'too many links');
      connection.close();
      if (dial !== undefined) this.downs.push({ link: dial.link, reason: 'too many links' });
      return;
    }
    this.open.set(connection.link, connection);
    this.machine.linkUp(this.options.loop.nowUs, connection.link, peer);
  }

  ended(connection: Connection, reason: string): void {
    const dial = this.dialOf.get(connection);
    if (dial !== undefined) {
      this.dialOf.delete(connection);
      dial.failed(reason);
      if (!dial.next()) this.dialFailed(dial);
    } else if (this.strangers.delete(connection)) {
      this.refusals.note(connection.remoteHost, reason);
    } else if (this.open.get(connection.link) === connection) {
      this.open.delete(connection.link);
      this.downs.push({ link: connection.link, reason });
    }
  }

  arrived(
    connection: Connection,
    bytes: Uint8Array,
    view: DataView,
    at: number,
    bodyBytes: number,
  ): boolean {
    const { machine } = this;
    if (machine === null) return true;
    return machine.frame(this.options.loop.nowUs, connection.link, bytes, view, at, bodyBytes);
  }

  dirty(connection: Connection): void {
    if (connection.listed) return;
    connection.listed = true;
    this.dirtyList.push(connection);
  }

  private dialFailed(dial: Dial): void {
    if (this.dials.delete(dial.link)) {
      this.downs.push({ link: dial.link, reason: dial.reason });
      this.unreachable.note(dial.reason);
    }
    // Without an address nothing happened yet that would start a batch.
    if (dial.neverTried)
      setImmediate(() => {
        this.options.loop.begin();
        this.options.loop.end();
      });
  }

  private accept(socket: Socket): void {
    if (this.machine === null || this.strangers.size >= STRANGERS_MAX) {
      this.refusals.note(socket.remoteAddress ?? '', 'too many strangers at the same time');
      socket.destroy();
      return;
    }
    const handshake = new AcceptorHandshake(this.options.rules, this.identity, newNonce());
    this.strangers.add(Connection.accept(this.tools, handshake, socket));
  }

  private flush(): void {
    while (this.dirtyList.length > 0) {
      const list = this.dirtyList;
      this.dirtyList = [];
      for (const connection of list) {
        connection.listed = false;
        connection.transmitter.flush();
        if (connection.transmitter.pendingBytes > PENDING_BYTES_MAX)
          connection.fail(
            `the other end reads too slowly: ${connection.transmitter.pendingBytes} bytes wait`,
          );
      }
    }
  }
}
