// One start per directory at a time. It owns a name that the kernel frees with the process that holds it, however that ends;
// it must never leave anything behind that the next start would have to judge.

import { createHash } from 'node:crypto';
import { createServer } from 'node:net';

/** Ends what `lockDirectory` began. */
export type Unlock = () => Promise<void>;

/**
 * Takes the lock of a directory, which does not have to exist yet.
 *
 * @param realDir - without symbolic links, so that it is the same by every way to it
 * @returns null when another process has it; otherwise it is held until the unlock or the end of this process
 */
export async function lockDirectory(realDir: string): Promise<Unlock | null> {
  const name = createHash('sha256').update(realDir).digest('hex');
  const server = createServer((socket) => socket.destroy());
  const taken = await new Promise<boolean>((done, failed) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') done(false);
      else failed(error);
    });
    // A leading zero: a name of the kernel's, no file.
    server.listen(`\0meshsan-start-${name}`, () => {
      done(true);
    });
  });
  if (!taken) return null;
  server.unref();
  return () =>
    new Promise((done) => {
      server.close(() => {
        done();
      });
    });
}
