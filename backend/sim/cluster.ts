// A whole simulated system: MDM, servers, clients, an operator. It owns which processes there are and on which hosts; it must
// never judge them.

import { assert } from '../core/assert.js';
import type { LinkTarget } from '../core/ports.js';
import type { MdmOptions } from '../mdm/options.js';

import { Admin } from './admin.js';
import { ClientNode } from './client-node.js';
import { History } from './history.js';
import { SimHost } from './host.js';
import { SimLog } from './log.js';
import { MasterWatch } from './master-watch.js';
import { MdmNode } from './mdm-node.js';
import type { SimMetadata } from './metadata-store.js';
import { SimNetwork } from './network.js';
import { MoveWatch } from './move-watch.js';
import { SimOperator } from './operator.js';
import { PolicyWatch } from './policy-watch.js';
import { SimProcess } from './process.js';
import { ServerNode } from './server-node.js';
import { CutWatch } from './cut-watch.js';
import { SimEtcds } from './shared-store.js';
import type { Simulation } from './simulation.js';
import { SlowWatch } from './slow-watch.js';
import type { Swarm } from './swarm-options.js';

function slowOptions({ slow }: Swarm): Partial<MdmOptions> {
  const { factor, microsMin, sampleMs, samples, proofMs } = slow;
  return {
    ...{ slowFactor: factor, slowMicrosMin: microsMin, slowSampleMs: sampleMs },
    ...{ slowSamples: samples, slowProofMs: proofMs },
  };
}

function moveOptions({ moves, setUpTroubleUs }: Swarm): Partial<MdmOptions> {
  const { combsMax, perDevice, rebuildDelayMs, rebalanceDelayMs, flapDelayMs, lateServers } = moves;
  return {
    ...{ movesMax: combsMax, movesPerDevice: perDevice, rebuildDelayMs, rebalanceDelayMs },
    ...{ flapDelayMs },
    // Servers that are added while others fail are given up soon.
    ...(lateServers > 0 && setUpTroubleUs === 0 ? { deviceAddTimeoutMs: 5000 } : {}),
  };
}

/** How long it takes the operator to have an MDM forget what it was part of. */
const FORGET_US = 200_000;

export class SimCluster {
  readonly sim: Simulation;
  readonly swarm: Swarm;
  readonly network: SimNetwork;
  readonly history = new History();
  readonly log: SimLog;
  /** The first of the MDMs; the only one where they share no store. */
  readonly mdm: MdmNode;
  readonly mdms: MdmNode[] = [];
  readonly tieBreakers: MdmNode[] = [];
  /** What several MDMs share. */
  readonly etcd: SimEtcds | null;
  readonly servers: ServerNode[] = [];
  readonly clients: ClientNode[] = [];
  readonly operator: SimOperator;
  readonly moveWatch: MoveWatch;
  readonly slowWatch: SlowWatch;
  readonly cutWatch: CutWatch;
  readonly policyWatch: PolicyWatch;
  private nextNode = 1;

  constructor(sim: Simulation, swarm: Swarm) {
    this.sim = sim;
    this.swarm = swarm;
    this.network = new SimNetwork(sim, swarm.network);
    this.log = new SimLog(sim);
    this.etcd = swarm.mdms > 1 ? new SimEtcds(swarm.commitUsMax) : null;
    const mdmHosts = [this.host('10.0.0.1')];
    while (mdmHosts.length < swarm.mdms) mdmHosts.push(this.host(`10.0.0.${mdmHosts.length + 1}`));
    for (const host of mdmHosts) this.mdms.push(this.mdmNode(host));
    // Two managers need one tie-breaker, three need two.
    for (let number = 1; number < swarm.mdms; number++)
      this.tieBreakers.push(this.mdmNode(this.host(`10.0.4.${number}`)));
    const [first] = this.mdms;
    assert(first !== undefined, 'a system has an MDM');
    this.mdm = first;
    const mdmAddresses = this.mdms.map(({ address }) => address);
    this.moveWatch = new MoveWatch(sim);
    this.slowWatch = new SlowWatch(sim);
    this.cutWatch = new CutWatch(sim);
    this.policyWatch = new PolicyWatch(sim);
    const watcher: SimMetadata['watcher'] = (changes, decidedUs) => {
      this.moveWatch.committed(changes);
      this.cutWatch.committed(changes);
      if (swarm.trouble.autoSnapshots > 0) this.policyWatch.committed(changes, decidedUs);
      if (swarm.slow.factor > 0) this.slowWatch.committed(changes);
    };
    for (const mdm of this.mdms) {
      mdm.watch(watcher);
      mdm.restored = (changes) => {
        this.moveWatch.restored(changes);
        this.cutWatch.restored(changes);
      };
    }
    if (this.etcd !== null) this.etcd.watcher = watcher;
    for (let number = 1; number <= swarm.servers + swarm.moves.lateServers; number++) {
      const host = this.host(`10.0.1.${number}`);
      this.servers.push(
        new ServerNode(sim, this.network, this.log, host, this.nextNode, number, mdmAddresses, {
          real: swarm.realDevice,
          capacityBlocks: swarm.capacityBlocks,
          settleBlocksMax: swarm.settleBlocksMax,
          settleChangesMax: swarm.settleChangesMax,
          cacheBlocks: swarm.cacheBlocks,
        }),
      );
      this.nextNode += 2;
    }
    for (let number = 1; number <= swarm.clients; number++) this.addClient(number, mdmAddresses);
    const identity = { role: 'admin' as const, key: 0, incarnation: 1, run: 0 };
    const adminHost = this.host('10.0.3.1');
    const process = new SimProcess(sim, adminHost, 'admin', this.nextNode++, identity, 0);
    const admin = new Admin(this.network.linksOf(process), this.log.of('admin'), mdmAddresses);
    this.operator = new SimOperator(sim, swarm, process, admin, this);
  }

