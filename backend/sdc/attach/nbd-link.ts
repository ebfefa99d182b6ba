// The client's end of one NBD connection: negotiates the default export, then turns requests into bytes and bytes into
// replies. It owns the framing; it must never decide what is sent when, nor believe a length that the other end names.

import { IO } from '../block-front.js';
import {
  COMMAND,
  COMMAND_FLAG,
  HANDSHAKE_FLAG,
  INFO,
  NBD,
  OPTION,
  OPTION_REPLY,
  REQUEST_BYTES,
} from '../nbd/constants.js';
import { Output } from '../nbd/output.js';
import type { Slot } from '../nbd/slots.js';

const GREETING_BYTES = 18;
const OPTION_REPLY_BYTES = 20;
const REPLY_BYTES = 16;
const OPTION_DATA_BYTES_MAX = 8192;

/** What a connection tells the volume that it serves. */
export interface NbdLinkHost<Owner> {
  /** Requests may be sent from now on. */
  ready(sizeBytes: number): void;
  /** The request that was sent under this number and has not been answered; null: there is none. */
  requestOf(token: number): Slot<Owner> | null;
  /** A request was answered; what it read is in its buffer. */
  answered(slot: Slot<Owner>, errno: number): void;
}

type Stage = 'greeting' | 'options' | 'transmission' | 'failed';

export class NbdLink<Owner> {
  readonly out = new Output();
  /** Why the connection must be closed; empty: it need not. */
  failure = '';
  readonly #host: NbdLinkHost<Owner>;
  /** Where in a slot's buffer the payload begins. */
  readonly #payloadAt: number;
  #stage: Stage = 'greeting';
  /** The part of a header or of an option's data that has arrived. */
  readonly #head = new Uint8Array(OPTION_REPLY_BYTES + OPTION_DATA_BYTES_MAX);
  readonly #view = new DataView(this.#head.buffer);
  #have = 0;
  #need = GREETING_BYTES;
  /** A read whose payload is arriving. */
  #reading: Slot<Owner> | null = null;
  #sizeBytes = -1;

  constructor(host: NbdLinkHost<Owner>, payloadAt: number) {
    this.#host = host;
    this.#payloadAt = payloadAt;
  }

  get isReady(): boolean {
    return this.#stage === 'transmission';
  }

