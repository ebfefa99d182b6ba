// Ids as people and REST clients see them: 16 hex digits made of the system's prefix and an object key, and GUIDs of
// hosts. It must never give out a key.

import { assert } from './assert.js';

const U32_MAX = 0xffffffff;
const ID = /^[0-9a-fA-F]{16}$/;
const GUID = /^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/;

function hex8(value: number): string {
  return value.toString(16).padStart(8, '0');
}

function isU32(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= U32_MAX;
}

/**
 * The 16 lower-case hex digits of an object.
 *
 * @param idPrefix - of the system, u32
 * @param key - of the object, u32
 */
export function formatId(idPrefix: number, key: number): string {
  assert(isU32(idPrefix) && isU32(key), 'both halves of an id are u32');
  return hex8(idPrefix) + hex8(key);
}

/** Both halves of an id in any case, or null when the text is not 16 hex digits. */
export function parseId(text: string): { readonly idPrefix: number; readonly key: number } | null {
  if (!ID.test(text)) return null;
  return { idPrefix: parseInt(text.slice(0, 8), 16), key: parseInt(text.slice(8), 16) };
}

/** The key of an id of this system, or null when the text is no id or belongs to another system. */
export function keyOfId(idPrefix: number, text: string): number | null {
  const id = parseId(text);
  return id?.idPrefix === idPrefix ? id.key : null;
}

/** A GUID in the one form that is stored and compared: upper case, 8-4-4-4-12; null when it is none. Braces may stand around it. */
export function normalizeGuid(text: string): string | null {
  const trimmed = text.trim();
  const bare = trimmed.startsWith('{') && trimmed.endsWith('}') ? trimmed.slice(1, -1) : trimmed;
  return GUID.test(bare) ? bare.toUpperCase() : null;
}

/**
 * A GUID of version 4 from 16 random bytes.
 *
 * @param random - 16 bytes
 */
export function guidFromBytes(random: Uint8Array): string {
  assert(random.length === 16, 'a GUID is made of 16 bytes');
  const bytes = Uint8Array.from(random);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  const parts = [
    digits.slice(0, 8),
    digits.slice(8, 12),
    digits.slice(12, 16),
    digits.slice(16, 20),
    digits.slice(20),
  ];
  return parts.join('-').toUpperCase();
}
