// What becomes of what a background scanner found: blocks that do not verify are made right by the primary, or the primary is
// told; a copy that differs is made what the primary holds. It owns the decisions and the counts; the checks read and write.

import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { MSG } from '../protocol/generated/constants.js';
import type { BlockRange, ControlBodies, ScannerPolicy } from '../protocol/generated/types.js';
import { encodeControl } from '../protocol/control.js';
import { sendFrame } from '../protocol/send.js';
import { PART } from './comb.js';
import type { Comb } from './comb.js';
import type { Copier } from './copier.js';
import { COPY_KIND } from './copy-work.js';
import type { PeerDevice } from './peer.js';
import { SCAN_VERSION, ScanChecks } from './scan-checks.js';
import { ScanTotals } from './scan-counts.js';
import { Suspects } from './scan-suspects.js';
import type { Suspect } from './scan-suspects.js';
import type { Shared } from './shared.js';

const MARKS = {
  told: mark('sds.scan: the primary was told of blocks that do not verify'),
  copied: mark('sds.scan: blocks were copied to a member that found them bad'),
  differs: mark('sds.scan: a copy differs'),
  equal: mark('sds.scan: a copy that differed is equal again'),
  onlyThere: mark('sds.scan: a chunk was compared that is not here'),
};

/** Parts of the machine that it works with. */
export interface ScannerParts {
  readonly copier: Copier;
  /** Content of a layer's chunk was written here. */
  changed(layerKey: number, chunkIndex: number): void;
}

export class ScanRepairs {
  readonly checks: ScanChecks;
  readonly totals = new ScanTotals();
  readonly suspects = new Suspects();
  policy: ScannerPolicy | null = null;
  private readonly shared: Shared;
  private readonly parts: ScannerParts;

  constructor(shared: Shared, parts: ScannerParts) {
    this.shared = shared;
    this.parts = parts;
    this.checks = new ScanChecks(shared, {
      compared: (comb, peer, range, blocks) => {
        this.compared(comb, peer, range, blocks);
      },
      changed: (layerKey, chunkIndex) => {
        parts.changed(layerKey, chunkIndex);
      },
    });
  }

  compares(): boolean {
    return this.policy?.mode === 'dataComparison';
  }

  compareAgain(nowUs: Micros, range: BlockRange): void {
    const { pool } = this.shared;
    const { volumeKey, vtreeKey, chunkIndex } = range;
    const comb = pool === null ? undefined : this.shared.comb(pool.combOf(vtreeKey, chunkIndex));
    if (comb?.part !== PART.primary || !comb.active || !this.compares()) return;
    if (this.checks.hasRoom()) this.checks.compare(comb, volumeKey, vtreeKey, chunkIndex);
    else this.suspects.doubt(range, nowUs);
  }

  /** Has blocks repaired that do not verify here. */
  repair({ range: whole, bad }: Suspect): void {
    for (const range of runsOf(whole, (index) => bad[index] === 1)) this.repairRun(range);
  }

  private repairRun(range: BlockRange): void {
    const { pool, volumes } = this.shared;
    const comb =
      pool === null ? undefined : this.shared.comb(pool.combOf(range.vtreeKey, range.chunkIndex));
    if (comb === undefined || this.policy?.readErrorAction !== 'reportAndFix') return;
    if (volumes.isFreed(range.volumeKey)) return;
    if (comb.part === PART.inSync) this.tell(comb, range, true);
    else if (comb.part === PART.primary && comb.active && this.checks.hasRoom())
      this.checks.mend(comb, range);
  }

  tell(comb: Comb, range: BlockRange, bad: boolean): void {
    const { primary, index } = comb;
    if (primary?.up !== true || primary.version < SCAN_VERSION || comb.joinedFrom !== primary)
      return;
    if (bad) MARKS.told.hits++;
    const body = { comb: { index, generation: comb.generation() }, range, bad };
    const frame = encodeControl(MSG.SCAN_FOUND, 0, 0, body, primary.version);
    sendFrame(this.shared.links, primary.link, frame);
  }

  /** SCAN_FOUND: a member found blocks bad that this device has as primary, or holds a chunk of which it may know nothing. */
  told(peer: PeerDevice, { comb: at, range, bad }: ControlBodies[typeof MSG.SCAN_FOUND]): void {
    const { shared } = this;
    const { geometry, pool, store, volumes } = shared;
    const { volumeKey, vtreeKey, chunkIndex, firstBlock, blockCount } = range;
    const comb = shared.comb(at.index);
    const member = comb?.memberOf(peer);
    if (comb?.part !== PART.primary || !comb.active || pool === null) return;
    if (member?.inSync !== true || !member.joined || volumes.isFreed(volumeKey)) return;
    if (firstBlock + blockCount > geometry.chunkBlocks) return;
    if (pool.combOf(vtreeKey, chunkIndex) !== comb.index) return;
    if (!bad) {
      if (!this.compares() || store.hasChunk(volumeKey, chunkIndex) || !this.checks.hasRoom())
        return;
      MARKS.onlyThere.hits++;
      this.checks.compare(comb, volumeKey, vtreeKey, chunkIndex);
      return;
    }
    this.copyTo(comb, peer, range);
  }

  /** Makes blocks of a member in sync what they are here; what does not verify here either is taken from it (C9). */
  private copyTo(comb: Comb, peer: PeerDevice, range: BlockRange): void {
    const { copier } = this.parts;
    const member = comb.memberOf(peer);
    // A member without room for them would have to leave the set (C12).
    if (member === undefined || peer.out.creditLeft() < range.blockCount || !copier.hasRoom())
      return;
    MARKS.copied.hits++;
    copier.start(comb, member, { ...range, layers: [range.volumeKey] }, COPY_KIND.repair);
  }

  private compared(comb: Comb, peer: PeerDevice, range: BlockRange, blocks: Uint8Array): void {
    let count = 0;
    for (const block of blocks) count += block;
    const { geometry, log, nowUs } = this.shared;
    this.totals.comparedBytes += range.blockCount * geometry.blockBytes;
    const more = this.totals.compared(range, peer.key, count);
    const about = { layer: range.volumeKey, chunk: range.chunkIndex, peer: peer.key };
    const block = range.firstBlock + blocks.indexOf(1);
    if (more < 0) {
      MARKS.equal.hits++;
      log.event('info', 'sds.scan-equal', { ...about, blocks: count });
    } else if (more > 0) {
      MARKS.differs.hits++;
      log.event('error', 'sds.scan-differs', { ...about, blocks: count, block });
    }
    if (count === 0) return;
    if (this.policy?.compareErrorAction !== 'reportAndFix') return;
    for (const part of runsOf(range, (index) => blocks[index] === 1)) this.copyTo(comb, peer, part);
    this.suspects.doubt(range, nowUs);
  }
}

/** The parts of a range whose blocks are meant, by their place in it. */
export function runsOf(range: BlockRange, isMeant: (index: number) => boolean): BlockRange[] {
  const runs: BlockRange[] = [];
  for (let first = 0; first < range.blockCount; first++) {
    if (!isMeant(first)) continue;
    let end = first + 1;
    while (end < range.blockCount && isMeant(end)) end++;
    runs.push({ ...range, firstBlock: range.firstBlock + first, blockCount: end - first });
    first = end;
  }
  return runs;
}
