// Trouble with disks: slow, failing, lying, spoiled. It owns what counts as one fault too many; what a fault does to the
// bytes is the device's.

import type { Spoil } from './device.js';
import type { Strikes, TroubleMaker } from './trouble.js';

export type DiskTrouble =
  | 'slowDisk'
  | 'ailDisk'
  | 'failDisk'
  | 'rot'
  | 'lostWrite'
  | 'misdirectedWrite'
  | 'tornWrite'
  | 'lyingFlush'
  | 'slowStore';

/** Requests before a disk begins to ail where it has to be found: what its clients are used to. */
const FAST_REQUESTS_MIN = 150;

function slowDisk({ prng, server, say, later }: TroubleMaker): boolean {
  const factor = prng.pick([10, 100, 1000, 10_000]);
  const hit = server();
  hit.device.setSlow(factor);
  say(`slows the disk of server ${hit.number} by ${factor}`);
  later(() => {
    hit.device.setSlow(1);
  });
  return true;
}

/** A disk that is slower than its peers for so long that it is noticed, one at a time; half of them are looked after. */
function ailDisk({ cluster, prng, server, say, later, muchLater }: TroubleMaker): boolean {
  const { slowWatch, swarm, operator, sim, history } = cluster;
  if (slowWatch.ailing !== null) return false;
  if (swarm.slow.found && history.ops.length < FAST_REQUESTS_MIN) return false;
  const factor = prng.pick([50, 100]);
  const hit = server();
  if (!operator.serverWork.isUsed(hit)) return false;
  hit.device.setSlow(factor);
  slowWatch.ails(hit.deviceKey);
  say(`the disk of server ${hit.number} is slower by ${factor} from now on`);
  if (swarm.slow.found) return true;
  const isCleared = prng.chance(1, 2);
  (prng.chance(1, 3) ? later : muchLater)(() => {
    say(`the disk of server ${hit.number} is as fast as before at ${sim.nowUs}`);
    hit.device.setSlow(1);
    slowWatch.recovers();
    if (isCleared) operator.serverWork.clearError(hit);
  });
  return true;
}

function failDisk(maker: TroubleMaker): boolean {
  const hit = maker.weakDisk();
  if (hit === null || hit.failed) return false;
  const way = maker.prng.pick(['writes', 'flushes', 'reads'] as const);
  maker.say(`breaks the disk of server ${hit.number}: ${way} fail`);
  hit.device.fail(way);
  maker.brokeDisk(hit);
  // Failing reads end the process only when somebody reads: until then the copy counts on, and nobody knows.
  if (way === 'reads') maker.spoiledDisk();
  return true;
}

function spoil(maker: TroubleMaker, way: Spoil): boolean {
  const hit = maker.weakDisk();
  if (!hit?.device.spoil(way)) return false;
  maker.say(`spoils the disk of server ${hit.number}: ${way}`);
  hit.spoiled = true;
  maker.spoiledDisk();
  return true;
}

/** Ends after a while, when a flush that tells the truth covers everything. */
function lyingFlush(maker: TroubleMaker): boolean {
  const hit = maker.weakDisk();
  if (hit === null || hit.lies || !hit.device.spoil('lyingFlush')) return false;
  maker.say(`the disk of server ${hit.number} lies about flushes`);
  hit.lies = true;
  maker.later(() => {
    maker.say(`the disk of server ${hit.number} does not lie any more`);
    hit.device.stopLying();
    hit.lies = false;
  });
  return true;
}

/** Where the MDM keeps its state: every commit takes long. */
function slowStore({ cluster, prng, say, later }: TroubleMaker): boolean {
  const timing = cluster.etcd ?? cluster.mdm.timing;
  if (timing.slowUs > 0) return false;
  timing.slowUs = prng.pick([100_000, 1_000_000, 4_000_000]);
  say(`slows the metadata store by ${timing.slowUs} us`);
  later(() => {
    timing.slowUs = 0;
  });
  return true;
}

export const DISK_TROUBLE: Strikes<DiskTrouble> = {
  slowDisk,
  ailDisk,
  failDisk,
  rot: (maker) => spoil(maker, 'rot'),
  lostWrite: (maker) => spoil(maker, 'lost'),
  misdirectedWrite: (maker) => spoil(maker, 'misdirected'),
  tornWrite: (maker) => spoil(maker, 'torn'),
  lyingFlush,
  slowStore,
};
