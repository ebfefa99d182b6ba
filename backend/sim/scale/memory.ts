// What an MDM keeps in memory of what a cluster has committed: a second one is made of the same store, and the difference is
// looked at. It must never be called in the middle of a measurement of time.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Mdm } from '../../mdm/mdm.js';
import { MDM_DEFAULTS } from '../../mdm/options.js';
import type { ScaleCluster } from './cluster.js';

/** The collector of garbage, which a program must ask for. */
function collector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}

/** Buffers are let go some collections after the objects that held them. */
const COLLECTIONS = 5;

function usedBytes(collect: () => void): number {
  for (let count = 0; count < COLLECTIONS; count++) collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const NOTHING = {
  links: {
    identify: () => undefined,
    connect: () => undefined,
    newLink: () => 0,
    close: () => undefined,
    reserve: (_link: number, frameBytes: number) => {
      const bytes = new Uint8Array(frameBytes);
      return { bytes, view: new DataView(bytes.buffer), at: 0 };
    },
    resume: () => undefined,
    pendingBytes: () => 0,
  },
  store: { commit: () => undefined },
  log: { event: () => undefined },
  host: { steppedDown: () => undefined },
};

/** Megabytes. */
export function measureMemory({ world: { metadata } }: ScaleCluster): number {
  const entries = metadata.entries();
  const { term, sequence } = metadata;
  const collect = collector();
  const before = usedBytes(collect);
  const mdm = new Mdm(NOTHING, { term, sequence, entries }, MDM_DEFAULTS);
  const after = usedBytes(collect);
  // It must be there until its memory was looked at.
  mdm.nextDeadlineUs();
  return (after - before) / 1e6;
}
