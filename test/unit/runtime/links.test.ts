// Links over real TCP on the loopback: who gets in, what arrives, what happens to a slow, silent or lying other end.

import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

import test from 'ava';
import type { ExecutionContext } from 'ava';

import { crc32 } from '../../../backend/core/checksum.js';
import { bodyOf, decodeBody, encodeCommand, encodeControl } from '../../support/newest.js';
import { HEADER_BYTES, sealFrame, sealHeader } from '../../../backend/protocol/frames.js';
import { ERR, FEATURE, FRAME, LIMIT, MSG } from '../../../backend/protocol/generated/constants.js';
import * as head from '../../../backend/protocol/generated/frame-head.js';
import { handshakeRules } from '../../../backend/runtime/links/authentication.js';
import type { TcpLinksOptions } from '../../../backend/runtime/links/tcp-links.js';
import { Endpoint, SECRET, until } from './endpoint.js';

const viewOf = (frame: Uint8Array): DataView =>
  new DataView(frame.buffer, frame.byteOffset, frame.byteLength);

/** A data frame with a body of a given length, filled with a pattern of its number. */
function dataFrame(number: number, bodyBytes: number): Uint8Array {
  const frame = new Uint8Array(HEADER_BYTES + bodyBytes);
  for (let at = HEADER_BYTES; at < frame.length; at++) frame[at] = (at * 31 + number) & 0xff;
  const view = viewOf(frame);
  head.setMagic(view, 0, FRAME.magic);
  head.setVersion(view, 0, 2);
  head.setCode(view, 0, MSG.FLUSH);
  head.setTag(view, 0, number);
  head.setBodyBytes(view, 0, bodyBytes);
  sealFrame(frame, view, 0);
  return frame;
}

interface Pair {
  readonly server: Endpoint;
  readonly client: Endpoint;
  readonly port: number;
  /** Numbers of the one link at both ends. */
  readonly atServer: number;
  readonly atClient: number;
}

async function serve(
  t: ExecutionContext,
  options: Partial<TcpLinksOptions> = {},
): Promise<{ server: Endpoint; port: number }> {
  const server = new Endpoint('mdm', ['sds', 'sdc'], options);
  const port = await server.links.listen('127.0.0.1', 0);
  t.teardown(() => {
    server.stop();
  });
  return { server, port };
}

function dialer(t: ExecutionContext, ...given: ConstructorParameters<typeof Endpoint>): Endpoint {
  const client = new Endpoint(...given);
  t.teardown(() => {
    client.stop();
  });
  return client;
}

async function pair(t: ExecutionContext, options: Partial<TcpLinksOptions> = {}): Promise<Pair> {
  const { server, port } = await serve(t, options);
  const client = dialer(t, 'sdc', [], options);
  const atClient = client.connect(port);
  await until('the link is up', () => server.ups.length === 1 && client.ups.length === 1);
  return { server, client, port, atServer: server.ups[0]?.link ?? 0, atClient };
}

/** A raw connection that is no link yet. */
async function stranger(t: ExecutionContext, port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => undefined);
  t.teardown(() => socket.destroy());
  await new Promise<void>((resolve) => socket.once('connect', resolve));
  return socket;
}

test('both ends learn who the other one is', async (t) => {
  const { server, port } = await serve(t);
  server.links.identify({ key: 4, incarnation: 9, run: 0, systemId: '5c1a10adcafe0001' });
  const client = dialer(t, 'sdc', []);
  client.links.identify({ key: 42, incarnation: 2, run: 17, systemId: '' });
  const link = client.connect(port, { key: 4, link: 3, linkEpoch: 5 });
  await until('the link is up', () => server.ups.length === 1 && client.ups.length === 1);
  const common = {
    link: 3,
    linkEpoch: 5,
    version: 2,
    features: FEATURE.describe,
    host: '127.0.0.1',
  };
  t.deepEqual(server.ups[0]?.peer, { role: 'sdc', key: 42, incarnation: 2, run: 17, ...common });
  t.deepEqual(client.ups[0]?.peer, { role: 'mdm', key: 4, incarnation: 9, run: 0, ...common });
  t.is(client.ups[0]?.link, link);
});

test('an IPv4 host is known by its IPv4 address, whatever the socket', async (t) => {
  const server = new Endpoint('mdm', ['sdc']);
  t.teardown(() => {
    server.stop();
  });
  const port = await server.links.listen('::', 0);
  dialer(t, 'sdc', []).connect(port);
  await until('the link is up', () => server.ups.length === 1);
  t.is(server.ups[0]?.peer.host, '127.0.0.1');
});

