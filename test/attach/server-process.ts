// An NBD server of one volume in a file, as a process that tests kill. It stands for the client process.
// Use: server-process.js SOCKET FILE SIZE_BYTES [ro]; the signal USR2 asks for the counts of requests.

import { Loop } from '../../backend/runtime/loop.js';
import { FlushList, UnixServer } from '../../backend/runtime/unix-server.js';
import { NbdFront } from '../../backend/sdc/nbd/front.js';
import type { NbdSession } from '../../backend/sdc/nbd/session.js';
import { FileBack } from './file-back.js';

const [socket = '', file = '', size = '', access = ''] = process.argv.slice(2);
const volume = {
  key: 7,
  name: 'vol7',
  sizeBytes: Number(size),
  readOnly: access === 'ro',
  volatileCache: true,
};
const loop = new Loop();
let wake = false;
const front = new NbdFront({
  exportAdded: () => undefined,
  exportChanged: () => undefined,
  exportRemoved: () => undefined,
  unblocked: () => {
    wake = true;
  },
});
const back = new FileBack(file, volume, front, loop);
// Before the socket is there: a test that sees it may ask.
process.on('SIGUSR2', () => {
  process.stdout.write(`${JSON.stringify(back.counts)}\n`);
});
front.attach(back);
front.volumeAdded(0, volume);
const flushes = new FlushList();
const server = new UnixServer(
  socket,
  {
    open: () => front.open(volume.key),
    close: (session: unknown) => {
      front.close(loop.nowUs, session as NbdSession);
    },
  },
  loop,
  (error) => {
    throw error;
  },
  flushes,
);
loop.addFlush(() => {
  if (wake) {
    wake = false;
    server.resumeAll();
  }
  flushes.flush();
});
loop.attach({ tick: () => undefined, nextDeadlineUs: () => Infinity });
