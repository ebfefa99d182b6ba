// What a name and an address may look like. It must never know who else has a name: uniqueness is judged where the
// objects are.

import { LIMIT } from '../protocol/generated/constants.js';
import type { Address } from '../protocol/generated/types.js';
import { refuse } from './refusal.js';

const FORBIDDEN = /[\s\p{C}]/u;
const MEDIA_TYPES: ReadonlySet<string> = new Set(['HDD', 'SSD', 'Transitional']);
const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$/;
const IPV6_PART = /^[0-9a-f]{1,4}$/i;
const ENCODER = new TextEncoder();

/**
 * A name that an object may have: 1 to 31 bytes, no blanks, no control characters; clients of the original put base64
 * of longer names here, so `/`, `+` and `=` are allowed.
 *
 * @returns the name
 * @throws Refusal NAME_INVALID, NAME_TOO_LONG
 */
export function validName(name: string): string {
  if (name === '') refuse('NAME_INVALID', 'it is empty');
  const bytes = ENCODER.encode(name).length;
  if (bytes > LIMIT.nameBytesMax)
    refuse('NAME_TOO_LONG', bytes > name.length ? `, and these are ${bytes} bytes of UTF-8` : '');
  if (FORBIDDEN.test(name)) refuse('NAME_INVALID', 'it has a blank or a control character');
  return name;
}

/**
 * Of one device; empty: as it was found.
 * @throws Refusal INVALID_PARAMETER
 */
export function validDeviceMedia(mediaType: string): string {
  if (!['', 'HDD', 'SSD'].includes(mediaType))
    refuse('INVALID_PARAMETER', 'mediaType of a device must be HDD or SSD');
  return mediaType;
}

export function validMediaType(mediaType: string): string {
  if (!MEDIA_TYPES.has(mediaType))
    refuse('INVALID_PARAMETER', `mediaType must be ${[...MEDIA_TYPES].join(', ')}`);
  return mediaType;
}

/** Whether a text is an IPv4 or IPv6 address. */
export function isIp(text: string): boolean {
  return IPV4.test(text) || isIpv6(text);
}

function isIpv6(text: string): boolean {
  const halves = text.split('::');
  if (halves.length > 2) return false;
  const parts = halves.flatMap((half) => (half === '' ? [] : half.split(':')));
  const last = parts.at(-1) ?? '';
  const words = IPV4.test(last) ? [...parts.slice(0, -1), '0', '0'] : parts;
  if (!words.every((word) => IPV6_PART.test(word))) return false;
  return halves.length === 2 ? words.length < 8 : words.length === 8;
}

/**
 * Addresses that an SDS may have: at least one that other SDSs may use and one that clients may use, none twice.
 *
 * @throws Refusal INVALID_PARAMETER, TOO_MANY
 */
export function validSdsAddresses(addresses: readonly Address[]): readonly Address[] {
  for (const { host } of addresses)
    if (!isIp(host)) refuse('INVALID_PARAMETER', `${host} must be an IP address`);
  if (new Set(addresses.map(({ host }) => host)).size !== addresses.length)
    refuse('INVALID_PARAMETER', 'an address stands twice');
  if (addresses.length > LIMIT.addressesMax)
    refuse('TOO_MANY', `an SDS has at most ${LIMIT.addressesMax} addresses`);
  if (!addresses.some(({ role }) => role === 'all' || role === 'sdsOnly'))
    refuse('INVALID_PARAMETER', 'one address must have the role all or sdsOnly');
  if (!addresses.some(({ role }) => role === 'all' || role === 'sdcOnly'))
    refuse('INVALID_PARAMETER', 'one address must have the role all or sdcOnly');
  return addresses;
}

/** @throws Refusal INVALID_PARAMETER */
export function validPath(path: string): string {
  if (!path.startsWith('/') || path.includes('\0'))
    refuse('INVALID_PARAMETER', 'the path of a device must be absolute');
  return path;
}
