// The MDM cluster changed while commands run: one MDM with a store of its own, three, five, and back. Whatever happens
// meanwhile, every acknowledged command is there.

import test from 'ava';

import { ClusterError } from '../../backend/runtime/cluster.js';
import { changed } from '../../backend/runtime/cluster-change.js';
import type { MdmSession } from '../../backend/runtime/mdm-session.js';
import { until } from '../support/until.js';
import { Load } from './mdm-load.js';
import { MdmNodes } from './mdm-nodes.js';

/** What is answered; asked again while the master goes from one to another. */
async function refusal(run: () => Promise<unknown>): Promise<string> {
  return until('there is an answer', async () => {
    try {
      await run();
      return 'done';
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      const { class: kind, name } = error.info;
      return kind === 'maybe' || kind === 'retry' ? null : `${name}: ${error.message}`;
    }
  });
}

const membersOf = async (reader: MdmSession): Promise<string[]> => {
  const { members } = await reader.clusterState();
  return members.filter(({ member }) => member).map(({ name }) => name);
};

test('one, three, five, three members and one again, under a load of commands', async (t) => {
  t.timeout(280_000);
  const mdms = new MdmNodes([1, 2, 3, 4, 5].map((host) => `127.0.93.${host}`));
  t.teardown(() => mdms.cleanUp());
  mdms.start();
  const keys = await mdms.addStandbys(['mdm3', 'mdm5']);
  const key = (name: string): number => keys.get(name) ?? 0;
  const load = new Load(mdms.session(5000));
  const reader = mdms.session(20_000);
  t.teardown(() => load.stop());
  await load.start(mdms.session(120_000));
  const step = async (
    mode: number,
    add: readonly string[],
    remove: readonly string[],
    after: readonly string[],
  ): Promise<void> => {
    await mdms.switch(mode, add.map(key), remove.map(key));
    t.deepEqual((await membersOf(reader)).sort(), [...after].sort());
    t.is((await reader.clusterState()).mode, mode);
    await load.goesOn();
    t.is(await load.fault(reader), null, `mode ${mode}`);
  };
  await step(3, ['mdm2', 'mdm3'], [], ['mdm1', 'mdm2', 'mdm3']);
  await step(5, ['mdm4', 'mdm5'], [], ['mdm1', 'mdm2', 'mdm3', 'mdm4', 'mdm5']);

  // Another manager becomes the master.
  const before = await mdms.master();
  const other = before.name === 'mdm2' ? 'mdm4' : 'mdm2';
  await reader.command('SWITCH_MDM_OWNERSHIP', 'admin', { key: key(other) });
  await until(`${other} is the master`, async () =>
    (await reader.clusterState()).name === other ? true : null,
  );
  await reader.command('SWITCH_MDM_OWNERSHIP', 'admin', { key: key('mdm1') });
  await until('mdm1 is the master', async () =>
    (await reader.clusterState()).name === 'mdm1' ? true : null,
  );

  await step(3, [], ['mdm2', 'mdm3'], ['mdm1', 'mdm4', 'mdm5']);
  // One is exchanged for another while both are there, as when a controller is replaced.
  await step(3, ['mdm2'], ['mdm4'], ['mdm1', 'mdm2', 'mdm5']);
  await step(1, [], ['mdm2', 'mdm5'], ['mdm1']);
  await until('those that left run nothing any more', () =>
    mdms.nodes.every(({ memberPid }) => memberPid === 0) ? true : null,
  );
  await step(3, ['mdm4', 'mdm3'], [], ['mdm1', 'mdm3', 'mdm4']);
  await load.stop();
  t.is(await load.fault(reader), null);
});

