// The first phase of an NBD connection: fixed newstyle negotiation of options. It owns what is agreed on; it must never
// see an I/O request. Options are bounded before they are kept, and what is malformed ends the connection.

import type { BlockVolume } from '../block-front.js';
import {
  BLOCK_SIZE_MIN,
  BLOCK_SIZE_PREFERRED,
  HANDSHAKE_FLAG,
  INFO,
  META_CONTEXT,
  META_CONTEXT_ID,
  NBD,
  OPTION,
  OPTION_BYTES_MAX,
  OPTION_HEADER_BYTES,
  OPTION_REPLY,
  TRANSMISSION_FLAG,
} from './constants.js';
import type { Output } from './output.js';

const GREETING_BYTES = 18;
const ZEROES_AFTER_EXPORT_NAME = 124;

/** Where the connection stands after some bytes of negotiation. */
export type Stage = 'negotiating' | 'transmission' | 'closed';

/** Exports by the name that a client asks for; an empty name is the export of the socket it came through. */
export type ExportFinder = (name: string) => BlockVolume | null;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: false });

export function transmissionFlags(volume: BlockVolume): number {
  return (
    TRANSMISSION_FLAG.hasFlags |
    TRANSMISSION_FLAG.sendFlush |
    TRANSMISSION_FLAG.sendFua |
    TRANSMISSION_FLAG.sendTrim |
    TRANSMISSION_FLAG.sendWriteZeroes |
    TRANSMISSION_FLAG.canMultiConn |
    (volume.readOnly ? TRANSMISSION_FLAG.readOnly : 0)
  );
}

export class Negotiation {
  stage: Stage = 'negotiating';
  structured = false;
  metaContext = false;
  /** The export that was agreed on, once the stage is transmission. */
  volume: BlockVolume | null = null;
  readonly #out: Output;
  readonly #find: ExportFinder;
  readonly #names: () => Iterable<string>;
  readonly #requestBytesMax: number;
  #clientFlagsSeen = false;
  #noZeroes = false;
  /** Bytes of a message that is not complete yet. */
  #held: Uint8Array = new Uint8Array(0);
  #skip = 0;

  constructor(
    out: Output,
    find: ExportFinder,
    names: () => Iterable<string>,
    requestBytesMax: number,
  ) {
    this.#out = out;
    this.#find = find;
    this.#names = names;
    this.#requestBytesMax = requestBytesMax;
    const at = out.reserve(GREETING_BYTES);
    out.u32(at, NBD.magic[0]);
    out.u32(at + 4, NBD.magic[1]);
    out.u32(at + 8, NBD.optionMagic[0]);
    out.u32(at + 12, NBD.optionMagic[1]);
    out.u16(at + 16, HANDSHAKE_FLAG.fixedNewstyle | HANDSHAKE_FLAG.noZeroes);
  }

