// `--snapshots`: what snapshots cost those who use volumes. Each figure has a cluster of its own. It measures and never judges.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { renderFigures, type Figure } from './figure-table.js';
import { describeMachine } from './machine.js';
import { measureCreation } from './snapshot-creation.js';
import { measureFirstWrites } from './snapshot-first-write.js';
import { measurePause } from './snapshot-pause.js';
import { SnapshotCluster, type SnapshotSettings } from './snapshot-cluster.js';
import type { SnapshotFigure, SnapshotOptions } from './arguments.js';

const MEASUREMENTS: Readonly<
  Record<SnapshotFigure, (cluster: SnapshotCluster, settings: SnapshotSettings) => Promise<void>>
> = {
  pause: measurePause,
  'first-write': measureFirstWrites,
  creation: measureCreation,
};

const DURABLE = 'a write is acknowledged when both copies are flushed (media)';

/** Measures in a directory, and returns the table; it is also written to `jsonFile`. */
export async function measureSnapshots(
  { figures, volumes, runs }: SnapshotOptions,
  jsonFile: string | null,
  settings: Pick<SnapshotSettings, 'signal' | 'say'> & { readonly workDir: string },
): Promise<string> {
  const { workDir, signal, say } = settings;
  const machine = await describeMachine(workDir);
  const rows: Figure[] = [];
  for (const figure of figures) {
    const folder = join(workDir, figure);
    await mkdir(folder, { mode: 0o700 });
    const cluster = await SnapshotCluster.start({ workDir: folder, signal, say });
    const row = (what: string, value: string): void => {
      rows.push({ figure, what, value });
      say(`${figure}: ${what}: ${value}`);
    };
    try {
      row('durability', DURABLE);
      await MEASUREMENTS[figure](cluster, { volumes, runs, signal, say, row });
    } finally {
      await cluster.stop();
    }
    if (jsonFile !== null)
      await writeFile(jsonFile, `${JSON.stringify({ machine, rows }, null, 2)}\n`);
  }
  return renderFigures(machine, rows);
}
