// An MDM cluster of real processes on a real etcd: whatever minority fails, every acknowledged command survives and the API
// answers again. How long that took is printed, and bounded only against hanging.

import test from 'ava';

import { ClusterError } from '../../backend/runtime/cluster.js';
import { identify } from '../../backend/runtime/processes.js';
import { until } from '../support/until.js';
import { Load } from './mdm-load.js';
import { MdmNodes } from './mdm-nodes.js';

test('kill -9 of the master, of the node with the leader of etcd, and a stop of the master lose nothing', async (t) => {
  t.timeout(290_000);
  const mdms = new MdmNodes(['127.0.92.1', '127.0.92.2', '127.0.92.3']);
  t.teardown(() => mdms.cleanUp());
  mdms.start();
  const keys = await mdms.addStandbys(['mdm3']);
  await mdms.switch(3, [keys.get('mdm2') ?? 0, keys.get('mdm3') ?? 0], []);
  const load = new Load(mdms.session(5000));
  const reader = mdms.session(5000);
  t.teardown(() => load.stop());
  await load.start(mdms.session(120_000));
  await load.goesOn();
  let term = 0;
  const check = async (what: string): Promise<void> => {
    const state = await until(`${what}: the API answers`, () =>
      reader.clusterState().catch(() => null),
    );
    t.true(state.term > term, what);
    t.is(state.mode, 3);
    t.deepEqual(
      state.members.map(({ name, role, master }) => [name, role, master]),
      mdms.nodes.map(({ name }, index) => [
        ...[name, index < 2 ? 'manager' : 'tieBreaker', name === state.name],
      ]),
    );
    ({ term } = state);
    t.is(await load.fault(reader), null, what);
  };
  await check('at the start');

  const killed = await mdms.master();
  await killed.end('SIGKILL');
  t.log(`master killed: the API answers again after ${await load.goesOn()} ms`);
  await check('master killed');
  t.not((await mdms.master()).name, killed.name);
  killed.start();

  const leader = await mdms.leader();
  const { memberPid } = leader;
  await leader.end('SIGKILL');
  process.kill(memberPid, 'SIGKILL');
  t.log(`node with the leader of etcd killed: answers after ${await load.goesOn()} ms`);
  leader.start();
  await until('the killed node has its member again', () =>
    leader.memberPid !== memberPid && leader.memberPid > 0 ? true : null,
  );

  await until('two MDMs run', () => (killed.starts >= 2 && leader.starts >= 2 ? true : null));
  const { term: before } = await until('the API answers', () =>
    reader.clusterState().catch(() => null),
  );
  term = before;
  const stopped = await mdms.master();
  const direct = mdms.sessionWith(stopped, 20_000);
  await direct.clusterState();
  stopped.child?.kill('SIGSTOP');
  t.log(`master stopped: answers after ${await load.goesOn()} ms`);
  await check('master stopped');
  const late = direct.clusterState().then(
    (state) => state.term,
    (error: unknown) => error,
  );
  stopped.child?.kill('SIGCONT');
  const answer = await late;
  t.true(answer instanceof ClusterError || answer === term, 'no answer of the old mastership');

  const ended = await mdms.master();
  const endedPid = ended.memberPid;
  t.is(await ended.end('SIGTERM'), 0);
  t.log(`master told to end: answers after ${await load.goesOn()} ms`);
  await until('the master knows that a member is down', async () => {
    const { members } = await reader.clusterState().catch(() => ({ members: [] }));
    return members.length > 0 && members.every(({ name, up }) => up === (name !== ended.name))
      ? true
      : null;
  });
  t.is(identify(endedPid), null, 'its member ended with it');
  await load.stop();
  await check('at the end');
});
