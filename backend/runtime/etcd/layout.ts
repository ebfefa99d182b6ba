// What the metadata store keeps in etcd and where, all below one prefix of the system:
//
//   PREFIX/control/head     whose prefix it is, term and sequence of the last commit
//   PREFIX/control/master   who took the master key last; its revision is what every write compares
//   PREFIX/control/beat     rewritten by the master as a sign of life
//   PREFIX/control/transfer the content is being put here, or is here and not used yet: there is no head then
//   PREFIX/control/seal     the content is elsewhere by now, nothing here is used any more
//   PREFIX/data/KEY         values of the MDM under their keys
//   PREFIX/staged/T-S-A/N   piece N of a commit that is too large for one transaction, of term T and sequence S, tried the
//                           Ath time. When the head names T-S-A the commit is done, and pieces that are still there are
//                           to be applied; any other piece never happened
//
// Control values are JSON, so that an operator can read them. It must never talk to etcd.

import { createHmac } from 'node:crypto';

import type { Change, MdmPlace } from '../../core/ports.js';
import { EtcdError, listOf, numberOf, objectOf } from './client.js';
import type { Json } from './client.js';

const FORMAT = 1;

/** Operations of one transaction: etcd takes 128, some of which are the store's own. */
const OPS_MAX = 100;
/** Bytes of one transaction: etcd takes 1.5 MiB. */
const BYTES_MAX = 768 * 1024;
/** What an operation costs beside key and value. */
const OPERATION_BYTES = 64;

export interface KeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly modRevision: number;
}

export interface Head {
  readonly fingerprint: string;
  readonly term: number;
  readonly sequence: number;
  /** Name of the staged commit that the head made true; null: the last commit was not staged. */
  readonly staged: string | null;
}

interface Master extends MdmPlace {
  readonly term: number;
  /** Of one attempt to take the key. */
  readonly nonce: string;
}

/** Content on its way into the prefix. */
interface TransferMark {
  readonly token: string;
  readonly complete: boolean;
  readonly term: number;
  readonly sequence: number;
}

/** The content went into the store of the MDM with this key; `token` names that move. */
export interface Seal {
  readonly token: string;
  readonly to: number;
}

/** The control keys as they were at one instant; revision 0: the key is not there. */
export interface Control {
  readonly head: Head | null;
  readonly headRevision: number;
  readonly master: Master | null;
  readonly masterRevision: number;
  readonly heir: string | null;
  readonly beatRevision: number;
  readonly transfer: TransferMark | null;
  readonly transferRevision: number;
  readonly seal: Seal | null;
}

/** The prefix holds something that is not this system's; the text says what. */
export class ForeignPrefixError extends Error {
  override readonly name = 'ForeignPrefixError';
}

/** What tells systems apart without giving their secret away. */
export function fingerprintOf(secret: Uint8Array): string {
  return createHmac('sha256', secret)
    .update('meshsan metadata store')
    .digest()
    .subarray(0, 16)
    .toString('hex');
}

export function base64(bytes: Uint8Array | string): string {
  return Buffer.from(bytes as string).toString('base64');
}

export class Layout {
  readonly prefix: string;
  private readonly fingerprint: string;

  /** @param prefix - begins with a slash, ends without */
  constructor(prefix: string, secret: Uint8Array) {
    this.prefix = prefix;
    this.fingerprint = fingerprintOf(secret);
  }

  control(name: 'head' | 'master' | 'beat' | 'transfer' | 'seal'): string {
    return base64(`${this.prefix}/control/${name}`);
  }

  data(key: Uint8Array): string {
    return base64(Buffer.concat([Buffer.from(`${this.prefix}/data/`), key]));
  }

  /** @param name - T-S-A; of no two attempts the same, so that what is left of one never counts as part of another */
  staged(name: string, piece: number): string {
    return base64(`${this.prefix}/staged/${name}/${piece}`);
  }

  /** All keys of a kind, as `key` and `range_end` of a request: `0` is the character behind the slash. */
  range(kind: 'control' | 'data' | 'staged'): { readonly key: string; readonly range_end: string } {
    return {
      key: base64(`${this.prefix}/${kind}/`),
      range_end: base64(`${this.prefix}/${kind}0`),
    };
  }

  /** The key of the MDM in a key of etcd. */
  dataKey(key: Buffer): Buffer {
    return key.subarray(Buffer.byteLength(`${this.prefix}/data/`));
  }

  /** The name of the commit that a staged piece belongs to. */
  stagedOf(key: Buffer): string {
    const rest = key.subarray(Buffer.byteLength(`${this.prefix}/staged/`)).toString('latin1');
    return rest.split('/')[0] ?? '';
  }

  encodeHead(term: number, sequence: number, staged: string | null): string {
    const { fingerprint } = this;
    return base64(JSON.stringify({ format: FORMAT, fingerprint, term, sequence, staged }));
  }

