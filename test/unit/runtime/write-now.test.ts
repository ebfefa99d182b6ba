// Writing past the stream: what the kernel takes at once, what is left to the stream, and that nothing is ever written to
// a descriptor that is not the socket's any more.

import { mkdtempSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { AddressInfo, Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';

import { writeNow } from '../../../backend/runtime/links/write-now.js';
import { until } from './endpoint.js';

interface Pair {
  readonly server: Server;
  readonly accepted: Socket;
  readonly client: Socket;
}

async function connectPair(): Promise<Pair> {
  const taken: Socket[] = [];
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    taken.push(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  await new Promise<void>((resolve) => client.once('connect', resolve));
  await until('an accepted socket', () => taken.length > 0);
  const [accepted] = taken;
  if (accepted === undefined) throw new Error('nothing was accepted');
  return { server, accepted, client };
}

function end({ server, accepted, client }: Pair): void {
  accepted.destroy();
  client.destroy();
  server.close();
}

test('what the kernel does not take goes through the stream, in order', async (t) => {
  const pair = await connectPair();
  const { accepted, client } = pair;
  const total = 24 * 1024 * 1024;
  const content = new Uint8Array(total);
  for (let at = 0; at < total; at += 4) content[at] = at / 65_536;
  let direct = 0;
  let streamed = 0;
  // Nobody reads: after a while the kernel takes nothing more.
  for (let at = 0; at < total; at += 100_000) {
    const length = Math.min(100_000, total - at);
    const done = writeNow(client, content, at, length);
    direct += done;
    streamed += length - done;
    if (done < length) client.write(content.subarray(at + done, at + length));
  }
  t.true(direct > 0);
  t.true(streamed > 0);
  t.is(writeNow(client, content, 0, 4), 0, 'not past what the stream holds back');
  let received = 0;
  let wrong = 0;
  accepted.on('data', (chunk: Uint8Array) => {
    for (let index = 0; index < chunk.length; index++)
      if (chunk[index] !== content[received + index]) wrong++;
    received += chunk.length;
  });
  accepted.resume();
  await until('all bytes', () => received === total);
  t.is(wrong, 0);
  end(pair);
});

test('a closed socket writes nothing, whoever has its descriptor now', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'meshsan-write-now-'));
  const path = join(directory, 'file');
  writeFileSync(path, 'kept');
  const pair = await connectPair();
  const { client } = pair;
  t.is(writeNow(client, Buffer.from('x'), 0, 1), 1);
  client.destroy();
  t.is(writeNow(client, Buffer.from('lost'), 0, 4), 0);
  await new Promise((resolve) => client.once('close', resolve));
  // One of these has the number that the socket had.
  const files = Array.from({ length: 64 }, () => openSync(path, 'r+'));
  t.is(writeNow(client, Buffer.from('lost'), 0, 4), 0);
  t.is(readFileSync(path, 'utf8'), 'kept');
  for (const file of files) closeSync(file);
  rmSync(directory, { recursive: true });
  end(pair);
});

test('a socket that is not connected yet, and one whose other end is gone, leave it to the stream', async (t) => {
  const pair = await connectPair();
  const { server, client, accepted } = pair;
  const early = connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  t.is(writeNow(early, Buffer.from('x'), 0, 1), 0);
  early.destroy();
  client.on('error', () => undefined);
  accepted.resetAndDestroy();
  await until('the end of the connection', () => writeNow(client, Buffer.from('x'), 0, 1) === 0);
  t.pass();
  end(pair);
});

test('nothing goes past the stream of an encrypted socket, where it would leave as it is', async (t) => {
  const pair = await connectPair();
  const { accepted, client } = pair;
  const received: Buffer[] = [];
  accepted.on('data', (chunk: Buffer) => received.push(chunk));
  accepted.resume();
  const encrypted = new TLSSocket(client);
  encrypted.on('error', () => undefined);
  t.is(writeNow(encrypted, Buffer.from('secret'), 0, 6), 0);
  encrypted.write('secret');
  await until('the greeting of the encrypted side', () => received.length > 0);
  t.false(Buffer.concat(received).includes('secret'));
  encrypted.destroy();
  end(pair);
});
