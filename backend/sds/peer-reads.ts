// Blocks that another data process asks for, to repair what does not verify there (C9). It owns the reads under way; it must
// never answer for a comb of which the asker is not the primary.

import { mark } from '../core/marks.js';
import { ERR } from '../protocol/generated/constants.js';
import {
  getChunkIndex,
  getLengthSectors,
  getOffsetSectors,
  getVolumeKey,
} from '../protocol/generated/frame-head.js';
import { HEADER_BYTES } from '../protocol/frames.js';
import { answerPeerRead } from './answers.js';
import type { PayloadBuffer } from './buffers.js';
import type { Comb } from './comb.js';
import { VTREE_BYTES } from './forward.js';
import { PEER_READ_TOKENS } from './load-token.js';
import { MutableExtent } from './payload.js';
import type { PeerDevice } from './peer.js';
import type { Shared } from './shared.js';
import { STORE_STATUS } from './store/store.js';

const MARKS = { readForPeer: mark('sds.member: read blocks for a repair') };

const PEER_READS_MAX = 16;

interface PeerRead {
  readonly link: number;
  readonly version: number;
  readonly head: DataView;
  readonly buffer: PayloadBuffer;
  readonly blockCount: number;
}

/** The comb of a frame if the sender is its primary and may ask under that generation, else null. */
type Accept = (peer: PeerDevice, view: DataView, at: number, extent: MutableExtent) => Comb | null;

export class PeerReads {
  private readonly shared: Shared;
  private readonly accept: Accept;
  private readonly extent = new MutableExtent();
  private readonly reads: (PeerRead | null)[] = new Array<PeerRead | null>(PEER_READS_MAX).fill(
    null,
  );

  constructor(shared: Shared, accept: Accept) {
    this.shared = shared;
    this.accept = accept;
  }

  /** A peer that is primary asks for blocks; false: with a frame that none of ours sends. Of a target it believes only what its own checksum proves. */
  asked(peer: PeerDevice, view: DataView, at: number, bodyBytes: number): boolean {
    if (bodyBytes !== VTREE_BYTES) return false;
    const { blockBytes, sectorBytes } = this.shared.geometry;
    const extent = this.extent.setSectors(
      view.getUint32(at + HEADER_BYTES, true),
      getChunkIndex(view, at),
      getOffsetSectors(view, at) * sectorBytes,
      getLengthSectors(view, at) * sectorBytes,
      blockBytes,
    );
    if (extent.headBytes !== 0 || extent.blockCount > this.shared.ioBlocksMax) return false;
    const comb = this.accept(peer, view, at, extent);
    const slot = this.reads.indexOf(null);
    const lengthBytes = extent.blockCount * (4 + blockBytes);
    const buffer = comb !== null && slot >= 0 ? this.shared.buffers.take(lengthBytes) : null;
    if (buffer === null) {
      answerPeerRead(this.shared, peer.link, peer.version, view, at, ERR.NOT_READY, null, 0);
      return true;
    }
    MARKS.readForPeer.hits++;
    const head = new DataView(new ArrayBuffer(HEADER_BYTES));
    for (let byte = 0; byte < HEADER_BYTES; byte++) head.setUint8(byte, view.getUint8(at + byte));
    this.reads[slot] = {
      link: peer.link,
      version: peer.version,
      head,
      buffer,
      blockCount: extent.blockCount,
    };
    this.shared.store.read(
      PEER_READ_TOKENS + slot,
      getVolumeKey(view, at),
      extent.vtreeKey,
      extent.chunkIndex,
      extent.firstBlock,
      extent.blockCount,
      buffer.bytes,
      0,
    );
    return true;
  }

  /** The read of the store ended. */
  done(slot: number, status: number): void {
    const read = this.reads[slot] ?? null;
    if (read === null) return;
    this.reads[slot] = null;
    if (this.shared.findPeer(read.link)?.up === true) {
      const good = status === STORE_STATUS.ok || status === STORE_STATUS.zero;
      const content = status === STORE_STATUS.ok ? read.buffer : null;
      const error = good ? 0 : ERR.CHECKSUM_MISMATCH;
      const { link, version, head, blockCount } = read;
      answerPeerRead(this.shared, link, version, head, 0, error, content, blockCount);
    }
    this.shared.buffers.give(read.buffer);
  }
}
