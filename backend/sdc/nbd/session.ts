// One NBD connection: negotiation, then requests and replies. It owns the framing and the checks of each request; it must
// never answer a request before the client machine has, nor keep more of it than its slot.

import type { Micros } from '../../core/ports.js';
import { ERRNO, IO } from '../block-front.js';
import type { BlockVolume, Errno, IoKind } from '../block-front.js';
import { coverBlocks, putStatus, statusBufferBytes, statusReplyBytes } from './block-status.js';
import {
  BLOCK_SIZE_MIN,
  CHUNK,
  CHUNK_FLAG,
  COMMAND,
  COMMAND_FLAG,
  META_CONTEXT_ID,
  NBD,
  NBD_ERROR,
  REQUEST_BYTES,
} from './constants.js';
import { Negotiation } from './negotiation.js';
import type { ExportFinder } from './negotiation.js';
import { Output } from './output.js';
import type { Slot, SlotOwner } from './slots.js';

/** What a connection needs of the front end that it belongs to. */
export interface SessionHost {
  readonly find: ExportFinder;
  readonly names: () => Iterable<string>;
  readonly requestBytesMax: number;
  takeSlot(session: NbdSession, bufferBytes: number, isWrite: boolean): Slot<NbdSession> | null;
  giveSlot(slot: Slot<NbdSession>): void;
  submit(
    nowUs: Micros,
    slot: Slot<NbdSession>,
    volumeKey: number,
    kind: IoKind,
    fua: boolean,
  ): void;
}

/** A client that does not read its replies is not read from, beyond so many bytes. */
const OUTPUT_BYTES_MAX = 4 * 1048576;

export class NbdSession implements SlotOwner {
  writeSlots = 0;
  otherSlots = 0;
  readonly out = new Output();
  /** Bytes that the socket has not taken yet, kept by the shell. */
  unsentBytes = 0;
  closed = false;
  /** No slot was free: the shell offers the rest again when the front end says so. */
  blocked = false;
  readonly #host: SessionHost;
  readonly #negotiation: Negotiation;
  #volume: BlockVolume | null = null;
  readonly #header = new Uint8Array(REQUEST_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);
  #headerHave = 0;
  /** A write whose payload is arriving. */
  #filling: Slot<NbdSession> | null = null;
  /** Payload of a refused write that is still to be thrown away. */
  #skipBytes = 0;
  #inFlight = 0;
  #disconnecting = false;

  constructor(host: SessionHost) {
    this.#host = host;
    this.#negotiation = new Negotiation(this.out, host.find, host.names, host.requestBytesMax);
  }

  /** Key of the volume that this connection uses, 0 while it negotiates. */
  get volumeKey(): number {
    return this.#volume?.key ?? 0;
  }

  /** The volume changed: later requests are checked against what it is now. */
  volumeChanged(volume: BlockVolume): void {
    this.#volume = volume;
  }

