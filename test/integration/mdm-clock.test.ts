// Nothing depends on the wall clock: while those of the MDMs of a cluster are set forward and back by an hour, each for itself,
// commands go on under the same master, and a master that takes over under another clock is one like any other.

import test from 'ava';

import { until } from '../support/until.js';
import { Load } from './mdm-load.js';
import { MdmNodes } from './mdm-nodes.js';

const HOUR_MS = 3_600_000;

test('clocks that jump by an hour depose nobody, lose nothing, and keep nobody from taking over', async (t) => {
  t.timeout(240_000);
  const mdms = new MdmNodes(['127.0.95.1', '127.0.95.2', '127.0.95.3'], true);
  t.teardown(() => mdms.cleanUp());
  mdms.start();
  const keys = await mdms.addStandbys(['mdm3']);
  await mdms.switch(3, [keys.get('mdm2') ?? 0, keys.get('mdm3') ?? 0], []);
  const load = new Load(mdms.session(5000));
  const reader = mdms.session(5000);
  t.teardown(() => load.stop());
  await load.start(mdms.session(120_000));
  await load.goesOn();
  const { term } = await reader.clusterState();
  const [first, second, third] = mdms.nodes;
  for (const [one, two, three] of [
    [HOUR_MS, 0, 0],
    [HOUR_MS, -HOUR_MS, HOUR_MS],
    [-HOUR_MS, -HOUR_MS, -HOUR_MS],
    [0, HOUR_MS, 0],
  ] as const) {
    first?.setClock(one);
    second?.setClock(two);
    third?.setClock(three);
    for (let count = 0; count < 20; count++) await load.goesOn();
    t.is((await reader.clusterState()).term, term, `clocks at ${one}, ${two}, ${three} ms`);
  }
  // The next master begins with a clock that is an hour behind, while the one before was an hour ahead.
  const master = await mdms.master();
  const next = mdms.nodes.find(({ name }) => name !== master.name && name !== 'mdm3');
  master.setClock(HOUR_MS);
  next?.setClock(-HOUR_MS);
  await load.goesOn();
  await master.end('SIGKILL');
  await load.goesOn();
  const after = await until('the other one is master', async () => {
    const state = await reader.clusterState().catch(() => null);
    return state !== null && state.term > term ? state : null;
  });
  t.is(after.name, next?.name ?? '');
  t.is(await load.fault(reader), null);
});
