// One scenario from a seed: set up, trouble (safety phase), healing (liveness phase), judgement. It owns the order of the
// phases and what counts as a failure.
//
// Liveness: when all trouble is undone, every request ends, every comb gets its copies back, a last read of everything
// is answered. Devices that failed for good stay dead; a scenario over the limit may block or fail, but never lie.

import { AckWatch } from './ack-watch.js';
import { checkHistory } from './check-linearizable.js';
import { checkCuts } from './check-cut.js';
import { checkReverts } from './check-reverts.js';
import { lackingCopies, unequalCopies } from './check-rest.js';
import { SIM_GEOMETRY } from './client-node.js';
import { SimCluster } from './cluster.js';
import { FrameWatch } from './frame-watch.js';
import { Nemesis } from './nemesis.js';
import { Simulation, Violation } from './simulation.js';
import type { SimulationMemory } from './simulation.js';
import { drawSwarm } from './swarm.js';
import type { Swarm } from './swarm-options.js';
import { DISK_FAULTS } from './trouble-kinds.js';
import type { TroubleKind } from './trouble-kinds.js';

const SET_UP_US = 60_000_000;
const LIVENESS_US = 120_000_000;
const EVENTS_MAX = 400_000;

export interface ScenarioResult {
  readonly seed: number;
  /** Why it failed, or null. */
  readonly failure: string | null;
  readonly digest: string;
  readonly events: number;
  readonly virtualUs: number;
  readonly requests: number;
  readonly happened: readonly TroubleKind[];
  /** Strikes of the nemesis, also those that were left out. */
  readonly strikes: number;
}

export function runScenario(
  seed: number,
  memory: SimulationMemory,
  print: ((line: string) => void) | null = null,
  swarm: Swarm = drawSwarm(seed),
): ScenarioResult {
  const sim = new Simulation(seed, memory, print);
  const scenario = new Scenario(sim, swarm);
  let failure: string | null = null;
  try {
    scenario.run();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    failure = error instanceof Violation ? error.message : `${error.name}: ${error.stack ?? ''}`;
  }
  return {
    seed,
    failure,
    digest: sim.trace.digest(),
    events: sim.events,
    virtualUs: sim.nowUs,
    requests: scenario.cluster.history.ops.length,
    happened: [...scenario.nemesis.happened.keys()],
    strikes: scenario.nemesis.strikes,
  };
}

class Scenario {
  readonly cluster: SimCluster;
  readonly nemesis: Nemesis;
  private readonly sim: Simulation;
  private readonly swarm: Swarm;

  constructor(sim: Simulation, swarm: Swarm) {
    this.sim = sim;
    this.swarm = swarm;
    this.cluster = new SimCluster(sim, swarm);
    this.nemesis = new Nemesis(this.cluster);
    const watch = new FrameWatch(sim, this.cluster.history, this.cluster.moveWatch);
    const isMedia = swarm.durability === 'media';
    const acks = new AckWatch(sim, isMedia, (deviceKey, run, opLow, opHigh, durable) => {
      const server = this.cluster.servers.find((other) => other.deviceKey === deviceKey);
      return server?.device.holds(run, opLow, opHigh, durable) ?? null;
    });
    this.cluster.network.watcher = (from, _to, view, at, bytes) => {
      watch.watch(from, view, at);
      acks.watch(from, view, at, bytes);
      this.cluster.cutWatch.watch(view, at, bytes);
    };
  }

  run(): void {
    const { cluster, sim, swarm } = this;
    cluster.start();
    if (swarm.setUpTroubleUs > 0) {
      this.say('trouble while the system is set up');
      this.nemesis.startSetUp();
      sim.run(sim.nowUs + swarm.setUpTroubleUs, () => false, EVENTS_MAX);
      this.nemesis.heal();
    }
    this.await('the system is set up', SET_UP_US, () => cluster.operator.ready);
    this.say('safety phase');
    this.nemesis.start();
    cluster.mdm.timing.unknownPermille = swarm.storeUnknownPermille;
    if (cluster.etcd !== null) cluster.etcd.lostPermille = swarm.storeLostPermille;
    sim.run(sim.nowUs + swarm.safetyUs, () => false, EVENTS_MAX);
    const endUs = sim.nowUs;
    this.say('liveness phase');
    this.heal();
    this.judge();
    if (swarm.slow.found) cluster.slowWatch.judge(cluster.history.ops, endUs);
  }

  private say(what: string): void {
    if (this.sim.trace.verbose) this.sim.trace.line(this.sim.nowUs, '====', what);
  }