test('one with another secret gets nothing through, on either side', async (t) => {
  const { server, port } = await serve(t);
  const client = dialer(t, 'sdc', [], {}, Buffer.alloc(32, 8));
  client.connect(port);
  await until('the client is told', () => client.downs.length === 1);
  t.regex(client.downs[0]?.reason ?? '', /does not hold the secret of this system/);
  await until('the server notes it', () => server.logged.length === 1);
  t.deepEqual([server.ups, server.heard, server.downs], [[], [], []]);
  t.deepEqual(client.ups, []);
});

test('one of another protocol version is told so', async (t) => {
  const { port } = await serve(t);
  const rules = { ...handshakeRules('sdc', [], SECRET), versionMin: 3, versionMax: 4 };
  const client = dialer(t, 'sdc', [], { rules });
  client.connect(port);
  await until('the client is told', () => client.downs.length === 1);
  t.regex(client.downs[0]?.reason ?? '', /Protocol versions 3 to 4 offered, 1 to 2 served/);
});

test('a stranger who sends anything but a handshake is cut off unheard', async (t) => {
  const { server, port } = await serve(t);
  const claim = encodeControl(MSG.HELLO, 0, 0, {
    versionMin: 1,
    versionMax: 1,
    features: 0,
    role: 'sdc',
    key: 0,
    incarnation: 0,
    run: 0,
    link: 0,
    linkEpoch: 0,
    systemId: '',
    targetRole: 'mdm',
    targetKey: 0,
    nonce: new Uint8Array(32),
  });
  head.setBodyBytes(viewOf(claim), 0, LIMIT.frameBodyBytesMax);
  sealHeader(viewOf(claim), 0);
  const attempts: readonly Uint8Array[] = [
    encodeCommand('REMOVE_VOLUME', 1, 'admin', { key: 1, mode: 'onlyMe' }),
    encodeControl(MSG.PING, 0, 0, {}),
    encodeControl(MSG.PROOF, 0, 0, { proof: new Uint8Array(32) }),
    encodeControl(MSG.WELCOME, 0, 0, { reason: '' }),
    new Uint8Array(5000).fill(0x41),
    claim,
  ];
  for (const bytes of attempts) {
    const socket = await stranger(t, port);
    let ended = false;
    socket.on('close', () => (ended = true));
    socket.resume();
    socket.write(bytes);
    await until('the server hangs up', () => ended);
  }
  t.deepEqual([server.ups, server.heard, server.downs], [[], [], []]);
});

test('a stranger who says nothing is cut off', async (t) => {
  const { server, port } = await serve(t, { handshakeTimeoutMs: 100 });
  const socket = await stranger(t, port);
  let ended = false;
  socket.on('close', () => (ended = true));
  socket.resume();
  await until('the server hangs up', () => ended);
  t.regex(server.logged[0] ?? '', /not authenticated within 100 ms/);
});

test('addresses are tried in order until one answers', async (t) => {
  const { server, port } = await serve(t);
  const other = await serve(t);
  other.server.links.identify({ key: 9, incarnation: 1, run: 0, systemId: '' });
  const client = dialer(t, 'sdc', []);
  const addresses = [
    { host: '127.0.0.1', port: 1 },
    { host: '127.0.0.1', port: other.port },
    { host: '127.0.0.1', port },
  ];
  server.links.identify({ key: 4, incarnation: 1, run: 0, systemId: '' });
  client.connect(0, { key: 4, addresses });
  await until('the link is up', () => client.ups.length === 1);
  t.is(client.ups[0]?.peer.key, 4);
  t.deepEqual(client.downs, []);

  const link = client.connect(0, { key: 5, addresses });
  await until('the client is told', () => client.downs.length === 1);
  t.is(client.downs[0]?.link, link);
  const reason = client.downs[0]?.reason ?? '';
  t.regex(
    reason,
    /127\.0\.0\.1:1: .*ECONNREFUSED.*; .*mdm 9 answers.*; .*mdm 4 answers, mdm 5 was wanted/,
  );
});

test('a target without an address is down at once', async (t) => {
  const client = dialer(t, 'sdc', []);
  const link = client.connect(0, { addresses: [] });
  await until('the client is told', () => client.downs.length === 1);
  t.deepEqual(client.downs, [{ link, reason: 'the target has no address' }]);
});

