// A gateway whose connections are used up by others, who leave them half used: requests are answered all the same.

import { connect as connectPlain } from 'node:net';
import type { Socket } from 'node:net';
import { connect } from 'node:tls';
import test from 'ava';
import { GatewayHarness } from '../support/gateway-harness.js';
import { MemoryCluster } from '../support/memory-cluster.js';
import { until } from '../support/until.js';

const MAX = 6;

interface Opened {
  readonly socket: Socket;
  readonly text: () => string;
}

/** A connection on which this much was sent, and its answer so far. */
async function opened(harness: GatewayHarness, sent: string | null): Promise<Opened> {
  const { port, ca } = harness;
  const socket =
    sent === null
      ? connectPlain({ host: '127.0.0.1', port })
      : connect({ host: '127.0.0.1', port, ca, servername: 'localhost' });
  let text = '';
  socket.on('data', (data: Buffer) => {
    text += data.toString();
  });
  // Being closed is what happens to some of them.
  socket.on('error', () => undefined);
  await new Promise<void>((done) => {
    socket.once('close', done);
    socket.once(sent === null ? 'connect' : 'secureConnect', () => {
      if (sent === null) done();
      else
        socket.write(sent, () => {
          done();
        });
    });
  });
  return { socket, text: () => text };
}

const HALF_HEAD = 'GET /api/version HTTP/1.1\r\nHost: x\r\nX-Half: ';
const HALF_BODY = 'POST /rest/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n{"user';
const WHOLE = 'GET /api/version HTTP/1.1\r\nHost: x\r\n\r\n';

for (const [what, sent] of [
  ['without a handshake', null],
  ['with half a head', HALF_HEAD],
  ['with half a body, which nobody has logged in for', HALF_BODY],
] as const)
  test(`more connections ${what} than are held: others are answered`, async (t) => {
    const harness = await GatewayHarness.start(undefined, undefined, { connectionsMax: MAX });
    const held: Opened[] = [];
    try {
      for (let i = 0; i < 3 * MAX; i++) held.push(await opened(harness, sent));
      const { status } = await harness.send('GET', '/api/version');
      t.is(status, 200);
      await until('the oldest are closed', () =>
        Promise.resolve(held.slice(0, 2 * MAX).every(({ socket }) => socket.closed) ? true : null),
      );
      const full = harness.log.filter(({ name }) => name === 'connections.full');
      t.is(full.length, 1, 'said once, not with each of them');
    } finally {
      for (const { socket } of held) socket.destroy();
      await harness.stop();
    }
  });

test('a connection whose request is being answered stays, one that waits gives way last', async (t) => {
  const cluster = await MemoryCluster.make();
  const harness = await GatewayHarness.start(cluster, undefined, { connectionsMax: MAX });
  const held: Opened[] = [];
  const add = async (sent: string): Promise<Opened> => {
    const one = await opened(harness, sent);
    held.push(one);
    return one;
  };
  try {
    const waiting = await add(WHOLE);
    await until('its answer', () => Promise.resolve(waiting.text().includes('200 OK') || null));
    const release = cluster.hold();
    const busy = await add('GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n');
    await until('its request is there', () => Promise.resolve(cluster.waiting > 0 || null));
    for (let i = 0; i < 3 * MAX; i++) await add(HALF_HEAD);
    t.false(waiting.socket.closed, 'half requests give way first');
    for (let i = 0; i < 3 * MAX; i++) {
      const other = await add(WHOLE);
      await until('its answer', () => Promise.resolve(other.text().includes('200 OK') || null));
    }
    await until('the one that waited longest is closed', () =>
      Promise.resolve(waiting.socket.closed || null),
    );
    release();
    await until('the answer', () => Promise.resolve(busy.text().includes('"ready"') || null));
    t.pass();
  } finally {
    for (const { socket } of held) socket.destroy();
    await harness.stop();
  }
});
