// What the operator does with snapshots while clients use volumes: takes them of several volumes at once, gives them to clients, and
// reverts volumes. It owns what the history learns of that. Removing them, in any order, is removing volumes.

import type { Micros } from '../core/ports.js';
import { ERR } from '../protocol/generated/constants.js';

import type { Admin } from './admin.js';
import type { ClientNode } from './client-node.js';
import type { History, UnsureRevert } from './history.js';
import type { SimVolume } from './operator-volumes.js';
import type { Simulation } from './simulation.js';

const RETRY_US = 100_000;
/** More would take the time of others. */
const VOLUMES_MAX = 10;
/** Each doubles what the checker tries. */
const UNSURE_MAX = 3;

interface Operator {
  readonly admin: Admin;
  readonly volumes: SimVolume[];
  soon(inUs: number, run: (nowUs: number) => void): void;
  pauseUs(status: number): number;
  ownersOf(index: number): readonly ClientNode[];
}

export class SnapshotWork {
  private readonly operator: Operator;
  private readonly sim: Simulation;
  private readonly history: History;
  private changes = 0;
  /** Snapshots that were made, and that could not be. */
  made = 0;
  failed = 0;

  constructor(operator: Operator, sim: Simulation, history: History) {
    this.operator = operator;
    this.sim = sim;
    this.history = history;
  }

  get isChanging(): boolean {
    return this.changes > 0;
  }

  /** Asked once; whatever comes of it. @returns false: there are enough volumes */
  snapshot(sources: readonly SimVolume[]): boolean {
    const { operator, sim, history } = this;
    if (this.isChanging || operator.volumes.length + sources.length > VOLUMES_MAX) return false;
    this.changes += 1;
    operator.soon(0, (nowUs) => {
      const items = sources.map(({ key }) => ({ volumeKey: key, name: '' }));
      const startUs = sim.nowUs;
      const params = { items, accessLimit: 'readWrite', secureMin: 0 } as const;
      operator.admin.ask(nowUs, 'SNAPSHOT_VOLUMES', params, (status, result) => {
        this.changes -= 1;
        if (status !== 0 || result === null) {
          this.failed += 1;
          return;
        }
        this.made += 1;
        const targets = sources.map(({ index, chunks }, place) => ({
          ...{ key: result.keys[place] ?? 0, index, chunks },
        }));
        const pairs = sources.map(({ key }, place) => {
          const target = targets[place]?.key ?? 0;
          history.joinTree(target, key);
          return { source: history.contentOf(key), target: history.contentOf(target) };
        });
        history.cuts.push({ startUs, endUs: sim.nowUs, pairs });
        operator.volumes.unshift(...targets);
        for (const target of targets) this.give(target);
      });
    });
    return true;
  }

  /** A volume takes the content of another one of its V-tree; nobody has them meanwhile. */
  revert(volume: SimVolume, source: SimVolume): boolean {
    const { operator, sim, history } = this;
    if (!this.mayRevert(volume, source)) return false;
    this.changes += 1;
    const params = { key: volume.key, sourceKey: source.key };
    const steps = [
      (done: () => void): void => {
        this.take(volume, done);
      },
      (done: () => void): void => {
        this.take(source, done);
      },
    ];
    let isUnknown = false;
    const overwrite = (nowUs: Micros, startUs: number): void => {
      operator.admin.ask(nowUs, 'OVERWRITE_VOLUME', params, (status) => {
        if (status === ERR.TIMED_OUT || status === ERR.PENDING || status === ERR.VOLUME_BUSY) {
          isUnknown ||= status !== ERR.VOLUME_BUSY;
          operator.soon(operator.pauseUs(status), (atUs) => {
            overwrite(atUs, startUs);
          });
          return;
        }
        if (status === 0) {
          const from = history.contentOf(source.key);
          const target = history.newContent(volume.key);
          const pairs = [{ source: from, target }];
          history.cuts.push({ startUs, endUs: sim.nowUs, pairs });
        } else if (isUnknown) history.beginnings.set(history.newContent(volume.key), null);
        this.changes -= 1;
        this.give(volume);
        this.give(source);
      });
    };
    const next = (): void => {
      const step = steps.shift();
      if (step !== undefined) step(next);
      else
        operator.soon(1, (atUs) => {
          overwrite(atUs, sim.nowUs);
        });
    };
    next();
    return true;
  }

