// Logins, tokens and the conventions of every request, over real HTTPS.

import { request as httpsRequest } from 'node:https';

import test from 'ava';

import { ClusterError } from '../../backend/runtime/cluster.js';
import { makeAuthority } from '../../backend/runtime/tls-certificates.js';
import { GatewayHarness, at } from '../support/gateway-harness.js';
import { MemoryCluster } from '../support/memory-cluster.js';

const auth = (
  password: string,
  username = '',
): { auth: { username: string; password: string } } => ({
  auth: { username, password },
});

let gateway: GatewayHarness;
test.before(async () => {
  gateway = await GatewayHarness.start();
});
test.after.always(() => gateway.stop());

test('login answers a JSON string that is good as the password of any user', async (t) => {
  const login = await gateway.send('GET', '/api/login', auth('Correct-1', 'admin'));
  t.is(login.status, 200);
  t.is(typeof login.json, 'string');
  t.true(login.text.startsWith('"') && login.text.endsWith('"'));
  for (const user of ['', 'admin', 'whoever']) {
    const answer = await gateway.send(
      'GET',
      '/api/types/System/instances',
      auth(String(login.json), user),
    );
    t.is(answer.status, 200);
  }
  const bearer = { headers: { authorization: `Bearer ${String(login.json)}` } };
  t.is((await gateway.send('GET', '/api/types/System/instances', bearer)).status, 200);
});

test('a wrong password and an unknown user get the same 401', async (t) => {
  const answers = [
    await gateway.send('GET', '/api/login', auth('wrong', 'admin')),
    await gateway.send('GET', '/api/login', auth('wrong', 'nobody')),
    await gateway.send('GET', '/api/login'),
    await gateway.send('GET', '/api/types/Volume/instances', auth('None', 'admin')),
  ];
  for (const answer of answers) {
    t.is(answer.status, 401);
    t.deepEqual(answer.json, { message: 'Unauthorized', httpStatusCode: 401, errorCode: 0 });
    t.regex(String(answer.headers['www-authenticate']), /^Basic/);
    t.regex(String(answer.headers['content-type']), /^application\/json/);
  }
});

test('the version is a quoted string, with and without credentials', async (t) => {
  t.is((await gateway.send('GET', '/api/version')).text, '"3.5"');
  t.is((await gateway.send('GET', '/api/version', auth('Correct-1', 'admin'))).text, '"3.5"');
});

test('a token ends with logout, and 4.x clients log in and out by POST', async (t) => {
  const token = await gateway.login();
  t.is((await gateway.send('GET', '/api/logout', auth(token))).status, 200);
  t.is((await gateway.send('GET', '/api/types/System/instances', auth(token))).status, 401);

  const login = await gateway.send('POST', '/rest/auth/login', {
    data: { username: 'admin', password: 'Correct-1' },
  });
  t.is(login.status, 200);
  const headers = { authorization: `Bearer ${String(at(login.json, 'access_token'))}` };
  const logout = await gateway.send('POST', '/rest/auth/logout', {
    headers,
    data: { refresh_token: at(login.json, 'refresh_token') },
  });
  t.is(logout.status, 204);
  t.is(logout.text, '');
  t.is((await gateway.send('GET', '/api/types/System/instances', { headers })).status, 401);
});

test('a token of one gateway is good at another of the same system, and at no other', async (t) => {
  const sibling = await GatewayHarness.start(gateway.cluster);
  const elsewhere = await GatewayHarness.start(gateway.cluster, new Uint8Array(32).fill(9));
  const otherSystem = await MemoryCluster.make();
  otherSystem.tables.system = otherSystem.tables.system.map((one) => ({ ...one, idPrefix: 77 }));
  const sameSecret = await GatewayHarness.start(otherSystem);
  try {
    const token = await gateway.login();
    const ask = (where: GatewayHarness): Promise<{ status: number }> =>
      where.send('GET', '/api/types/System/instances', auth(token));
    t.is((await ask(sibling)).status, 200);
    t.is((await ask(elsewhere)).status, 401);
    t.is((await ask(sameSecret)).status, 401);
  } finally {
    await Promise.all([sibling.stop(), elsewhere.stop(), sameSecret.stop()]);
  }
});

