// npm run scale in small: the same measurements of a few servers, whose outcome is known, and its command line.

import test from 'ava';
import { parseScaleArguments } from '../../../backend/sim/scale/arguments.js';
import { ScaleCluster } from '../../../backend/sim/scale/cluster.js';
import { Disks } from '../../../backend/sim/scale/disks.js';
import { measureFailure, measureQuiet } from '../../../backend/sim/scale/failure.js';
import { measureGrowth } from '../../../backend/sim/scale/growth.js';
import { measureRebuild } from '../../../backend/sim/scale/rebuild.js';

test('a server dies: each of its combs changes once, and everybody hears of it', (t) => {
  const cluster = new ScaleCluster(
    {
      ...{ servers: 12, combCountLog2: 9, combsPerPair: 0, clients: 3 },
      ...{ diskBytesPerSecond: 1e9, serverBytes: 2 ** 27 },
    },
    () => undefined,
  );
  const quiet = measureQuiet(cluster);
  // Two heartbeats of each server and one of each client, four times a second.
  t.is(quiet.heartbeatsPerSecond, 4 * (2 * 12 + 3));
  const failure = measureFailure(cluster, quiet);
  t.true(failure.combs > 0 && failure.primaries > 0 && failure.primaries < failure.combs);
  t.is(failure.combsWithoutChange, 0);
  t.is(failure.changes, failure.combs);
  t.is(failure.mostChangesOfOneComb, 1);
  t.true(failure.allHeardMs >= failure.committedMs && failure.committedMs > 1000);
  t.true(failure.mapBytesPerClient > 0 && failure.mapBytesPerServer > 0);
});

test('all survivors rebuild: twice the servers need about half the time', (t) => {
  const few = measureRebuild(5, 8);
  const many = measureRebuild(9, 8);
  // A pool gets its combs with its devices: 16 for each two of them, a power of two, and 256 at least.
  t.is(few.poolCombs, 256);
  t.is(many.poolCombs, 1024);
  t.true(few.combs > 0 && few.seconds >= few.idealSeconds * 0.9);
  t.true(many.seconds < few.seconds * 0.55, `${few.seconds} s, ${many.seconds} s`);
});

test('a server more adds its share', (t) => {
  const [row] = measureGrowth([4], 10);
  t.is(row?.servers, 5);
  t.true((row?.reads ?? 0) > 4.5 && (row?.reads ?? 0) <= 5.001, String(row?.reads));
  t.true((row?.writes ?? 0) > 2.2 && (row?.writes ?? 0) <= 2.501, String(row?.writes));
  t.true((row?.readsShare ?? 0) > 0.95);
});

/** Time and what happens at it. */
class Hours {
  nowUs = 0;
  private readonly events: { timeUs: number; run: (nowUs: number) => void }[] = [];

  at(timeUs: number, run: (nowUs: number) => void): void {
    this.events.push({ timeUs, run });
  }

  run(untilUs: number): void {
    for (;;) {
      this.events.sort((one, other) => one.timeUs - other.timeUs);
      const next = this.events[0];
      if (next === undefined || next.timeUs > untilUs) break;
      this.events.shift();
      this.nowUs = next.timeUs;
      next.run(this.nowUs);
    }
    this.nowUs = untilUs;
  }
}

test('copies share the disks that they have in common', (t) => {
  const world = new Hours();
  const disks = new Disks(world, 1e6);
  const ended = new Map<string, number>();
  const copy = (from: number, to: number): void => {
    disks.copy(from, to, 1e6, (nowUs) => ended.set(`${from}-${to}`, nowUs / 1e6));
  };
  copy(1, 2);
  copy(1, 3);
  copy(4, 5);
  world.run(1e7);
  t.deepEqual(
    [...ended].map(([name, seconds]) => [name, Math.round(seconds * 10) / 10]),
    [
      ['4-5', 1],
      ['1-2', 2],
      ['1-3', 2],
    ],
  );
  copy(1, 2);
  disks.lose(2);
  ended.clear();
  world.run(2e7);
  t.is(ended.size, 0, 'what was copied to a lost disk never ends');
  t.is(disks.size, 0);
});

test('a command line that cannot be used is refused with what would be right', (t) => {
  t.deepEqual(parseScaleArguments([]), {
    parts: ['failure', 'rebuild', 'growth'],
    ...{ servers: 1024, combCountLog2: 17, clients: 64, json: null },
  });
  t.deepEqual(parseScaleArguments(['--parts', 'growth,failure', '--combs', '1024']).parts, [
    'failure',
    'growth',
  ]);
  for (const [args, words] of [
    [['--parts', 'all'], /--parts "all" is not known; there are failure, rebuild, growth/],
    [['--sds', '2'], /--sds must be a whole number from 3 to 1024, is "2"/],
    [['--combs', '1000'], /power of two/],
    [['--sdcs', 'x'], /--sdcs must be a whole number/],
    [['--sdss', '3'], /Unknown option '--sdss'/],
  ] as const)
    t.throws(() => parseScaleArguments(args), { message: words });
});
