// An NBD server of one volume in a file, as the client process has it for its volumes. It must never answer before the file
// has the content.

import { Loop } from '../../backend/runtime/loop.js';
import { FlushList, UnixServer } from '../../backend/runtime/unix-server.js';
import { NbdFront } from '../../backend/sdc/nbd/front.js';
import type { NbdSession } from '../../backend/sdc/nbd/session.js';
import { FileBack } from './file-back.js';

/** @param started - called before the socket is there */
export function serveFile(
  socket: string,
  file: string,
  sizeBytes: number,
  readOnly: boolean,
  started: (back: FileBack) => void = () => undefined,
): void {
  const volume = {
    key: 7,
    name: 'vol7',
    sizeBytes,
    readOnly,
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
  started(back);
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
}
