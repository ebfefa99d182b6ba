// What MDM processes on a real etcd make of a store that cannot be used: full, without a majority, or claimed by another system.
// Each is refused with what is the matter, nothing is changed, and all goes on when the matter is over.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

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