test('bodies of all lengths up to the longest arrive whole and in order, both ways', async (t) => {
  const { server, client, atClient, atServer } = await pair(t);
  const lengths = [0, 4, 1 << 20, 12, 4096, 262144 + 256, 1 << 20, 100, 65536 - 64, 8, 1 << 20];
  const frames = lengths.map((length, number) => dataFrame(number, length));
  client.input(() => {
    for (const frame of frames) {
      const region = client.links.reserve(atClient, frame.length);
      region.bytes.set(frame, region.at);
    }
  });
  for (const frame of frames) server.send(atServer, frame);
  const all = (end: Endpoint): boolean => end.heard.length === frames.length;
  await until('all arrived', () => all(server) && all(client));
  const sums = frames.map((frame) => crc32(frame));
  t.deepEqual(
    server.heard.map(({ frame }) => crc32(frame)),
    sums,
  );
  t.deepEqual(
    client.heard.map(({ frame }) => crc32(frame)),
    sums,
  );
  t.is(client.links.pendingBytes(atClient), 0);
});

test('frames that are not taken wait, with the connection, and come again in order', async (t) => {
  const { server, client, atClient, atServer } = await pair(t);
  server.takes = false;
  const frames = Array.from({ length: 300 }, (_, number) => dataFrame(number, 50_000));
  for (const frame of frames) client.send(atClient, frame);
  await until('the sender feels it', () => client.links.pendingBytes(atClient) > 0);
  t.is(server.heard.length, 0);
  server.takes = true;
  let taken = 0;
  // Takes a few, refuses again, and so on.
  server.onFrame = () => {
    taken++;
    if (taken % 7 === 0) server.takes = false;
  };
  await until('all arrived', () => {
    server.input(() => {
      server.takes = true;
      server.links.resume(atServer);
    });
    return server.heard.length === frames.length;
  });
  t.deepEqual(
    server.heard.map(({ frame }) => crc32(frame)),
    frames.map((frame) => crc32(frame)),
  );
  await until('nothing is left', () => client.links.pendingBytes(atClient) === 0);
});

test('an endless backlog for a reader that does not read ends the link', async (t) => {
  const { server, client, atClient } = await pair(t);
  server.takes = false;
  const frame = dataFrame(1, 1 << 20);
  for (let sent = 0; sent < 80 && client.downs.length === 0; sent++) client.send(atClient, frame);
  await until('the link is down', () => client.downs.length === 1);
  t.regex(client.downs[0]?.reason ?? '', /reads too slowly/);
});

test('a frame of an unknown code is answered, and the link goes on', async (t) => {
  const { server, client, atClient } = await pair(t);
  const frame = encodeControl(MSG.CLUSTER_QUERY, 77, 0, {});
  head.setCode(viewOf(frame), 0, 0x0fff);
  sealHeader(viewOf(frame), 0);
  client.send(atClient, frame);
  client.send(atClient, encodeControl(MSG.CLUSTER_QUERY, 78, 0, {}));
  await until('both arrived', () => server.heard.length === 1 && client.heard.length === 1);
  const answer = client.heard[0]?.frame ?? new Uint8Array(0);
  t.is(head.getCode(viewOf(answer), 0), MSG.ERROR_REPLY);
  t.is(head.getStatus(viewOf(answer), 0), ERR.BAD_FRAME);
  t.is(head.getTag(viewOf(answer), 0), 77);
  const { details } = decodeBody(MSG.ERROR_REPLY, bodyOf(answer, viewOf(answer), 0));
  t.deepEqual(details, [{ name: 'reason', value: 'the frame has an unknown code' }]);
  t.deepEqual(server.downs, []);
});

const DAMAGES: readonly (readonly [RegExp, (frame: Uint8Array) => void])[] = [
  [/wrong header checksum/, (frame) => frame.fill(1, 20, 24)],
  [/magic/, (frame) => frame.fill(0, 0, 2)],
  [/wrong body checksum/, (frame) => frame.fill(1, 70, 71)],
  [
    /body longer than/,
    (frame) => {
      head.setBodyBytes(viewOf(frame), 0, 0x7fffffff);
      sealHeader(viewOf(frame), 0);
    },
  ],
  [
    /protocol version 3/,
    (frame) => {
      head.setVersion(viewOf(frame), 0, 3);
      sealHeader(viewOf(frame), 0);
    },
  ],
  [
    /second handshake/,
    (frame) => {
      head.setCode(viewOf(frame), 0, MSG.WELCOME);
      sealHeader(viewOf(frame), 0);
    },
  ],
];