  private await(what: string, withinUs: number, done: () => boolean): void {
    let countdown = 0;
    // Asked only now and then: some questions look at the whole cluster.
    const sometimes = (): boolean => {
      countdown -= 1;
      if (countdown > 0) return false;
      countdown = 32;
      return done();
    };
    if (!this.sim.run(this.sim.nowUs + withinUs, sometimes, EVENTS_MAX) && !done())
      this.sim.fail(`not within ${withinUs / 1_000_000} s: ${what}${this.blocker()}`);
  }

  /** What may explain that something did not come about. */
  private blocker(): string {
    const lacking = lackingCopies(this.cluster);
    const open = this.cluster.clients.map(({ load }) => load?.open ?? 0).join(' ');
    return ` (requests open: ${open}${lacking === null ? '' : `; ${lacking}`})`;
  }

  /**
   * Whether everything has to work when all trouble is undone. Not promised: a disk that lied about flushes and lost its
   * power; a copy that cannot be read, unnoticed, and then was the only one left, or has no room because it cannot read
   * what to free; in a volatile mode, a power loss of one copy and a dead disk of the other, unless
   * one alone may return.
   */
  private get promised(): boolean {
    if (this.swarm.overLimit || this.cluster.history.lied) return false;
    const { latentFault, happened } = this.nemesis;
    if (latentFault && (happened.size > 1 || this.swarm.capacityBlocks > 0)) return false;
    const isVolatile = this.swarm.durability !== 'media';
    const deadDisk = this.cluster.servers.some(({ failed }) => failed);
    if (this.swarm.loneReturn) return true;
    return !(isVolatile && deadDisk && this.cluster.history.losses.length > 0);
  }

  private heal(): void {
    const { cluster, nemesis, sim, swarm } = this;
    for (const client of cluster.clients) {
      client.quiet = true;
      client.load?.stop();
    }
    nemesis.heal();
    if (swarm.slow.factor > 0) {
      cluster.slowWatch.recovers();
      for (const server of cluster.servers) cluster.operator.serverWork.clearError(server);
    }
    cluster.mdm.timing.unknownPermille = 0;
    if (cluster.etcd !== null) cluster.etcd.lostPermille = 0;
    cluster.operator.volumeWork.liftLimits();
    if (swarm.trouble.autoSnapshots > 0) cluster.operator.autoWork.calm();
    if (swarm.capacityBlocks > 0) {
      if (swarm.spares.length > 0) cluster.operator.policyWork.giveSpareBack();
      this.makeRoom();
    }
    const rest = (): boolean =>
      cluster.operator.isSettled() &&
      cluster.clients.every(({ load, sdc }) => load?.open === 0 && sdc?.openCount === 0);
    if (!this.promised) {
      sim.run(sim.nowUs + 15_000_000, rest, EVENTS_MAX);
      return;
    }
    this.await('every request is answered', LIVENESS_US, rest);
    this.await('every comb has its copies', LIVENESS_US, () => lackingCopies(cluster) === null);
    this.readAll();
    this.await('the last reads are answered', LIVENESS_US, rest);
    if (swarm.scanner !== 'disabled') this.awaitScans();
    // Repairs and notices of what is settled come to an end.
    sim.run(sim.nowUs + 3_000_000, () => false, EVENTS_MAX);
  }

  /** Every scanner goes through its device, what it finds is repaired, and it goes through once more. */
  private awaitScans(): void {
    const { servers, log } = this.cluster;
    const names = (): string[] =>
      servers.filter(({ data }) => data?.alive === true).map(({ number }) => `data${number}`);
    for (let pass = 1; pass <= 2; pass++) {
      log.scans.startPass();
      this.await('everything was scanned, and what was found is repaired', LIVENESS_US, () =>
        log.scans.isRight(names()),
      );
    }
  }

  /** Full devices: reads are answered although writes wait; removing all volumes but one makes room for those. */
  private makeRoom(): void {
    const { cluster, sim } = this;
    const { operator } = cluster;
    this.readAll();
    const isAtRest = (): boolean =>
      !operator.volumeWork.isChanging && !operator.snapshotWork.isChanging;
    const isRead = (): boolean =>
      isAtRest() && cluster.clients.every(({ load }) => load?.hasRead === true);
    if (this.promised) this.await('reads are answered while writes wait', LIVENESS_US, isRead);
    else sim.run(sim.nowUs + 15_000_000, isRead, EVENTS_MAX);
    if (isAtRest())
      for (const volume of operator.volumes.slice(0, -1)) operator.volumeWork.remove(volume);
  }

  /** Every client reads every volume that it has, from end to end. */
  private readAll(): void {
    for (const client of this.cluster.clients) client.load?.readAll();
  }

