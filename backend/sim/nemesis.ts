// Makes trouble: draws what goes wrong next and for how long, and undoes it. It owns what is broken at the moment; it must
// never do what the promise does not cover, unless the scenario is over the limit.
//
// Covered: any number of killed, paused, restarted and cut off processes and hosts; one disk that fails, rots or loses
// writes, at a time when every comb has all its copies. Power loss of several servers at once loses acknowledged but
// unflushed writes of the volatile modes, which the history notes.

import type { Prng } from '../core/prng.js';
import { mark } from '../core/marks.js';

import { newestEntries } from './check-rest.js';
import type { SimCluster } from './cluster.js';
import type { EventTarget } from './event-queue.js';
import type { ServerNode } from './server-node.js';
import type { TroubleKind } from './trouble-kinds.js';
import { TRACE } from './trace.js';
import { AMBUSH } from './trouble-ambush.js';
import { CUT_TROUBLE } from './trouble-cuts.js';
import { DISK_TROUBLE } from './trouble-disks.js';
import { NETWORK_TROUBLE } from './trouble-network.js';
import { OPERATOR_TROUBLE } from './trouble-operator.js';
import { MDM_TROUBLE } from './trouble-mdms.js';
import { PROCESS_TROUBLE } from './trouble-processes.js';
import type { Strikes, TroubleMaker } from './trouble.js';

const NOTICE_US = 4_000_000;
const DETECTION_US = 1_500_000;
const STAY_US_MAX = 3_000_000;

const STRIKES: Strikes<TroubleKind> = {
  ...PROCESS_TROUBLE,
  ...NETWORK_TROUBLE,
  ...DISK_TROUBLE,
  ...OPERATOR_TROUBLE,
  ...AMBUSH,
  ...CUT_TROUBLE,
  ...MDM_TROUBLE,
};

/** What may happen to servers before anything is stored; no answer to the operator gets lost by it. */
const SET_UP_KINDS: readonly TroubleKind[] = [
  'crashData',
  'crashControl',
  'crashServer',
  'powerServer',
  'pauseData',
  'pauseControl',
  'slowDisk',
];

const MARKS = {
  crashData: mark('nemesis: a data process was killed'),
  crashControl: mark('nemesis: a control process was killed'),
  crashServer: mark('nemesis: all processes of a server were killed'),
  powerServer: mark('nemesis: a server lost its power'),
  powerAll: mark('nemesis: all servers lost their power'),
  crashMdm: mark('nemesis: the MDM was killed'),
  crashClient: mark('nemesis: a client was killed'),
  pauseData: mark('nemesis: a data process was stopped for a while'),
  pauseControl: mark('nemesis: a control process was stopped for a while'),
  pauseMdm: mark('nemesis: the MDM was stopped for a while'),
  pauseClient: mark('nemesis: a client was stopped for a while'),
  cutServers: mark('nemesis: servers were cut off from each other'),
  cutOneWay: mark('nemesis: a host was cut off in one direction'),
  cutClient: mark('nemesis: a client was cut off from a server'),
  cutMdm: mark('nemesis: a server was cut off from the MDM'),
  slowNetwork: mark('nemesis: the network of a host was slow'),
  stallLink: mark('nemesis: a link was stalled'),
  breakLink: mark('nemesis: a link was broken'),
  slowDisk: mark('nemesis: a disk was slow'),
  ailDisk: mark('nemesis: a disk was slower than its peers for longer'),
  failDisk: mark('nemesis: a disk failed'),
  rot: mark('nemesis: bits of a disk flipped'),
  lostWrite: mark('nemesis: a write went nowhere'),
  misdirectedWrite: mark('nemesis: a write went to another place'),
  tornWrite: mark('nemesis: a write was done in part'),
  lyingFlush: mark('nemesis: flushes did nothing'),
  unmap: mark('nemesis: a volume was unmapped and mapped again'),
  resize: mark('nemesis: a volume grew'),
  removeVolume: mark('nemesis: a volume was removed'),
  takePort: mark('nemesis: a port was taken'),
  muteLinks: mark('nemesis: new connections of a host carried nothing'),
  slowStore: mark('nemesis: the metadata store was slow'),
  cutStore: mark('nemesis: an MDM was cut off from the metadata store'),
  fillStore: mark('nemesis: the metadata store was full'),
  endMdm: mark('nemesis: an MDM was told to end'),
  switchMdms: mark('nemesis: the MDM cluster was switched'),
  exchangeMdm: mark('nemesis: a member of the MDM cluster was exchanged'),
  crashTieBreaker: mark('nemesis: a tie-breaker was killed'),
  stopStore: mark('nemesis: the metadata store had no majority'),
  ambush: mark('nemesis: something broke at a chosen message'),
  island: mark('nemesis: a server and a client were cut off from everybody else'),
  stayAway: mark('nemesis: a server stayed away for long'),
  crashFaultSet: mark('nemesis: all servers of a fault set were killed'),
  powerFaultSet: mark('nemesis: a fault set lost its power'),
  stayAwayFaultSet: mark('nemesis: a fault set stayed away for long'),
  stopDomain: mark('nemesis: the protection domain was stopped and went on'),
  stopRebuild: mark('nemesis: rebuilds were switched off and on again'),
  restServer: mark('nemesis: a server was in instant maintenance'),
  emptyServer: mark('nemesis: a server was in protected maintenance'),
  addServer: mark('nemesis: a server was added'),
  removeServer: mark('nemesis: a server was removed'),
  moveServer: mark('nemesis: a server was moved to another protection domain'),
  restoreMdm: mark('nemesis: a backup of the metadata was taken or restored'),
  setSpare: mark('nemesis: the spare percentage of the pool was set'),
  setCache: mark('nemesis: something was done to a read cache'),
  setLimits: mark('nemesis: what a client may do on a volume was limited'),
  snapshot: mark('nemesis: snapshots of volumes were taken'),
  revertVolume: mark('nemesis: a volume was reverted'),
  leaveRevert: mark('nemesis: a volume was reverted, and nobody waited for the answer'),
  setFullPolicy: mark('nemesis: it was chosen what writes to a volume get when the pool is full'),
  lateSwitch: mark('nemesis: a device heard of a cut when its hold was over'),
  autoSnapshots: mark('nemesis: snapshot policies, locks and secure snapshots were changed'),
} satisfies Record<TroubleKind, unknown>;

