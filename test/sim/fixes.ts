// Faults that the simulator found, put back one at a time: the kept scenario of each must find it again. It owns what is put
// back; building and running them is mutants.ts. A change of the product moves the moments of a scenario, so that it may
// pass with its fault: then another seed with the same options is looked for and kept.

import type { Mutation } from './mutations.js';

const SDS = 'backend/sds';

/** `rule` is the name of the file in scenarios/. */
export const FIXES: readonly Mutation[] = [
  {
    rule: 'abandoned-half-cut',
    about: 'a request given up before all of it was sent counts as done',
    replacements: [
      {
        file: 'backend/sdc/io-engine.js',
        from: 'if (request.cutBytes < request.lengthBytes)\n            request.errno = ERRNO.EIO;',
        to: '',
      },
    ],
  },
  {
    rule: 'copies-fill-ring',
    about: 'copies are forwarded to a member without regard to what it has to keep of them',
    replacements: [
      {
        file: `${SDS}/settling.js`,
        from: 'if (tagDistance(ring.last, settledTag) < copiesMax)',
        to: 'if (true)',
      },
    ],
  },
  {
    rule: 'repair-is-settled',
    about: 'a primary that forwards a repair of a member alone lets no round settle it',
    replacements: [
      {
        file: `${SDS}/forward.js`,
        from: 'this.shared.parts.settling.forwarded();',
        to: 'if (blocks === 0)\n            this.shared.parts.settling.forwarded();',
      },
    ],
  },
  {
    rule: 'freed-and-in-use',
    about: 'units that an operation alone keeps from being free are confirmed again and again',
    replacements: [
      {
        file: `${SDS}/store/rooms.js`,
        from: 'if (units.newestBlockedLsn > log.flusher.confirmedLsn)',
        to: 'if (true)',
      },
    ],
  },
  {
    rule: 'freed-and-not-granted',
    about: 'freed units stay blocked until somebody asks for them',
    replacements: [
      {
        file: `${SDS}/store/open-store.js`,
        from: 'if (units.blockedCount > units.freeCount)',
        to: 'if (false)',
      },
    ],
  },
  {
    rule: 'given-up-for-ever',
    about: 'the failure of one change of the MDM cluster counts for all later ones',
    replacements: [
      {
        file: 'backend/mdm/cluster-plan.js',
        from: 'if (moveFailure?.job === job.id)',
        to: 'if (moveFailure !== null)',
      },
    ],
  },
  {
    rule: 'news-of-another-member',
    about:
      'what a client says of its operations is passed on only if nobody else had said it before',
    replacements: [
      {
        file: `${SDS}/watermarks.js`,
        from: 'clients.settled(nowUs, run, settled);\n        const relayed = clients.toRelay(run);',
        to: 'const relayed = clients.settled(nowUs, run, settled) ? settled : null;',
      },
    ],
  },
  {
    rule: 'entries-fill-ring',
    about: 'changes take so much of the ring that little of it is left to entries and stamps',
    replacements: [
      {
        file: `${SDS}/store/notes.js`,
        from: 'const RING_MARGIN = 1 / 8;',
        to: 'const RING_MARGIN = 1 / 32;',
      },
      {
        file: `${SDS}/store/notes.js`,
        from: 'const RING_OWN = 5 / 16;',
        to: 'const RING_OWN = 3 / 8;',
      },
      {
        file: `${SDS}/store/notes.js`,
        from: 'const RING_FORWARDED = (1 - RING_MARGIN) / 2;',
        to: 'const RING_FORWARDED = 5 / 8;',
      },
    ],
  },
  {
    rule: 'home-went-with-descriptor',
    about:
      'a block whose unit was lost with an earlier descriptor gets no other when it is written',
    replacements: [
      {
        file: `${SDS}/store/open-store.js`,
        from: 'this.appender.giveHomes(entry);',
        to: '',
      },
    ],
  },
  {
    rule: 'zeroes-fill-ring',
    about: 'forwarded zeroes find no check of room',
    replacements: [
      {
        file: `${SDS}/member-io.js`,
        from: 'extent.firstBlock, needed, true);\n        if (room === ROOM.wait)',
        to: 'extent.firstBlock, needed, true);\n        if (isWrite && room === ROOM.wait)',
      },
    ],
  },
  {
    rule: 'older-life-in-sync',
    about: 'a device whose earlier life counts as in sync gives up what is unsettled',
    replacements: [
      {
        file: `${SDS}/membership.js`,
        from: 'if (!isInSync && wasInSyncBefore(comb.entry, this.shared.deviceKey))',
        to: 'if (false)',
      },
    ],
  },
  {
    rule: 'rings-full-both-ways',
    about: 'changes of clients and of other primaries find the same room in the ring',
    replacements: [
      {
        file: `${SDS}/store/notes.js`,
        from: '(forwarded ? RING_FORWARDED : RING_OWN)',
        to: 'RING_FORWARDED',
      },
    ],
  },
  {
    rule: 'kept-ids-fill-ring',
    about: 'a log whose older half gains nothing is noted half by half',
    replacements: [
      { file: `${SDS}/store/trimming.js`, from: '(retry && !gained)', to: 'false' },
      {
        file: 'backend/sim/device-processes.js',
        from: 'const CLIENT_SILENCE_MS = 60_000;',
        to: 'const CLIENT_SILENCE_MS = 900_000;',
      },
    ],
  },
  {
    rule: 'dead-client-told-again',
    about: 'what is told again of a client is a sign of life',
    replacements: [
      {
        file: `${SDS}/clients.js`,
        from: 'if (before !== undefined && !isNews(settled, before.settled))\n            return false;',
        to: '',
      },
    ],
  },
  {
    rule: 'dead-peer-holds-log',
    about: 'a peer that is gone holds back what is settled',
    replacements: [
      { file: `${SDS}/peer-links.js`, from: 'this.topics.settling.settle();', to: '' },
    ],
  },
  {
    rule: 'cleared-slow-device',
    about: 'the combs of a slow device that is cleared are not decided anew',
    replacements: [
      {
        file: 'backend/mdm/slow-devices.js',
        from: 'this.membership.reconsiderDevice(at, touch.key);',
        to: 'void at;',
      },
    ],
  },
  {
    rule: 'notes-outlive-close',
    about:
      'a log of which more than half must be kept is noted again for ever when its device is closed',
    replacements: [{ file: `${SDS}/store/trimming.js`, from: '|| !this.closingGains()', to: '' }],
  },
  {
    rule: 'restored-twice',
    about:
      'a backup that is restored again begins a life whose term may be lower than that of the life before',
    replacements: [
      {
        file: 'backend/mdm/renewal.js',
        from: 'term + ahead(term, TERMS)',
        to: 'term + step(TERMS)',
      },
    ],
  },
  {
    rule: 'lost-again-when-restored',
    about: 'a client that is behind a newer mapping of its own is told that it has no right',
    replacements: [
      {
        file: `${SDS}/volumes.js`,
        from: 'if (grant.generation !== generation)\n            return ERR.NOT_READY;',
        to: 'if (grant.generation !== generation)\n            return generation < grant.generation ? ERR.MAPPING_REVOKED : ERR.NOT_READY;',
      },
    ],
  },
  {
    rule: 'restored-thrice-with-a-new-client',
    about: 'runs of a restored life may be lower than those of the life before',
    replacements: [
      {
        file: 'backend/mdm/renewal.js',
        from: 'system.nextRun + ahead(system.nextRun, KEYS)',
        to: 'system.nextRun + step(KEYS)',
      },
    ],
  },
  {
    rule: 'spare-of-a-former-master',
    about: 'a master that keeps nothing free does not say so to whom a former one told something',
    replacements: [
      {
        file: 'backend/mdm/budgets.js',
        from: 'if (isSame)',
        to: 'if (isSame || (known === undefined && bytes === 0))',
      },
    ],
  },
  {
    rule: 'limit-between-two-ticks',
    about: 'a request of a limited mapping is due at a fraction of a microsecond',
    replacements: [
      {
        file: 'backend/sdc/throttle.js',
        from: 'Math.ceil(Math.max(requestsUs, bytesUs))',
        to: 'Math.max(requestsUs, bytesUs)',
      },
    ],
  },
  {
    rule: 'snapshot-asked-of-a-new-master',
    about: 'a new master discards the cuts that it has begun itself',
    replacements: [
      {
        file: 'backend/mdm/cuts.js',
        from: 'for (const key of left) {',
        to: 'for (const key of [...this.engine.state.cuts.keys()]) {',
      },
    ],
  },
  {
    rule: 'revert-nobody-waited-for',
    about: 'a volume is given to clients while it is being reverted',
    replacements: [
      {
        file: 'backend/mdm/commands/volumes.js',
        from: 'requireNotReverted(state, volumeKey);',
        to: '',
      },
    ],
  },
  {
    rule: 'filled-in-the-same-fault-set',
    about: 'what is being filled and cannot be admitted holds up the one that takes its place',
    replacements: [
      {
        file: 'backend/mdm/mover.js',
        from: 'fillingDevice(entry) === 0 ? 0 : 1',
        to: '0',
      },
    ],
  },
  {
    rule: 'one-waits-others-settle',
    about: 'a change that waits keeps the ids of all later ones from being forgotten',
    replacements: [
      {
        file: 'backend/sdc/io-engine.js',
        from: 'Math.max(lowest, this.saidNextId)',
        to: 'lowest',
      },
    ],
  },
  {
    rule: 'full-for-each-other',
    about: 'a peer counts as lost since its link ended, however long it had not answered before',
    replacements: [
      {
        file: `${SDS}/peer-links.js`,
        from: 'peer.out.outstanding() ? peer.out.progressUs : nowUs;',
        to: 'nowUs;',
      },
    ],
  },
  {
    rule: 'filled-beside-the-last-copy',
    about: 'a device is filled that lies in the unit of all copies, and nobody else meanwhile',
    replacements: [
      {
        file: 'backend/mdm/moves.js',
        from: 'units.size !== 1 || !units.has(unitOf(key))',
        to: 'true',
      },
    ],
  },
  {
    rule: 'reads-beside-discards',
    about: 'reads stand in the queue of discards, which wait for writes that wait for space',
    replacements: [
      {
        file: 'backend/sdc/cutter.js',
        from: 'isZeroing(kind) ? this.zeroes : this.reads',
        to: 'this.zeroes',
      },
      { file: 'backend/sdc/cutter.js', from: 'this.changesMax)', to: 'Infinity)' },
    ],
  },
  {
    rule: 'killed-while-it-is-added',
    about: 'a device whose data process ended while it was being added is dropped',
    replacements: [
      {
        file: 'backend/mdm/additions.js',
        from: "task === 'open' && status === ERR.NOT_READY",
        to: 'false',
      },
    ],
  },
  {
    rule: 'compared-while-written',
    about: 'copies are compared without the lock of what is compared',
    replacements: [
      {
        file: `${SDS}/scan-checks.js`,
        from: 'if (this.shared.lock.acquire(task))\n            this.granted(task);',
        to: 'this.granted(task);',
      },
    ],
  },
  {
    rule: 'active-told-of-an-older-entry',
    about: 'members of a comb that is active are not told so again with a newer entry',
    replacements: [
      {
        file: `${SDS}/peering.js`,
        from: 'if (comb.active)\n            this.tellAgain(comb);',
        to: '',
      },
    ],
  },
  {
    rule: 'stale-read-cache',
    about:
      'a block of the read cache outlives the write of its place, and is not verified when it is found',
    replacements: [
      {
        file: `${SDS}/store/io.js`,
        from: 'this.cache.dropRange(offsetBytes / this.blockBytes, lengthBytes / this.blockBytes);',
        to: ';',
      },
      {
        file: `${SDS}/store/read-filling.js`,
        from: 'if (this.verifies(op, index)) {',
        to: 'if (true) {',
      },
    ],
  },
  {
    rule: 'flipped-read-cache',
    about: 'what is found in the read cache is not verified',
    replacements: [
      {
        file: `${SDS}/store/read-filling.js`,
        from: 'if (this.verifies(op, index)) {',
        to: 'if (true) {',
      },
    ],
  },
  {
    rule: 'bad-block-of-a-member',
    about: 'a primary does nothing about blocks that a member found bad',
    replacements: [
      {
        file: `${SDS}/scan-repairs.js`,
        from: 'this.copyTo(comb, peer, range);\n    }\n    /** Makes',
        to: '}\n    /** Makes',
      },
    ],
  },
];
