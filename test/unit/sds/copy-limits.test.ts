import test from 'ava';

import { REBALANCE_POLICY, REBUILD_POLICY } from '../../../backend/cluster-map/copy-policy.js';
import type { CopyPolicy, MapPool } from '../../../backend/protocol/generated/types.js';
import { CopyLimits } from '../../../backend/sds/copy-limits.js';
import { COPY_KIND, CopyWorks } from '../../../backend/sds/copy-work.js';
import { Totals } from '../../../backend/sds/volumes.js';

const MIB = 1024 * 1024;
const SECOND = 1_000_000;

interface Site {
  readonly limits: CopyLimits;
  readonly copies: CopyWorks;
  /** What clients did so far. */
  readonly clients: Totals;
}

function site(rebuild: Partial<CopyPolicy>, rebuildEnabled = true): Site {
  const copies = new CopyWorks();
  const clients = new Totals();
  const pool: MapPool = {
    ...{ key: 1, combCountLog2: 2, durability: 'media', fullPolicy: 'wait', active: true },
    ...{ rebuildEnabled, rebuild: { ...REBUILD_POLICY, ...rebuild }, rebalance: REBALANCE_POLICY },
    ...{ rmcache: false, cacheWrites: 'passthrough' as const },
    scanner: null,
  };
  const limits = new CopyLimits({
    ...{ copies, options: { resyncChunksMax: 4 }, pool: { pool } },
    volumes: { all: () => [{ totals: clients }] },
  });
  return { limits, copies, clients };
}

/** Copies chunks of 1 MiB, one after the other, for so long; how many. */
function copied({ limits }: Site, untilUs: number, meanwhile: (nowUs: number) => void): number {
  let chunks = 0;
  for (let nowUs = 0; nowUs < untilUs; nowUs += 1000) {
    meanwhile(nowUs);
    if (!limits.mayStart(nowUs, COPY_KIND.resync, 0)) continue;
    limits.copied(nowUs, COPY_KIND.resync, MIB);
    chunks++;
  }
  return chunks;
}

const nothing = (): void => undefined;

test('a bandwidth is kept over time, whether clients are at work or not', (t) => {
  const one = site({ policy: 'favorApplication', bandwidthKbps: 10 * 1024 });
  const chunks = copied(one, 10 * SECOND, nothing);
  t.true(chunks >= 99 && chunks <= 101, `${chunks} MiB in 10 s`);
});

test('without a bandwidth only the number of copies at a time counts', (t) => {
  const { limits, copies } = site({ policy: 'limitConcurrent', concurrentIos: 2 });
  const work = copies.of(COPY_KIND.rebuild);
  t.true(limits.mayStart(0, COPY_KIND.rebuild, 0));
  work.running = 1;
  t.true(limits.mayStart(0, COPY_KIND.rebuild, 0));
  work.running = 2;
  t.false(limits.mayStart(0, COPY_KIND.rebuild, 0));
  // Each kind has limits of its own.
  t.true(limits.mayStart(0, COPY_KIND.resync, 0));
  t.is(limits.nextDeadlineUs(), Infinity, 'the end of another copy is awaited');
});

test('without limits as many are under way as fit', (t) => {
  const { limits, copies } = site({ policy: 'unlimited' });
  copies.of(COPY_KIND.rebuild).running = 3;
  t.true(limits.mayStart(0, COPY_KIND.rebuild, 0));
  copies.of(COPY_KIND.rebuild).running = 4;
  t.false(limits.mayStart(0, COPY_KIND.rebuild, 0));
});

test('dynamic limits hold while clients are at work and for a quiet period after that', (t) => {
  const one = site({
    ...{ policy: 'dynamicBandwidth', bandwidthKbps: 10 * 1024 },
    ...{ appIops: 100, appKbps: 1e6, quietMs: 2000 },
  });
  // Clients are at work already, and go on with 200 requests a second for 4 s: the limit holds for about 6 s.
  one.clients.writeOps = 1000;
  let byLimit = 0;
  const all = copied(one, 10 * SECOND, (nowUs) => {
    if (nowUs < 4 * SECOND && nowUs % 5000 === 0) one.clients.readOps++;
    if (nowUs === 5 * SECOND) byLimit = one.copies.of(COPY_KIND.resync).readOps;
  });
  t.true(byLimit >= 45 && byLimit <= 60, `${byLimit} MiB in 5 s with clients`);
  t.true(all > 1000, `${all} MiB when they had gone`);
});

