// All options of one scenario, drawn from its seed. It owns their ranges; it must never run anything.
//
// Each scenario switches most kinds of trouble off: faults that always come together hide each other's effects.

import { Prng } from '../core/prng.js';
import type { CopyLimits } from '../protocol/generated/types.js';

import { MDM_DEFAULTS } from '../mdm/options.js';
import { DATA_DEFAULTS } from '../sds/options.js';

import { LATER_OPTIONS_OFF, NOBODY_SLOW, NO_MOVES } from './swarm-options.js';
import type { Swarm } from './swarm-options.js';
import { addBusy } from './swarm-busy.js';
import { addCache } from './swarm-cache.js';
import { addRestores } from './swarm-restores.js';
import { addFullPolicies, addLimits } from './swarm-limits.js';
import { addScans } from './swarm-scans.js';
import { addAutoSnapshots } from './swarm-policies.js';
import { addSpares } from './swarm-spares.js';
import {
  DISK_FAULTS,
  FURTHER_KINDS,
  KINDS,
  MDM_KINDS,
  MOVE_KINDS,
  POLICY_KINDS,
  noTrouble,
} from './trouble-kinds.js';
import type { TroubleWeights } from './trouble-kinds.js';
import type { WorkloadOptions } from './workload.js';

/** Of twelve scenarios, how many run the real device format: as many as the rate of a plain run permits. */
const REAL_OF_12 = 6;

function drawTrouble(prng: Prng): TroubleWeights {
  const weights = noTrouble();
  const count = prng.pick([0, 1, 1, 2, 2, 3, 3, 4, 6]);
  for (let drawn = 0; drawn < count; drawn++) weights[prng.pick(KINDS)] += prng.between(1, 4);
  return weights;
}

function addFurther(seed: number, swarm: Swarm): Swarm {
  const prng = new Prng(seed, 0x4d4f5245);
  if (!prng.chance(1, 4)) return swarm;
  const trouble = { ...swarm.trouble };
  trouble[prng.pick(FURTHER_KINDS)] += prng.between(1, 6);
  const workload = {
    ...swarm.workload,
    describeWeight: prng.pick([0, 0, 1, 3]),
    abandonPermille: prng.pick([0, 0, 10, 50]),
  };
  return {
    ...swarm,
    ...{ trouble, workload },
    clientOpsMax: prng.pick([24, 24, 10]),
    setUpTroubleUs: prng.pick([0, 0, 1_000_000, 10_000_000]),
    drainTimeoutMs: prng.pick([swarm.drainTimeoutMs, swarm.drainTimeoutMs, 300]),
    settleBlocksMax: prng.pick([swarm.settleBlocksMax, swarm.settleBlocksMax, 16]),
    loneReturn: prng.chance(1, 2),
  };
}

/** @param safetyUs - the requests of a client spread over this time: more scenarios find more than more requests */
function drawWorkload(prng: Prng, clients: number, safetyUs: number): WorkloadOptions {
  const depth = prng.pick([1, 2, 4, 8]);
  // Few scenarios are long and hot: what needs a rare meeting of two requests is found there.
  const isLong = prng.chance(1, 24);
  const total = isLong ? prng.pick([1500, 2500]) : prng.pick([60, 150, 150, 400]);
  const requests = Math.ceil(total / clients);
  return {
    depth,
    thinkUsMax: Math.max(100, Math.floor((2 * depth * safetyUs) / requests)),
    lengthSectorsMax: isLong ? prng.pick([16, 32]) : prng.pick([16, 32, 80, 130]),
    hotSectors: isLong ? prng.pick([8, 16, 64]) : prng.pick([8, 16, 64, 256]),
    readWeight: prng.between(1, 6),
    writeWeight: prng.between(2, 6),
    zeroWeight: prng.pick([0, 0, 1, 2]),
    flushWeight: prng.pick([0, 1, 1, 2]),
    describeWeight: 0,
    abandonPermille: 0,
    fuaPercent: prng.pick([0, 0, 10, 50]),
    alignedPercent: prng.pick([0, 50, 80, 100]),
    readers: 0,
    together: false,
  };
}

/** Volumes that are larger together than the pool, the last of which fits on every device. */
function drawFull(prng: Prng, swarm: Swarm): Swarm {
  const capacityBlocks = prng.pick([48, 64, 96]);
  const large = Array.from({ length: prng.pick([1, 2]) }, () => prng.between(16, 24));
  const { workload, trouble } = swarm;
  return {
    ...swarm,
    // A device grants each of its peers a share of its room: with more of them such small devices never have room for one
    // request of each.
    servers: Math.min(4, swarm.servers),
    capacityBlocks,
    fullPolicy: prng.pick(['wait', 'error'] as const),
    volumeChunks: [...large, Math.floor(capacityBlocks / 32)],
    workload: {
      ...workload,
      lengthSectorsMax: 130,
      hotSectors: prng.pick([256, 1024]),
      writeWeight: prng.between(4, 8),
      zeroWeight: prng.pick([0, 1]),
    },
    trouble: { ...trouble, resize: 0 },
  };
}

