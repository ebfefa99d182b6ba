// What copying does to a device, by kind: totals and rates. It must never decide anything.

import type { Micros } from '../core/ports.js';
import type { CopyLoad } from '../protocol/generated/types.js';
import { isBlank, memberIndex } from '../cluster-map/entry.js';
import type { Comb, Member } from './comb.js';

/**
 * resync: of a copy that returned; rebuild: of one that is made anew; rebalance: of data that is moved; awaited: what clients
 * wait for, such as copies that are made equal after a change of primary; repair: of blocks that the background scanner found
 * wrong at a copy that is in sync.
 */
export const COPY_KIND = { resync: 0, rebuild: 1, rebalance: 2, awaited: 3, repair: 4 } as const;
export type CopyKind = (typeof COPY_KIND)[keyof typeof COPY_KIND];
/** Of a copy that is being filled. */
export type ArrivingKind = Exclude<CopyKind, typeof COPY_KIND.awaited | typeof COPY_KIND.repair>;

const LOAD_US = 5_000_000;
const SECOND_US = 1_000_000;

/** At the primary: why a target is filled. */
export function copyKind(comb: Comb, member: Member): ArrivingKind {
  if (!member.blank) return COPY_KIND.resync;
  return comb.alone ? COPY_KIND.rebuild : COPY_KIND.rebalance;
}

/** At a member: why it is being filled. */
export function copyKindHere({ entry, alone }: Comb, deviceKey: number): ArrivingKind {
  if (entry === null || !isBlank(entry, memberIndex(entry, deviceKey))) return COPY_KIND.resync;
  return alone ? COPY_KIND.rebuild : COPY_KIND.rebalance;
}

interface Sample extends CopyLoad {
  readonly atUs: Micros;
}

/** Copying of one kind. */
export class CopyWork {
  /** Copies under way from here. */
  running = 0;
  /** Content of others, read here. */
  readOps = 0;
  readBytes = 0;
  /** Content from others, written here. */
  writeOps = 0;
  writeBytes = 0;
  private readonly past: Sample[] = [];

  read(bytes: number): void {
    this.readOps++;
    this.readBytes += bytes;
  }

  wrote(bytes: number): void {
    this.writeOps++;
    this.writeBytes += bytes;
  }

  /** Per second over the last five seconds; to be asked regularly. */
  load(nowUs: Micros): CopyLoad {
    const { readOps, readBytes, writeOps, writeBytes, past } = this;
    const first = past[0] ?? { atUs: nowUs, readOps, readBytes, writeOps, writeBytes };
    past.push({ atUs: nowUs, readOps, readBytes, writeOps, writeBytes });
    while (nowUs - (past[1]?.atUs ?? nowUs) >= LOAD_US) past.shift();
    const seconds = Math.max(1, (nowUs - first.atUs) / SECOND_US);
    return {
      readOps: Math.round((readOps - first.readOps) / seconds),
      readBytes: Math.round((readBytes - first.readBytes) / seconds),
      writeOps: Math.round((writeOps - first.writeOps) / seconds),
      writeBytes: Math.round((writeBytes - first.writeBytes) / seconds),
    };
  }
}

export class CopyWorks {
  private readonly works = [
    new CopyWork(),
    new CopyWork(),
    new CopyWork(),
    new CopyWork(),
    new CopyWork(),
  ] as const;

  of(kind: CopyKind): CopyWork {
    return this.works[kind];
  }
}
