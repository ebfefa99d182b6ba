// What clients asked and what they were told, for the checkers. It owns the records of a run; it must never judge them.
//
// The content of every sector is a tag: the number of the write in its first half, a mix of volume and sector in its
// second half, so that content from another place is never taken for right. Zero content has the tag 0.

export type OpKind = 'read' | 'write' | 'zero' | 'flush' | 'describe';

/** One request of one client. */
export interface OpRecord {
  readonly index: number;
  readonly kind: OpKind;
  /** Content that it is about: a volume, or a volume from a revert on. */
  readonly volume: number;
  /** Contents that the volume began with reverts while this ran: it may have happened to any of them, or to `volume`. */
  readonly alsoIn: number[];
  readonly volumeKey: number;
  /** First volume of its V-tree, by which content knows its place. */
  readonly root: number;
  readonly client: number;
  /** Number of the client's process. */
  readonly life: number;
  readonly fua: boolean;
  readonly firstSector: number;
  readonly sectors: number;
  /** Of a write: its number from 1; of a zero: 0. */
  readonly tag: number;
  readonly startUs: number;
  /** When it was answered well; Infinity: never, or by an error, or over a revert, so it may or may not have happened. */
  endUs: number;
  /** A write of unknown outcome takes effect before this or never. */
  fencedUs: number;
  /** It was answered with ESHUTDOWN: the client tries no more. */
  isShutDown: boolean;
  /** Of a read that was answered well: the tag of each sector. */
  seen: number[];
}

/** Volatile content may have been lost at this time: every in-sync copy of something lost its power. */
export interface LossRecord {
  readonly atUs: number;
}

/** A time in which a volume was not mapped to a client, or stopped: what it asks and is told within, it must not be told well. */
export interface UnmappedWindow {
  readonly volume: number;
  readonly client: number;
  readonly fromUs: number;
  readonly toUs: number;
}

/** From one moment between command and answer, each target begins with what its source had. */
export interface CutRecord {
  readonly startUs: number;
  readonly endUs: number;
  readonly pairs: readonly { readonly source: number; readonly target: number }[];
}

/** A revert of which nobody knows whether it happened: from its end on the volume holds `target` or still `former`. */
export interface UnsureRevert {
  readonly startUs: number;
  /** Nothing of it happens later. */
  endUs: number;
  readonly source: number;
  readonly target: number;
  readonly former: number;
  /** What the answer said, when it came at last; null: nothing. */
  happened: boolean | null;
}

/** Contents of volumes that were reverted have numbers above all keys. */
const CONTENTS_FROM = 1_000_000_000;

/** What the checkers judge. */
export interface Evidence {
  readonly ops: readonly OpRecord[];
  readonly losses: readonly LossRecord[];
  readonly cuts: readonly CutRecord[];
  /** What contents began with, by sector, as far as the checker of cuts knows; null: not known at all. */
  readonly beginnings: Map<number, ReadonlyMap<number, number> | null>;
}

export class History implements Evidence {
  readonly ops: OpRecord[] = [];
  readonly losses: LossRecord[] = [];
  readonly windows: UnmappedWindow[] = [];
  readonly cuts: CutRecord[] = [];
  readonly unsureReverts: UnsureRevert[] = [];
  /** What contents began with, by sector, as far as the checker of cuts knows; null: not known at all. */
  readonly beginnings = new Map<number, ReadonlyMap<number, number> | null>();
  private readonly contents = new Map<number, number>();
  private readonly roots = new Map<number, number>();
  private nextContent = CONTENTS_FROM;
  /** All I/O counts as stopped: the operator was told so. */
  stopped = false;
  /** A disk that lied about flushes lost its power: what it was sure of may be lost. */
  lied = false;
  private nextTag = 1;

  /** What a volume holds now. */
  contentOf(volumeKey: number): number {
    return this.contents.get(volumeKey) ?? volumeKey;
  }

  /**
   * A volume was reverted: what it held is gone. What still runs, or was never answered and is not fenced, may happen to what it
   * held or to what it holds now.
   */
  newContent(volumeKey: number): number {
    const content = this.nextContent++;
    this.contents.set(volumeKey, content);
    for (const record of this.ops)
      if (
        record.volumeKey === volumeKey &&
        record.endUs === Infinity &&
        record.fencedUs === Infinity
      )
        record.alsoIn.push(content);
    return content;
  }

