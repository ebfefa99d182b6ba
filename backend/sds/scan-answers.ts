// What a member answers to SCAN_ASK: the states and checksums of blocks as they stand behind everything that the primary
// forwarded before. It owns the descriptions under way; it must never answer who is not the primary by the entry that was
// joined.

import { mark } from '../core/marks.js';
import { ERR, MSG } from '../protocol/generated/constants.js';
import type { BlockRange, CombAt, ControlBodies } from '../protocol/generated/types.js';
import { encodeControl } from '../protocol/control.js';
import { sendFrame } from '../protocol/send.js';
import { PART } from './comb.js';
import type { Comb } from './comb.js';
import { SCAN_ANSWER_TOKENS } from './load-token.js';
import type { PeerDevice } from './peer.js';
import type { Shared } from './shared.js';
import { STORE_STATUS } from './store/store.js';

const MARKS = { told: mark('sds.scan: a member told the primary what it holds') };

const ANSWERS_MAX = 16;
const NOTHING = new Uint8Array(0);

interface Answer {
  readonly link: number;
  readonly version: number;
  readonly tag: number;
  readonly range: BlockRange;
  readonly states: Uint8Array;
  readonly sums: Uint32Array;
}

export class ScanAnswers {
  private readonly shared: Shared;
  private readonly answers = new Array<Answer | null>(ANSWERS_MAX).fill(null);

  constructor(shared: Shared) {
    this.shared = shared;
  }

  asked(peer: PeerDevice, tag: number, body: ControlBodies[typeof MSG.SCAN_ASK]): void {
    const { shared } = this;
    const { range } = body;
    const { chunkBlocks } = shared.geometry;
    const isInside = range.firstBlock + range.blockCount <= chunkBlocks;
    const comb = isInside ? this.joined(peer, body.comb) : null;
    const slot = this.answers.indexOf(null);
    if (comb === null || slot < 0) {
      this.send(peer.link, peer.version, tag, ERR.NOT_READY, false, NOTHING, NOTHING);
      return;
    }
    if (shared.volumes.isFreed(range.volumeKey)) {
      this.send(peer.link, peer.version, tag, 0, true, NOTHING, NOTHING);
      return;
    }
    MARKS.told.hits++;
    const states = new Uint8Array(chunkBlocks);
    const sums = new Uint32Array(chunkBlocks);
    this.answers[slot] = { link: peer.link, version: peer.version, tag, range, states, sums };
    const token = SCAN_ANSWER_TOKENS + slot;
    shared.store.describeSums(token, range.volumeKey, range.chunkIndex, states, sums);
  }

  /** The description ended. */
  described(slot: number, status: number): void {
    const answer = this.answers[slot] ?? null;
    if (answer === null) return;
    this.answers[slot] = null;
    const { link, version, tag, range } = answer;
    if (this.shared.findPeer(link)?.up !== true) return;
    if (status !== STORE_STATUS.ok) {
      this.send(link, version, tag, ERR.CHECKSUM_MISMATCH, false, NOTHING, NOTHING);
      return;
    }
    const { firstBlock, blockCount } = range;
    const states = answer.states.subarray(firstBlock, firstBlock + blockCount);
    const sums = new Uint8Array(4 * blockCount);
    const view = new DataView(sums.buffer);
    for (let index = 0; index < blockCount; index++)
      view.setUint32(4 * index, answer.sums[firstBlock + index] ?? 0, true);
    this.send(link, version, tag, 0, false, states, sums);
  }

  /** The comb if this device goes by that entry, from that primary, and is in sync. */
  private joined(peer: PeerDevice, { index, generation }: CombAt): Comb | null {
    const comb = this.shared.comb(index);
    if (comb?.joinedFrom !== peer || comb.primary !== peer || comb.part !== PART.inSync)
      return null;
    const isSame = generation.epoch === comb.joinedEpoch && generation.number === comb.joinedNumber;
    return isSame ? comb : null;
  }

  private send(
    link: number,
    version: number,
    tag: number,
    status: number,
    freed: boolean,
    states: Uint8Array,
    sums: Uint8Array,
  ): void {
    const frame = encodeControl(MSG.SCAN_SUMS, tag, status, { freed, states, sums }, version);
    sendFrame(this.shared.links, link, frame);
  }
}