  private mdmNode(host: SimHost): MdmNode {
    const { sim, swarm } = this;
    return new MdmNode(
      sim,
      this.network,
      this.log,
      host,
      this.nextNode++,
      {
        commitUsMin: 100,
        commitUsMax: Math.max(100, swarm.commitUsMax),
        // The operator that sets the system up does not find out what an unknown outcome was.
        unknownPermille: 0,
        slowUs: 0,
      },
      {
        combCountLog2: swarm.combLog2,
        combsPerPair: swarm.combsPerPair,
        drainTimeoutMs: swarm.drainTimeoutMs,
        cutHoldMs: swarm.cutHoldMs,
        minuteMs: swarm.minuteMs,
        // Read at each start of the process: its wall clock may have been set meanwhile.
        get wallMsAtZero(): number {
          const { clockJumpMs } = swarm;
          return clockJumpMs === 0 ? 0 : clockJumpMs + sim.prng.between(-clockJumpMs, clockJumpMs);
        },
        ...(swarm.setUpTroubleUs > 0 ? { deviceAddTimeoutMs: 1000 } : {}),
        ...moveOptions(swarm),
        ...slowOptions(swarm),
      },
      this.etcd === null
        ? null
        : { etcds: this.etcd, nodes: () => [...this.mdms, ...this.tieBreakers] },
      this.mdms.length === 0,
    );
  }

  private host(address: string): SimHost {
    const { prng } = this.sim;
    const { driftPpmMax } = this.swarm;
    const ppm = driftPpmMax === 0 ? 0 : prng.between(-driftPpmMax, driftPpmMax);
    const host = new SimHost(this.network.hosts.length, address, ppm, prng.below(100_000_000));
    this.network.addHost(host);
    return host;
  }

  private addClient(number: number, mdmAddresses: LinkTarget['addresses']): void {
    const host = this.host(`10.0.2.${number}`);
    this.clients.push(
      new ClientNode(
        this.sim,
        this.network,
        this.log,
        this.history,
        host,
        this.nextNode++,
        number,
        mdmAddresses,
        this.swarm,
      ),
    );
  }

  /** Starts all processes and lets the operator set the system up; its `ready` follows. */
  start(): void {
    for (const mdm of [...this.mdms, ...this.tieBreakers]) mdm.start();
    for (const server of this.servers) server.start();
    for (const client of this.clients) client.start();
    this.operator.start();
    if (this.etcd !== null) this.watchMasters(this.etcd);
  }

  /** The operator has MDMs forget a cluster that is no more. */
  forgetFormer(): void {
    for (const node of [...this.mdms, ...this.tieBreakers]) {
      if (!node.isLeftBehind || node.process?.alive !== true) continue;
      node.kill();
      node.forget();
      node.restartIn(FORGET_US);
    }
  }

  private watchMasters(etcd: SimEtcds): void {
    const identity = { role: 'admin' as const, key: 0, incarnation: 1, run: 0 };
    const host = this.host('10.0.3.2');
    const process = new SimProcess(this.sim, host, 'watch', this.nextNode++, identity, 0);
    const places = this.mdms.map(({ address }) => address);
    process.attach(new MasterWatch(this.sim, this.network.linksOf(process), etcd, places));
  }
}
