// The map as a session with the MDM knows it: complete updates, and newer entries that refusals carried. It owns the parts of
// an update until its last one came; it must never show an update of which a part is missing.

import { ClusterMap } from '../cluster-map/cluster-map.js';
import type { MapUpdate } from '../cluster-map/cluster-map.js';
import { ProtocolError } from '../protocol/wire.js';

/** Bound on the parts of one update that are kept until its last: more than a million combs need. */
const UPDATE_PARTS_MAX = 8192;

export class MapView {
  /** As of the last complete update. */
  map: ClusterMap = ClusterMap.EMPTY;
  private parts: MapUpdate[] = [];

  /** Whether an MDM says something that a later master has overruled. */
  isStale({ term }: MapUpdate): boolean {
    return term < this.map.term;
  }

  /**
   * Takes a part of an update.
   *
   * @returns all parts of the update, which is applied now; null: more of it follow
   * @throws ProtocolError when the update has too many parts
   */
  take(part: MapUpdate): readonly MapUpdate[] | null {
    if (this.parts.length >= UPDATE_PARTS_MAX)
      throw new ProtocolError('MAP_UPDATE', `must have at most ${UPDATE_PARTS_MAX} parts`);
    this.parts.push(part);
    if (!part.last) return null;
    const { parts } = this;
    this.parts = [];
    this.map = this.map.apply(parts);
    return parts;
  }

  /** An update whose other parts will not come: its link is gone. */
  forgetParts(): void {
    this.parts = [];
  }

  /** Takes a newer comb entry that a refusal carried; false: it is not newer. */
  learn(poolKey: number, entry: Parameters<ClusterMap['withEntry']>[1]): boolean {
    const next = this.map.withEntry(poolKey, entry);
    const isNews = next !== this.map;
    this.map = next;
    return isNews;
  }
}
