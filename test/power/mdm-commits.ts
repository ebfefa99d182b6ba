// The commits that the power-cut replay of the MDM's store is about: a seed and a sequence number say everything about a
// commit, so that whoever checks a store knows what it must hold without having been there.

import { createHash } from 'node:crypto';

import type { Change } from '../../backend/core/ports.js';
import { Prng } from '../../backend/core/prng.js';

export const SECRET = new Uint8Array(32).fill(7);
const KEYS = 48;

/** Mostly small records, some of several pages, now and then one as large as a page of combs. */
function valueBytes(prng: Prng): number {
  const kind = prng.below(20);
  if (kind === 0) return 60_000 + prng.below(60_000);
  if (kind < 4) return 3000 + prng.below(12_000);
  return 1 + prng.below(400);
}

/** The changes of commit number `sequence`. */
export function changesOf(seed: number, sequence: number): Change[] {
  const prng = new Prng(seed * 65_537 + sequence);
  const count = 1 + prng.below(8);
  const changes = new Map<number, Change>();
  for (let number = 0; number < count; number++) {
    const id = prng.below(KEYS);
    const key = Uint8Array.of(1 + (id % 3), id);
    const value = prng.chance(1, 4)
      ? null
      : new Uint8Array(valueBytes(prng)).fill((sequence * 31 + id) & 0xff);
    changes.set(id, { key, value });
  }
  return [...changes.values()];
}

/** One line for a content: equal contents have equal lines. */
export function digestOf(entries: Iterable<readonly [string, Uint8Array]>): string {
  const hash = createHash('sha256');
  for (const [key, value] of [...entries].sort(([one], [other]) => (one < other ? -1 : 1)))
    hash.update(`${key}:${value.length}:`).update(value);
  return hash.digest('hex');
}

/** Digests of the contents after 0, 1, 2 ... `last` commits. */
export function expectedDigests(seed: number, last: number): string[] {
  const content = new Map<string, Uint8Array>();
  const digests = [digestOf(content)];
  for (let sequence = 1; sequence <= last; sequence++) {
    for (const { key, value } of changesOf(seed, sequence)) {
      const name = Buffer.from(key).toString('hex');
      if (value === null) content.delete(name);
      else content.set(name, value);
    }
    digests.push(digestOf(content));
  }
  return digests;
}