  /** Appends a request to what will be sent. */
  send(slot: Slot<Owner>): void {
    const { out } = this;
    const writes = slot.command === IO.write;
    const at = out.reserve(REQUEST_BYTES);
    out.u32(at, NBD.requestMagic);
    out.u16(at + 4, slot.command === IO.zero ? COMMAND_FLAG.noHole : 0);
    out.u16(at + 6, commandOf(slot.command));
    out.u32(at + 8, 0);
    out.u32(at + 12, slot.token);
    out.u64(at + 16, slot.offsetBytes);
    out.u32(at + 24, slot.lengthBytes);
    if (writes) out.append(slot.bytes, this.#payloadAt, slot.lengthBytes);
  }

  /** Takes all bytes from the server. After `failure` was set the rest is of no interest. */
  receive(bytes: Uint8Array, from: number, to: number): void {
    let at = from;
    while (at < to && this.#stage !== 'failed') {
      const slot = this.#reading;
      if (slot !== null) {
        const length = Math.min(slot.lengthBytes - slot.filledBytes, to - at);
        slot.bytes.set(bytes.subarray(at, at + length), this.#payloadAt + slot.filledBytes);
        slot.filledBytes += length;
        at += length;
        if (slot.filledBytes === slot.lengthBytes) {
          this.#reading = null;
          this.#host.answered(slot, 0);
        }
        continue;
      }
      const length = Math.min(this.#need - this.#have, to - at);
      for (let i = 0; i < length; i++) this.#head[this.#have + i] = bytes[at + i] ?? 0;
      this.#have += length;
      at += length;
      if (this.#have === this.#need) this.#advance();
    }
  }

  #advance(): void {
    if (this.#stage === 'transmission') this.#reply();
    else if (this.#stage === 'greeting') this.#greeting();
    else this.#optionReply();
  }

  #expect(bytes: number): void {
    this.#have = 0;
    this.#need = bytes;
  }

  #fail(reason: string): void {
    this.#stage = 'failed';
    this.failure = reason;
  }

  #greeting(): void {
    const view = this.#view;
    const expected = [...NBD.magic, ...NBD.optionMagic];
    if (expected.some((word, index) => view.getUint32(index * 4) !== word)) {
      this.#fail('the other end is no NBD server');
      return;
    }
    const flags = HANDSHAKE_FLAG.fixedNewstyle | HANDSHAKE_FLAG.noZeroes;
    if ((view.getUint16(16) & flags) !== flags) {
      this.#fail('the NBD server does not know the fixed newstyle handshake');
      return;
    }
    const { out } = this;
    // Client flags, then the option GO for the default export, without further questions.
    const at = out.reserve(4 + 16 + 6);
    out.u32(at, flags);
    out.u32(at + 4, NBD.optionMagic[0]);
    out.u32(at + 8, NBD.optionMagic[1]);
    out.u32(at + 12, OPTION.go);
    out.u32(at + 16, 6);
    out.u32(at + 20, 0);
    out.u16(at + 24, 0);
    this.#stage = 'options';
    this.#expect(OPTION_REPLY_BYTES);
  }

  #optionReply(): void {
    const view = this.#view;
    const [high, low] = NBD.optionReplyMagic;
    const dataBytes = view.getUint32(16);
    if (view.getUint32(0) !== high || view.getUint32(4) !== low) {
      this.#fail('the NBD server sent a malformed reply to an option');
      return;
    }
    if (dataBytes > OPTION_DATA_BYTES_MAX) {
      this.#fail(`the NBD server sent ${dataBytes} bytes for an option`);
      return;
    }
    if (this.#have < OPTION_REPLY_BYTES + dataBytes) {
      this.#need = OPTION_REPLY_BYTES + dataBytes;
      return;
    }
    const type = view.getUint32(12);
    this.#expect(OPTION_REPLY_BYTES);
    if (type === OPTION_REPLY.info) this.#info(dataBytes);
    else if (type !== OPTION_REPLY.ack)
      this.#fail(`the NBD server refused the export: ${type.toString(16)}`);
    else if (this.#sizeBytes < 0) this.#fail('the NBD server did not say how large the export is');
    else {
      this.#stage = 'transmission';
      this.#expect(REPLY_BYTES);
      this.#host.ready(this.#sizeBytes);
    }
  }

  #info(dataBytes: number): void {
    const view = this.#view;
    const at = OPTION_REPLY_BYTES;
    if (dataBytes < 12 || view.getUint16(at) !== INFO.export) return;
    this.#sizeBytes = view.getUint32(at + 2) * 2 ** 32 + view.getUint32(at + 6);
  }

  #reply(): void {
    const view = this.#view;
    if (view.getUint32(0) !== NBD.simpleReplyMagic) {
      this.#fail('the NBD server sent a malformed reply');
      return;
    }
    const errno = view.getUint32(4);
    const slot = this.#host.requestOf(view.getUint32(12));
    if (slot === null) {
      this.#fail('the NBD server answered what nobody asked');
      return;
    }
    this.#expect(REPLY_BYTES);
    if (slot.command === IO.read && errno === 0) {
      slot.filledBytes = 0;
      this.#reading = slot;
    } else this.#host.answered(slot, errno);
  }
}

function commandOf(kind: number): number {
  if (kind === IO.read) return COMMAND.read;
  if (kind === IO.write) return COMMAND.write;
  if (kind === IO.flush) return COMMAND.flush;
  return kind === IO.zero ? COMMAND.writeZeroes : COMMAND.trim;
}