  /** Takes a volume away from everybody. */
  private take(volume: SimVolume, done: () => void): void {
    const { operator, history, sim } = this;
    const unmap = (nowUs: Micros): void => {
      const params = { volumeKey: volume.key, sdcKeys: [], generation: 0 };
      operator.admin.ask(nowUs, 'UNMAP_VOLUME', params, (status) => {
        if (status !== 0 && status !== ERR.VOLUME_NOT_MAPPED) {
          operator.soon(operator.pauseUs(status), unmap);
          return;
        }
        for (const { number, process, runs } of operator.ownersOf(volume.index))
          history.fence(volume.key, number, process?.alive === true ? runs : runs + 1, sim.nowUs);
        done();
      });
    };
    operator.soon(0, unmap);
  }

  /**
   * As `revert`, by somebody who does not wait for the answer longer than that, or gets none that says what happened: the
   * volumes are given back, whatever they hold.
   */
  revertAndLeave(
    volume: SimVolume,
    source: SimVolume,
    patienceUs: number,
    asked: () => void,
  ): boolean {
    const { operator, history } = this;
    if (history.unsureReverts.length >= UNSURE_MAX || !this.mayRevert(volume, source)) return false;
    this.changes += 1;
    this.take(volume, () => {
      this.take(source, () => {
        operator.soon(1, (nowUs) => {
          this.overwriteAndLeave(nowUs, volume, source, patienceUs);
          asked();
        });
      });
    });
    return true;
  }

  private overwriteAndLeave(
    nowUs: Micros,
    volume: SimVolume,
    source: SimVolume,
    patienceUs: number,
  ): void {
    const { operator, sim, history } = this;
    const startUs = sim.nowUs;
    let left: UnsureRevert | null = null;
    let isOver = false;
    const leave = (): void => {
      if (isOver) return;
      isOver = true;
      const from = history.contentOf(source.key);
      const former = history.contentOf(volume.key);
      const target = history.newContent(volume.key);
      const revert = { startUs, endUs: Infinity, source: from, target, former, happened: null };
      left = revert;
      history.unsureReverts.push(revert);
      // A volume that is mapped is not reverted, also not by a command that arrives late.
      this.give(volume, () => {
        revert.endUs = Math.min(revert.endUs, sim.nowUs);
      });
      this.give(source);
    };
    const params = { key: volume.key, sourceKey: source.key };
    operator.admin.askAside(nowUs, 'OVERWRITE_VOLUME', params, (status) => {
      const isUnknown = status === ERR.TIMED_OUT || status === ERR.PENDING;
      if (left !== null && !isUnknown) left.happened = status === 0;
      if (!isOver && status === 0) {
        const from = history.contentOf(source.key);
        const pairs = [{ source: from, target: history.newContent(volume.key) }];
        history.cuts.push({ startUs, endUs: sim.nowUs, pairs });
      }
      if (isUnknown) leave();
      else if (!isOver) {
        isOver = true;
        this.give(volume);
        this.give(source);
      }
      // Until then nobody takes the volumes away again: the command may still be on its way.
      operator.soon(operator.pauseUs(status), () => {
        this.changes -= 1;
      });
    });
    operator.soon(patienceUs, leave);
  }

  private mayRevert(volume: SimVolume, source: SimVolume): boolean {
    if (this.isChanging || volume === source) return false;
    if (this.history.rootOf(volume.key) !== this.history.rootOf(source.key)) return false;
    // Volumes of a V-tree that grew at different times are of different sizes.
    return volume.chunks === source.chunks;
  }

  /** To everybody whom it belongs to. */
  give(volume: SimVolume, given: () => void = () => undefined): void {
    for (const client of this.operator.ownersOf(volume.index)) this.map(volume, client, given);
  }

  private map(volume: SimVolume, client: ClientNode, given: () => void): void {
    const { operator } = this;
    this.changes += 1;
    const map = (nowUs: Micros): void => {
      const { sdcKey } = client;
      const params = { volumeKey: volume.key, sdcKey, allowMultiple: true } as const;
      operator.admin.ask(nowUs, 'MAP_VOLUME', { ...params, access: 'readWrite' }, (status) => {
        const isDone =
          status === 0 || status === ERR.VOLUME_ALREADY_MAPPED || status === ERR.VOLUME_NOT_FOUND;
        if (status === 0 || status === ERR.VOLUME_ALREADY_MAPPED) given();
        if (isDone) this.changes -= 1;
        else operator.soon(Math.max(RETRY_US, operator.pauseUs(status)), map);
      });
    };
    operator.soon(0, map);
  }
}
