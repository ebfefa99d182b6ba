// An NBD server of one volume, as the client process has it for its volumes, before whatever answers for the volume. It must
// never know what that is.

import type { Loop } from '../../backend/runtime/loop.js';
import { FlushList, UnixServer } from '../../backend/runtime/unix-server.js';
import type { BlockBack, BlockVolume } from '../../backend/sdc/block-front.js';
import { NbdFront } from '../../backend/sdc/nbd/front.js';
import { NbdSession } from '../../backend/sdc/nbd/session.js';

/** @param answeredBy - makes what answers; it is ready before the socket is there */
export function serveNbd<B extends BlockBack>(
  socket: string,
  volume: BlockVolume,
  loop: Loop,
  answeredBy: (front: NbdFront) => B,
): { readonly server: UnixServer; readonly back: B } {
  let wake = false;
  const front = new NbdFront({
    exportAdded: () => undefined,
    exportChanged: () => undefined,
    exportRemoved: () => undefined,
    unblocked: () => {
      wake = true;
    },
  });
  const back = answeredBy(front);
  front.attach(back);
  front.volumeAdded(0, volume);
  const flushes = new FlushList();
  const server = new UnixServer(
    socket,
    {
      open: () => front.open(volume.key),
      close: (session) => {
        if (session instanceof NbdSession) front.close(loop.nowUs, session);
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
  return { server, back };
}