test('a copy that has to wait for its bandwidth is told when to ask again', (t) => {
  const { limits } = site({ policy: 'favorApplication', bandwidthKbps: 1024 * 1024 });
  t.true(limits.mayStart(0, COPY_KIND.resync, 0));
  limits.copied(0, COPY_KIND.resync, 64 * MIB);
  t.false(limits.mayStart(0, COPY_KIND.resync, 0));
  t.is(limits.nextDeadlineUs(), 62_500);
  limits.tick(62_500);
  t.true(limits.mayStart(62_500, COPY_KIND.resync, 0));
  t.is(limits.nextDeadlineUs(), Infinity);
});

test('rebuilds that are switched off hold up neither moves nor what clients wait for', (t) => {
  const { limits } = site({ policy: 'unlimited' }, false);
  t.false(limits.mayStart(0, COPY_KIND.resync, 0));
  t.false(limits.mayStart(0, COPY_KIND.rebuild, 0));
  t.true(limits.mayStart(0, COPY_KIND.rebalance, 0));
  t.true(limits.mayStart(0, COPY_KIND.awaited, 0));
});

test('many sources of one target together keep its bandwidth, and take turns', (t) => {
  const policy = { policy: 'favorApplication', bandwidthKbps: 10 * 1024 } as const;
  const target = site(policy).limits;
  const sources = Array.from({ length: 8 }, () => ({ ...site(policy), afterUs: 0, chunks: 0 }));
  for (let nowUs = 0; nowUs < 10 * SECOND; nowUs += 1000)
    for (const source of sources) {
      if (!source.limits.mayStart(nowUs, COPY_KIND.rebuild, source.afterUs)) continue;
      source.limits.copied(nowUs, COPY_KIND.rebuild, MIB);
      target.arrived(nowUs, COPY_KIND.rebuild, MIB);
      source.afterUs = nowUs + 1000 * target.waitMs(nowUs, COPY_KIND.rebuild);
      source.chunks++;
    }
  const chunks = sources.map((source) => source.chunks);
  const all = chunks.reduce((sum, one) => sum + one, 0);
  // Each begins at once, before anybody knows of the others.
  t.true(all >= 98 && all <= 108, `${all} MiB in 10 s`);
  t.true(Math.max(...chunks) - Math.min(...chunks) <= 1, chunks.join());
});

test('a target asks to be spared by kind, and not where its policy has no bandwidth', (t) => {
  const { limits } = site({ policy: 'limitConcurrent' });
  limits.arrived(0, COPY_KIND.rebuild, 64 * MIB);
  t.false(limits.isSated(0));
  // The pool's other policy: 10 MB/s while clients are at work.
  const { limits: busy, clients } = site({ policy: 'favorApplication', bandwidthKbps: 1024 });
  busy.arrived(0, COPY_KIND.rebalance, MIB);
  t.false(busy.isSated(0), 'no client is at work');
  busy.arrived(0, COPY_KIND.resync, MIB);
  t.deepEqual(
    [COPY_KIND.resync, COPY_KIND.rebuild, COPY_KIND.rebalance].map((kind) => busy.waitMs(0, kind)),
    [1000, 0, 0],
  );
  clients.writeOps = 1000;
  busy.arrived(SECOND, COPY_KIND.rebalance, MIB);
  t.is(busy.waitMs(SECOND, COPY_KIND.rebalance), 100);
  t.false(busy.isSated(2 * SECOND));
});

test('a source that is asked to wait looks again when that is over', (t) => {
  const { limits } = site({ policy: 'unlimited' });
  t.false(limits.mayStart(0, COPY_KIND.resync, 70_000));
  t.is(limits.nextDeadlineUs(), 70_000);
  t.true(limits.mayStart(70_000, COPY_KIND.resync, 70_000));
});

test('clients that do little count, unless an operator says otherwise', (t) => {
  const one = site({});
  // 27 requests a second; not so many that a look of 100 ms always finds some.
  const chunks = copied(one, 10 * SECOND, (nowUs) => {
    if (nowUs % 37_000 === 0) one.clients.readOps++;
  });
  // 20 MB/s, after the first look; without a limit it would be one each millisecond.
  t.true(chunks <= 400, `${chunks} MiB in 10 s`);
});