test('a forged token is refused wherever it was changed', async (t) => {
  const token = await gateway.login();
  const [form, content = '', mac = ''] = token.split('.');
  const claims = JSON.parse(Buffer.from(content, 'base64url').toString()) as Record<
    string,
    unknown
  >;
  const raised = Buffer.from(JSON.stringify({ ...claims, user: 'root' })).toString('base64url');
  for (const forged of [
    `${String(form)}.${raised}.${mac}`,
    `${String(form)}.${content}.${mac.slice(0, -2)}AA`,
    `${String(form)}.${content}`,
    `${token}.x`,
    '',
  ])
    t.is((await gateway.send('GET', '/api/types/System/instances', auth(forged))).status, 401);
});

test('a token ends after 8 hours, after 10 idle minutes, and with the password', async (t) => {
  const own = await GatewayHarness.start();
  try {
    const ask = async (token: string): Promise<number> =>
      (await own.send('GET', '/api/types/System/instances', auth(token))).status;
    own.stoppedAtMs = Date.now();
    const idle = await own.login();
    own.clockAheadMs = 9 * 60_000;
    t.is(await ask(idle), 200);
    own.clockAheadMs = 18 * 60_000;
    t.is(await ask(idle), 200);
    own.clockAheadMs = 29 * 60_000;
    t.is(await ask(idle), 401);

    own.clockAheadMs = 0;
    const old = await own.login();
    for (let minutes = 0; minutes < 8 * 60; minutes += 8) {
      own.clockAheadMs = minutes * 60_000;
      t.is(await ask(old), 200);
    }
    own.clockAheadMs = (8 * 60 + 1) * 60_000;
    t.is(await ask(old), 401);

    own.clockAheadMs = 0;
    const beforeChange = await own.login('watcher');
    t.is(await ask(beforeChange), 200);
    own.cluster.tables.user = own.cluster.tables.user.map((user) =>
      user.name === 'watcher' ? { ...user, salt: new Uint8Array(32) } : user,
    );
    own.clockAheadMs = 60_000;
    t.is(await ask(beforeChange), 401);
  } finally {
    await own.stop();
  }
});

test('guessing is slowed down without locking out another client name', async (t) => {
  const own = await GatewayHarness.start();
  own.stoppedAtMs = Date.now();
  try {
    for (let tries = 0; tries < 5; tries += 1)
      await own.send('GET', '/api/login', auth(`wrong ${tries}`, 'admin'));
    t.is((await own.send('GET', '/api/login', auth('Correct-1', 'admin'))).status, 401);
    t.is((await own.send('GET', '/api/login', auth('Correct-1', 'watcher'))).status, 200);
    own.clockAheadMs = 2_000;
    t.is((await own.send('GET', '/api/login', auth('Correct-1', 'admin'))).status, 200);
  } finally {
    await own.stop();
  }
});

test('malformed and oversized bodies get a JSON answer and change nothing', async (t) => {
  const token = await gateway.login();
  const path = '/api/types/Volume/instances';
  const send = (data: string): ReturnType<GatewayHarness['send']> =>
    gateway.send('POST', path, {
      ...auth(token),
      data,
      headers: { 'content-type': 'application/json' },
    });
  const before = gateway.cluster.asked.length;
  const malformed = await send('{"name": ');
  t.is(malformed.status, 400);
  t.regex(String(at(malformed.json, 'message')), /not well-formed JSON/);
  t.is((await send('[1]')).status, 400);
  t.is((await send('"text"')).status, 400);
  const large = await send(JSON.stringify({ name: 'x'.repeat(1024 * 1024) }));
  t.is(large.status, 413);
  t.is(at(large.json, 'httpStatusCode'), 413);
  t.is(gateway.cluster.asked.length, before);
});

