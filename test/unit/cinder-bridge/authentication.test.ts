// Proof that both ends hold the token.

import test from 'ava';

import { Authentication } from '../../../cinder-bridge/authentication.js';

const TOKEN = new Uint8Array(32).fill(9);
const REQUEST = { method: 'PUT', path: '/v1/volumes/x?y=1', body: Buffer.from('{"a":1}') };

function pair(): { driver: Authentication; bridge: Authentication; clock: { nowMs: number } } {
  const clock = { nowMs: 1_000_000 };
  const now = (): number => clock.nowMs;
  return { driver: new Authentication(TOKEN, now), bridge: new Authentication(TOKEN, now), clock };
}

test('a signed request is accepted once', (t) => {
  const { driver, bridge } = pair();
  const { authorization, nonce } = driver.sign(REQUEST);
  t.is(bridge.accept(authorization, REQUEST), nonce);
  t.is(bridge.accept(authorization, REQUEST), null);
});

test('anything that was changed, and another token, is refused', (t) => {
  const { driver, bridge } = pair();
  for (const change of [
    { method: 'DELETE' },
    { path: '/v1/volumes/z' },
    { body: Buffer.from('{"a":2}') },
  ]) {
    const { authorization } = driver.sign(REQUEST);
    t.is(bridge.accept(authorization, { ...REQUEST, ...change }), null);
  }
  const other = new Authentication(new Uint8Array(32).fill(8), () => 1_000_000);
  t.is(bridge.accept(other.sign(REQUEST).authorization, REQUEST), null);
  for (const header of [undefined, '', 'Bearer x', 'MeshSAN-HMAC 1:2:3'])
    t.is(bridge.accept(header, REQUEST), null);
});

test('an old request is refused, and one from the future too', (t) => {
  const { driver, bridge, clock } = pair();
  const early = driver.sign(REQUEST).authorization;
  clock.nowMs += 121_000;
  t.is(bridge.accept(early, REQUEST), null);
  clock.nowMs += 121_000;
  const late = driver.sign(REQUEST).authorization;
  clock.nowMs -= 121_000;
  t.is(bridge.accept(late, REQUEST), null);
});

test('a replay is refused for as long as its date would count', (t) => {
  const { driver, bridge, clock } = pair();
  clock.nowMs += 119_000;
  const ahead = driver.sign(REQUEST).authorization;
  clock.nowMs -= 119_000;
  t.not(bridge.accept(ahead, REQUEST), null);
  clock.nowMs += 238_000;
  bridge.accept(driver.sign(REQUEST).authorization, REQUEST);
  t.is(bridge.accept(ahead, REQUEST), null);
});

test('an answer is proved for its request, status and body', (t) => {
  const { driver, bridge } = pair();
  const body = Buffer.from('{}');
  const proof = bridge.prove('ab', 200, body);
  t.true(driver.isProof(proof, 'ab', 200, body));
  t.false(driver.isProof(proof, 'ac', 200, body));
  t.false(driver.isProof(proof, 'ab', 404, body));
  t.false(driver.isProof(proof, 'ab', 200, Buffer.from('[]')));
  t.false(driver.isProof('', 'ab', 200, body));
});