  private judge(): void {
    const { cluster, nemesis, sim, swarm } = this;
    const sectorsPerBlock = SIM_GEOMETRY.blockBytes / SIM_GEOMETRY.sectorBytes;
    // Where the pool allows that, a copy that lost its volatile content serves although another only was away.
    if (swarm.loneReturn)
      for (const atUs of cluster.log.rolledBackUs) cluster.history.losses.push({ atUs });
    // A disk that dropped writes, and nobody noticed before the other copy went down too, makes two faults as well.
    const isBeyond = swarm.overLimit || nemesis.latentFault;
    const tailsLost = isBeyond && this.loseSpoiledTails();
    const flushesLie = cluster.history.lied || tailsLost;
    const isVolatile = swarm.durability !== 'media' || flushesLie;
    const { losses } = cluster.history;
    const mayLose = flushesLie || (isVolatile && losses.length > 0);
    const fault = checkReverts(
      cluster.history,
      (evidence) =>
        checkCuts(evidence, { mayLose }) ??
        checkHistory(evidence, { sectorsPerBlock, isVolatile, flushesLie }),
    );
    if (fault !== null) sim.fail(fault);
    const served = cluster.history.servedUnmapped();
    if (served !== null) sim.fail(served);
    const overdue = this.promised ? cluster.policyWatch.overdue() : null;
    if (overdue !== null) sim.fail(overdue);
    if (nemesis.diskTrouble && this.promised) this.judgeErrors();
    if (this.mayDiffer()) return;
    const { found } = cluster.log.scans;
    if (!nemesis.diskTrouble && found !== '')
      sim.fail(`found wrong although no disk was: ${found}`);
    const unequal = unequalCopies(cluster);
    if (unequal !== null) sim.fail(unequal);
    const [error] = cluster.log.errors.filter(({ name }) => !this.isExpected(name));
    if (error !== undefined) sim.fail(`${error.who} logged ${error.name}: ${error.text}`);
    this.judgeErrors();
  }

  /**
   * Whether copies may differ at the end: where a disk was wrong, unless a scanner is on, and nothing but blocks of data was.
   * What else may be wrong is read again only at the next start.
   */
  private mayDiffer(): boolean {
    const { overLimit, scanner, realDevice } = this.swarm;
    const { happened, diskTrouble } = this.nemesis;
    if (overLimit || !diskTrouble) return overLimit;
    if (scanner === 'disabled' || realDevice || !this.promised) return true;
    return DISK_FAULTS.some((kind) => kind !== 'rot' && happened.has(kind));
  }

  /**
   * What a disk spoiled or dropped at the end of the log looks like something that was being written when the process was
   * killed (seeds 10023733, 60068453, 132003680): where no other copy is left, it is lost, flushed or not.
   *
   * @returns whether that may have happened
   */
  private loseSpoiledTails(): boolean {
    const { servers, log, history } = this.cluster;
    const spoiled = new Set(
      servers.filter((server) => server.spoiled).map(({ number }) => `data${number}`),
    );
    const opened = log.opened.filter(({ who }) => spoiled.has(who));
    for (const { atUs } of opened) history.losses.push({ atUs });
    return opened.length > 0;
  }

  /** One bad copy is no error for clients. */
  private judgeErrors(): void {
    for (const { load, number } of this.cluster.clients)
      for (const errno of load?.errors.keys() ?? [])
        if (!this.isExplained(errno)) this.sim.fail(`client ${number} got errno ${errno}`);
  }

  /** Errors in the log that an injected fault explains. */
  private isExpected(name: string): boolean {
    const { storeUnknownPermille, mdms, trouble } = this.swarm;
    if (name === 'mdm.store-full') return trouble.fillStore > 0;
    // A change of the MDM cluster is given up when the store into which the content goes is out of reach each time.
    if (name === 'mdm-cluster.changed') return trouble.stopStore + trouble.cutStore > 0;
    if (name === 'sds.frozen-layer-written') return this.cluster.cutWatch.discarded > 0;
    return name === 'mdm.stepped-down' && (storeUnknownPermille > 0 || mdms > 1);
  }

  private isExplained(errno: number): boolean {
    const { trouble, capacityBlocks, fullPolicy, ioTimeoutS } = this.swarm;
    const kinds = [trouble.unmap, trouble.removeVolume, trouble.revertVolume, trouble.leaveRevert];
    const isTaken = kinds.some((weight) => weight > 0);
    if (errno === 108) return isTaken || capacityBlocks > 0;
    // A write that waits for room is told so when its time is over.
    const mayEnd = fullPolicy === 'error' || trouble.setFullPolicy > 0 || ioTimeoutS > 0;
    if (errno === 28) return capacityBlocks > 0 && mayEnd;
    return errno === 5 && ioTimeoutS > 0;
  }
}
