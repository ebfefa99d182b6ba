// What the operator of a simulated cluster does: sets the system up from nothing; what he does later is in files of its own.
// It owns which volumes there are and who has them; it must never know more of the servers than their addresses.

import { REBUILD_POLICY } from '../cluster-map/copy-policy.js';
import type { Micros } from '../core/ports.js';
import type { CommandName } from '../protocol/control.js';
import { ERR, LIMIT } from '../protocol/generated/constants.js';
import type {
  CommandParams,
  CommandResults,
  CopyPolicy,
  SdsMoveStage,
} from '../protocol/generated/types.js';

import type { Admin } from './admin.js';
import { SIM_CHUNK_SECTORS } from './client-node.js';
import type { ClientNode } from './client-node.js';
import { DEVICE_PATH } from './device-processes.js';
import type { History } from './history.js';
import type { SimMdm } from './mdm-company.js';
import { AutoSnapshotWork } from './operator-auto.js';
import { BackupWork } from './operator-backups.js';
import { MdmOperator } from './operator-mdms.js';
import { KEEP_POOL, PolicyWork } from './operator-policies.js';
import { ServerWork } from './operator-servers.js';
import type { MoveTarget } from './operator-servers.js';
import { SnapshotWork } from './operator-snapshots.js';
import { VolumeWork } from './operator-volumes.js';
import type { SimVolume } from './operator-volumes.js';
import type { PolicyWatch } from './policy-watch.js';
import type { SimProcess } from './process.js';
import { CONTROL_PORT } from './server-node.js';
import type { ServerNode } from './server-node.js';
import type { Simulation } from './simulation.js';
import { NO_MOVES } from './swarm-options.js';
import type { Swarm } from './swarm-options.js';

const RETRY_US = 100_000;
/** A frame of a broken link is on its way no longer than this, beside what the network adds of its own. */
const ON_ITS_WAY_US_MAX = 1_000_000;

/** Whom the operator works for. */
interface Site {
  readonly servers: readonly ServerNode[];
  readonly clients: readonly ClientNode[];
  readonly history: History;
  readonly mdms: readonly SimMdm[];
  readonly tieBreakers: readonly SimMdm[];
  /** MDMs that run in a cluster which is no more forget it. */
  forgetFormer(): void;
  readonly policyWatch: PolicyWatch;
  /** Servers on their way to another protection domain, as committed. */
  readonly moveWatch: { onTheWay(): readonly { readonly stage: SdsMoveStage }[] };
}

export class SimOperator {
  readonly admin: Admin;
  readonly process: SimProcess;
  readonly volumes: SimVolume[] = [];
  readonly volumeWork: VolumeWork;
  readonly snapshotWork: SnapshotWork;
  readonly serverWork = new ServerWork(this);
  readonly autoWork: AutoSnapshotWork;
  readonly policyWork = new PolicyWork(this);
  readonly backupWork = new BackupWork(this);
  /** Every volume is mapped to whom it belongs. */
  ready = false;
  private readonly sim: Simulation;
  private readonly swarm: Swarm;
  private readonly site: Site;
  private readonly mdms: MdmOperator;
  private steps: ((nowUs: number) => void)[] = [];
  private poolKey = 0;
  private domainKey = 0;
  private away: MoveTarget = { domainKey: 0, faultSetKey: 0, poolKey: 0 };
  private readonly faultSetKeys: number[] = [];

  constructor(sim: Simulation, swarm: Swarm, process: SimProcess, admin: Admin, site: Site) {
    this.sim = sim;
    this.swarm = swarm;
    this.process = process;
    this.admin = admin;
    this.site = site;
    this.volumeWork = new VolumeWork(this, sim, site.clients, site.history);
    this.snapshotWork = new SnapshotWork(this, sim, site.history);
    this.autoWork = new AutoSnapshotWork(this, sim, site.history, site.policyWatch);
    this.mdms = new MdmOperator(
      admin,
      (inUs, run) => {
        this.soon(inUs, run);
      },
      sim.prng.fork(),
    );
  }