/** Many small writes to few places while links break and frames come late: what a retry must not do twice (C10). */
function addLateFrames(seed: number, swarm: Swarm): Swarm {
  const prng = new Prng(seed, 0x4c415445);
  if (!prng.chance(1, 16)) return swarm;
  const { network, workload, trouble } = swarm;
  const late = {
    ...workload,
    ...{ depth: prng.pick([2, 4, 8]), hotSectors: 16, readWeight: 4, writeWeight: 5 },
    thinkUsMax: prng.pick([4_000, 8_000]),
  };
  // Large writes fill logs, so that it shows when nothing gets settled any more.
  const isLarge = prng.chance(1, 2) && swarm.capacityBlocks === 0;
  return {
    ...swarm,
    network: { ...network, lingerPercent: 100, lingerUsMax: 500_000 },
    ...(isLarge ? { combLog2: 3, volumeChunks: [10, 8], safetyUs: 6_000_000 } : {}),
    workload: isLarge
      ? {
          ...late,
          depth: Math.min(4, late.depth),
          lengthSectorsMax: 130,
          hotSectors: 256,
          writeWeight: 8,
        }
      : late,
    trouble: { ...trouble, breakLink: trouble.breakLink + 6 },
    troubleGapUsMax: 200_000,
  };
}

/** Clients that meet: what one of them changed, another must see (C5). */
function addMeetings(seed: number, swarm: Swarm): Swarm {
  const prng = new Prng(seed, 0x4d454554);
  if (!swarm.shared || swarm.clients === 1 || !prng.chance(1, 3)) return swarm;
  const { workload } = swarm;
  const met = { ...swarm, workload: { ...workload, readers: prng.pick([0, 1]), together: true } };
  if (prng.chance(1, 2)) return met;
  // Other trouble would hold up what is on an island before it can show anything old.
  return {
    ...met,
    workload: {
      ...met.workload,
      readers: 1,
      depth: 4,
      thinkUsMax: Math.min(20_000, workload.thinkUsMax),
      hotSectors: Math.min(64, workload.hotSectors),
    },
    trouble: { ...noTrouble(), island: 1 },
    troubleGapUsMax: 3_000_000,
    troubleUsMax: 5_000_000,
    safetyUs: 6_000_000,
  };
}

/** Drawn apart. Rings of records are hundreds of times smaller here: rounds that begin early are as likely as full rings. */
function drawSettleChanges(seed: number): number {
  const { settleChangesMax } = DATA_DEFAULTS;
  return new Prng(seed, 0x53455454).pick([settleChangesMax, settleChangesMax, 32]);
}

/** Several MDMs on a shared store, one of which is master at a time. */
function addMdms(seed: number, swarm: Swarm): Swarm {
  const prng = new Prng(seed, 0x4d444d53);
  if (swarm.trouble.island > 0 || !prng.chance(1, 8)) return swarm;
  const trouble = { ...swarm.trouble };
  const count = prng.pick([1, 2, 3]);
  for (let drawn = 0; drawn < count; drawn++) trouble[prng.pick(MDM_KINDS)] += prng.between(1, 4);
  return {
    ...swarm,
    mdms: prng.pick([2, 3, 3]),
    storeLostPermille: prng.pick([0, 10, 50]),
    trouble,
  };
}

const COPY_LIMITS: readonly CopyLimits[] = [
  'unlimited',
  'limitConcurrent',
  'favorApplication',
  'dynamicBandwidth',
];

/** Servers that stay away for long, come later, or are removed, and data that is moved for it. */
function addMoves(seed: number, swarm: Swarm): Swarm {
  const prng = new Prng(seed, 0x4d4f5645);
  if (swarm.trouble.island > 0 || !prng.chance(1, 3)) return swarm;
  const isRestless = swarm.workload.thinkUsMax < 12_000;
  const trouble = { ...swarm.trouble };
  for (let count = prng.between(1, 3); count > 0; count--)
    trouble[prng.pick(MOVE_KINDS)] += prng.between(1, 4);
  return {
    ...swarm,
    trouble,
    // Clients that never rest would do too much in a longer time.
    safetyUs: isRestless ? swarm.safetyUs : prng.pick([6_000_000, 12_000_000]),
    moves: {
      combsMax: prng.pick([1, 2, 1024]),
      perDevice: prng.pick([1, 2, 4]),
      rebuildDelayMs: prng.pick([0, 300, 1500]),
      rebalanceDelayMs: prng.pick([0, 500]),
      lateServers: prng.pick([0, 1, 2]),
      faultSets: prng.pick([0, 0, 2, 3]),
      ambushes: false,
      flapDelayMs: prng.pick([0, 0, 500, 3000]),
      limits: prng.pick(COPY_LIMITS),
    },
  };
}

