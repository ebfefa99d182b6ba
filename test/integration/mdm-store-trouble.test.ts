// What MDM processes on a real etcd make of a store that cannot be used: full, without a majority, or claimed by another system.
// Each is refused with what is the matter, nothing is changed, and all goes on when the matter is over.

import test from 'ava';

import { ClusterError } from '../../backend/runtime/cluster.js';
import type { MdmSession } from '../../backend/runtime/mdm-session.js';
import { until } from '../support/until.js';
import { MdmNodes } from './mdm-nodes.js';

/** What a command is answered, or that it is done. */
async function answerOf(run: Promise<unknown>): Promise<string> {
  try {
    await run;
    return 'done';
  } catch (error) {
    if (!(error instanceof ClusterError)) throw error;
    return `${error.info.name}: ${error.message}`;
  }
}

const addDomain = (session: MdmSession, name: string): Promise<string> =>
  answerOf(session.command('ADD_PROTECTION_DOMAIN', 'admin', { name }));

const namesOf = async (session: MdmSession): Promise<string[]> =>
  (await session.query('protectionDomain')).map(({ name }) => name).sort();

async function threeMembers(mdms: MdmNodes): Promise<ReadonlyMap<string, number>> {
  mdms.start();
  const keys = await mdms.addStandbys(['mdm3']);
  await mdms.switch(3, [keys.get('mdm2') ?? 0, keys.get('mdm3') ?? 0], []);
  return keys;
}

const JUNK_BYTES = 200_000;
const QUOTA_BYTES = 4_000_000;

test('etcd is full: commands are refused with the cause, and done again when there is room', async (t) => {
  t.timeout(240_000);
  const mdms = new MdmNodes(['127.0.96.1', '127.0.96.2', '127.0.96.3'], false, QUOTA_BYTES);
  t.teardown(() => mdms.cleanUp());
  await threeMembers(mdms);
  const session = mdms.session(20_000);
  t.is(await addDomain(session, 'before'), 'done');
  const etcd = await mdms.etcdClient();
  const value = Buffer.alloc(JUNK_BYTES, 'x').toString('base64');
  let junk = 0;
  const fill = async (): Promise<boolean> => {
    const key = Buffer.from(`/junk/${String(junk).padStart(6, '0')}`).toString('base64');
    try {
      await etcd.ask('kv/put', { key, value }, 5000);
      junk += 1;
      return false;
    } catch (error) {
      return String(error).includes('space exceeded');
    }
  };
  // The members make room as far as they can; what others hold there they leave.
  const refused = await until('a command is refused', async () => {
    while (!(await fill()));
    const answer = await addDomain(session, `full${junk}`);
    return answer.startsWith('STORE_FULL') ? answer : null;
  });
  t.regex(refused, /the metadata store of the MDM cluster is full \(etcd alarm NOSPACE\)/);

  const range = Buffer.from('/junk/').toString('base64');
  const end = Buffer.from('/junk0').toString('base64');
  await etcd.ask('kv/deleterange', { key: range, range_end: end }, 5000);
  const later = await until('commands are done again', async () => {
    const answer = await addDomain(session, 'after');
    return answer === 'done' || answer.startsWith('DOMAIN_NAME_IN_USE') ? answer : null;
  });
  t.truthy(later);
  const names = await namesOf(session);
  t.true(names.includes('before') && names.includes('after'), names.join(' '));
  t.false(names.includes(`full${junk}`), 'what was refused did not happen');
});

