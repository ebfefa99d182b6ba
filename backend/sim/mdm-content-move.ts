// How the content of a simulated MDM goes to another store, step by step; its process may die between any two. It owns how
// often that was tried; what the MDM is afterwards follows from its disk alone.

import { mark } from '../core/marks.js';
import type { MoveFailure } from '../mdm/cluster-plan.js';
import { leftRecord } from '../protocol/node-state.js';

import type { MdmDisk } from './mdm-disk.js';
import type { StoreTiming } from './metadata-store.js';
import type { SimProcess } from './process.js';
import type { SimEtcd, SimSharedStore } from './shared-store.js';
import type { Simulation } from './simulation.js';

const MARKS = {
  out: mark('sim: the content moved into a shared store'),
  home: mark('sim: the content moved into the own store of an MDM'),
  cutShort: mark('sim: an MDM died while the content moved'),
  failed: mark('sim: the content could not be moved'),
};

const ATTEMPTS_MAX = 3;
const STEP_US_MAX = 400_000;

/** The MDM whose content moves. */
interface Site {
  readonly process: SimProcess | null;
  readonly timing: StoreTiming;
  etcd(token: string): SimEtcd;
  /** Whether its process reaches the shared store. */
  reaches(): boolean;
  /** Becomes what lies on the disk. */
  boot(): void;
}

export class ContentMove {
  private readonly sim: Simulation;
  private readonly site: Site;
  private readonly disk: MdmDisk;
  private job = 0;
  private attempts = 0;
  private reason: string | null = null;

  constructor(sim: Simulation, site: Site, disk: MdmDisk) {
    this.sim = sim;
    this.site = site;
    this.disk = disk;
  }

  /** The last move that was given up; null: none was. */
  get failure(): MoveFailure | null {
    const { job, reason } = this;
    return reason === null ? null : { job, reason };
  }

  /** Attempts are counted for each change of the cluster. */
  begin(job: number): void {
    if (this.job === job) return;
    this.job = job;
    this.attempts = 0;
    this.reason = null;
  }

  /** Into a shared store, which nobody uses yet. */
  out(token: string): void {
    const { disk, site } = this;
    const etcd = site.etcd(token);
    this.then(
      () => {
        if (!site.reaches()) return false;
        if (etcd.open) this.sim.fail(`the store ${token} is used before its content came`);
        etcd.metadata.replace(disk.content);
        return true;
      },
      () => {
        disk.mark = { state: 'sealed', token };
        MARKS.out.hits++;
        return true;
      },
    );
  }

  /** From a shared store into the own one of this node; then that is sealed. */
  home(job: number, store: SimSharedStore): void {
    const { disk, site } = this;
    let token = '';
    let sequence = 0;
    this.then(
      () => {
        const content = site.reaches() ? store.content() : null;
        if (content === null) return false;
        ({ sequence } = content);
        token = `home-${job}-${sequence}`;
        disk.content.replace(content);
        disk.content.term = Math.max(content.term, store.term);
        disk.mark = { state: 'imported', token };
        return true;
      },
      () => site.reaches() && store.seal(token, disk.record.selfKey, sequence),
      () => {
        MARKS.home.hits++;
        disk.mark = { state: 'used', token };
        return true;
      },
      () => {
        disk.record = leftRecord(disk.record, disk.record.term);
        return true;
      },
    );
  }

  /** Does one step after the other, each after a while; a step that fails is the last. Then it becomes what the disk says. */
  private then(...steps: readonly (() => boolean)[]): void {
    const { sim, site } = this;
    const { process } = site;
    const [step, ...rest] = steps;
    const later = (): void => {
      sim.queue.push(
        sim.nowUs + sim.prng.below(STEP_US_MAX) + site.timing.slowUs,
        {
          fire: () => {
            if (process === null || process !== site.process || !process.alive) {
              MARKS.cutShort.hits++;
              return;
            }
            if (process.paused) {
              later();
              return;
            }
            if (step === undefined) site.boot();
            else if (step()) this.then(...rest);
            else this.notMoved();
          },
        },
        0,
        0,
      );
    };
    later();
  }

  private notMoved(): void {
    MARKS.failed.hits++;
    this.attempts += 1;
    if (this.attempts >= ATTEMPTS_MAX) this.reason = 'the store does not answer';
    this.site.boot();
  }
}