  /** Sets the system up; `ready` follows. */
  start(): void {
    this.process.attach(this.admin);
    this.steps = [
      ...this.mdmSteps(),
      (nowUs) => {
        this.insist(nowUs, 'ADD_PROTECTION_DOMAIN', { name: 'domain' }, ({ key }) => {
          this.domainKey = key;
          this.policyWork.domainKey = key;
        });
      },
      (nowUs) => {
        this.addPool(nowUs, this.domainKey, 'pool', (key) => {
          this.poolKey = key;
          this.policyWork.poolKey = key;
        });
      },
      (nowUs) => {
        this.setFullPolicy(nowUs);
      },
      ...(this.swarm.moves.limits !== NO_MOVES.limits
        ? [
            (nowUs: number): void => {
              this.setCopying(nowUs);
            },
          ]
        : []),
      ...Array.from({ length: this.swarm.moves.faultSets }, (_, index) => (nowUs: number) => {
        this.addFaultSet(nowUs, index);
      }),
      ...this.awaySteps(),
      ...this.site.servers.slice(0, this.swarm.servers).map((server) => (nowUs: number) => {
        this.addSds(nowUs, server);
      }),
      ...this.swarm.volumeChunks.map((chunks, index) => (nowUs: number) => {
        this.addVolume(nowUs, chunks, index);
      }),
      ...this.swarm.spares.slice(0, 1).map((sparePercent) => (nowUs: number) => {
        const params = { ...KEEP_POOL, key: this.poolKey, sparePercent, force: true };
        this.insist(nowUs, 'SET_STORAGE_POOL', params, () => undefined);
      }),
      ...(this.swarm.scanner === 'disabled'
        ? []
        : [
            (nowUs: number): void => {
              this.setScanner(nowUs, this.poolKey);
            },
          ]),
    ];
    this.process.input((nowUs) => {
      this.admin.start(nowUs);
      this.nextStep(nowUs);
    });
  }

  /** Several MDMs: the first takes the others in, then all take part. */
  private mdmSteps(): ((nowUs: number) => void)[] {
    const { mdms, tieBreakers } = this.site;
    const next = (atUs: number): void => {
      this.nextStep(atUs);
    };
    const takeIn = (node: SimMdm, role: 'manager' | 'tieBreaker') => (nowUs: number) => {
      this.mdms.takeIn(nowUs, node, role, next);
    };
    if (mdms.length === 1) return [];
    return [
      ...mdms.slice(1).map((node) => takeIn(node, 'manager')),
      ...tieBreakers.map((node) => takeIn(node, 'tieBreaker')),
      () => {
        this.mdms.insist(mdms.length + tieBreakers.length, next);
      },
    ];
  }

  /** The MDM cluster is being switched. */
  get isSwitching(): boolean {
    return this.mdms.isSwitching;
  }

  switchMdms(): void {
    this.mdms.switch();
  }

  exchangeMdm(): void {
    this.mdms.exchange();
  }

  forgetFormer(): void {
    this.site.forgetFormer();
  }

  /** Restored metadata has one MDM; some operators take the others in at once. */
  restored(): void {
    const { mdms, tieBreakers } = this.site;
    if (mdms.length > 1) this.mdms.reform(mdms.length + tieBreakers.length);
  }

  private nextStep(nowUs: number): void {
    const step = this.steps.shift();
    if (step === undefined) this.ready = true;
    else step(nowUs);
  }

  /** Asks until it is done, then goes on. */
  private insist<N extends CommandName>(
    nowUs: number,
    name: N,
    params: CommandParams[N],
    done: (result: CommandResults[N]) => void,
  ): void {
    this.admin.ask(nowUs, name, params, (status, result) => {
      if (this.sim.trace.verbose)
        this.sim.trace.line(this.sim.nowUs, 'admin', `${name}: ${status}`);
      // An earlier attempt that was answered as pending has come about.
      const isDone = status === 0 || status === ERR.VOLUME_ALREADY_MAPPED;
      if (isDone) {
        if (result !== null) done(result);
        this.soon(1, (atUs) => {
          this.nextStep(atUs);
        });
      } else
        this.soon(RETRY_US, (atUs) => {
          this.insist(atUs, name, params, done);
        });
    });
  }