  /**
   * Reads the control keys.
   *
   * @throws ForeignPrefixError when they are of another system or version
   */
  decodeControl(keyValues: readonly KeyValue[]): Control {
    const find = (name: string): KeyValue | undefined =>
      keyValues.find(({ key }) => key.equals(Buffer.from(`${this.prefix}/control/${name}`)));
    const head = find('head');
    const master = find('master');
    const beat = find('beat');
    const transfer = find('transfer');
    const seal = find('seal');
    const heir = beat === undefined ? undefined : this.parse(beat)['heir'];
    return {
      head: head === undefined ? null : this.decodeHead(head),
      headRevision: head?.modRevision ?? 0,
      master: master === undefined ? null : this.decodeMaster(master),
      masterRevision: master?.modRevision ?? 0,
      heir: typeof heir === 'string' ? heir : null,
      beatRevision: beat?.modRevision ?? 0,
      transfer: transfer === undefined ? null : this.decodeTransfer(transfer),
      transferRevision: transfer?.modRevision ?? 0,
      seal: seal === undefined ? null : this.decodeSeal(seal),
    };
  }

  private decodeHead(head: KeyValue): Head {
    const { format, fingerprint, term, sequence, staged } = this.parse(head);
    if (format !== FORMAT)
      throw new ForeignPrefixError(
        `the prefix ${this.prefix} in etcd has content format ${String(format)}, this program knows ${FORMAT}: it belongs to another version of MeshSAN`,
      );
    if (fingerprint !== this.fingerprint)
      throw new ForeignPrefixError(
        `the prefix ${this.prefix} in etcd belongs to another system: it was made under another secret. Each system needs a prefix of its own`,
      );
    return {
      ...{ fingerprint: this.fingerprint, term: numberOf(term), sequence: numberOf(sequence) },
      staged: typeof staged === 'string' ? staged : null,
    };
  }

  encodeTransfer(mark: TransferMark): string {
    return base64(JSON.stringify({ fingerprint: this.fingerprint, ...mark }));
  }

  private decodeTransfer(mark: KeyValue): TransferMark {
    const { fingerprint, token, complete, term, sequence } = this.parse(mark);
    if (fingerprint !== this.fingerprint)
      throw new ForeignPrefixError(
        `the prefix ${this.prefix} in etcd is being filled by another system: it was made under another secret. Each system needs a prefix of its own`,
      );
    return {
      ...{ token: String(token), complete: complete === true },
      ...{ term: numberOf(term), sequence: numberOf(sequence) },
    };
  }

  private decodeSeal(seal: KeyValue): Seal {
    const { token, to } = this.parse(seal);
    return { token: String(token), to: numberOf(to) };
  }

  private decodeMaster(master: KeyValue): Master {
    const { name, host, port, term, nonce } = this.parse(master);
    return {
      ...{ name: String(name), host: String(host), nonce: String(nonce) },
      ...{ port: numberOf(port), term: numberOf(term) },
    };
  }

  private parse({ key, value }: KeyValue): Json {
    try {
      return objectOf(JSON.parse(value.toString('utf8')));
    } catch {
      throw new ForeignPrefixError(
        `the key ${key.toString('utf8')} in etcd cannot be read: something else than MeshSAN wrote it`,
      );
    }
  }
}

/** Keys and values of a range answer. */
export function keyValuesOf(range: Json): KeyValue[] {
  return listOf(range['kvs']).map((item) => {
    const { key, value, mod_revision } = objectOf(item);
    if (typeof key !== 'string' || (value !== undefined && typeof value !== 'string'))
      throw new EtcdError('unavailable', 'etcd sent a key that cannot be read');
    return {
      key: Buffer.from(key, 'base64'),
      value: Buffer.from(value ?? '', 'base64'),
      modRevision: numberOf(mod_revision),
    };
  });
}

/** Changes in pieces, each of which fits into one transaction. */
export function split(changes: readonly Change[]): Change[][] {
  const pieces: Change[][] = [];
  let piece: Change[] = [];
  let bytes = 0;
  for (const change of changes) {
    const cost = change.key.length + (change.value?.length ?? 0) + OPERATION_BYTES;
    if (piece.length > 0 && (piece.length >= OPS_MAX || bytes + cost > BYTES_MAX)) {
      pieces.push(piece);
      piece = [];
      bytes = 0;
    }
    piece.push(change);
    bytes += cost;
  }
  pieces.push(piece);
  return pieces;
}

/** A piece as one value: for each change the lengths of key and value (one more than it has, 0: removed), then both. */
export function encodePiece(changes: readonly Change[]): Buffer {
  const parts: Buffer[] = [];
  for (const { key, value } of changes) {
    const head = Buffer.alloc(6);
    head.writeUInt16LE(key.length, 0);
    head.writeUInt32LE(value === null ? 0 : value.length + 1, 2);
    parts.push(head, Buffer.from(key), Buffer.from(value ?? []));
  }
  return Buffer.concat(parts);
}

/** @throws EtcdError when the bytes are no piece */
export function decodePiece(bytes: Buffer): Change[] {
  const changes: Change[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (at + 6 > bytes.length) throw new EtcdError('refused', 'a staged piece is cut short');
    const keyEnd = at + 6 + bytes.readUInt16LE(at);
    const length = bytes.readUInt32LE(at + 2);
    const end = keyEnd + Math.max(0, length - 1);
    if (end > bytes.length) throw new EtcdError('refused', 'a staged piece is cut short');
    const value = length === 0 ? null : bytes.subarray(keyEnd, end);
    changes.push({ key: bytes.subarray(at + 6, keyEnd), value });
    at = end;
  }
  return changes;
}