test('without a majority of the members nothing is switched, and scli names what is the matter', async (t) => {
  t.timeout(240_000);
  const mdms = new MdmNodes(['127.0.97.1', '127.0.97.2', '127.0.97.3']);
  t.teardown(() => mdms.cleanUp());
  const keys = await threeMembers(mdms);
  const session = mdms.session(20_000);
  t.is(await addDomain(session, 'before'), 'done');
  const before = await session.clusterState();
  const master = await mdms.master();
  const lost = mdms.nodes.filter((node) => node !== master);
  for (const node of lost) {
    const { memberPid } = node;
    await node.end('SIGKILL');
    process.kill(memberPid, 'SIGKILL');
  }
  const alone = { mode: 1, add: [], remove: lost.map(({ name }) => keys.get(name) ?? 0) };
  const direct = mdms.sessionWith(master, 4000);
  // Before the master knows, a command is "maybe applied": what it proposed to etcd comes true when the others are back.
  await until('the master knows that it is none any more', async () =>
    (await answerOf(direct.clusterState())).startsWith('NOT_READY') ? true : null,
  );
  const params = { ...alone, allowFailed: true };
  const answer = await answerOf(direct.command('SWITCH_CLUSTER', 'admin', params));
  t.regex(answer, /^NOT_READY/, 'nobody took the command');
  const { exitCode, stderr } = await mdms.scli('--query_cluster');
  t.is(exitCode, 4);
  const gone = lost.map(({ host }) => `${host}:6611: connect ECONNREFUSED`);
  const whole = 'it is a member of the MDM cluster, whose metadata store (etcd) has no majority';
  for (const part of [...gone, `${master.host}:6611: ${whole}`])
    t.true(stderr.includes(part), `${part} in ${stderr}`);

  for (const node of lost) node.start();
  const after = await until('the cluster works again', () =>
    session.clusterState().catch(() => null),
  );
  t.is(after.mode, before.mode);
  const placesOf = ({ members }: typeof before): unknown =>
    members.map(({ name, role, member }) => [name, role, member]);
  t.deepEqual(placesOf(after), placesOf(before));
  t.deepEqual(await namesOf(session), ['before']);
});

test('an MDM of another system is not taken in, and a prefix that another system claims is left alone', async (t) => {
  t.timeout(240_000);
  const first = new MdmNodes(['127.0.98.1', '127.0.98.2', '127.0.98.3']);
  const second = new MdmNodes(['127.0.98.4']);
  t.teardown(() => Promise.all([first.cleanUp(), second.cleanUp()]));
  await threeMembers(first);
  second.start();
  const session = first.session(20_000);
  const other = second.session(20_000);
  t.is(await addDomain(session, 'first'), 'done');
  await until('the other system is there', () => other.clusterState().catch(() => null));
  t.is(await addDomain(other, 'second'), 'done');
  // Both are configured for the same prefix, and know the same secret: as after a copied installation.
  const standby = { name: '', role: 'manager', clean: false, port: 0 } as const;
  const ports = { clientPort: 0, peerPort: 0 };
  const taken = await answerOf(
    other.command('ADD_STANDBY_MDM', 'admin', { ...standby, ...ports, host: '127.0.98.2' }),
  );
  t.regex(taken, /^MDM_ELSEWHERE: .*it takes part in a cluster; .*force_clean/);
  t.is((await other.clusterState()).members.length, 1);
  t.deepEqual(await namesOf(session), ['first']);
  t.deepEqual(await namesOf(other), ['second']);

  // Somebody else's head stands in the prefix: whoever was master there ends, and writes nothing more.
  const etcd = await first.etcdClient();
  const key = Buffer.from('/meshsan/test/control/head').toString('base64');
  const { kvs } = await etcd.ask('kv/range', { key }, 5000);
  const [head] = kvs as { value: string }[];
  const own = JSON.parse(Buffer.from(head?.value ?? '', 'base64').toString()) as object;
  const claim = { ...own, fingerprint: 'f'.repeat(32) };
  const put = (value: object): Promise<unknown> => {
    const text = Buffer.from(JSON.stringify(value)).toString('base64');
    return etcd.ask('kv/put', { key, value: text }, 5000);
  };
  const content = (): Promise<string> => {
    const [from, to] = ['/meshsan/test/data/', '/meshsan/test/data0'].map((name) =>
      Buffer.from(name).toString('base64'),
    );
    return etcd
      .ask('kv/range', { key: from, range_end: to }, 5000)
      .then((answer) => JSON.stringify(answer['kvs']));
  };
  const before = await content();
  await put(claim);
  const managers = first.nodes.slice(0, 2);
  await until('both managers say whose it is, and end', () =>
    managers.every((node) => node.log().includes('belongs to another system')) ? true : null,
  );
  t.is(await content(), before, 'nothing was changed');
  await put(own);
  for (const node of managers) {
    await node.end('SIGKILL');
    node.start();
  }
  await until('the system goes on', () => session.clusterState().catch(() => null));
  t.deepEqual(await namesOf(session), ['first']);
});
