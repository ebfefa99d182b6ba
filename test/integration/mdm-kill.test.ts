import test from 'ava';

import { Prng } from '../../backend/core/prng.js';
import { ClusterError } from '../../backend/runtime/cluster.js';
import { MdmProcess } from './mdm-process.js';

const ROUNDS = 12;

test('kill -9 at any moment keeps every acknowledged command and half of none', async (t) => {
  const mdm = new MdmProcess();
  t.teardown(() => mdm.cleanUp());
  await mdm.configure();
  const prng = new Prng(20260101);
  const acknowledged = new Set<string>();
  const asked = new Set<string>();
  let terms = 0;
  for (let round = 0; round < ROUNDS; round++) {
    mdm.start();
    const session = mdm.session();
    const { term } = await session.clusterState();
    t.true(term > terms, 'each start takes a higher term');
    terms = term;
    const domains = await session.query('protectionDomain');
    const names = new Set(domains.map(({ name }) => name));
    for (const name of acknowledged) t.true(names.has(name), `${name} was acknowledged`);
    for (const name of names) t.true(asked.has(name), `${name} was asked for`);
    t.is(new Set(domains.map(({ key }) => key)).size, domains.length);
    const system = await session.query('system');
    t.true((system[0]?.nextKey ?? 0) > Math.max(0, ...domains.map(({ key }) => key)));
    await addUntilKilled(round);
    session.close();
  }
  t.true(acknowledged.size > ROUNDS, `${acknowledged.size} commands were acknowledged`);

  /** Commands one after the other; at a random one the process is killed at a random moment of its work. */
  async function addUntilKilled(round: number): Promise<void> {
    const session = mdm.session();
    await session.clusterState();
    const last = prng.between(1, 12);
    for (let number = 0; number <= last; number++) {
      const name = `d-${round}-${number}`;
      asked.add(name);
      const answer = session.command('ADD_PROTECTION_DOMAIN', 'admin', { name });
      if (number === last) {
        const delayMs = prng.between(0, 3);
        if (delayMs > 0) await new Promise((done) => setTimeout(done, delayMs));
        await mdm.end('SIGKILL');
      }
      try {
        await answer;
        acknowledged.add(name);
      } catch (error) {
        if (!(error instanceof ClusterError) || number !== last) throw error;
        t.is(error.info.class, 'maybe');
      }
    }
    session.close();
  }
});
