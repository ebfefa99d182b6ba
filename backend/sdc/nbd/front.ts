// The NBD front end of the client machine: which volumes are exported, which connections use them, which requests wait for
// room. It owns the bound on requests of all connections together; it must never open a socket: runtime/nbd-server does.

import { assert } from '../../core/assert.js';
import type { Micros, Token } from '../../core/ports.js';
import { LIMIT } from '../../protocol/generated/constants.js';
import type { BlockBack, BlockFront, BlockVolume, Errno, IoKind } from '../block-front.js';
import { NbdSession } from './session.js';
import type { SessionHost } from './session.js';
import { Slots } from './slots.js';
import type { Slot } from './slots.js';

/** What the front end tells the shell that owns the sockets. */
export interface NbdShell {
  /** A volume can be used from now on. */
  exportAdded(volume: BlockVolume): void;
  exportChanged(volume: BlockVolume): void;
  /** Its connections have to be closed. */
  exportRemoved(volumeKey: number): void;
  /** Connections that were blocked may go on. */
  unblocked(): void;
  /** See BlockFront. */
  isReady?(): boolean;
}

const SLOTS_MAX = 4096;
/** What one connection at the depth of 128 of a kernel's block device may send, of 1 MiB each. */
const BUFFER_BYTES_MAX = 192 * 1048576;

/** Request of a session that the machine had no room for yet. */
interface Waiting {
  readonly slot: Slot<NbdSession>;
  readonly volumeKey: number;
  readonly kind: IoKind;
  readonly fua: boolean;
}

export class NbdFront implements BlockFront {
  readonly #shell: NbdShell;
  readonly #slots = new Slots<NbdSession>(SLOTS_MAX, BUFFER_BYTES_MAX);
  readonly #exports = new Map<number, BlockVolume>();
  readonly #sessions = new Set<NbdSession>();
  readonly #waiting: Waiting[] = [];
  #back: BlockBack | null = null;
  #someBlocked = false;

  constructor(shell: NbdShell) {
    this.#shell = shell;
  }

  /** The machine, once it exists; before the first connection. */
  attach(back: BlockBack): void {
    this.#back = back;
  }

  /** A connection that came through the socket of a volume. */
  open(volumeKey: number): NbdSession {
    const host: SessionHost = {
      find: (name) => this.#find(volumeKey, name),
      names: () => this.#names(volumeKey),
      requestBytesMax: LIMIT.nbdRequestBytesMax,
      takeSlot: (session, bufferBytes, isWrite) => this.#takeSlot(session, bufferBytes, isWrite),
      giveSlot: (slot) => {
        this.#giveSlot(slot);
      },
      submit: (nowUs, slot, key, kind, fua) => {
        this.#submit(nowUs, slot, key, kind, fua);
      },
    };
    const session = new NbdSession(host);
    this.#sessions.add(session);
    return session;
  }

  /** The connection has ended: what it asked for and nobody has begun is not done any more. */
  close(nowUs: Micros, session: NbdSession): void {
    session.abandon();
    this.#sessions.delete(session);
    const own = (slot: Slot<NbdSession>): boolean => slot.owner === session;
    const unsubmitted = this.#waiting.filter(({ slot }) => own(slot));
    if (unsubmitted.length > 0) {
      const kept = this.#waiting.filter(({ slot }) => !own(slot));
      this.#waiting.splice(0, this.#waiting.length, ...kept);
      for (const { slot } of unsubmitted) this.#giveSlot(slot);
    }
    if (session.writeSlots + session.otherSlots > 0)
      this.#back?.abandon(nowUs, (token) => own(this.#slots.byToken(token)));
  }

  /** The default export of a socket has the empty name; its own name works too. */
  #find(volumeKey: number, name: string): BlockVolume | null {
    const volume = this.#exports.get(volumeKey);
    return volume !== undefined && (name === '' || name === volume.name) ? volume : null;
  }

  #names(volumeKey: number): Iterable<string> {
    const volume = this.#exports.get(volumeKey);
    return volume === undefined ? [] : [volume.name];
  }

  #takeSlot(session: NbdSession, bufferBytes: number, isWrite: boolean): Slot<NbdSession> | null {
    const slot = this.#waiting.length > 0 ? null : this.#slots.take(session, bufferBytes, isWrite);
    if (slot === null) this.#someBlocked = true;
    return slot;
  }

  #giveSlot(slot: Slot<NbdSession>): void {
    this.#slots.give(slot);
    if (!this.#someBlocked) return;
    this.#someBlocked = false;
    this.#shell.unblocked();
  }

  #submit(
    nowUs: Micros,
    slot: Slot<NbdSession>,
    volumeKey: number,
    kind: IoKind,
    fua: boolean,
  ): void {
    if (this.#waiting.length > 0 || !this.#start(nowUs, slot, volumeKey, kind, fua))
      this.#waiting.push({ slot, volumeKey, kind, fua });
  }

  #start(
    nowUs: Micros,
    slot: Slot<NbdSession>,
    volumeKey: number,
    kind: IoKind,
    fua: boolean,
  ): boolean {
    assert(this.#back !== null, 'the machine is attached before the first connection');
    const { offsetBytes, lengthBytes, bytes, token } = slot;
    return this.#back.submit(
      nowUs,
      volumeKey,
      kind,
      offsetBytes,
      lengthBytes,
      fua,
      bytes,
      0,
      token,
    );
  }

  volumeAdded(_nowUs: Micros, volume: BlockVolume): void {
    this.#exports.set(volume.key, volume);
    this.#shell.exportAdded(volume);
  }

  volumeChanged(_nowUs: Micros, volume: BlockVolume): void {
    this.#exports.set(volume.key, volume);
    for (const session of this.#sessions)
      if (session.volumeKey === volume.key) session.volumeChanged(volume);
    this.#shell.exportChanged(volume);
  }

  volumeRemoved(_nowUs: Micros, volumeKey: number): void {
    this.#exports.delete(volumeKey);
    this.#shell.exportRemoved(volumeKey);
  }

  isReady(): boolean {
    return this.#shell.isReady?.() !== false;
  }

  ioDone(_nowUs: Micros, token: Token, errno: Errno): void {
    const slot = this.#slots.byToken(token);
    slot.owner?.done(slot, errno);
  }

  roomAgain(nowUs: Micros): void {
    let started = 0;
    for (const { slot, volumeKey, kind, fua } of this.#waiting) {
      if (!this.#start(nowUs, slot, volumeKey, kind, fua)) break;
      started++;
    }
    this.#waiting.splice(0, started);
    if (this.#waiting.length > 0 || !this.#someBlocked) return;
    this.#someBlocked = false;
    this.#shell.unblocked();
  }
}