  /**
   * A request was answered well. One that ran over a revert proves nothing of either content: what it read may be of the one
   * or the other, what it wrote may be gone.
   */
  answered(record: OpRecord, atUs: number): void {
    if (record.alsoIn.length === 0) record.endUs = atUs;
  }

  /** A snapshot belongs to the V-tree of its source. */
  joinTree(volumeKey: number, sourceKey: number): void {
    this.roots.set(volumeKey, this.rootOf(sourceKey));
  }

  rootOf(volumeKey: number): number {
    return this.roots.get(volumeKey) ?? volumeKey;
  }

  begin(
    kind: OpKind,
    volumeKey: number,
    client: number,
    life: number,
    fua: boolean,
    firstSector: number,
    sectors: number,
    startUs: number,
  ): OpRecord {
    const record: OpRecord = {
      index: this.ops.length,
      kind,
      volume: this.contentOf(volumeKey),
      alsoIn: [],
      volumeKey,
      root: this.rootOf(volumeKey),
      client,
      life,
      fua,
      firstSector,
      sectors,
      tag: kind === 'write' ? this.nextTag++ : 0,
      startUs,
      endUs: Infinity,
      fencedUs: Infinity,
      isShutDown: false,
      seen: [],
    };
    // What a description says is noted as reads when it is known.
    if (kind !== 'describe') this.ops.push(record);
    return record;
  }

  /** A description said that blocks hold nothing: as good as a read that saw zeroes. */
  sawNothing(described: OpRecord, firstSector: number, sectors: number, endUs: number): void {
    const { volume, volumeKey, client, life, startUs } = described;
    if (volume !== this.contentOf(volumeKey)) return;
    const read = this.begin('read', volumeKey, client, life, false, firstSector, sectors, startUs);
    read.endUs = endUs;
    read.seen = new Array<number>(sectors).fill(0);
  }

  /** A request that was asked and answered well while its volume was not mapped to its client, in words; or null. */
  servedUnmapped(): string | null {
    for (const { volume, client, fromUs, toUs } of this.windows)
      for (const record of this.ops) {
        if (record.volumeKey !== volume || record.client !== client || record.kind === 'flush')
          continue;
        if (record.startUs >= fromUs && record.endUs <= toUs)
          return `${record.kind} ${record.index} of client ${client} was served while volume ${volume} was not mapped to it, or stopped`;
      }
    return null;
  }

  /**
   * A mapping was taken away, and that was answered as done: what the client asked before and was not told about can take
   * effect before `atUs` or never (C13).
   */
  fence(volume: number, client: number, life: number, atUs: number): void {
    for (const record of this.ops) {
      if (record.volumeKey !== volume || record.client !== client || record.endUs !== Infinity)
        continue;
      // A client that still tries may do so under a newer mapping.
      if (!record.isShutDown && record.life >= life) continue;
      record.fencedUs = Math.min(record.fencedUs, atUs);
    }
  }
}

/** Whether a request was, or may have been, about a content. */
export function concerns({ volume, alsoIn }: OpRecord, content: number): boolean {
  return volume === content || (alsoIn.length > 0 && alsoIn.includes(content));
}

const SECTOR_BYTES = 8;

function placeWord(volume: number, sector: number): number {
  return (Math.imul(volume, 0x9e3779b1) ^ Math.imul(sector + 1, 0x85ebca6b)) >>> 0;
}

/** Fills a buffer with the content of a write. */
export function writeTags(view: DataView, at: number, record: OpRecord): void {
  for (let index = 0; index < record.sectors; index++) {
    const place = at + index * SECTOR_BYTES;
    view.setUint32(place, record.tag, true);
    view.setUint32(place + 4, placeWord(record.root, record.firstSector + index), true);
  }
}

/**
 * The tags of a buffer that a read filled.
 *
 * @returns null when a sector holds neither zeroes nor content that was written to this place
 */
export function readTags(view: DataView, at: number, record: OpRecord): number[] | null {
  const tags: number[] = [];
  for (let index = 0; index < record.sectors; index++) {
    const place = at + index * SECTOR_BYTES;
    const tag = view.getUint32(place, true);
    const word = view.getUint32(place + 4, true);
    const expected = tag === 0 ? 0 : placeWord(record.root, record.firstSector + index);
    if (word !== expected) return null;
    tags.push(tag);
  }
  return tags;
}
