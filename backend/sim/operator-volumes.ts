// What the operator does with volumes while clients use them: takes them away and gives them back, removes and grows them. It
// owns what the history learns of that: from when on nothing of a client may be served. It must never know the servers.

import type { Micros } from '../core/ports.js';
import { ERR } from '../protocol/generated/constants.js';
import type { VolumeFullPolicy } from '../protocol/generated/types.js';

import type { Admin } from './admin.js';
import { SIM_CHUNK_SECTORS } from './client-node.js';
import type { ClientNode } from './client-node.js';
import type { History } from './history.js';
import type { Simulation } from './simulation.js';

const RETRY_US = 100_000;
const UNMAPPED_US_MAX = 600_000;

/** As `SET_MAPPING_LIMITS` is asked: 0 removes a limit. */
const NO_LIMITS = { iopsLimit: 0, bandwidthLimitKbps: 0, iopsPerGib: 0, kbpsPerGib: 0 } as const;
const NOT_MAPPED: ReadonlySet<number> = new Set([
  ...[ERR.VOLUME_NOT_MAPPED, ERR.VOLUME_NOT_FOUND, ERR.SDC_NOT_FOUND],
]);

export interface SimVolume {
  readonly key: number;
  /** Who has it: a number of the order in which volumes were made. */
  readonly index: number;
  chunks: number;
}

/** The operator, as far as this work needs him. */
interface Operator {
  readonly admin: Admin;
  /** Volumes that there are. */
  readonly volumes: SimVolume[];
  /** Runs something after a while. */
  soon(inUs: number, run: (nowUs: number) => void): void;
  /** Pause before a command is asked again whose outcome is this status. */
  pauseUs(status: number): number;
}

export class VolumeWork {
  private readonly operator: Operator;
  private readonly sim: Simulation;
  private readonly clients: readonly ClientNode[];
  private readonly history: History;
  /** Changes that were begun and not ended. */
  private changes = 0;
  /** Some mapping has a limit, or had. */
  private limited = false;

  constructor(
    operator: Operator,
    sim: Simulation,
    clients: readonly ClientNode[],
    history: History,
  ) {
    this.operator = operator;
    this.sim = sim;
    this.clients = clients;
    this.history = history;
  }

  /** A volume is about to be given back, or removed. */
  get isChanging(): boolean {
    return this.changes > 0;
  }

  /**
   * Takes a volume away from a client and, once that is answered as done, gives it back. What the client asked before must
   * not be applied after the answer (C13): the history notes when that was.
   */
  unmap(volume: SimVolume, client: ClientNode): void {
    const { operator, sim, history } = this;
    const { sdcKey } = client;
    const remap = (atUs: number): void => {
      operator.admin.ask(
        atUs,
        'MAP_VOLUME',
        { volumeKey: volume.key, sdcKey, allowMultiple: true, access: 'readWrite' },
        (status) => {
          if (status !== 0 && status !== ERR.VOLUME_ALREADY_MAPPED)
            operator.soon(operator.pauseUs(status), remap);
          else this.changes -= 1;
        },
      );
    };
    const unmap = (nowUs: Micros): void => {
      operator.admin.ask(
        nowUs,
        'UNMAP_VOLUME',
        { volumeKey: volume.key, sdcKeys: [sdcKey], generation: 0 },
        (status) => {
          if (status === ERR.TIMED_OUT) {
            operator.soon(operator.pauseUs(status), unmap);
            return;
          }
          if (status === 0) {
            const life = client.process?.alive === true ? client.runs : client.runs + 1;
            history.fence(volume.key, client.number, life, sim.nowUs);
          }
          // For a while nothing of the client may be answered well (C13).
          const fromUs = sim.nowUs;
          operator.soon(1 + sim.prng.below(UNMAPPED_US_MAX), (atUs) => {
            if (status === 0)
              history.windows.push({
                volume: volume.key,
                client: client.number,
                fromUs,
                toUs: sim.nowUs,
              });
            remap(atUs);
          });
        },
      );
    };
    this.changes += 1;
    operator.soon(0, unmap);
  }

