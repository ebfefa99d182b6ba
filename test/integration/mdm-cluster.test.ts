// An MDM cluster of real processes on a real etcd: whatever minority fails, every acknowledged command survives and the API
// answers again. How long that took is printed, and bounded only against hanging.

import test from 'ava';

import { ClusterError } from '../../backend/runtime/cluster.js';
import type { MdmSession } from '../../backend/runtime/mdm-session.js';
import { identify } from '../../backend/runtime/processes.js';
import { until } from '../support/until.js';
import { MdmNodes } from './mdm-nodes.js';

const SLOTS = 8;

/** Commands without pause, each of which gives one of a few objects a higher number. */
class Load {
  private readonly session: MdmSession;
  private readonly slots: { key: number; acknowledged: number; asked: number }[] = [];
  private stopped = false;
  private ended: Promise<void> = Promise.resolve();
  private number = 0;
  private done = 0;

  constructor(session: MdmSession) {
    this.session = session;
  }

  /** Makes the objects, and begins to change them. @param session - one that waits for long */
  async start(session: MdmSession): Promise<void> {
    for (let slot = 0; slot < SLOTS; slot++) {
      const name = `d-${slot}-0`;
      const { key } = await session.command('ADD_PROTECTION_DOMAIN', 'admin', { name });
      this.slots.push({ key, acknowledged: 0, asked: 0 });
    }
    this.ended = this.run();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.ended;
  }

  /** Waits until a command is acknowledged that was asked from now on; how long that took. */
  async goesOn(): Promise<number> {
    const beganMs = Date.now();
    const before = this.number;
    await until('commands are acknowledged', () => (this.done > before ? true : null));
    return Date.now() - beganMs;
  }

  /** What must be there by now: for each object the least number. */
  promised(): ReadonlyMap<number, number> {
    return new Map(this.slots.map(({ key, acknowledged }) => [key, acknowledged]));
  }

  /** The highest number that an object may have by now. */
  asked(key: number): number {
    return this.slots.find((slot) => slot.key === key)?.asked ?? -1;
  }

  private async run(): Promise<void> {
    while (!this.stopped) {
      const number = ++this.number;
      const slot = this.slots[number % SLOTS];
      if (slot === undefined) throw new Error('a slot');
      slot.asked = number;
      const name = `d-${number % SLOTS}-${number}`;
      try {
        await this.session.command('RENAME_PROTECTION_DOMAIN', 'admin', { key: slot.key, name });
        slot.acknowledged = number;
        this.done = number;
      } catch (error) {
        if (!(error instanceof ClusterError)) throw error;
        const { class: kind } = error.info;
        if (kind !== 'maybe' && kind !== 'retry') throw error;
        // A session that was closed refuses at once.
        await new Promise((done) => setTimeout(done, 10));
      }
    }
  }
}

test('kill -9 of the master, of the node with the leader of etcd, and a stop of the master lose nothing', async (t) => {
  t.timeout(290_000);
  const mdms = new MdmNodes(['127.0.92.1', '127.0.92.2', '127.0.92.3']);
  t.teardown(() => mdms.cleanUp());
  mdms.start();
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
    const promised = load.promised();
    const domains = await reader.query('protectionDomain');
    t.is(domains.length, SLOTS);
    for (const { key, name } of domains) {
      const number = Number(name.split('-')[2]);
      const least = promised.get(key) ?? Infinity;
      t.true(number >= least, `${what}: ${number} of ${key}, ${least} was acknowledged`);
      t.true(number <= load.asked(key), `${what}: ${number} of ${key} was never asked for`);
    }
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
