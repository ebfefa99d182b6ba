// Judges snapshots: what a snapshot, or a volume that was reverted, begins with is the content that its source had at one moment
// between the command and its answer, the same for all volumes of the command. It must never look at the cluster.
//
// One moment shows in dependent writes: whoever was answered before another request began, whoever asked and on whichever
// volume, is in the snapshot when that one is. And what was answered before the command began is in it, nothing that began after
// the answer is.

import { concerns } from './history.js';
import type { CutRecord, Evidence, OpRecord } from './history.js';

interface Options {
  /** What was acknowledged may have been lost: older content of a source is no proof. */
  readonly mayLose: boolean;
}

/** By sector of a volume, the tag that it began with, as far as a read showed it. */
type Content = Map<number, number>;

/** What is wrong with a snapshot, in words; null: nothing. Also tells the history what volumes began with. */
export function checkCuts(history: Evidence, options: Options): string | null {
  const writes = new Map<number, OpRecord>();
  for (const record of history.ops) if (record.kind === 'write') writes.set(record.tag, record);
  const byVolume = new Map<number, OpRecord[]>();
  for (const record of history.ops) {
    for (const volume of [record.volume, ...record.alsoIn]) {
      const list = byVolume.get(volume);
      if (list === undefined) byVolume.set(volume, [record]);
      else list.push(record);
    }
  }
  const checks = history.cuts.map((cut) => new CutCheck(history, cut, writes, byVolume, options));
  // What a later one shows of its source belongs to what that began with.
  const known = new Map<number, Content>();
  for (const check of checks.toReversed()) {
    const fault = check.begin(known);
    if (fault !== null) return fault;
  }
  for (const check of checks) {
    const fault = check.judge();
    if (fault !== null) return fault;
  }
  return null;
}

class CutCheck {
  private readonly history: Evidence;
  private readonly cut: CutRecord;
  private readonly writes: ReadonlyMap<number, OpRecord>;
  private readonly byVolume: ReadonlyMap<number, readonly OpRecord[]>;
  private readonly options: Options;
  /** Whatever was answered before this is in it. */
  private sinceUs: number;
  private sinceText = 'the command';
  private readonly contents: { source: number; target: number; content: Content }[] = [];

  constructor(
    history: Evidence,
    cut: CutRecord,
    writes: ReadonlyMap<number, OpRecord>,
    byVolume: ReadonlyMap<number, readonly OpRecord[]>,
    options: Options,
  ) {
    this.history = history;
    this.cut = cut;
    this.writes = writes;
    this.byVolume = byVolume;
    this.options = options;
    this.sinceUs = cut.startUs;
  }

  /** Finds out what its targets began with, and what that says of their sources. */
  begin(known: Map<number, Content>): string | null {
    const { cut, history, options } = this;
    for (const { source, target } of cut.pairs) {
      const content: Content = new Map(known.get(target));
      known.delete(target);
      const fault = this.gather(target, content) ?? this.date(target, content);
      if (fault !== null) return fault;
      history.beginnings.set(target, options.mayLose ? null : content);
      if (options.mayLose) continue;
      this.contents.push({ source, target, content });
      const strange = this.passOn(source, target, content, known);
      if (strange !== null) return strange;
    }
    return null;
  }

  /** What was written to nothing but what the source itself began with, the source began with. */
  private passOn(
    source: number,
    target: number,
    content: Content,
    known: Map<number, Content>,
  ): string | null {
    const { history, writes } = this;
    if (history.beginnings.get(source) === null) return null;
    const isFirst = !history.cuts.some(({ pairs }) => pairs.some((pair) => pair.target === source));
    const begun = known.get(source) ?? new Map<number, number>();
    for (const [sector, tag] of content) {
      const write = writes.get(tag);
      if (write === undefined || concerns(write, source)) continue;
      const before = begun.get(sector);
      if (isFirst || (before !== undefined && before !== tag))
        return `volume ${target} sector ${sector} began with tag ${tag}, which volume ${source} never had there`;
      begun.set(sector, tag);
    }
    known.set(source, begun);
    return null;
  }

  judge(): string | null {
    for (const { source, target, content } of this.contents) {
      const fault = this.lacking(source, target, content);
      if (fault !== null) return fault;
    }
    return null;
  }

  /** What reads showed of the content that a volume began with. */
  private gather(target: number, content: Content): string | null {
    const records = this.byVolume.get(target) ?? [];
    const zeroed = new Set<number>();
    for (const { kind, firstSector, sectors } of records)
      if (kind === 'zero') for (let at = 0; at < sectors; at++) zeroed.add(firstSector + at);
    for (const read of records) {
      if (read.kind !== 'read' || read.endUs === Infinity) continue;
      for (const [at, tag] of read.seen.entries()) {
        const sector = read.firstSector + at;
        const write = this.writes.get(tag);
        if (write !== undefined && concerns(write, target)) continue;
        if (tag === 0 && (zeroed.has(sector) || this.isOwn(records, sector, read))) continue;
        const known = content.get(sector);
        if (known !== undefined && known !== tag && !this.options.mayLose)
          return `volume ${target} sector ${sector} began with tag ${known} and with tag ${tag}: what is frozen changed`;
        content.set(sector, tag);
      }
    }
    return null;
  }

  /** Whatever was answered before something that is in it began has to be in it. */
  private date(target: number, content: Content): string | null {
    for (const tag of content.values()) {
      const write = this.writes.get(tag);
      if (write === undefined) continue;
      if (write.startUs > this.cut.endUs)
        return `write ${write.index}, which began after the snapshot was there, is in volume ${target}`;
      if (write.startUs <= this.sinceUs) continue;
      this.sinceUs = write.startUs;
      this.sinceText = `write ${write.index} of volume ${write.volume}, which is in it`;
    }
    return null;
  }

  /** Whether a sector was written by then: after a loss it may read as zero again. */
  private isOwn(records: readonly OpRecord[], sector: number, { endUs }: OpRecord): boolean {
    return records.some(
      (record) =>
        record.kind === 'write' &&
        record.startUs < endUs &&
        record.firstSector <= sector &&
        record.firstSector + record.sectors > sector,
    );
  }

  /** A change that was answered before something that is in the snapshot began, and is not in it. */
  private lacking(source: number, target: number, content: Content): string | null {
    const changes = (this.byVolume.get(source) ?? []).filter(
      ({ kind }) => kind === 'write' || kind === 'zero',
    );
    const zeros = changes.filter(({ kind }) => kind === 'zero');
    for (const change of changes) {
      if (change.endUs >= this.sinceUs) continue;
      for (let at = 0; at < change.sectors; at++) {
        const sector = change.firstSector + at;
        const tag = content.get(sector);
        if (tag === undefined || tag === change.tag) continue;
        if (!this.isOlder(tag, source, sector, change, zeros)) continue;
        return `change ${change.index} of volume ${source} was answered before ${this.sinceText} began, and volume ${target} has what was at sector ${sector} before it (tag ${tag})`;
      }
    }
    return null;
  }

  /** Whether content is certainly older than a change. */
  private isOlder(
    tag: number,
    source: number,
    sector: number,
    change: OpRecord,
    zeros: readonly OpRecord[],
  ): boolean {
    const write = this.writes.get(tag);
    if (write !== undefined) return !concerns(write, source) || write.endUs < change.startUs;
    // A zero tag is old when nobody may have zeroed the sector since.
    return !zeros.some(
      (zero) =>
        zero.firstSector <= sector &&
        zero.firstSector + zero.sectors > sector &&
        zero.endUs >= change.startUs,
    );
  }
}