test('a switch that cannot come about is refused, or given up, and changes nothing', async (t) => {
  t.timeout(280_000);
  const mdms = new MdmNodes([1, 2, 3, 4].map((host) => `127.0.94.${host}`));
  t.teardown(() => mdms.cleanUp());
  mdms.start();
  const keys = await mdms.addStandbys(['mdm3']);
  const key = (name: string): number => keys.get(name) ?? 0;
  const reader = mdms.session(20_000);
  const ask = (
    mode: number,
    add: readonly string[],
    remove: readonly string[],
    allowFailed = false,
  ): Promise<string> =>
    refusal(() =>
      reader.command('SWITCH_CLUSTER', 'admin', {
        ...{ mode, add: add.map(key), remove: remove.map(key), allowFailed },
      }),
    );
  t.regex(await ask(1, [], []), /CLUSTER_MODE_SAME/);
  t.regex(await ask(3, ['mdm2', 'mdm4'], []), /this would make 3 and 0/);
  t.regex(await ask(3, ['mdm2', 'mdm3'], ['mdm1']), /MASTER_STAYS/);
  const standby = { role: 'manager', clean: false, port: 0, clientPort: 0, peerPort: 0 } as const;
  const add = (host: string): Promise<string> =>
    refusal(() => reader.command('ADD_STANDBY_MDM', 'admin', { ...standby, name: '', host }));
  t.regex(await add('127.0.94.2'), /MDM_EXISTS: .*mdm2 has the address/);
  t.regex(await add('127.0.94.9'), /MDM_NOT_CONNECTED: .*127.0.94.9/);

  const [, second, third] = mdms.nodes;
  if (second === undefined || third === undefined) throw new Error('four nodes');
  await second.end('SIGKILL');
  await until('the master knows that it does not answer', async () => {
    const { members } = await reader.clusterState();
    return members.some(({ name, up }) => name === 'mdm2' && !up) ? true : null;
  });
  t.regex(await ask(3, ['mdm2', 'mdm3'], []), /MDM_NOT_CONNECTED: .*mdm2/);
  second.start();
  await until('it answers again', async () => {
    const { members } = await reader.clusterState();
    return members.every(({ up }) => up) ? true : null;
  });
  await mdms.switch(3, [key('mdm2'), key('mdm3')], []);

  // Without a majority nothing is changed; a member that is lost for good is replaced.
  const lost = (await mdms.master()).name === 'mdm2' ? mdms.nodes[0] : second;
  const { memberPid } = lost ?? third;
  await lost?.end('SIGKILL');
  process.kill(memberPid, 'SIGKILL');
  // Whoever has just become the master does not know yet that the others answer.
  await until('only that is refused which is lost', async () => {
    const { members } = await reader.clusterState();
    if (members.some(({ name, up }) => up === (name === lost?.name))) return null;
    return (await ask(3, ['mdm4'], [lost?.name ?? ''])).includes('allow_leave_failed')
      ? true
      : null;
  });
  t.regex(await ask(1, [], ['mdm3']), /MDM_COUNT_WRONG/);
  await mdms.switch(3, [key('mdm4')], [key(lost?.name ?? '')], true);
  t.deepEqual(
    (await membersOf(reader)).sort(),
    ['mdm1', 'mdm2', 'mdm3', 'mdm4'].filter((name) => name !== lost?.name),
  );
});

for (const [what, delays] of [
  ['to three members', [0, 150, 400, 800, 1500]],
  ['to one member', [0, 60, 150, 400]],
] as const)
  test(`the master is killed while the cluster is switched ${what}, and loses nothing`, async (t) => {
    t.timeout(290_000);
    const net = what === 'to one member' ? 95 : 96;
    const mdms = new MdmNodes([1, 2, 3].map((host) => `127.0.${net}.${host}`));
    t.teardown(() => mdms.cleanUp());
    mdms.start();
    const keys = await mdms.addStandbys(['mdm3']);
    const others = [keys.get('mdm2') ?? 0, keys.get('mdm3') ?? 0];
    const load = new Load(mdms.session(5000));
    t.teardown(() => load.stop());
    await load.start(mdms.session(120_000));
    const reader = mdms.session(60_000);
    const home = async (): Promise<void> => {
      const { mode } = await reader.clusterState();
      if (mode === 1) return;
      // Refused for as long as mdm1, which has just started anew, is not known to be up.
      await until('mdm1 is the master', async () => {
        if ((await reader.clusterState()).name === 'mdm1') return true;
        const params = { key: keys.get('mdm1') ?? 0 };
        await reader.command('SWITCH_MDM_OWNERSHIP', 'admin', params).catch(() => undefined);
        return null;
      });
    };
    for (const delayMs of delays) {
      const isAway = what === 'to one member';
      if (isAway) await mdms.switch(3, others, []);
      await home();
      const master = await mdms.master();
      const params = {
        allowFailed: false,
        ...(isAway ? { mode: 1, add: [], remove: others } : { mode: 3, add: others, remove: [] }),
      };
      const { job } = await reader.command('SWITCH_CLUSTER', 'admin', params);
      await new Promise((done) => setTimeout(done, delayMs));
      await master.end('SIGKILL');
      master.start();
      await changed(reader, job);
      const { mode } = await reader.clusterState();
      t.is(mode, params.mode, `killed after ${delayMs} ms`);
      await load.goesOn();
      t.is(await load.fault(reader), null, `killed after ${delayMs} ms`);
      await home();
      if (!isAway) await mdms.switch(1, [], others);
    }
  });