for (const [reason, damage] of DAMAGES) {
  test(`a frame after which nothing can be trusted ends the link: ${reason.source}`, async (t) => {
    const { server, client, atClient } = await pair(t);
    const frame = encodeControl(MSG.REGISTER_SDS_REPLY, 1, 0, { sdsKey: 1, systemId: 'x' });
    damage(frame);
    client.send(atClient, frame);
    await until('both ends are down', () => server.downs.length === 1 && client.downs.length === 1);
    t.regex(server.downs[0]?.reason ?? '', reason);
    t.deepEqual(server.heard, []);
  });
}

test('what was sent before a close arrives; who closed hears no more', async (t) => {
  const { server, client, atClient, atServer } = await pair(t);
  const frame = dataFrame(1, 1 << 20);
  client.input(() => {
    for (let count = 0; count < 3; count++) {
      const region = client.links.reserve(atClient, frame.length);
      region.bytes.set(frame, region.at);
    }
    client.links.close(atClient);
  });
  await until('the other end is told', () => server.downs.length === 1);
  t.is(server.heard.length, 3);
  t.deepEqual(server.downs, [{ link: atServer, reason: 'the other end closed the connection' }]);
  t.deepEqual(client.downs, []);
  client.send(atClient, frame);
  t.is(client.links.pendingBytes(atClient), 0);
});

/** Forwards bytes between a port of its own and another one, until it is told to hold them back. */
async function proxy(t: ExecutionContext, to: number): Promise<{ port: number; hold(): void }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    const onward = connect({ host: '127.0.0.1', port: to });
    for (const end of [socket, onward]) end.on('error', () => undefined);
    socket.pipe(onward);
    onward.pipe(socket);
    sockets.push(socket, onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return {
    port: (server.address() as AddressInfo).port,
    hold: () => {
      for (const socket of sockets) {
        socket.unpipe();
        socket.pause();
      }
    },
  };
}

test('an other end that falls silent without closing is given up by both', async (t) => {
  const timing = { pingIdleMs: 50, pingDeadMs: 400 };
  const { server, port } = await serve(t, timing);
  const between = await proxy(t, port);
  const client = dialer(t, 'sdc', [], timing);
  client.connect(between.port);
  await until('the link is up', () => server.ups.length === 1 && client.ups.length === 1);
  between.hold();
  await until('both gave up', () => server.downs.length === 1 && client.downs.length === 1);
  t.regex(client.downs[0]?.reason ?? '', /no sign of life/);
  t.regex(server.downs[0]?.reason ?? '', /no sign of life/);
});

test('an idle link, and one whose machine takes nothing for long, stay up', async (t) => {
  const timing = { pingIdleMs: 100, pingDeadMs: 1000 };
  const { server, client, atClient, atServer } = await pair(t, timing);
  const idle = client.connect(server.ups.length > 0 ? (await serve(t, timing)).port : 0);
  server.takes = false;
  client.send(atClient, dataFrame(1, 8));
  const start = performance.now();
  await until(
    'thrice the time after which silence is death',
    () => performance.now() - start > 3000,
  );
  t.deepEqual([server.downs, client.downs], [[], []]);
  t.true(client.ups.some(({ link }) => link === idle));
  server.input(() => {
    server.takes = true;
    server.links.resume(atServer);
  });
  await until('the frame arrived', () => server.heard.length === 1);
  t.is(server.heard[0]?.code, MSG.FLUSH);
});

test('a machine may answer on another link and close the one at hand while it looks at a frame', async (t) => {
  const { server, port } = await serve(t);
  const first = dialer(t, 'sdc', []);
  const second = dialer(t, 'sdc', []);
  const atFirst = first.connect(port);
  second.connect(port);
  await until('both are up', () => server.ups.length === 2);
  await until('both know', () => first.ups.length === 1 && second.ups.length === 1);
  const [a, b] = server.ups;
  if (a === undefined || b === undefined) return t.fail();
  let other = 0;
  server.onFrame = (heard) => {
    other = heard.link === a.link ? b.link : a.link;
    server.links.close(heard.link);
    const region = server.links.reserve(other, heard.frame.length);
    region.bytes.set(heard.frame, region.at);
  };
  const frame = dataFrame(3, 200_000);
  first.input(() => {
    for (let count = 0; count < 3; count++) {
      const region = first.links.reserve(atFirst, frame.length);
      region.bytes.set(frame, region.at);
    }
  });
  await until('the frame was passed on', () => second.heard.length === 1);
  await until('the first is told', () => first.downs.length === 1);
  t.is(crc32(second.heard[0]?.frame ?? new Uint8Array(0)), crc32(frame));
  t.is(server.heard.length, 1);
});
