// All options of one scenario, drawn from its seed. It owns their ranges; it must never run anything.
//
// Each scenario switches most kinds of trouble off: faults that always come together hide each other's effects.

import { Prng } from '../core/prng.js';
import type { Durability } from '../protocol/generated/types.js';

import type { NetworkOptions } from './network.js';
import type { WorkloadOptions } from './workload.js';

/** Kinds of trouble, with the weight of each in this scenario; 0: it never happens. */
export interface TroubleWeights {
  crashData: number;
  crashServer: number;
  powerServer: number;
  powerAll: number;
  crashMdm: number;
  crashClient: number;
  pauseData: number;
  pauseMdm: number;
  pauseClient: number;
  cutServers: number;
  cutOneWay: number;
  cutClient: number;
  cutMdm: number;
  slowNetwork: number;
  stallLink: number;
  breakLink: number;
  slowDisk: number;
  failDisk: number;
  rot: number;
  unmap: number;
  resize: number;
}

export type TroubleKind = keyof TroubleWeights;

export interface Swarm {
  readonly seed: number;
  readonly servers: number;
  readonly clients: number;
  /** Size of each volume in chunks. */
  readonly volumeChunks: readonly number[];
  /** Every client has every volume, else volume i belongs to client i modulo clients. */
  readonly shared: boolean;
  readonly combLog2: number;
  readonly durability: Durability;
  readonly network: NetworkOptions;
  /** Clock rates of hosts, in millionths. */
  readonly driftPpmMax: number;
  readonly workload: WorkloadOptions;
  /** Servers have the real device format on disks with bytes, not its model. */
  readonly realDevice: boolean;
  readonly linksPerDevice: number;
  /** Seconds; 0: requests wait for ever. */
  readonly ioTimeoutS: number;
  readonly trouble: TroubleWeights;
  readonly troubleGapUsMax: number;
  readonly troubleUsMax: number;
  /** Length of the phase in which trouble happens. */
  readonly safetyUs: number;
  readonly storeUnknownPermille: number;
  readonly commitUsMax: number;
  /** More goes wrong than the promise covers: requests may block or fail, but no byte may be wrong. */
  readonly overLimit: boolean;
}

const KINDS: readonly TroubleKind[] = [
  'crashData',
  'crashServer',
  'powerServer',
  'powerAll',
  'crashMdm',
  'crashClient',
  'pauseData',
  'pauseMdm',
  'pauseClient',
  'cutServers',
  'cutOneWay',
  'cutClient',
  'cutMdm',
  'slowNetwork',
  'stallLink',
  'breakLink',
  'slowDisk',
  'failDisk',
  'rot',
  'unmap',
  'resize',
];

/** Every kind of trouble with weight 0. */
export function noTrouble(): TroubleWeights {
  const weights: Partial<TroubleWeights> = {};
  for (const kind of KINDS) weights[kind] = 0;
  return weights as TroubleWeights;
}

function drawTrouble(prng: Prng): TroubleWeights {
  const weights = noTrouble();
  const count = prng.pick([0, 1, 1, 2, 2, 3, 3, 4, 6]);
  for (let drawn = 0; drawn < count; drawn++) weights[prng.pick(KINDS)] += prng.between(1, 4);
  return weights;
}

/** @param safetyUs - the requests of a client spread over this time: more scenarios find more than more requests */
function drawWorkload(prng: Prng, clients: number, safetyUs: number): WorkloadOptions {
  const depth = prng.pick([1, 2, 4, 8]);
  const requests = Math.ceil(prng.pick([60, 150, 150, 400]) / clients);
  return {
    depth,
    thinkUsMax: Math.max(100, Math.floor((2 * depth * safetyUs) / requests)),
    lengthSectorsMax: prng.pick([16, 32, 80, 130]),
    hotSectors: prng.pick([8, 16, 64, 256]),
    readWeight: prng.between(1, 6),
    writeWeight: prng.between(2, 6),
    zeroWeight: prng.pick([0, 0, 1, 2]),
    flushWeight: prng.pick([0, 1, 1, 2]),
    fuaPercent: prng.pick([0, 0, 10, 50]),
    alignedPercent: prng.pick([0, 50, 80, 100]),
  };
}

/** The scenario of a seed. */
export function drawSwarm(seed: number): Swarm {
  const prng = new Prng(seed, 0x53574d);
  const volumes = prng.pick([1, 1, 2, 3]);
  const clients = prng.pick([1, 1, 2, 3]);
  const safetyUs = prng.pick([1_500_000, 3_000_000, 6_000_000]);
  const delayUsMin = prng.pick([20, 50, 200]);
  return {
    seed,
    servers: prng.pick([3, 3, 3, 4, 5]),
    clients,
    volumeChunks: Array.from({ length: volumes }, () => prng.between(1, 12)),
    shared: prng.chance(1, 2),
    combLog2: prng.pick([0, 1, 2, 3]),
    durability: prng.pick(['media', 'media', 'device', 'memory'] as const),
    network: {
      delayUsMin,
      delayUsMax: delayUsMin * prng.pick([1, 3, 10]),
      lingerPercent: prng.pick([0, 0, 30, 100]),
      lingerUsMax: prng.pick([10_000, 500_000, 3_000_000]),
    },
    driftPpmMax: prng.pick([0, 100, 45_000]),
    workload: drawWorkload(prng, clients, safetyUs),
    realDevice: prng.chance(1, 3),
    linksPerDevice: prng.pick([1, 1, 2]),
    ioTimeoutS: prng.pick([0, 0, 0, 0, 2, 10]),
    trouble: drawTrouble(prng),
    troubleGapUsMax: prng.pick([200_000, 800_000, 2_000_000]),
    troubleUsMax: prng.pick([300_000, 2_000_000, 5_000_000]),
    safetyUs,
    storeUnknownPermille: prng.pick([0, 0, 20]),
    commitUsMax: prng.pick([300, 2_000, 50_000]),
    overLimit: prng.chance(1, 20),
  };
}

/** The parts of a scenario that a reader wants to know first. */
export function describeSwarm(swarm: Swarm): string {
  const trouble = KINDS.filter((kind) => swarm.trouble[kind] > 0).join(' ');
  const { servers, clients, volumeChunks, durability } = swarm;
  return `${servers} servers, ${clients} clients, volumes of ${volumeChunks.join('+')} chunks, ${1 << swarm.combLog2} combs, ${durability}, ${swarm.realDevice ? 'real' : 'modelled'} devices${swarm.overLimit ? ', over the limit' : ''}; trouble: ${trouble === '' ? 'none' : trouble}`;
}