test('a body nested deeper than the stack is refused, and the gateway lives on, also before a login', async (t) => {
  const levels = 100_000;
  const arrays = '['.repeat(levels) + ']'.repeat(levels);
  const objects = `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;
  for (const data of [arrays, objects]) {
    const headers = { 'content-type': 'application/json' };
    const answer = await gateway.send('POST', '/rest/auth/login', { data, headers });
    t.is(answer.status, 400);
    t.regex(String(at(answer.json, 'message')), /must have at most 32 levels/);
  }
  t.is((await gateway.send('GET', '/api/version')).status, 200);
});

test('any media type is read as JSON, a GET may carry a body, slashes may trail', async (t) => {
  const token = await gateway.login();
  const named = await gateway.send('POST', '/api/types/StoragePool/instances/action/queryIdByKey', {
    ...auth(token),
    data: JSON.stringify({ name: 'pool1', unknownKey: null }),
    headers: { 'content-type': 'application/json;version=2.0' },
  });
  t.is(named.status, 200);
  const withBody = await gateway.send('GET', '/api/instances/', {
    ...auth(token),
    data: '{}',
    headers: { 'content-type': 'application/json' },
  });
  t.is(withBody.status, 200);
  t.is((await gateway.get('/api/types/Volume/instances/')).status, 200);
});

test('unknown paths, types and methods are refused in JSON', async (t) => {
  for (const [method, path, status] of [
    ['GET', '/api/nothing', 404],
    ['GET', '/api/types/Nothing/instances', 404],
    ['POST', '/api/instances/Volume::0000000000000001/action/fly', 404],
    ['GET', '/api/instances/Volume::0000000000000001/action/removeVolume', 405],
  ] as const) {
    const answer = await gateway.call(method, path);
    t.is(answer.status, status, path);
    t.is(at(answer.json, 'httpStatusCode'), status);
    t.is(at(answer.json, 'errorCode'), 0);
  }
});

test('HEAD is answered as GET is, without the body', async (t) => {
  for (const [path, status] of [
    ['/health/live', 200],
    ['/api/version', 200],
    ['/api/types/Volume/instances', 401],
    ['/api/nothing', 404],
  ] as const) {
    const answer = await gateway.send('HEAD', path);
    t.is(answer.status, status, path);
    t.is(answer.text, '');
  }
});

test('answers carry security headers and no sign of the server software', async (t) => {
  const { headers } = await gateway.send('GET', '/api/version');
  t.is(headers['x-content-type-options'], 'nosniff');
  t.is(headers['cache-control'], 'no-store');
  t.truthy(headers['strict-transport-security']);
  t.is(headers['x-powered-by'], undefined);
});

test('neither passwords nor tokens nor internal reasons reach log or answer', async (t) => {
  const own = await GatewayHarness.start();
  try {
    const token = await own.login();
    await own.send('GET', '/api/login', auth('Guessed-9', 'admin'));
    own.cluster.failure = new Error('inner secret detail');
    const failed = await own.send('GET', '/api/types/Volume/instances', auth(token));
    t.is(failed.status, 500);
    t.notRegex(failed.text, /inner secret detail/);
    own.cluster.failure = null;
    const written = JSON.stringify(own.log);
    t.regex(written, /gateway.login.refused/);
    t.notRegex(written, /Guessed-9|Correct-1/);
    t.false(written.includes(token));
  } finally {
    await own.stop();
  }
});

test('without an MDM the version is still said, and everything else is 503', async (t) => {
  const own = await GatewayHarness.start();
  try {
    const token = await own.login();
    own.cluster.failure = ClusterError.named('NOT_READY');
    t.is((await own.send('GET', '/api/version')).status, 200);
    for (const answer of [
      await own.send('GET', '/api/login', auth('Correct-1', 'admin')),
      await own.send('GET', '/api/types/Volume/instances', auth(token)),
    ]) {
      t.is(answer.status, 503);
      t.is(at(answer.json, 'message'), 'The MDM cannot be reached');
    }
    own.cluster.failure = null;
    t.is((await own.send('GET', '/api/types/Volume/instances', auth(token))).status, 200);
  } finally {
    await own.stop();
  }
});

test('a client that trusts another authority refuses the gateway', async (t) => {
  const other = await makeAuthority('another', Date.now());
  const ask = (ca: string, host: string): Promise<string> =>
    new Promise((resolve) => {
      const options = {
        host: '127.0.0.1',
        port: gateway.port,
        path: '/api/version',
        ca,
        servername: host,
      };
      httpsRequest(options, (response) => {
        response.resume();
        resolve('answered');
      })
        .on('error', (error: NodeJS.ErrnoException) => {
          resolve(error.code ?? error.message);
        })
        .end();
    });
  t.is(await ask(gateway.ca, 'localhost'), 'answered');
  t.not(await ask(other.certificate, 'localhost'), 'answered');
  t.is(await ask(gateway.ca, 'elsewhere.example'), 'ERR_TLS_CERT_ALTNAME_INVALID');
});
