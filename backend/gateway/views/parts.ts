// What the JSON views of all types share: links and words. It owns the form of links; clients navigate by them.

import type { Access, AddressRole, UserRole } from '../../protocol/generated/types.js';

export type Json = Readonly<Record<string, unknown>>;

interface Link {
  readonly rel: string;
  readonly href: string;
}

/**
 * Links of an object.
 * @param children - related types under `/relationships/`
 * @param parents - key of the relation and the object it leads to
 */
export function links(
  type: string,
  id: string,
  children: readonly string[],
  parents: readonly (readonly [relation: string, type: string, id: string | null])[] = [],
): readonly Link[] {
  const self = `/api/instances/${type}::${id}`;
  return [
    { rel: 'self', href: self },
    ...['Statistics', ...children].map((child) => ({
      rel: `/api/${type}/relationship/${child}`,
      href: `${self}/relationships/${child}`,
    })),
    ...parents.flatMap(([relation, parentType, parentId]) =>
      parentId === null
        ? []
        : [
            {
              rel: `/api/parent/relationship/${relation}`,
              href: `/api/instances/${parentType}::${parentId}`,
            },
          ],
    ),
  ];
}

export const ACCESS_WORDS: Readonly<Record<Access, string>> = {
  readWrite: 'ReadWrite',
  readOnly: 'ReadOnly',
};

export const ADDRESS_ROLE_WORDS: Readonly<Record<AddressRole, string>> = {
  all: 'all',
  sdsOnly: 'sdsOnly',
  sdcOnly: 'sdcOnly',
  management: 'management',
};

export const USER_ROLE_WORDS: Readonly<Record<UserRole, string>> = {
  monitor: 'Monitor',
  configure: 'Configure',
  administrator: 'Administrator',
  security: 'Security',
  frontendConfigure: 'FrontEndConfigure',
  backendConfigure: 'BackEndConfigure',
};

/** Thresholds over three windows of a minute, an hour and a day. */
export function counterParameters(short: number, medium: number, long: number): Json {
  return {
    shortWindow: { threshold: short, windowSizeInSec: 60 },
    mediumWindow: { threshold: medium, windowSizeInSec: 3600 },
    longWindow: { threshold: long, windowSizeInSec: 86_400 },
  };
}

/** An empty text as clients expect it for "not named". */
export function nullIfEmpty(text: string): string | null {
  return text === '' ? null : text;
}
