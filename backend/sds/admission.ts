// Which requests of clients are taken (C1, C5, C12, C13): every reason to refuse is found here, before any work. It owns
// the order of the checks; it must never change anything.

import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { ERR, MSG } from '../protocol/generated/constants.js';
import {
  getAuthority,
  getChunkIndex,
  getComb,
  getCombLog2,
  getGenerationEpoch,
  getGenerationNumber,
  getLengthSectors,
  getOffsetSectors,
  getVolumeEpoch,
  getVolumeKey,
} from '../protocol/generated/frame-head.js';
import { ENTRY_VERSION, encodeStruct } from '../protocol/control.js';
import type { Client } from './clients.js';
import { PART, compareAt } from './comb.js';
import type { Comb } from './comb.js';
import type { Shared } from './shared.js';
import type { Volume } from './volumes.js';

const MARKS = {
  stale: mark('sds.admission: refused a stale generation'),
  ahead: mark('sds.admission: a client knows a newer generation'),
  notPrimary: mark('sds.admission: refused as not primary'),
  notActive: mark('sds.admission: refused while the comb is not active'),
  noLease: mark('sds.admission: refused a read without a lease'),
  mapping: mark('sds.admission: refused a revoked mapping'),
  readOnly: mark('sds.admission: refused a write of a read-only mapping'),
};

const EMPTY = new Uint8Array(0);

export class Admission {
  private readonly shared: Shared;
  /** Of the request judged last. */
  volume: Volume | null = null;
  comb: Comb | null = null;

  constructor(shared: Shared) {
    this.shared = shared;
  }

  /**
   * Judges a READ, DESCRIBE, WRITE or ZERO of a client.
   *
   * @returns 0, with `volume` and `comb` set, or an error code
   */
  judge(nowUs: Micros, client: Client, code: number, view: DataView, at: number): number {
    const { stage, pool } = this.shared;
    this.comb = null;
    if (stage !== 'serving' || pool?.pool.active !== true) return ERR.NOT_READY;
    const volumeKey = getVolumeKey(view, at);
    const refusal = this.shared.volumes.judge(
      volumeKey,
      client.sdcKey,
      getVolumeEpoch(view, at),
      getAuthority(view, at),
    );
    if (refusal === ERR.MAPPING_REVOKED) MARKS.mapping.hits++;
    if (refusal !== 0) return refusal;
    const volume = this.shared.volumes.find(volumeKey);
    if (volume === undefined) return ERR.UNKNOWN_VOLUME;
    this.volume = volume;
    const reads = code === MSG.READ || code === MSG.DESCRIBE;
    if (!reads && volume.grants.get(client.sdcKey)?.readOnly === true) {
      MARKS.readOnly.hits++;
      return ERR.READ_ONLY;
    }
    const chunkIndex = getChunkIndex(view, at);
    const index = getComb(view, at);
    if (
      getCombLog2(view, at) !== pool.pool.combCountLog2 ||
      pool.combOf(volume.vtreeKey, chunkIndex) !== index
    )
      return ERR.WRONG_COMB;
    const range = this.judgeRange(volume, chunkIndex, view, at);
    if (range !== 0) return range;
    const place = this.judgeComb(
      index,
      getGenerationEpoch(view, at),
      getGenerationNumber(view, at),
    );
    return place === 0 && reads ? this.judgeLease(nowUs) : place;
  }

  /** The newer entry that a refusal carries, or nothing (C1). */
  entryFor(status: number, combIndex: number): Uint8Array {
    if (status !== ERR.STALE_GENERATION && status !== ERR.NOT_PRIMARY && status !== ERR.WRONG_COMB)
      return EMPTY;
    const comb = this.shared.comb(combIndex);
    if (comb !== undefined && comb.entryBytes.length > 0) return comb.entryBytes;
    const entry = this.shared.pool?.entry(combIndex) ?? null;
    return entry === null ? EMPTY : encodeStruct('CombEntry', entry, ENTRY_VERSION);
  }

  private judgeRange(volume: Volume, chunkIndex: number, view: DataView, at: number): number {
    const { chunkSectors } = this.shared;
    const offset = getOffsetSectors(view, at);
    const length = getLengthSectors(view, at);
    if (length === 0 || offset + length > chunkSectors) return ERR.OUT_OF_RANGE;
    return chunkIndex * chunkSectors + offset + length > volume.sizeSectors ? ERR.OUT_OF_RANGE : 0;
  }

  private judgeComb(index: number, epoch: number, number: number): number {
    const comb = this.shared.comb(index);
    if (comb === undefined || comb.entry === null) {
      MARKS.notPrimary.hits++;
      return ERR.NOT_PRIMARY;
    }
    const order = compareAt(epoch, number, comb.epoch, comb.number);
    if (order < 0) {
      MARKS.stale.hits++;
      return ERR.STALE_GENERATION;
    }
    if (order > 0) {
      MARKS.ahead.hits++;
      return ERR.NOT_READY;
    }
    if (comb.part !== PART.primary) {
      MARKS.notPrimary.hits++;
      return ERR.NOT_PRIMARY;
    }
    if (!comb.active) {
      MARKS.notActive.hits++;
      return ERR.NOT_READY;
    }
    this.comb = comb;
    return 0;
  }

  private judgeLease(nowUs: Micros): number {
    for (const member of this.comb?.members ?? []) {
      if (!member.required || member.peer.leaseUntilUs > nowUs) continue;
      MARKS.noLease.hits++;
      return ERR.NO_LEASE;
    }
    return 0;
  }
}
