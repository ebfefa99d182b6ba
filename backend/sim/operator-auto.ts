// What the operator does with snapshot policies while clients use volumes: makes, changes, pauses and removes them, gives them
// volumes and takes them away, locks and secures snapshots, tries to remove what must stay, and has clients read what policies
// made. It owns what the history learns of that; what was committed it sees as the watch does.

import { mark } from '../core/marks.js';
import type { Prng } from '../core/prng.js';
import type { CommandName } from '../protocol/control.js';
import { ERR } from '../protocol/generated/constants.js';
import type { CommandParams, SnapshotPolicy, Volume } from '../protocol/generated/types.js';

import type { Admin } from './admin.js';
import { SIM_CHUNK_SECTORS } from './client-node.js';
import type { History } from './history.js';
import type { SimVolume } from './operator-volumes.js';
import type { PolicyRun, PolicyWatch } from './policy-watch.js';
import type { Simulation } from './simulation.js';

const MARKS = {
  refused: mark('sim: what a lock, a policy or its time keeps was not removed'),
  read: mark('sim: clients read what a policy made'),
};

/** More would take the time of others. */
const VOLUMES_MAX = 7;
const POLICIES_MAX = 2;
const AGAIN_US = 200_000;
/** So long as nobody waits for it. */
const LONG_CADENCE_MIN = 1_000_000;
const LEVELS = [[1], [2], [3], [2, 2], [2, 3], [3, 2, 2]];

interface Operator {
  readonly admin: Admin;
  readonly volumes: SimVolume[];
  readonly snapshotWork: { give(volume: SimVolume): void };
  soon(inUs: number, run: (nowUs: number) => void): void;
  pauseUs(status: number): number;
}

type Times = Pick<CommandParams['MODIFY_SNAPSHOT_POLICY'], 'cadenceMin' | 'retained'>;

export class AutoSnapshotWork {
  private readonly operator: Operator;
  private readonly sim: Simulation;
  private readonly history: History;
  private readonly watch: PolicyWatch;
  private changes = 0;
  private isCalm = false;
  /** Snapshots that clients read, or will. */
  private readonly adopted = new Set<number>();

  constructor(operator: Operator, sim: Simulation, history: History, watch: PolicyWatch) {
    this.operator = operator;
    this.sim = sim;
    this.history = history;
    this.watch = watch;
    watch.ran = (run) => {
      this.ran(run);
    };
  }

  get isChanging(): boolean {
    return this.changes > 0;
  }

  /** One thing or another; whatever comes of it. @returns in words, null: nothing could be done */
  act(prng: Prng): string | null {
    const policies = [...this.watch.policies.values()];
    if (policies.length === 0 || (policies.length < POLICIES_MAX && prng.chance(1, 6)))
      return this.add(prng);
    const policy = prng.pick(policies);
    const isUsed = [...this.watch.volumes.values()].some((one) => one.policyKey === policy.key);
    if (!isUsed && prng.chance(3, 4)) return this.addVolume(prng, policy);
    const acts = [
      () => this.addVolume(prng, policy),
      () => this.modify(prng, policy),
      () => this.pause(policy),
      () => this.removeVolume(prng, policy),
      () => this.ask('REMOVE_SNAPSHOT_POLICY', { key: policy.key }),
      () => this.lock(prng),
      () => this.lock(prng),
      () => this.secure(prng),
      () => this.remove(prng),
      () => this.remove(prng),
    ];
    return prng.pick(acts)();
  }

  /** Every policy runs once more, then none for long. */
  calm(): void {
    const { operator, watch } = this;
    if (!this.isCalm) this.changes += 1;
    this.isCalm = true;
    operator.soon(AGAIN_US, () => {
      // What is on its way is first.
      if (operator.admin.pending > 0) {
        this.calm();
        return;
      }
      this.changes -= 1;
      for (const { key, lastRun, lastRunAtMs } of [...watch.policies.values()]) {
        this.changes += 1;
        this.settle(key, lastRunAtMs === 0 ? -1 : lastRun);
      }
    });
  }

  private settle(key: number, lastRun: number): void {
    const { operator, watch } = this;
    operator.soon(AGAIN_US, (nowUs) => {
      const policy = watch.policies.get(key);
      const isUsed = [...watch.volumes.values()].some((volume) => volume.policyKey === key);
      const hasRun = (policy?.lastRunAtMs ?? 0) > 0 && policy?.lastRun !== lastRun;
      if (policy === undefined || policy.cadenceMin === LONG_CADENCE_MIN) this.changes -= 1;
      else if (isUsed && !policy.paused && !hasRun) this.settle(key, lastRun);
      else {
        const { retained } = policy;
        const params = { key, cadenceMin: LONG_CADENCE_MIN, retained };
        operator.admin.ask(nowUs, 'MODIFY_SNAPSHOT_POLICY', params, () => {
          this.settle(key, lastRun);
        });
      }
    });
  }

  private times(prng: Prng): Times {
    return { cadenceMin: prng.between(1, 4), retained: [...prng.pick(LEVELS)] };
  }

  /** Asked once. */
  private ask<N extends CommandName>(name: N, params: CommandParams[N]): string {
    const { operator } = this;
    operator.soon(0, (nowUs) => {
      operator.admin.ask(nowUs, name, params, () => undefined);
    });
    return `asks ${name} ${JSON.stringify(params)}`;
  }

