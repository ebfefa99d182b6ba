// An NBD server of one volume in a file. It must never answer before the file has the content.

import { Loop } from '../../backend/runtime/loop.js';
import { serveNbd } from '../support/nbd-server.js';
import { FileBack } from './file-back.js';

/** @param started - called before the socket is there */
export function serveFile(
  socket: string,
  file: string,
  sizeBytes: number,
  readOnly: boolean,
  started: (back: FileBack) => void = () => undefined,
): void {
  const volume = { key: 7, name: 'vol7', sizeBytes, readOnly, volatileCache: true };
  const loop = new Loop();
  serveNbd(socket, volume, loop, (front) => {
    const back = new FileBack(file, volume, front, loop);
    started(back);
    return back;
  });
}
