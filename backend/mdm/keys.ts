// Keys of the metadata store: one byte of object type, then one or two object keys, big-endian, so that the store's order
// is the order of the keys. It must never know a value.

import { OBJECT_TYPE_CODES, OBJECT_TYPE_WORDS } from '../protocol/generated/constants.js';
import type { ObjectType } from '../protocol/generated/types.js';

export interface StoreKey {
  readonly type: ObjectType;
  readonly key: number;
  /** SDC of a mapping, page of a comb page; else 0. */
  readonly second: number;
}

const WITH_SECOND: ReadonlySet<ObjectType> = new Set(['mapping', 'combPage']);

export function encodeKey({ type, key, second }: StoreKey): Uint8Array {
  const bytes = new Uint8Array(WITH_SECOND.has(type) ? 9 : 5);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, OBJECT_TYPE_CODES.get(type) ?? 0);
  view.setUint32(1, key);
  if (bytes.length === 9) view.setUint32(5, second);
  return bytes;
}

/** @returns null when the bytes are no key of this version */
export function decodeKey(bytes: Uint8Array): StoreKey | null {
  const type = OBJECT_TYPE_WORDS.get(bytes[0] ?? 0);
  if (type === undefined) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length !== (WITH_SECOND.has(type) ? 9 : 5)) return null;
  return { type, key: view.getUint32(1), second: bytes.length === 9 ? view.getUint32(5) : 0 };
}
