// Deliberately broken builds: for each rule of backend/docs/replication.md at least one way to break it, and for what the MDM
// does about slow devices (S), about restored metadata (R) and about cuts of group snapshots (CUT), as replacements in compiled files. It owns what is broken; building and running them is mutants.ts.

export interface Replacement {
  /** Below dist/. */
  readonly file: string;
  /** Occurs exactly once. */
  readonly from: string;
  readonly to: string;
}

export interface Mutation {
  readonly rule: string;
  /** What the broken build does. */
  readonly about: string;
  readonly replacements: readonly Replacement[];
}

const SDS = 'backend/sds';

export const MUTATIONS: readonly Mutation[] = [
  {
    rule: 'C1',
    about: 'a device that is not the primary of a comb any more serves it',
    replacements: [
      {
        file: `${SDS}/admission.js`,
        from: 'if (comb.part !== PART.primary) {',
        to: 'if (comb.part === PART.none) {',
      },
      { file: `${SDS}/admission.js`, from: 'if (!comb.active) {', to: 'if (false) {' },
      { file: `${SDS}/admission.js`, from: 'if (order < 0) {', to: 'if (false) {' },
    ],
  },
  {
    rule: 'C2',
    about: 'a member leaves the in-sync set without a new generation',
    replacements: [
      {
        file: 'backend/mdm/reconcile.js',
        from: 'return next(entry, {\n            inSyncMask: entry.inSyncMask & ~bit,',
        to: 'return Object.assign(next(entry, {}), { generation: entry.generation,\n            inSyncMask: entry.inSyncMask & ~bit,',
      },
    ],
  },
  {
    rule: 'C3',
    about: 'a write is acknowledged before the other members have it',
    replacements: [
      {
        file: `${SDS}/stability.js`,
        from: 'if (op.waits === 0 && !op.waitsHere)',
        to: 'if (!op.waitsHere)',
      },
    ],
  },
  {
    rule: 'C4',
    about: 'a primary that lost a member goes on alone without asking the MDM',
    replacements: [
      {
        file: `${SDS}/comb.js`,
        from: 'return this.inSync || this.catchUp >= CATCH_UP.draining;',
        to: 'return (this.inSync && this.joined) || this.catchUp >= CATCH_UP.draining;',
      },
    ],
  },
  {
    rule: 'C5',
    about: 'reads are served without a lease, and a new primary does not wait for the old one',
    replacements: [
      {
        file: `${SDS}/admission.js`,
        from: 'if (!member.required || member.peer.leaseUntilUs > nowUs)',
        to: 'if (true)',
      },
      {
        file: `${SDS}/peering.js`,
        from: 'return comb.fresh ? afterUs : 0;',
        to: 'return afterUs * 0;',
      },
    ],
  },
  {
    rule: 'C6',
    about: 'a returning copy is taken for in sync without what it missed',
    replacements: [
      {
        file: `${SDS}/resync.js`,
        from: '...store.chunksStampedAfter(comb.index, epoch, number), ',
        to: '',
      },
    ],
  },
  {
    rule: 'C7',
    about: 'what a copy had unsettled before a crash is not made equal',
    replacements: [
      { file: `${SDS}/peering.js`, from: 'if (comb.equal)', to: 'if (comb.equal || true)' },
      {
        file: `${SDS}/resync.js`,
        from: ', ...member.ranges]',
        to: ']',
      },
    ],
  },
  {
    rule: 'C8',
    about: 'a copy that is not in sync replaces the last one that is',
    replacements: [
      {
        file: 'backend/mdm/reconcile.js',
        from: 'if (choice === null)\n            return KEEP;\n        revived = choice.index;',
        to: "const other = standings.findIndex((one) => one === 'good' || one === 'returned');\n        if (choice === null && other < 0)\n            return KEEP;\n        if (choice === null)\n            return settle(entry, { standings, views, inSyncMask: 1 << other, revived: other, alone: true });\n        revived = choice.index;",
      },
    ],
  },
  {
    rule: 'C9',
    about: 'blocks that do not verify are handed out',
    replacements: [
      {
        file: `${SDS}/repair.js`,
        from: 'if (status === STORE_STATUS.ok)',
        to: 'if (status === STORE_STATUS.ok || status === STORE_STATUS.corrupt)',
      },
      {
        file: 'backend/sdc/data-frames.js',
        from: 'if (crc !== view.getUint32(bodyAt + 4 * index, true))',
        to: 'if (false)',
      },
    ],
  },
  {
    rule: 'C10',
    about:
      'a retried operation is done again although it is known, and late frames of old links are done too',
    replacements: [
      {
        file: `${SDS}/data-node.js`,
        from: 'for (const client of replaced) {',
        to: 'for (const client of []) {',
      },
      {
        file: `${SDS}/write-path.js`,
        from: 'if (!this.shared.store.knowsOp(run, opLow, opHigh))',
        to: 'if (true)',
      },
    ],
  },
  {
    rule: 'C11',
    about: 'the client forgets that it owes a flush',
    replacements: [
      { file: 'backend/sdc/io-engine.js', from: 'volume.owe(op.comb);', to: 'void volume;' },
    ],
  },
  {
    rule: 'C12',
    about: 'a secondary acknowledges a forwarded write that it did not complete',
    replacements: [
      {
        file: `${SDS}/member-io.js`,
        from: '? store.write(context, bytes, crcsAt, crcsAt + 4 * extent.blockCount)',
        to: '? (extent.chunkIndex === 1 ? store.noteOp(context) : store.write(context, bytes, crcsAt, crcsAt + 4 * extent.blockCount))',
      },
    ],
  },
  {
    rule: 'C13',
    about: 'unmapping is answered before every device has drained',
    replacements: [
      {
        file: 'backend/mdm/drains.js',
        from: 'let all = this.sdcKnows(nowUs, drain);',
        to: 'if (nowUs >= 0) return true;\n        let all = this.sdcKnows(nowUs, drain);',
      },
    ],
  },
  {
    rule: 'C14',
    about: 'a data process lives on after a failed write or flush',
    replacements: [
      {
        file: `${SDS}/data-node.js`,
        from: "this.end('failed', reason);",
        to: 'void reason;',
      },
    ],
  },
  {
    rule: 'S1',
    about: 'a slow device is taken out while it still counts as a copy',
    replacements: [
      { file: 'backend/mdm/slow-devices.js', from: 'if (counts) {', to: 'if (false) {' },
    ],
  },
  {
    rule: 'S2',
    about: 'a device that is slow for good keeps its copies',
    replacements: [
      {
        file: 'backend/mdm/slow-devices.js',
        from: 'if (run.samples.score < this.engine.options.slowSamples ||',
        to: 'if (true ||',
      },
    ],
  },
  {
    rule: 'S3',
    about: 'nothing is compared with its peers',
    replacements: [
      {
        file: 'backend/mdm/slow-samples.js',
        from: 'if (isSlow && times >',
        to: 'if (false && times >',
      },
    ],
  },
  {
    rule: 'R1',
    about: 'restored metadata is used before the devices told what they know',
    replacements: [
      {
        file: 'backend/mdm/recovery.js',
        from: 'if (this.isDone || this.awaited().size > 0)',
        to: 'if (this.isDone)',
      },
    ],
  },
  {
    rule: 'R2',
    about: 'what devices know that is newer than the restored metadata is thrown away',
    replacements: [
      {
        file: 'backend/mdm/newest-combs.js',
        from: 'compareGenerations(entry.generation, known.generation) > 0',
        to: 'false',
      },
    ],
  },
  {
    rule: 'CUT1',
    about: 'devices say that they hold, and begin changes all the same',
    replacements: [
      { file: `${SDS}/cuts.js`, from: 'volume.held = true;', to: 'volume.held = false;' },
      {
        file: `${SDS}/cuts.js`,
        from: 'volume.held = this.keeps(volume.key);',
        to: 'volume.held = false;',
      },
    ],
  },
  {
    rule: 'CUT2',
    about: 'a device certifies although its hold ran out, or never was',
    replacements: [
      {
        file: `${SDS}/cuts.js`,
        from: 'hold.isHeld && !hold.isBroken && isWhole',
        to: 'isWhole',
      },
    ],
  },
  {
    rule: 'CUT2',
    about: 'a hold that ran out certifies',
    replacements: [
      {
        file: `${SDS}/cuts.js`,
        from: 'hold.isHeld && !hold.isBroken && isWhole',
        to: 'hold.isHeld && isWhole',
      },
    ],
  },
  {
    rule: 'CUT3',
    about: 'a device that started anew, or was not asked, certifies a cut',
    replacements: [
      {
        file: `${SDS}/cuts.js`,
        from: 'hold !== undefined && hold.isHeld && !hold.isBroken && isWhole',
        to: 'hold === undefined || (hold.isHeld && !hold.isBroken && isWhole)',
      },
      {
        file: 'backend/mdm/cuts.js',
        from: 'if (cut === null || deviceKey !== from || cut.holders.get(from) !== incarnation)\n            return;\n        if (!certified)',
        to: 'if (cut === null || deviceKey !== from || !cut.holders.has(from))\n            return;\n        if (!certified)',
      },
    ],
  },
  {
    rule: 'CUT4',
    about: 'a point is valid although a device did not certify it',
    replacements: [
      {
        file: 'backend/mdm/cuts.js',
        from: 'certified.size < holders.size',
        to: 'false',
      },
      { file: 'backend/mdm/cuts.js', from: 'if (!certified) {', to: 'if (false) {' },
    ],
  },
  {
    rule: 'SECURE',
    about: 'a secure snapshot is removed like any other',
    replacements: [
      {
        file: 'backend/mdm/commands/snapshots.js',
        from: 'if (secureUntilMs > secureNowMs)',
        to: 'if (false)',
      },
    ],
  },
  {
    rule: 'SECURE-clock',
    about: 'what is secure goes by the wall clock of the master',
    replacements: [
      {
        file: 'backend/mdm/secure-clock.js',
        from: 'return this.baseMs + passedMs + gainMs;',
        to: 'return this.engine.wallMs(nowUs);',
      },
    ],
  },
  {
    rule: 'POLICY',
    about: 'the oldest snapshot of a policy goes before the next one is there',
    replacements: [
      {
        file: 'backend/mdm/policies.js',
        from: 'made.map(({ autoRun }) => autoRun)',
        to: '[...made.map(({ autoRun }) => autoRun), state.policies.get(made[0].autoPolicyKey).nextRun]',
      },
    ],
  },
];
