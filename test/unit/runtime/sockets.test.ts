// Accepted sockets: taken over so that they read into memory of ours, or, where Node does not let us, read as usual with
// the same result.

import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';

import test from 'ava';
import type { ExecutionContext } from 'ava';

import { adoptSocket } from '../../../backend/runtime/links/sockets.js';
import type { ByteSink } from '../../../backend/runtime/links/sockets.js';
import { until } from './endpoint.js';

const TOTAL_BYTES = 1_000_000;

/** Takes bytes, and asks for a pause after each piece. */
class Sink implements ByteSink {
  readonly memory = new Uint8Array(10_000);
  readonly pieces: Uint8Array[] = [];
  bytes = 0;
  copies = 0;

  nextBuffer(): Uint8Array {
    return this.memory;
  }

  received(count: number): boolean {
    this.take(this.memory.slice(0, count));
    return false;
  }

  receivedCopy(chunk: Uint8Array): boolean {
    this.copies++;
    this.take(Uint8Array.from(chunk));
    return false;
  }

  private take(piece: Uint8Array): void {
    this.pieces.push(piece);
    this.bytes += piece.length;
  }
}

interface Setting {
  readonly server: Server;
  readonly sink: Sink;
  readonly accepted: Socket;
  readonly adopted: Socket;
  readonly client: Socket;
}

async function accept(t: ExecutionContext, prepare: (accepted: Socket) => void): Promise<Setting> {
  const sink = new Sink();
  const taken: { accepted: Socket; adopted: Socket }[] = [];
  const server = createServer({ pauseOnConnect: true }, (accepted) => {
    prepare(accepted);
    taken.push({ accepted, adopted: adoptSocket(accepted, sink) });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  await until('accepted', () => taken.length === 1);
  const [first] = taken;
  if (first === undefined) throw new Error('nothing was accepted');
  t.teardown(() => {
    client.destroy();
    first.adopted.destroy();
    server.close();
  });
  return { server, sink, client, ...first };
}

async function readAll(t: ExecutionContext, { sink, adopted, client }: Setting): Promise<void> {
  const sent = Uint8Array.from(
    { length: TOTAL_BYTES },
    (_, index) => (index * 31 + (index >> 8)) & 0xff,
  );
  client.end(sent);
  await until('all arrived', () => {
    adopted.resume();
    return sink.bytes === TOTAL_BYTES;
  });
  t.true(sink.pieces.length > 1);
  t.deepEqual(Buffer.concat(sink.pieces), Buffer.from(sent));
}

test('an accepted socket reads into memory of ours', async (t) => {
  const setting = await accept(t, () => undefined);
  t.not(setting.adopted, setting.accepted);
  await readAll(t, setting);
  t.is(setting.sink.copies, 0);
});

test('where Node does not offer that, bytes are copied', async (t) => {
  const setting = await accept(t, (accepted) => {
    const { _handle: handle } = accepted as unknown as { _handle: { useUserBuffer?: unknown } };
    handle.useUserBuffer = undefined;
  });
  t.is(setting.adopted, setting.accepted);
  await readAll(t, setting);
  t.true(setting.sink.copies > 0);
});

test('a server knows when the last socket that was taken over has ended', async (t) => {
  const { server, adopted } = await accept(t, () => undefined);
  let closed = false;
  server.close(() => (closed = true));
  adopted.destroy();
  await until('the server is closed', () => closed);
  t.true(closed);
});
