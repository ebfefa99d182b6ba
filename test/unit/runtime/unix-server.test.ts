// What the host relies on of a client that is not read from for want of room: that it goes on when there is room, and that
// its end is noticed all the same, with what it had sent still unread.

import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { Loop } from '../../../backend/runtime/loop.js';
import { FlushList, UnixServer } from '../../../backend/runtime/unix-server.js';
import { Output } from '../../../backend/sdc/nbd/output.js';

const SENT_BYTES = 2 * 1048576;
const WAIT_MS = 30_000;

/** Takes nothing while it has no room. */
class Session {
  readonly out = new Output();
  unsentBytes = 0;
  closed = false;
  blocked = false;
  hasRoom = false;
  offered = 0;
  taken = 0;

  receive(_nowUs: number, _bytes: Uint8Array, from: number, to: number): number {
    this.offered++;
    this.blocked = !this.hasRoom;
    if (this.blocked) return 0;
    this.taken += to - from;
    return to - from;
  }
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = Date.now() + WAIT_MS;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await new Promise((done) => setTimeout(done, 10));
  }
}

interface Rig {
  readonly server: UnixServer;
  readonly session: Session;
  readonly client: Socket;
  readonly ended: () => boolean;
}

async function withClient(t: ExecutionContext, run: (rig: Rig) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'meshsan-unix-'));
  const loop = new Loop();
  const list = new FlushList();
  loop.addFlush(() => {
    list.flush();
  });
  const session = new Session();
  let ended = false;
  const source = {
    open: () => session,
    close: () => {
      ended = true;
    },
  };
  const failed = (error: Error): void => {
    t.fail(error.message);
  };
  const server = new UnixServer(join(dir, 'socket'), source, loop, failed, list);
  const client = connect(join(dir, 'socket'));
  client.on('error', () => client.destroy());
  client.write(Buffer.alloc(SENT_BYTES));
  try {
    await until('the session is offered bytes', () => session.offered > 0);
    await run({ server, session, client, ended: () => ended });
  } finally {
    client.destroy();
    server.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

test('a client that ends while it is not read from is noticed', async (t) => {
  await withClient(t, async ({ client, session, ended }) => {
    t.true(session.blocked);
    client.destroy();
    await until('its end is noticed', ended);
    t.is(session.taken, 0);
  });
});

test('a client that waits for room is left alone, and goes on', async (t) => {
  await withClient(t, async ({ server, session, client, ended }) => {
    let heard = 0;
    client.on('data', (chunk) => {
      heard += chunk.length;
    });
    // Longer than it takes to look at it twice.
    await new Promise((done) => setTimeout(done, 2500));
    t.false(ended());
    session.hasRoom = true;
    server.resumeAll();
    await until('everything is taken', () => session.taken === SENT_BYTES);
    t.is(heard, 0);
    t.false(ended());
  });
});