export class Nemesis implements EventTarget, TroubleMaker {
  readonly cluster: SimCluster;
  /** Of the strike of the moment: what one draws does not change another, so that any of them can be left out. */
  prng: Prng;
  private readonly root: Prng;
  /** Strikes so far, also those that were left out. */
  strikes = 0;
  private kinds: readonly TroubleKind[] = [];
  /** Goes up when what was planned does not count any more. */
  private plans = 0;
  private readonly undo = new Map<number, () => void>();
  private nextUndo = 1;
  private stopped = false;
  /** Kinds that happened. */
  readonly happened = new Map<TroubleKind, number>();
  /** Errors in the log and EIO are explained. */
  diskTrouble = false;
  /** Something cannot be read, and nobody knows until it is: another fault makes two. */
  latentFault = false;
  private broken: ServerNode | null = null;
  private noticeByUs = 0;
  readonly weak: ServerNode;

  constructor(cluster: SimCluster) {
    this.cluster = cluster;
    this.root = cluster.sim.prng.fork();
    this.prng = this.root.fork();
    this.weak = this.prng.pick(cluster.servers.slice(0, cluster.swarm.servers));
  }

  start(): void {
    const { trouble } = this.cluster.swarm;
    const kinds: TroubleKind[] = [];
    for (const kind of Object.keys(trouble) as TroubleKind[])
      for (let weight = trouble[kind]; weight > 0; weight--) kinds.push(kind);
    this.begin(kinds);
  }

  /** Trouble with servers only, while the operator adds them. */
  startSetUp(): void {
    this.begin(SET_UP_KINDS);
  }

  private begin(kinds: readonly TroubleKind[]): void {
    this.kinds = kinds;
    this.stopped = false;
    this.plans += 1;
    if (kinds.length > 0) this.plan();
  }

  private plan(): void {
    const { sim, swarm } = this.cluster;
    const inUs = this.root.below(swarm.troubleGapUsMax) + 1;
    sim.queue.push(sim.nowUs + inUs, this, 0, this.plans);
  }

  fire(_timeUs: number, what: number, plan: number): void {
    if (what !== 0) {
      this.undoOne(what);
      return;
    }
    if (this.stopped || plan !== this.plans) return;
    if (this.isUnnoticed()) {
      this.plan();
      return;
    }
    const kind = this.root.pick(this.kinds);
    this.prng = this.root.fork();
    const isWanted = !this.cluster.swarm.skipStrikes.includes(this.strikes++);
    if (isWanted && STRIKES[kind](this)) {
      MARKS[kind].hits++;
      this.happened.set(kind, (this.happened.get(kind) ?? 0) + 1);
      const { sim } = this.cluster;
      sim.trace.mix(TRACE.fault, sim.nowUs, 0, this.nextUndo);
    }
    this.plan();
  }