  /** Runs something as the operator after a while. */
  soon(inUs: number, run: (nowUs: number) => void): void {
    const { sim, process } = this;
    sim.queue.push(
      sim.nowUs + inUs,
      {
        fire: () => {
          process.input(run);
        },
      },
      0,
      0,
    );
  }

  private addPool(
    nowUs: number,
    domainKey: number,
    name: string,
    done: (key: number) => void,
  ): void {
    this.insist(
      nowUs,
      'ADD_STORAGE_POOL',
      {
        ...{ domainKey, name, mediaType: 'SSD' },
        ...{ durability: this.swarm.durability, zeroPadding: true, checksums: true },
        ...{
          rmcache: this.swarm.cacheBlocks > 0,
          cacheWrites: 'cached' as const,
          combCountLog2: this.swarm.combLog2,
        },
        sparePercent: 0,
      },
      ({ key }) => {
        done(key);
      },
    );
  }

  private setFullPolicy(nowUs: Micros): void {
    const { fullPolicy, loneReturn } = this.swarm;
    this.insist(
      nowUs,
      'SET_STORAGE_POOL',
      { ...KEEP_POOL, key: this.poolKey, fullPolicy, loneReturn },
      () => undefined,
    );
  }

  /** So little at a time, and of so few bytes, as a policy can say. */
  private setCopying(nowUs: Micros): void {
    const limits: CopyPolicy = {
      ...REBUILD_POLICY,
      ...{ policy: this.swarm.moves.limits, concurrentIos: 1 },
      ...{ bandwidthKbps: LIMIT.copyKbpsMin, appIops: 10, appKbps: 0 },
    };
    const both = { rebuild: limits, rebalance: limits };
    const params = { ...both, rebuildEnabled: null, rebalanceEnabled: null, movesPerDevice: null };
    this.insist(nowUs, 'SET_POOL_COPYING', { ...params, key: this.poolKey }, () => undefined);
  }

  /** The background scanner, where it is on: as fast as a policy can say. */
  private setScanner(nowUs: Micros, key: number): void {
    const params = {
      ...{ key, mode: this.swarm.scanner, bandwidthKbps: LIMIT.scannerKbpsMax },
      ...{ readErrorAction: null, compareErrorAction: null, resetCounters: false },
    };
    this.insist(nowUs, 'SET_POOL_SCANNER', params, () => undefined);
  }

  /** Another protection domain, where servers go to. */
  private awaySteps(): ((nowUs: number) => void)[] {
    if (this.swarm.trouble.moveServer === 0) return [];
    return [
      (nowUs) => {
        this.insist(nowUs, 'ADD_PROTECTION_DOMAIN', { name: 'away' }, ({ key }) => {
          this.away = { ...this.away, domainKey: key };
        });
      },
      (nowUs) => {
        this.addPool(nowUs, this.away.domainKey, 'awayPool', (key) => {
          this.away = { ...this.away, poolKey: key };
        });
      },
      ...(this.swarm.scanner === 'disabled'
        ? []
        : [
            (nowUs: number): void => {
              this.setScanner(nowUs, this.away.poolKey);
            },
          ]),
    ];
  }

  awayParams(): MoveTarget {
    return this.away;
  }

  private addFaultSet(nowUs: number, index: number): void {
    const params = { domainKey: this.domainKey, name: `set${index}` };
    this.insist(nowUs, 'ADD_FAULT_SET', params, ({ key }) => {
      this.faultSetKeys.push(key);
    });
  }

  private addSds(nowUs: number, server: ServerNode): void {
    this.insist(nowUs, 'ADD_SDS', this.sdsParams(server), ({ key }) => {
      this.serverWork.added(server, key);
    });
  }

