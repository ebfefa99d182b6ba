// The figure of the background scanner: so many random corruptions of one device's file, of data and of descriptors, and how
// many wrong bytes clients read. In one half of the rounds clients read before anything is repaired.

import { Prng } from '../../backend/core/prng.js';
import { ScannedCluster } from '../support/scanned-cluster.js';
import { Spoiler } from '../support/spoiler.js';

const CONTENT_BYTES = 96 * 1024 * 1024;
const ROUNDS = 4;

/** What became of all of them. */
export interface CorruptionFigures {
  readonly corruptions: number;
  /** By kind. */
  readonly kinds: Readonly<Record<string, number>>;
  readonly found: number;
  readonly repaired: number;
  /** What a client read wrong, in words; empty: nothing. */
  readonly wrong: string;
}

export async function measureCorruptions(
  corruptions: number,
  seed: number,
  say: (line: string) => void,
): Promise<CorruptionFigures> {
  const site = await ScannedCluster.start();
  const kinds: Record<string, number> = {};
  let [found, repaired, wrong] = [0, 0, ''];
  const read = async (): Promise<void> => {
    wrong += (await site.wrongBytes()) ?? '';
  };
  try {
    const prng = new Prng(seed);
    const spoiler = new Spoiler(site.device.deviceCurrentPathName, prng);
    await site.write(CONTENT_BYTES);
    await site.scan('DataComparison');
    await site.scanned();
    spoiler.remember(spoiler.blocks());
    await site.write(CONTENT_BYTES);
    await site.scanned();
    for (let round = 0; round < ROUNDS; round++) {
      const before = await site.counts();
      const blocks = spoiler.blocks(site.liveBlocks(spoiler.blockBytes));
      const wanted = Math.min(Math.ceil(corruptions / ROUNDS), blocks.length - 1);
      for (let spoiled = 0; spoiled < wanted;) {
        const [at = 0] = blocks.splice(prng.below(blocks.length), 1);
        const kind = spoiler.spoil(at, blocks);
        if (kind === null) continue;
        kinds[kind] = (kinds[kind] ?? 0) + 1;
        spoiled++;
      }
      if (round % 2 === 1) await read();
      const after = await site.scanned();
      found += after.backgroundScanReadErrorCount - before.backgroundScanReadErrorCount;
      repaired +=
        after.backgroundScanFixedReadErrorCount - before.backgroundScanFixedReadErrorCount;
      await read();
      say(`round ${round + 1}: ${found} found, ${repaired} repaired, wrong: ${wrong || 'none'}`);
    }
    const pages = spoiler.pages();
    for (const page of pages) spoiler.spoilPage(page);
    kinds['descriptor'] = pages.length;
    await site.restart();
    await read();
    const last = await site.scanned();
    found += last.backgroundScanReadErrorCount;
    repaired += last.backgroundScanFixedReadErrorCount;
    await read();
    spoiler.close();
  } finally {
    await site.remove();
  }
  const total = Object.values(kinds).reduce((sum, count) => sum + count, 0);
  return { corruptions: total, kinds, found, repaired, wrong };
}
