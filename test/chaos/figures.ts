// `--figures`: how long users wait, and how much is copied, when processes of a real cluster end. Each figure has a cluster
// of its own. It measures and never judges: a time is printed, whatever it is; only what hangs is an error.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { Bench } from './figure-bench.js';
import type { FigureName, FigureOptions, FigureRow } from './figure-bench.js';
import { slowDevice, stuckDevice } from './figures-of-devices.js';
import { mdmAway, mdmKilled } from './figures-of-mdms.js';
import { neighbours } from './figures-of-neighbours.js';
import { rebuilt, returning, sdsKilled } from './figures-of-servers.js';
import { Rig } from './rig.js';
import type { MdmSettings } from './rig.js';
import { makeThrottle, removeThrottle } from './throttle.js';

/** Ten minutes otherwise. */
const REBUILD_DELAY_MS = 2000;

interface Measurement {
  readonly sdsCount: number;
  /** Servers have disks that do what they are told. */
  readonly ownDisks?: boolean;
  /** Of the MDM, where the usual ones would take too long. */
  readonly mdmOptions?: MdmSettings;
  readonly act: (bench: Bench) => Promise<void>;
}

const MEASUREMENTS: Readonly<Record<FigureName, Measurement>> = {
  'sds-killed': { sdsCount: 3, act: sdsKilled },
  rebuild: { sdsCount: 4, mdmOptions: { rebuildDelayMs: REBUILD_DELAY_MS }, act: rebuilt },
  'mdm-killed': { sdsCount: 3, act: mdmKilled },
  'mdm-away': { sdsCount: 3, act: mdmAway },
  // Two, so that every change concerns both.
  return: { sdsCount: 2, act: returning },
  'slow-device': { sdsCount: 4, ownDisks: true, act: slowDevice },
  neighbour: { sdsCount: 3, act: neighbours },
  'stuck-device': { sdsCount: 4, ownDisks: true, act: stuckDevice },
};

/** Measures; what cannot be measured throws. */
export async function measure(
  names: readonly FigureName[],
  options: FigureOptions,
): Promise<readonly FigureRow[]> {
  const rows: FigureRow[] = [];
  for (const name of names) {
    const { sdsCount, ownDisks = false, mdmOptions = {}, act } = MEASUREMENTS[name];
    const folder = join(options.dir, name);
    mkdirSync(folder, { mode: 0o700 });
    const cluster = join(folder, 'cluster');
    const throttle = makeThrottle(options.dir);
    const { isolated, say } = options;
    say(throttle === null ? `${name}: the servers cannot be throttled here` : name);
    const rig = await Rig.start({
      ...{ dir: cluster, sdsCount, mdms: 1, isolated, say, smallDisks: false },
      throttle: throttle ?? [],
      powerSeed: ownDisks ? 1 : null,
      mdmOptions,
    });
    const bench = new Bench(rig, options, name, folder);
    try {
      await act(bench);
    } finally {
      await rig.stop();
      await removeThrottle(options.dir);
    }
    rows.push(...bench.rows);
  }
  return rows;
}