  /** How a server is added. */
  sdsParams({ number, host }: ServerNode): CommandParams['ADD_SDS'] {
    const sets = this.faultSetKeys;
    return {
      domainKey: this.domainKey,
      faultSetKey: sets.length === 0 ? 0 : (sets[number % sets.length] ?? 0),
      name: `server${number}`,
      addresses: [{ host: host.address, role: 'all' }],
      port: CONTROL_PORT,
      devices: [{ poolKey: this.poolKey, path: DEVICE_PATH, name: '', force: true }],
      forceClean: false,
      cacheEnabled: true,
      cacheMiB: 0,
    };
  }

  /** A number below `below`, drawn for this scenario. */
  draw(below: number): number {
    return this.sim.prng.below(below);
  }

  private addVolume(nowUs: number, chunks: number, index: number): void {
    this.insist(
      nowUs,
      'ADD_VOLUME',
      {
        poolKey: this.poolKey,
        name: `volume${index}`,
        sizeSectors: chunks * SIM_CHUNK_SECTORS,
        provisioning: 'thin',
        rmcache: true,
      },
      ({ key }) => {
        this.volumes.push({ key, index, chunks });
        this.steps.unshift(
          ...this.ownersOf(index).map((client) => (atUs: number) => {
            this.map(atUs, key, client);
          }),
        );
      },
    );
  }

  /** Clients that have a volume. */
  ownersOf(index: number): readonly ClientNode[] {
    return this.swarm.shared
      ? this.site.clients
      : this.site.clients.filter((_, number) => number === index % this.site.clients.length);
  }

  /** Whether the operator has nothing left to do and every client has its volumes. */
  isSettled(): boolean {
    if (this.isBusy || this.backupWork.isChanging) return false;
    return this.volumes.every(({ key, index }) =>
      this.ownersOf(index).every(({ load }) => load?.has(key) === true),
    );
  }

  private get isBusy(): boolean {
    const { volumeWork, snapshotWork, autoWork, serverWork, policyWork } = this;
    const work = [volumeWork, snapshotWork, autoWork, serverWork, policyWork];
    if (work.some(({ isChanging }) => isChanging)) return true;
    return this.admin.pending > 0 || this.isSwitching;
  }

  get servers(): readonly ServerNode[] {
    return this.site.servers;
  }

  /** What a backup would know, and an older one might not; null: something is under way. */
  facts(): string | null {
    const servers = this.serverWork.facts();
    // Whoever left one domain while the backup knows him there has no place in it; whoever is about to join another has one.
    const isLeaving = this.site.moveWatch.onTheWay().some(({ stage }) => stage === 'leaving');
    if (this.isBusy || servers === null || isLeaving) return null;
    return JSON.stringify([servers, this.volumes.map(({ key, chunks }) => [key, chunks])]);
  }

  private map(nowUs: number, volumeKey: number, client: ClientNode): void {
    if (client.sdcKey === 0) {
      this.soon(RETRY_US, (atUs) => {
        this.map(atUs, volumeKey, client);
      });
      return;
    }
    this.insist(
      nowUs,
      'MAP_VOLUME',
      { volumeKey, sdcKey: client.sdcKey, allowMultiple: true, access: 'readWrite' },
      () => undefined,
    );
  }

  /** Pause before a command is asked again; long enough that one whose outcome is unknown does not arrive any more. */
  pauseUs(status: number): number {
    return (
      RETRY_US + (status === ERR.TIMED_OUT ? this.swarm.network.lingerUsMax + ON_ITS_WAY_US_MAX : 0)
    );
  }

  /** From now until the answer is called, nothing that is asked may be served, of any volume for anybody. */
  nothingIsServed(): () => void {
    const fromUs = this.sim.nowUs;
    const { history } = this.site;
    history.stopped = true;
    return () => {
      history.stopped = false;
      const toUs = this.sim.nowUs;
      for (const { key } of this.volumes)
        for (const { number } of this.site.clients)
          history.windows.push({ volume: key, client: number, fromUs, toUs });
    };
  }
}