  /** Takes bytes from the client; returns how many were used. Fewer than given: blocked or closed. */
  receive(nowUs: Micros, bytes: Uint8Array, from: number, to: number): number {
    let at = from;
    this.blocked = false;
    if (this.#volume === null) {
      if (this.#isDeaf()) {
        this.blocked = true;
        return 0;
      }
      at += this.#negotiation.receive(bytes, at, to);
      if (this.#negotiation.stage === 'closed') this.closed = true;
      if (this.#negotiation.stage !== 'transmission') return at - from;
      this.#volume = this.#negotiation.volume;
    }
    for (;;) {
      if (this.#disconnecting || this.closed) return to - from;
      if (this.#headerHave === REQUEST_BYTES && this.#filling === null && this.#skipBytes === 0) {
        if (!this.#request(nowUs)) {
          this.blocked = true;
          return at - from;
        }
        continue;
      }
      if (at === to) return at - from;
      at += this.#take(nowUs, bytes, at, to);
    }
  }

  /** The client does not read what it was answered. */
  #isDeaf(): boolean {
    return this.out.length + this.unsentBytes > OUTPUT_BYTES_MAX;
  }

  /** Takes a run of bytes for whatever is incomplete. */
  #take(nowUs: Micros, bytes: Uint8Array, at: number, to: number): number {
    if (this.#skipBytes > 0) {
      const skipped = Math.min(this.#skipBytes, to - at);
      this.#skipBytes -= skipped;
      return skipped;
    }
    const slot = this.#filling;
    if (slot !== null) {
      const length = Math.min(slot.lengthBytes - slot.filledBytes, to - at);
      slot.bytes.set(bytes.subarray(at, at + length), slot.filledBytes);
      slot.filledBytes += length;
      if (slot.filledBytes === slot.lengthBytes) {
        this.#filling = null;
        this.#submit(nowUs, slot, IO.write);
      }
      return length;
    }
    const length = Math.min(REQUEST_BYTES - this.#headerHave, to - at);
    for (let i = 0; i < length; i++) this.#header[this.#headerHave + i] = bytes[at + i] ?? 0;
    this.#headerHave += length;
    return length;
  }

  /** Handles the request in the header; false when there is no room for it now. */
  #request(nowUs: Micros): boolean {
    const view = this.#headerView;
    if (view.getUint32(0) !== NBD.requestMagic) {
      this.closed = true;
      return true;
    }
    const command = view.getUint16(6);
    if (command === COMMAND.disconnect) {
      this.#disconnecting = true;
      if (this.#inFlight === 0) this.closed = true;
      return true;
    }
    // Before anything is answered: a refusal is an answer too.
    if (this.#isDeaf()) return false;
    const lengthBytes = view.getUint32(24);
    const offsetBytes = view.getUint32(16) * 2 ** 32 + view.getUint32(20);
    const errno = this.#fault(command, view.getUint16(4), offsetBytes, lengthBytes);
    if (errno !== 0) {
      this.#refuse(command, lengthBytes, errno);
      return true;
    }
    const bufferBytes = bufferFor(command, offsetBytes, lengthBytes);
    const slot = this.#host.takeSlot(this, bufferBytes, command === COMMAND.write);
    if (slot === null) return false;
    slot.command = command;
    slot.flags = view.getUint16(4);
    slot.cookieHigh = view.getUint32(8);
    slot.cookieLow = view.getUint32(12);
    slot.offsetBytes = offsetBytes;
    slot.lengthBytes = lengthBytes;
    if (command === COMMAND.blockStatus) coverBlocks(slot, this.#volume?.sizeBytes ?? 0);
    this.#headerHave = 0;
    this.#inFlight++;
    if (command === COMMAND.write) this.#filling = slot;
    else this.#submit(nowUs, slot, kindOf(command, slot.flags));
    return true;
  }

  /** Why a request is refused, 0: it is not. */
  #fault(command: number, flags: number, offsetBytes: number, lengthBytes: number): number {
    const volume = this.#volume;
    if (volume === null) return NBD_ERROR.ESHUTDOWN;
    // A promise that was never made: whoever asks for it relies on what would not happen.
    if ((flags & ~flagsFor(command)) !== 0) return NBD_ERROR.EINVAL;
    const empty = offsetBytes === 0 && lengthBytes === 0;
    if (command === COMMAND.flush) return empty ? 0 : NBD_ERROR.EINVAL;
    if (!isKnown(command, this.#negotiation.metaContext)) return NBD_ERROR.EINVAL;
    const writes = command !== COMMAND.read && command !== COMMAND.blockStatus;
    if (writes && volume.readOnly) return NBD_ERROR.EPERM;
    if (lengthBytes === 0 || (lengthBytes | (offsetBytes % 2 ** 31)) % BLOCK_SIZE_MIN !== 0)
      return NBD_ERROR.EINVAL;
    if (offsetBytes + lengthBytes > volume.sizeBytes)
      return writes ? NBD_ERROR.ENOSPC : NBD_ERROR.EINVAL;
    return carriesData(command) && lengthBytes > this.#host.requestBytesMax ? NBD_ERROR.EINVAL : 0;
  }

  #refuse(command: number, lengthBytes: number, errno: number): void {
    // A payload beyond any sense is no request of this protocol.
    if (command === COMMAND.write && lengthBytes > this.#host.requestBytesMax) {
      this.closed = true;
      return;
    }
    if (command === COMMAND.write) this.#skipBytes = lengthBytes;
    this.#headerHave = 0;
    const high = this.#headerView.getUint32(8);
    const low = this.#headerView.getUint32(12);
    const chunked = command === COMMAND.read || command === COMMAND.blockStatus;
    if (chunked && this.#negotiation.structured) this.#errorChunk(high, low, errno);
    else this.#simpleReply(high, low, errno);
  }

  #submit(nowUs: Micros, slot: Slot<NbdSession>, kind: IoKind): void {
    const fua = (slot.flags & COMMAND_FLAG.fua) !== 0;
    this.#host.submit(nowUs, slot, this.volumeKey, kind, fua && isChange(kind));
  }

  /** The client machine has answered: the reply goes out, the slot is free again. */
  done(slot: Slot<NbdSession>, errno: Errno): void {
    this.#inFlight--;
    if (!this.closed) this.#reply(slot, errno);
    this.#host.giveSlot(slot);
    if (this.#disconnecting && this.#inFlight === 0) this.closed = true;
  }

  /** The connection is gone; requests under way are answered to nobody. */
  abandon(): void {
    this.closed = true;
    const slot = this.#filling;
    this.#filling = null;
    if (slot === null) return;
    this.#inFlight--;
    this.#host.giveSlot(slot);
  }

  #reply(slot: Slot<NbdSession>, errno: Errno): void {
    const { cookieHigh: high, cookieLow: low } = slot;
    if (slot.command === COMMAND.blockStatus) this.#replyStatus(slot, errno);
    else if (slot.command !== COMMAND.read) this.#simpleReply(high, low, errno);
    else if (!this.#negotiation.structured) {
      this.#simpleReply(high, low, errno);
      if (errno === ERRNO.ok) this.out.append(slot.bytes, 0, slot.lengthBytes);
    } else if (errno !== ERRNO.ok) this.#errorChunk(high, low, errno);
    else if (isZero(slot.bytes, slot.lengthBytes)) {
      const at = this.#chunk(high, low, CHUNK.offsetHole, 12);
      this.out.u64(at, slot.offsetBytes);
      this.out.u32(at + 8, slot.lengthBytes);
    } else {
      const at = this.#chunk(high, low, CHUNK.offsetData, 8 + slot.lengthBytes);
      this.out.u64(at, slot.offsetBytes);
      this.out.bytes.set(slot.bytes.subarray(0, slot.lengthBytes), at + 8);
    }
  }

  #simpleReply(cookieHigh: number, cookieLow: number, errno: number): void {
    const at = this.out.reserve(16);
    this.out.u32(at, NBD.simpleReplyMagic);
    this.out.u32(at + 4, errno);
    this.out.u32(at + 8, cookieHigh);
    this.out.u32(at + 12, cookieLow);
  }

  /** The only chunk of a structured reply; returns where its content goes. */
  #chunk(cookieHigh: number, cookieLow: number, type: number, lengthBytes: number): number {
    const at = this.out.reserve(20 + lengthBytes);
    this.out.u32(at, NBD.structuredReplyMagic);
    this.out.u16(at + 4, CHUNK_FLAG.done);
    this.out.u16(at + 6, type);
    this.out.u32(at + 8, cookieHigh);
    this.out.u32(at + 12, cookieLow);
    this.out.u32(at + 16, lengthBytes);
    return at + 20;
  }

  #errorChunk(cookieHigh: number, cookieLow: number, errno: number): void {
    const at = this.#chunk(cookieHigh, cookieLow, CHUNK.error, 6);
    this.out.u32(at, errno);
    this.out.u16(at + 4, 0);
  }

  #replyStatus(slot: Slot<NbdSession>, errno: Errno): void {
    const { cookieHigh: high, cookieLow: low } = slot;
    if (errno !== ERRNO.ok) {
      this.#errorChunk(high, low, errno);
      return;
    }
    const replyBytes = statusReplyBytes(slot, (slot.flags & COMMAND_FLAG.reqOne) !== 0);
    const at = this.#chunk(high, low, CHUNK.blockStatus, replyBytes);
    putStatus(this.out, at, META_CONTEXT_ID, slot, replyBytes);
  }
}

/**
 * Whether so many bytes from the start are zero. Data differs within the first words; only what is never sent is looked
 * at as a whole, which costs a tenth of sending it.
 */
function isZero(bytes: Uint8Array, lengthBytes: number): boolean {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, lengthBytes / 4);
  let zeroes = 0;
  while (zeroes < words.length && words[zeroes] === 0) zeroes++;
  return zeroes === words.length;
}