/**
 * Whole chunks are emptied while a server is away and its combs go to and fro: what a copy knows nothing of must be told
 * by others, and nothing may be freed of what came back (C6).
 */
function addHoles(seed: number, swarm: Swarm): Swarm {
  const prng = new Prng(seed, 0x484f4c45);
  if (swarm.moves.combsMax === 0 || !prng.chance(1, 4)) return swarm;
  const { workload, moves, trouble } = swarm;
  return {
    ...swarm,
    combLog2: prng.pick([0, 1, 2]),
    volumeChunks: swarm.capacityBlocks > 0 ? swarm.volumeChunks : [12, 12],
    workload: {
      ...workload,
      ...{ lengthSectorsMax: 130, alignedPercent: 100, hotSectors: prng.pick([64, 256, 1024]) },
      ...{ readWeight: 2, writeWeight: 4, zeroWeight: 4 },
    },
    trouble: {
      ...trouble,
      ...{ stayAway: prng.pick([2, 4]), ambush: 4, crashMdm: prng.pick([0, 2]) },
      slowDisk: prng.pick([0, 3]),
      removeServer: prng.pick([0, 4]),
    },
    troubleGapUsMax: prng.pick([200_000, 800_000]),
    moves: {
      ...moves,
      ...{ combsMax: 1024, rebuildDelayMs: 0, rebalanceDelayMs: 0, ambushes: true },
    },
  };
}

/** Servers go to another protection domain and back. */
function addDomains(seed: number, swarm: Swarm): Swarm {
  const prng = new Prng(seed, 0x444f4d41);
  if (swarm.moves.combsMax === 0 || !prng.chance(1, 4)) return swarm;
  const moveServer = prng.between(1, 6);
  return { ...swarm, trouble: { ...swarm.trouble, moveServer } };
}

/** What operators decide about while clients work, and fault sets that fail. */
function addPolicies(seed: number, swarm: Swarm): Swarm {
  const prng = new Prng(seed, 0x504f4c49);
  if (!prng.chance(1, 6)) return swarm;
  const trouble = { ...swarm.trouble };
  for (let count = prng.between(1, 2); count > 0; count--)
    trouble[prng.pick(POLICY_KINDS)] += prng.between(1, 4);
  const { moves } = swarm;
  return { ...swarm, trouble, moves: { ...moves, faultSets: prng.pick([0, 2, 3]) } };
}

/** Operators who switch rebuilds off for a while, in which copies stay behind. */
function addPauses(seed: number, swarm: Swarm): Swarm {
  const prng = new Prng(seed, 0x50415553);
  const { trouble, slow } = swarm;
  if (slow.found || trouble.island > 0 || !prng.chance(1, 16)) return swarm;
  // Metadata of a backup may say that they are off, and that operator believes to have switched them on again.
  if (trouble.restoreMdm > 0) return swarm;
  return { ...swarm, trouble: { ...trouble, stopRebuild: prng.between(1, 4) } };
}

/**
 * Disks that are slower than others for longer. In one of three such scenarios one disk ails and nothing else happens, so
 * that it must be found, taken out, and be forgotten by the clients.
 */
function addSlow(seed: number, swarm: Swarm): Swarm {
  const prng = new Prng(seed, 0x534c4f57);
  if (swarm.overLimit || swarm.capacityBlocks > 0 || swarm.trouble.island > 0) return swarm;
  if (!prng.chance(1, 12)) return swarm;
  if (prng.chance(1, 3)) return oneAilingDisk(prng, swarm);
  const { moves } = swarm;
  const trouble = { ...swarm.trouble, ailDisk: prng.between(2, 5) };
  for (const kind of DISK_FAULTS) trouble[kind] = 0;
  const isMoved = moves.combsMax > 0 || prng.chance(1, 2);
  return {
    ...swarm,
    trouble,
    safetyUs: Math.max(swarm.safetyUs, 6_000_000),
    workload: { ...swarm.workload, thinkUsMax: Math.max(12_000, swarm.workload.thinkUsMax) },
    moves: isMoved
      ? { ...moves, combsMax: 1024, rebalanceDelayMs: prng.pick([0, 500]) }
      : { ...moves, combsMax: 0 },
    slow: {
      ...{ factor: prng.pick([5, 10]), microsMin: prng.pick([100, 1000]) },
      ...{ sampleMs: prng.pick([250, 500]), samples: prng.pick([1, 2, 3]) },
      ...{ proofMs: prng.pick([300, 1000, 5000]), found: false },
    },
  };
}

