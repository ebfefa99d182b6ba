// A simulated MDM whose disk holds a backup that was restored: it waits for the devices, and what they confirm becomes the
// content of its store. Its process may die before that; then the next one begins anew.

import { mark } from '../core/marks.js';
import type { Change, Links, Log } from '../core/ports.js';
import type { MdmOptions, StoredEntry } from '../mdm/options.js';
import { Recovery } from '../mdm/recovery.js';

import type { ClusterInputs } from '../mdm/cluster-port.js';

import type { MdmDisk } from './mdm-disk.js';
import type { SimReach } from './mdm-reach.js';
import type { SimProcess } from './process.js';
import type { Simulation } from './simulation.js';

const MARKS = {
  confirmed: mark('sim: restored metadata was confirmed by the devices'),
  former: mark('sim: restored metadata waited for an MDM of the former cluster to end'),
  cutShort: mark('sim: an MDM died before confirmed metadata was durable'),
};

const IMPORT_US_MAX = 400_000;
const LOOK_US = 1_000_000;

/** The MDM, and who wants to hear of it. */
interface Site {
  readonly disk: MdmDisk;
  /** Is told what took the place of everything. */
  readonly restored: (changes: readonly Change[]) => void;
  /** Becomes what lies on the disk. */
  readonly boot: () => void;
}

/** The machine that asks the devices. */
export function recoveryOf(
  sim: Simulation,
  process: SimProcess,
  { disk, restored, ...site }: Site,
  ports: { readonly links: Links; readonly log: Log },
  options: MdmOptions,
): Recovery {
  const { term, sequence } = disk.content;
  const store = (confirmed: number, entries: readonly StoredEntry[]): void => {
    if (!process.alive) {
      MARKS.cutShort.hits++;
      return;
    }
    if (process.paused) {
      later(confirmed, entries);
      return;
    }
    MARKS.confirmed.hits++;
    disk.content.load(term + 1, confirmed, entries);
    disk.mark = { state: 'used', token: 'confirmed' };
    restored(entries.map(({ key, value }) => ({ key, value })));
    site.boot();
  };
  const later = (confirmed: number, entries: readonly StoredEntry[]): void => {
    const inUs = 1 + sim.prng.below(IMPORT_US_MAX);
    const fire = (): void => {
      store(confirmed, entries);
    };
    sim.queue.push(sim.nowUs + inUs, { fire }, 0, 0);
  };
  const recovered = (_: number, confirmed: number, entries: readonly StoredEntry[]): void => {
    later(confirmed, entries);
  };
  const content = { term, sequence, entries: disk.content.entries() };
  return new Recovery({ ...ports, recovered }, content, options);
}

/**
 * Looks for MDMs of the former cluster, again and again.
 *
 * @param reachOf - how the process reaches others; who hears of it
 * @param isCurrent - the machine is still at work
 */
export function watchFormer(
  sim: Simulation,
  machine: Recovery,
  reachOf: (current: () => ClusterInputs | null) => SimReach | null,
  isCurrent: () => boolean,
): void {
  const { all } = machine.former;
  const reach = reachOf(() =>
    isCurrent()
      ? {
          observed: (nowUs, _, { reports }) => {
            machine.formerSeen(nowUs, reports);
            if (machine.former.reasons().length > 0) MARKS.former.hits++;
          },
          performed: () => undefined,
        }
      : null,
  );
  if (all.length === 0 || reach === null) return;
  const look = (): void => {
    if (!isCurrent()) return;
    reach.observe(0, all);
    sim.queue.push(sim.nowUs + LOOK_US, { fire: look }, 0, 0);
  };
  look();
}