  /** Takes bytes from the client; returns how many were used: the rest belongs to the next stage. */
  receive(bytes: Uint8Array, from: number, to: number): number {
    let at = from;
    while (this.stage === 'negotiating' && at < to) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, to - at);
        this.#skip -= skipped;
        at += skipped;
        continue;
      }
      // Negotiation is rare: one byte run at a time keeps the code plain.
      const need = this.#needed() - this.#held.length;
      const taken = Math.min(need, to - at);
      const joined = new Uint8Array(this.#held.length + taken);
      joined.set(this.#held);
      joined.set(bytes.subarray(at, at + taken), this.#held.length);
      this.#held = joined;
      at += taken;
      if (taken === need) this.#advance();
    }
    return at - from;
  }

  /** Length of the message that is being held, as far as it is known. */
  #needed(): number {
    if (!this.#clientFlagsSeen) return 4;
    if (this.#held.length < OPTION_HEADER_BYTES) return OPTION_HEADER_BYTES;
    return OPTION_HEADER_BYTES + u32(this.#held, 12);
  }

  #advance(): void {
    const held = this.#held;
    if (!this.#clientFlagsSeen) {
      const flags = u32(held, 0);
      if ((flags & HANDSHAKE_FLAG.fixedNewstyle) === 0 || flags > 3) this.stage = 'closed';
      this.#noZeroes = (flags & HANDSHAKE_FLAG.noZeroes) !== 0;
      this.#clientFlagsSeen = true;
      this.#held = new Uint8Array(0);
      return;
    }
    if (u32(held, 0) !== NBD.optionMagic[0] || u32(held, 4) !== NBD.optionMagic[1]) {
      this.stage = 'closed';
      return;
    }
    const option = u32(held, 8);
    const length = u32(held, 12);
    if (length > OPTION_BYTES_MAX) {
      if (option === OPTION.exportName) this.stage = 'closed';
      else this.#reply(option, OPTION_REPLY.errorTooBig, encoder.encode('option too long'));
      this.#skip = length;
      this.#held = new Uint8Array(0);
      return;
    }
    if (held.length < OPTION_HEADER_BYTES + length) return;
    this.#held = new Uint8Array(0);
    this.#option(option, held.subarray(OPTION_HEADER_BYTES));
  }

  #option(option: number, data: Uint8Array): void {
    switch (option) {
      case OPTION.exportName:
        this.#exportName(data);
        return;
      case OPTION.abort:
        this.#reply(option, OPTION_REPLY.ack);
        this.stage = 'closed';
        return;
      case OPTION.list:
        this.#list(data);
        return;
      case OPTION.info:
      case OPTION.go:
        this.#infoOrGo(option, data);
        return;
      case OPTION.structuredReply:
        if (data.length > 0) this.#refuse(option, OPTION_REPLY.errorInvalid, 'no data expected');
        else {
          this.structured = true;
          this.#reply(option, OPTION_REPLY.ack);
        }
        return;
      case OPTION.listMetaContext:
      case OPTION.setMetaContext:
        this.#metaContexts(option, data);
        return;
      default:
        this.#refuse(option, OPTION_REPLY.errorUnsupported, 'option not supported');
    }
  }

  #exportName(data: Uint8Array): void {
    const volume = this.#find(decoder.decode(data));
    if (volume === null) {
      this.stage = 'closed';
      return;
    }
    const at = this.#out.reserve(10 + (this.#noZeroes ? 0 : ZEROES_AFTER_EXPORT_NAME));
    this.#out.u64(at, volume.sizeBytes);
    this.#out.u16(at + 8, transmissionFlags(volume));
    this.#out.bytes.fill(0, at + 10, this.#out.length);
    this.#enter(volume);
  }

  #enter(volume: BlockVolume): void {
    this.volume = volume;
    this.stage = 'transmission';
  }

  #list(data: Uint8Array): void {
    if (data.length > 0) {
      this.#refuse(OPTION.list, OPTION_REPLY.errorInvalid, 'no data expected');
      return;
    }
    for (const name of this.#names()) {
      const text = encoder.encode(name);
      const entry = new Uint8Array(4 + text.length);
      new DataView(entry.buffer).setUint32(0, text.length);
      entry.set(text, 4);
      this.#reply(OPTION.list, OPTION_REPLY.server, entry);
    }
    this.#reply(OPTION.list, OPTION_REPLY.ack);
  }

  #infoOrGo(option: number, data: Uint8Array): void {
    const nameLength = data.length >= 6 ? u32(data, 0) : Infinity;
    const count = nameLength + 6 <= data.length ? u16(data, 4 + nameLength) : NaN;
    if (data.length !== 4 + nameLength + 2 + count * 2) {
      this.#refuse(option, OPTION_REPLY.errorInvalid, 'malformed request');
      return;
    }
    const volume = this.#find(decoder.decode(data.subarray(4, 4 + nameLength)));
    if (volume === null) {
      this.#refuse(option, OPTION_REPLY.errorUnknown, 'no such export');
      return;
    }
    this.#sendExportInfo(option, volume);
    for (let i = 0; i < count; i++)
      this.#sendInfo(option, u16(data, 6 + nameLength + i * 2), volume);
    this.#reply(option, OPTION_REPLY.ack);
    if (option === OPTION.go) this.#enter(volume);
  }

  #sendExportInfo(option: number, volume: BlockVolume): void {
    const info = new Uint8Array(12);
    const view = new DataView(info.buffer);
    view.setUint16(0, INFO.export);
    view.setUint32(2, Math.floor(volume.sizeBytes / 2 ** 32));
    view.setUint32(6, volume.sizeBytes >>> 0);
    view.setUint16(10, transmissionFlags(volume));
    this.#reply(option, OPTION_REPLY.info, info);
  }

  #sendInfo(option: number, kind: number, volume: BlockVolume): void {
    if (kind === INFO.blockSize) {
      const info = new Uint8Array(14);
      const view = new DataView(info.buffer);
      view.setUint16(0, INFO.blockSize);
      view.setUint32(2, BLOCK_SIZE_MIN);
      view.setUint32(6, BLOCK_SIZE_PREFERRED);
      view.setUint32(10, this.#requestBytesMax);
      this.#reply(option, OPTION_REPLY.info, info);
    } else if (kind === INFO.name) {
      const text = encoder.encode(volume.name);
      const info = new Uint8Array(2 + text.length);
      new DataView(info.buffer).setUint16(0, INFO.name);
      info.set(text, 2);
      this.#reply(option, OPTION_REPLY.info, info);
    }
  }

  #metaContexts(option: number, data: Uint8Array): void {
    const queries = this.#metaQueries(option, data);
    if (queries === null) return;
    const everything = option === OPTION.listMetaContext && queries.length === 0;
    const wanted =
      everything ||
      queries.some(
        (query) =>
          query === META_CONTEXT || (option === OPTION.listMetaContext && query === 'base:'),
      );
    if (option === OPTION.setMetaContext) this.metaContext = wanted && this.structured;
    if (wanted) {
      const text = encoder.encode(META_CONTEXT);
      const answer = new Uint8Array(4 + text.length);
      new DataView(answer.buffer).setUint32(
        0,
        option === OPTION.setMetaContext ? META_CONTEXT_ID : 0,
      );
      answer.set(text, 4);
      this.#reply(option, OPTION_REPLY.metaContext, answer);
    }
    this.#reply(option, OPTION_REPLY.ack);
  }

  /** The names asked for, or null when the request was refused. */
  #metaQueries(option: number, data: Uint8Array): string[] | null {
    const nameLength = data.length >= 8 ? u32(data, 0) : Infinity;
    if (nameLength + 8 > data.length)
      return this.#refuse(option, OPTION_REPLY.errorInvalid, 'malformed request');
    if (option === OPTION.setMetaContext && !this.structured)
      return this.#refuse(option, OPTION_REPLY.errorInvalid, 'structured replies come first');
    if (this.#find(decoder.decode(data.subarray(4, 4 + nameLength))) === null)
      return this.#refuse(option, OPTION_REPLY.errorUnknown, 'no such export');
    const queries: string[] = [];
    let at = 8 + nameLength;
    for (let left = u32(data, 4 + nameLength); left > 0; left--) {
      const length = at + 4 <= data.length ? u32(data, at) : Infinity;
      if (at + 4 + length > data.length)
        return this.#refuse(option, OPTION_REPLY.errorInvalid, 'malformed request');
      queries.push(decoder.decode(data.subarray(at + 4, at + 4 + length)));
      at += 4 + length;
    }
    return queries;
  }

  #refuse(option: number, reply: number, reason: string): null {
    this.#reply(option, reply, encoder.encode(reason));
    return null;
  }

  #reply(option: number, reply: number, data: Uint8Array = new Uint8Array(0)): void {
    const at = this.#out.reserve(20 + data.length);
    this.#out.u32(at, NBD.optionReplyMagic[0]);
    this.#out.u32(at + 4, NBD.optionReplyMagic[1]);
    this.#out.u32(at + 8, option);
    this.#out.u32(at + 12, reply);
    this.#out.u32(at + 16, data.length);
    this.#out.bytes.set(data, at + 20);
  }
}

function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

function u32(bytes: Uint8Array, at: number): number {
  return ((u16(bytes, at) << 16) | u16(bytes, at + 2)) >>> 0;
}