  private add(prng: Prng): string {
    const secure = prng.chance(1, 3);
    return this.ask('ADD_SNAPSHOT_POLICY', {
      ...{ name: '', ...this.times(prng), paused: prng.chance(1, 8), secure },
      accessLimit: 'readWrite',
    });
  }

  private addVolume(prng: Prng, { key }: SnapshotPolicy): string | null {
    const free = this.operator.volumes.filter((volume) => {
      const known = this.watch.volumes.get(volume.key);
      return known?.policyKey === 0 && known.autoPolicyKey === 0;
    });
    if (free.length === 0) return null;
    return this.ask('ADD_POLICY_VOLUME', { key, volumeKey: prng.pick(free).key });
  }

  private modify(prng: Prng, { key }: SnapshotPolicy): string {
    return this.ask('MODIFY_SNAPSHOT_POLICY', { key, ...this.times(prng) });
  }

  private pause({ key, paused }: SnapshotPolicy): string {
    return this.ask('PAUSE_SNAPSHOT_POLICY', { key, paused: !paused });
  }

  private removeVolume(prng: Prng, { key }: SnapshotPolicy): string | null {
    const sources = [...this.watch.volumes.values()].filter(({ policyKey }) => policyKey === key);
    if (sources.length === 0) return null;
    const volumeKey = prng.pick(sources).key;
    const parts = { detach: prng.chance(1, 2), detachLocked: prng.chance(1, 2) };
    return this.ask('REMOVE_POLICY_VOLUME', { key, volumeKey, ...parts });
  }

  private made(): readonly Volume[] {
    return [...this.watch.volumes.values()].filter(
      ({ key, autoPolicyKey }) => autoPolicyKey !== 0 && !this.adopted.has(key),
    );
  }

  private lock(prng: Prng): string | null {
    const made = this.made();
    if (made.length === 0) return null;
    const { key, locked } = prng.pick(made);
    if (!locked) return this.ask('LOCK_AUTO_SNAPSHOT', { key });
    this.watch.excused.add(key);
    return this.ask('UNLOCK_AUTO_SNAPSHOT', { key, mayGo: prng.chance(1, 2) });
  }

  private secure(prng: Prng): string | null {
    const made = this.made();
    if (made.length > 0 && prng.chance(1, 2))
      return this.ask('SECURE_SNAPSHOT', { key: prng.pick(made).key, minutes: prng.between(1, 9) });
    const items = [{ volumeKey: prng.pick(this.operator.volumes).key, name: '' }];
    const secureMin = prng.between(1, 9);
    return this.ask('SNAPSHOT_VOLUMES', { items, accessLimit: 'readWrite', secureMin });
  }

  /** Tries to remove what may have to stay; the watch sees what went. */
  private remove(prng: Prng): string | null {
    const { operator, watch } = this;
    const used = new Set([...operator.volumes.map(({ key }) => key), ...this.adopted]);
    const there = [...watch.volumes.values()].filter(
      ({ key, secureUntilMs, autoPolicyKey }) =>
        !used.has(key) && (secureUntilMs > 0 || autoPolicyKey !== 0),
    );
    if (there.length === 0) return null;
    const { key, locked } = prng.pick(there);
    if (!locked) watch.excused.add(key);
    operator.soon(0, (nowUs) => {
      operator.admin.ask(nowUs, 'REMOVE_VOLUME', { key, mode: 'onlyMe' }, (status) => {
        if (status === ERR.SNAPSHOT_SECURE || status === ERR.LOCKED_SNAPSHOTS) MARKS.refused.hits++;
      });
    });
    return `tries to remove snapshot ${key}`;
  }

  /** Some of what policies made is locked and read by clients: it must be one moment of all its sources. */
  private ran({ startUs, endUs, made }: PolicyRun): void {
    const { operator, history, sim } = this;
    const isWritable = made.every(({ accessLimit }) => accessLimit === 'readWrite');
    const isRoom = operator.volumes.length + made.length <= VOLUMES_MAX;
    if (this.isCalm || !isWritable || !isRoom || !sim.prng.chance(1, 2)) return;
    const sources = made.map(({ ancestorKey }) =>
      operator.volumes.find(({ key }) => key === ancestorKey),
    );
    const pairs = made.map(({ key, ancestorKey }) => {
      history.joinTree(key, ancestorKey);
      return { source: history.contentOf(ancestorKey), target: history.contentOf(key) };
    });
    history.cuts.push({ startUs, endUs, pairs });
    for (const [place, { key, sizeSectors }] of made.entries()) {
      const index = sources[place]?.index;
      if (index !== undefined)
        this.adopt({ key, index, chunks: Math.floor(sizeSectors / SIM_CHUNK_SECTORS) });
    }
  }

  private adopt(volume: SimVolume): void {
    const { operator } = this;
    this.changes += 1;
    this.adopted.add(volume.key);
    const lock = (nowUs: number): void => {
      operator.admin.ask(nowUs, 'LOCK_AUTO_SNAPSHOT', { key: volume.key }, (status) => {
        const isLocked = status === 0 || status === ERR.AUTO_SNAPSHOT_LOCKED;
        // It went, or its volume left the policy, before it was locked.
        const isLost = status === ERR.VOLUME_NOT_FOUND || status === ERR.NOT_AUTO_SNAPSHOT;
        if (!isLocked && !isLost) {
          operator.soon(operator.pauseUs(status), lock);
          return;
        }
        this.changes -= 1;
        if (!isLocked) return;
        MARKS.read.hits++;
        operator.volumes.unshift(volume);
        operator.snapshotWork.give(volume);
      });
    };
    operator.soon(0, lock);
  }
}