const carriesData = (command: number): boolean =>
  command === COMMAND.read || command === COMMAND.write;

/** Bytes of memory that a request needs. */
function bufferFor(command: number, offsetBytes: number, lengthBytes: number): number {
  if (command === COMMAND.blockStatus) return statusBufferBytes(offsetBytes, lengthBytes);
  return carriesData(command) ? lengthBytes : 0;
}

const isChange = (kind: IoKind): boolean =>
  kind === IO.write || kind === IO.zero || kind === IO.discard;

function isKnown(command: number, metaContext: boolean): boolean {
  if (command === COMMAND.blockStatus) return metaContext;
  return carriesData(command) || command === COMMAND.trim || command === COMMAND.writeZeroes;
}

/** Flags that a request may have, by what was announced. */
function flagsFor(command: number): number {
  if (command === COMMAND.writeZeroes) return COMMAND_FLAG.fua | COMMAND_FLAG.noHole;
  if (command === COMMAND.blockStatus) return COMMAND_FLAG.fua | COMMAND_FLAG.reqOne;
  return COMMAND_FLAG.fua;
}

function kindOf(command: number, flags: number): IoKind {
  if (command === COMMAND.read) return IO.read;
  if (command === COMMAND.flush) return IO.flush;
  if (command === COMMAND.blockStatus) return IO.describe;
  if (command === COMMAND.writeZeroes && (flags & COMMAND_FLAG.noHole) !== 0) return IO.zero;
  return IO.discard;
}