function oneAilingDisk(prng: Prng, swarm: Swarm): Swarm {
  const { workload, network } = swarm;
  return {
    ...swarm,
    ...{
      servers: prng.pick([4, 5]),
      clients: 2,
      mdms: 1,
      shared: true,
      combLog2: prng.pick([3, 4]),
    },
    ...{ volumeChunks: [12, 12], durability: 'media', setUpTroubleUs: 0 },
    network: { ...network, delayUsMin: 50, delayUsMax: 150, lingerPercent: 0 },
    workload: {
      ...workload,
      ...{ depth: 2, thinkUsMax: 40_000, lengthSectorsMax: 32, hotSectors: 1024 },
      ...{ readWeight: 3, writeWeight: 4, abandonPermille: 0, readers: 0, together: false },
    },
    trouble: { ...noTrouble(), ailDisk: 1 },
    ...{ troubleGapUsMax: 800_000, safetyUs: 12_000_000, storeUnknownPermille: 0 },
    ...{ commitUsMax: Math.min(2000, swarm.commitUsMax), ioTimeoutS: 0 },
    moves: {
      ...{ combsMax: 1024, perDevice: 4, rebuildDelayMs: 1500, rebalanceDelayMs: 0 },
      ...{ flapDelayMs: 0, lateServers: 0, faultSets: 0, limits: 'unlimited', ambushes: false },
    },
    slow: {
      ...{ factor: 10, microsMin: 1000, sampleMs: 250, samples: prng.pick([2, 3]) },
      ...{ proofMs: 60_000, found: true },
    },
  };
}

/** Drawn apart. The pool gets more combs while servers are added, and other combs have its chunks then. */
function drawCombsPerPair(seed: number): number {
  return new Prng(seed, 0x434f4d42).pick([0, 0, 1]);
}

/** The scenario of a seed. */
export function drawSwarm(seed: number): Swarm {
  const prng = new Prng(seed, 0x53574d);
  const volumes = prng.pick([1, 1, 2, 3]);
  const clients = prng.pick([1, 1, 2, 3]);
  const safetyUs = prng.pick([1_500_000, 3_000_000, 6_000_000]);
  const delayUsMin = prng.pick([20, 50, 200]);
  const swarm: Swarm = {
    seed,
    servers: prng.pick([3, 3, 3, 4, 5]),
    clients,
    ...LATER_OPTIONS_OFF,
    volumeChunks: Array.from({ length: volumes }, () => prng.between(1, 12)),
    shared: prng.chance(1, 2),
    combLog2: prng.pick([0, 1, 2, 3]),
    combsPerPair: drawCombsPerPair(seed),
    durability: prng.pick(['media', 'media', 'device', 'memory'] as const),
    network: {
      delayUsMin,
      delayUsMax: delayUsMin * prng.pick([1, 3, 10]),
      lingerPercent: prng.pick([0, 0, 30, 100]),
      lingerUsMax: prng.pick([10_000, 500_000, 3_000_000]),
    },
    driftPpmMax: prng.pick([0, 100, 45_000]),
    workload: drawWorkload(prng, clients, safetyUs),
    realDevice: prng.chance(REAL_OF_12, 12),
    capacityBlocks: 0,
    fullPolicy: 'wait',
    linksPerDevice: prng.pick([1, 1, 2]),
    ioTimeoutS: prng.pick([0, 0, 0, 0, 2, 10]),
    trouble: drawTrouble(prng),
    troubleGapUsMax: prng.pick([200_000, 800_000, 2_000_000]),
    troubleUsMax: prng.pick([300_000, 2_000_000, 5_000_000]),
    safetyUs,
    storeUnknownPermille: prng.pick([0, 0, 20]),
    commitUsMax: prng.pick([300, 2_000, 50_000]),
    clientOpsMax: 24,
    setUpTroubleUs: 0,
    drainTimeoutMs: MDM_DEFAULTS.drainTimeoutMs,
    settleBlocksMax: DATA_DEFAULTS.settleBlocksMax,
    settleChangesMax: drawSettleChanges(seed),
    loneReturn: false,
    skipStrikes: [],
    overLimit: prng.chance(1, 20),
    moves: NO_MOVES,
    slow: NOBODY_SLOW,
  };
  const drawn = prng.chance(1, 16) ? drawFull(prng, swarm) : swarm;
  const settled = addMeetings(seed, addLateFrames(seed, addFurther(seed, drawn)));
  const moving = addHoles(seed, addMoves(seed, settled));
  const troubled = addSlow(seed, addDomains(seed, addPolicies(seed, addMdms(seed, moving))));
  const kept = addPauses(seed, addSpares(seed, addRestores(seed, troubled)));
  const limited = addFullPolicies(seed, addCache(seed, addBusy(seed, addLimits(seed, kept))));
  return addAutoSnapshots(seed, addScans(seed, limited));
}
