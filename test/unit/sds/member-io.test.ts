// What a member takes of a primary while nothing is settled: it lets changes wait, of whatever kind, before its log has no
// place for them.

import test from 'ava';

import { HEADER_BYTES } from '../../../backend/protocol/frames.js';
import { REBALANCE_POLICY, REBUILD_POLICY } from '../../../backend/cluster-map/copy-policy.js';
import { MSG } from '../../../backend/protocol/generated/constants.js';
import * as head from '../../../backend/protocol/generated/frame-head.js';
import { Comb, PART } from '../../../backend/sds/comb.js';
import { CopyLimits } from '../../../backend/sds/copy-limits.js';
import { readWaits } from '../../../backend/sds/copy-waits.js';
import { COPY_KIND, CopyWorks } from '../../../backend/sds/copy-work.js';
import { MemberIo, TAKEN } from '../../../backend/sds/member-io.js';
import { PeerDevice } from '../../../backend/sds/peer.js';
import type { Shared } from '../../../backend/sds/shared.js';
import { Volumes } from '../../../backend/sds/volumes.js';
import { GEOMETRY, Rig, optionsOf } from '../../power/store-rig.js';

const RING = 128;
const BODY_BYTES = 4;

/** 1 MiB/s for what is copied. */
function limitsOf(): CopyLimits {
  const slow = { ...REBUILD_POLICY, policy: 'favorApplication', bandwidthKbps: 1024 } as const;
  return new CopyLimits({
    ...{ copies: new CopyWorks(), options: { resyncChunksMax: 4 } },
    pool: {
      pool: {
        ...{ key: 1, combCountLog2: 2, durability: 'media', fullPolicy: 'wait', active: true },
        ...{ rebuildEnabled: true, rebuild: slow, rebalance: REBALANCE_POLICY },
      },
    },
    volumes: { all: () => [] },
  });
}

test('zeroes wait for room in the log as writes do', (t) => {
  const rig = new Rig(1, 256 * 1024, optionsOf({ ringRecords: RING }));
  rig.format();
  rig.openFully();
  const peer = new PeerDevice(0, 2, 0, 0);
  const comb = new Comb(3);
  comb.epoch = comb.joinedEpoch = 1;
  comb.number = comb.joinedNumber = 1;
  comb.part = PART.inSync;
  comb.primary = comb.joinedFrom = peer;
  const shared = {
    ...{ store: rig.store, geometry: GEOMETRY, pool: null, volumes: new Volumes() },
    comb: () => comb,
  };
  const member = new MemberIo(shared as unknown as Shared, limitsOf(), () => undefined);
  const bytes = new Uint8Array(HEADER_BYTES + BODY_BYTES);
  const view = new DataView(bytes.buffer);
  head.setCode(view, 0, MSG.PEER_ZERO);
  head.setComb(view, 0, comb.index);
  head.setGenerationEpoch(view, 0, 1);
  head.setGenerationNumber(view, 0, 1);
  head.setVolumeKey(view, 0, 9);
  head.setVolumeEpoch(view, 0, 1);
  head.setLengthSectors(view, 0, GEOMETRY.blockBytes / GEOMETRY.sectorBytes);
  view.setUint32(HEADER_BYTES, 9, true);
  let tag = 1;
  for (; tag < 10 * RING; tag++) {
    head.setTag(view, 0, tag);
    head.setOpLow(view, 0, tag);
    const taken = member.change(peer, bytes, view, 0, BODY_BYTES);
    rig.endBatch();
    rig.runIdle();
    if (taken === TAKEN.later) break;
    t.is(taken, TAKEN.yes);
  }
  t.true(tag > RING / 4 && tag < RING, `${tag} zeroes`);
  t.true(peer.stalled);
  // All that was taken gets settled: the frame that waited is offered again whenever the store went on, and is taken.
  rig.store.settle(rig.store.lastLsn);
  let taken: number = TAKEN.later;
  for (let offers = 0; taken === TAKEN.later && offers < 3; offers++) {
    taken = member.change(peer, bytes, view, 0, BODY_BYTES);
    rig.endBatch();
    rig.runIdle();
  }
  t.is(taken, TAKEN.yes);
});

test('an acknowledgement says how much room there is, for thin volumes too, and how long copies wait', (t) => {
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  const peer = new PeerDevice(0, 2, 0, 0);
  peer.up = true;
  peer.in.thinCreditTold = 0;
  // More than fits into 16 bits stays free.
  const store = { freeBlocks: () => 4_000_000, thinBlocks: () => 40, writtenLsn: 0, durableLsn: 0 };
  const limits = limitsOf();
  const shared = {
    ...{ store, peers: [peer], nowUs: 0, ioBlocksMax: 64 },
    links: { reserve: () => ({ bytes, view, at: 0 }) },
  };
  const member = new MemberIo(shared as unknown as Shared, limits, () => undefined);
  member.acknowledge();
  t.is(head.getCode(view, 0), MSG.PEER_ACK);
  t.is(head.getAuthority(view, 0), 2_000_000);
  t.is(head.getChunkIndex(view, 0), 2_000_000 - 20);
  const { out } = new PeerDevice(1, 3, 0, 0);
  readWaits(view, 0, 7000, out);
  t.deepEqual(out.copyAfterUs, [0, 0, 0, 0], 'no copy came');
  limits.arrived(0, COPY_KIND.resync, 1024 * 1024);
  peer.in.thinCreditTold = 0;
  member.acknowledge();
  readWaits(view, 0, 7000, out);
  t.deepEqual(out.copyAfterUs, [1_007_000, 7000, 7000, 0]);
});
