// The background scanner with real processes: blocks of a device file are spoiled behind the back of its process, also
// descriptors before a restart; the scanner finds and repairs them, counts them, and clients never read a wrong byte.

import test from 'ava';

import { Prng } from '../../backend/core/prng.js';
import { ScannedCluster } from '../support/scanned-cluster.js';
import { Spoiler } from '../support/spoiler.js';
import { until } from '../support/until.js';

const CONTENT_BYTES = 24 * 1024 * 1024;
const SPOILED = 200;

let site: ScannedCluster;
test.before(async () => {
  site = await ScannedCluster.start();
  await site.write(CONTENT_BYTES);
  await site.write(CONTENT_BYTES);
});
test.after.always(async () => {
  await site.remove();
});

/** Blocks once everything is home: spoiling one that is still to be written would do nothing. */
async function settled(spoiler: Spoiler): Promise<readonly number[]> {
  await site.scan('DataComparison');
  const { backgroundScanReadErrorCount } = await site.scanned();
  if (backgroundScanReadErrorCount > 0) throw new Error('something is wrong already');
  return spoiler.blocks(site.liveBlocks(spoiler.blockBytes));
}

test.serial('blocks that rot are found, repaired and counted, by REST and scli', async (t) => {
  const prng = new Prng(20_261_122);
  const spoiler = new Spoiler(site.device.deviceCurrentPathName, prng);
  const blocks = [...(await settled(spoiler))];
  t.true(blocks.length > SPOILED);
  let spoiled = 0;
  for (; spoiled < SPOILED; spoiled++) {
    const [at = 0] = blocks.splice(prng.below(blocks.length), 1);
    if (spoiler.spoil(at, blocks) === null) spoiled--;
  }
  const counts = await site.scanned();
  t.is(counts.backgroundScanReadErrorCount, SPOILED);
  t.is(counts.backgroundScanFixedReadErrorCount, SPOILED);
  t.is(counts.backgroundScanCompareErrorCount, 0);
  t.is(await site.wrongBytes(), null);
  const info = await site.scli('--query_sds_device_info', '--sds_id', site.device.sdsId);
  t.regex(info, new RegExp(`Error-fixes: ${SPOILED} scanned [1-9]\\d* MB, Compare errors: 0`));
  const pool = await site.scli(
    '--query_storage_pool',
    '--storage_pool_id',
    site.device.storagePoolId,
  );
  t.regex(pool, /Background device scanner: Data comparison, Bandwidth Limit 10240 KBps/);
  await site.scli(
    '--reset_background_device_scanner_error_counters',
    ...['--storage_pool_id', site.device.storagePoolId],
  );
  await until('the counters begin at zero', async () =>
    (await site.counts()).backgroundScanReadErrorCount === 0 ? true : null,
  );
  spoiler.close();
});

test.serial('a descriptor that is lost at a restart costs no byte', async (t) => {
  const prng = new Prng(20_261_123);
  const spoiler = new Spoiler(site.device.deviceCurrentPathName, prng);
  for (const page of spoiler.pages()) spoiler.spoilPage(page);
  await site.restart();
  t.is(await site.wrongBytes(), null);
  // Descriptors of what was in the log at the restart are written anew from there, and clients' reads repair others: how many are
  // left to the scanner is chance.
  const counts = await site.scanned();
  t.is(counts.backgroundScanFixedReadErrorCount, counts.backgroundScanReadErrorCount);
  t.is(await site.wrongBytes(), null);
  spoiler.close();
});