  /** Limits what a client may do on a volume; asked once, whatever comes of it. */
  limit(
    volume: SimVolume,
    client: ClientNode,
    iopsLimit: number,
    bandwidthLimitKbps: number,
  ): void {
    const { operator } = this;
    const params = { ...NO_LIMITS, volumeKey: volume.key, sdcKey: client.sdcKey };
    this.limited = true;
    operator.soon(0, (nowUs) => {
      const limits = { ...params, iopsLimit, bandwidthLimitKbps };
      operator.admin.ask(nowUs, 'SET_MAPPING_LIMITS', limits, () => undefined);
    });
  }

  /** What writes to a volume get that find the pool full, asked once: either answer is as good. */
  setFullPolicy({ key }: SimVolume, fullPolicy: VolumeFullPolicy): void {
    const { operator } = this;
    operator.soon(0, (nowUs) => {
      const params = { key, fullPolicy };
      operator.admin.ask(nowUs, 'SET_VOLUME_FULL_POLICY', params, () => undefined);
    });
  }

  /** Takes all limits away, asked until it is done: a request that waits for one has not failed. */
  liftLimits(): void {
    if (!this.limited) return;
    const { operator } = this;
    const lift = (volumeKey: number, sdcKey: number): void => {
      operator.soon(0, (nowUs) => {
        const params = { ...NO_LIMITS, volumeKey, sdcKey };
        operator.admin.ask(nowUs, 'SET_MAPPING_LIMITS', params, (status) => {
          if (status === 0 || NOT_MAPPED.has(status)) return;
          operator.soon(RETRY_US, () => {
            lift(volumeKey, sdcKey);
          });
        });
      });
    };
    for (const { key } of operator.volumes)
      for (const { sdcKey } of this.clients) if (sdcKey !== 0) lift(key, sdcKey);
  }

  /** Takes a volume away from everybody and removes it: nothing of it may be served afterwards (C13). */
  remove(volume: SimVolume): void {
    const { operator, sim, history, clients } = this;
    const { volumes } = operator;
    volumes.splice(volumes.indexOf(volume), 1);
    const drop = (nowUs: Micros): void => {
      operator.admin.ask(nowUs, 'REMOVE_VOLUME', { key: volume.key, mode: 'onlyMe' }, (status) => {
        if (status !== 0 && status !== ERR.VOLUME_NOT_FOUND) operator.soon(RETRY_US, drop);
        else this.changes -= 1;
      });
    };
    const unmap = (nowUs: Micros): void => {
      const params = { volumeKey: volume.key, sdcKeys: [], generation: 0 };
      operator.admin.ask(nowUs, 'UNMAP_VOLUME', params, (status) => {
        if (status !== 0 && status !== ERR.VOLUME_NOT_MAPPED) {
          operator.soon(RETRY_US, unmap);
          return;
        }
        for (const { number } of clients) {
          history.fence(volume.key, number, Infinity, sim.nowUs);
          const toUs = Number.MAX_SAFE_INTEGER;
          history.windows.push({ volume: volume.key, client: number, fromUs: sim.nowUs, toUs });
        }
        operator.soon(1, drop);
      });
    };
    this.changes += 1;
    operator.soon(0, unmap);
  }

  /** Grows a volume; asked once. */
  grow(volume: SimVolume, chunks: number): void {
    const { operator } = this;
    operator.soon(0, (nowUs) => {
      operator.admin.ask(
        nowUs,
        'RESIZE_VOLUME',
        { key: volume.key, sizeSectors: chunks * SIM_CHUNK_SECTORS },
        (status) => {
          if (status === 0) volume.chunks = Math.max(volume.chunks, chunks);
        },
      );
    });
  }
}
