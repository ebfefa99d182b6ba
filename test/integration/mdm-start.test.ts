import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import test from 'ava';
import type { ExecutionContext } from 'ava';

import { ClusterError } from '../../backend/runtime/cluster.js';
import { MdmProcess } from './mdm-process.js';

async function process(t: ExecutionContext): Promise<MdmProcess> {
  const mdm = new MdmProcess();
  t.teardown(() => mdm.cleanUp());
  await mdm.configure();
  return mdm;
}

test('a new system has the configured administrator, and ends cleanly on SIGTERM', async (t) => {
  const mdm = await process(t);
  mdm.start();
  const session = mdm.session();
  const [user] = await session.query('user');
  t.is(user?.name, 'admin');
  t.is(user?.role, 'administrator');
  t.deepEqual([...(user?.salt ?? [])], new Array(32).fill(0));
  const [system] = await session.query('system');
  t.is(system?.name, 'test');
  t.true((system?.idPrefix ?? 0) > 0);
  t.is(await mdm.end('SIGTERM'), 0);
  mdm.start();
  const [again] = await mdm.session().query('system');
  t.is(again?.idPrefix, system?.idPrefix);
  t.is(again?.installId, system?.installId);
});

test('queries give all pages, and commands their refusals with the filled text', async (t) => {
  const mdm = await process(t);
  mdm.start();
  const session = mdm.session();
  await session.command('ADD_PROTECTION_DOMAIN', 'admin', { name: 'one' });
  const error = await t.throwsAsync(
    session.command('ADD_PROTECTION_DOMAIN', 'admin', { name: 'a b' }),
    { instanceOf: ClusterError },
  );
  t.is(error.info.name, 'NAME_INVALID');
  t.is(error.message, 'The name is invalid: it has a blank or a control character');
  const denied = await t.throwsAsync(
    session.command('ADD_PROTECTION_DOMAIN', 'nobody', { name: 'two' }),
    { instanceOf: ClusterError },
  );
  t.is(denied.info.name, 'PERMISSION_DENIED');
  const invalid = await t.throwsAsync(
    session.command('ADD_PROTECTION_DOMAIN', 'admin', { name: 'x'.repeat(200) }),
    { instanceOf: ClusterError },
  );
  t.is(invalid.info.name, 'NAME_TOO_LONG');
  await Promise.all(
    Array.from({ length: 200 }, (_, number) =>
      session.command('ADD_PROTECTION_DOMAIN', 'admin', { name: `d${number}` }),
    ),
  );
  t.is((await session.query('protectionDomain')).length, 201);
  const keys = (await session.query('protectionDomain')).map(({ key }) => key);
  t.deepEqual(
    keys,
    [...keys].sort((one, other) => one - other),
  );
});

test('nobody without the secret gets an answer', async (t) => {
  const mdm = await process(t);
  mdm.start();
  await mdm.session().clusterState();
  const stranger = mdm.session('cd'.repeat(32), 1500);
  const error = await t.throwsAsync(stranger.clusterState(), { instanceOf: ClusterError });
  t.is(error.info.name, 'NOT_READY');
});

test('a second process on the same addresses is refused and does not depose the first', async (t) => {
  const mdm = await process(t);
  mdm.start();
  const session = mdm.session();
  const { term } = await session.clusterState();
  const other = new MdmProcess();
  t.teardown(() => other.cleanUp());
  other.port = mdm.port;
  await other.configure({ stateDir: mdm.stateDir });
  const { code, text } = await other.refusal();
  t.is(code, 3);
  t.regex(text, /EADDRINUSE/);
  t.is((await session.clusterState()).term, term);
  await session.command('ADD_PROTECTION_DOMAIN', 'admin', { name: 'still' });
});

test('a directory of another system or version, and content that is none, are refused by name', async (t) => {
  const mdm = await process(t);
  mdm.start();
  await mdm.session().clusterState();
  await mdm.end('SIGTERM');
  await mdm.configure({}, 'cd'.repeat(32));
  const foreign = await mdm.refusal();
  t.is(foreign.code, 2);
  t.regex(foreign.text, /metadata\.mdb belongs to another system/);

  const broken = await process(t);
  mkdirSync(join(broken.stateDir, 'store'), { recursive: true });
  writeFileSync(join(broken.stateDir, 'store', 'metadata.mdb'), 'x'.repeat(65536));
  const refused = await broken.refusal();
  t.is(refused.code, 2);
  t.regex(refused.text, /metadata\.mdb cannot be opened/);
});

test('bad configuration is refused with the place and what would be right', async (t) => {
  const mdm = await process(t);
  const cases: readonly (readonly [Record<string, unknown>, RegExp])[] = [
    [{ prt: 1 }, /unknown key "prt".*did you mean "port"/],
    [{ options: { leaseMs: 5 } }, /options\.leaseMs must be >= 50/],
    [{ options: { leaseMS: 500 } }, /did you mean "leaseMs"/],
    [{ addresses: [] }, /addresses/],
    [{ addresses: [{ host: 'example' }] }, /must be an IP address/],
    [{ systemName: 'a b' }, /name is invalid|blank/i],
  ];
  for (const [changes, expected] of cases) {
    await mdm.configure(changes);
    const { code, text } = await mdm.refusal();
    t.is(code, 2, text);
    t.regex(text, expected);
  }
  await mdm.configure();
  chmodSync(mdm.config, 0o644);
  const { code, text } = await mdm.refusal();
  t.is(code, 2);
  t.regex(text, /chmod 600/);
});