  /** Ends all trouble: everything runs, everybody reaches everybody. What a disk lost stays lost. */
  heal(): void {
    this.stopped = true;
    // A disk that broke and is counted on to the end may have been the second fault, after those that are undone now.
    if (this.isUnnoticed()) this.latentFault = true;
    for (const number of [...this.undo.keys()]) this.undoOne(number);
    const { cluster } = this;
    for (const server of cluster.servers) server.powerOn();
    for (const mdm of [...cluster.mdms, ...cluster.tieBreakers]) mdm.start();
    for (const server of cluster.servers) {
      server.start();
      server.device.setSlow(1);
    }
    for (const client of cluster.clients) client.start();
  }

  private undoOne(number: number): void {
    const run = this.undo.get(number);
    this.undo.delete(number);
    run?.();
  }

  /**
   * A disk broke, and its device is still counted on: nothing else happens until it is not, for a while. After that the
   * next fault may be the second one.
   */
  private isUnnoticed(): boolean {
    const { broken, cluster } = this;
    if (broken === null || cluster.swarm.overLimit) return false;
    const entries = [...newestEntries(cluster).values()];
    // Clients that have just started know nothing: that is no evidence.
    const isKnown = entries.length > 0;
    const listed = entries.some((entry) =>
      entry.members.some(
        ({ deviceKey }, index) =>
          deviceKey === broken.deviceKey && ((entry.inSyncMask >> index) & 1) === 1,
      ),
    );
    const counted = listed || !isKnown;
    if (!counted) this.broken = null;
    else if (cluster.sim.nowUs > this.noticeByUs) {
      this.broken = null;
      this.latentFault = true;
    }
    return this.broken !== null;
  }

  get ended(): boolean {
    return this.stopped;
  }

  get open(): number {
    return this.undo.size;
  }

  readonly server = (): ServerNode => this.prng.pick(this.cluster.servers);

  readonly later = (run: () => void): void => {
    const { sim, swarm } = this.cluster;
    const number = this.nextUndo++;
    this.undo.set(number, run);
    sim.queue.push(sim.nowUs + this.prng.below(swarm.troubleUsMax) + 1000, this, number, 0);
  };

  readonly muchLater = (run: () => void): void => {
    const { sim, swarm } = this.cluster;
    const number = this.nextUndo++;
    this.undo.set(number, run);
    const awayUs = DETECTION_US + swarm.moves.rebuildDelayMs * 1000;
    const inUs = awayUs + this.prng.below(swarm.troubleUsMax + STAY_US_MAX);
    sim.queue.push(sim.nowUs + inUs, this, number, 0);
  };

  readonly say = (what: string): void => {
    const { sim } = this.cluster;
    if (sim.trace.verbose) sim.trace.line(sim.nowUs, 'nemesis', what);
  };

  weakDisk(): ServerNode | null {
    if (this.cluster.swarm.overLimit) return this.server();
    return this.isRedundant() ? this.weak : null;
  }

  brokeDisk(server: ServerNode): void {
    this.diskTrouble = true;
    this.broken = server;
    this.noticeByUs = this.cluster.sim.nowUs + NOTICE_US;
  }

  spoiledDisk(): void {
    this.diskTrouble = true;
    this.latentFault = true;
  }

  /**
   * Whether every comb has all its copies. An entry may be older than the last restart of a member: the copy of a life
   * that it does not name counts only when it is in sync anew.
   */
  isRedundant(): boolean {
    if (this.cluster.operator.policyWork.isMaintaining) return false;
    const lives = new Map(
      this.cluster.servers.map(({ data, deviceKey }) => [deviceKey, data?.identity.incarnation]),
    );
    for (const client of this.cluster.clients) {
      const map = client.sdc?.map;
      if (map === undefined) continue;
      for (const pool of map.pools.values())
        for (const { inSyncMask, members } of pool.known()) {
          if (inSyncMask !== (1 << members.length) - 1) return false;
          if (members.some(({ deviceKey, incarnation }) => lives.get(deviceKey) !== incarnation))
            return false;
        }
    }
    return this.cluster.servers.every(
      (server) =>
        !this.cluster.operator.serverWork.isUsed(server) ||
        (server.data?.alive === true && !server.data.paused),
    );
  }
}
