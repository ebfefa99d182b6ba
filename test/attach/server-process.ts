// An NBD server of one volume in a file, as a process that tests kill. It stands for the client process.
// Use: server-process.js SOCKET FILE SIZE_BYTES [ro]; the signal USR2 asks for the counts of requests.

import { serveFile } from './file-server.js';

const [socket = '', file = '', size = '', access = ''] = process.argv.slice(2);
serveFile(socket, file, Number(size), access === 'ro', (back) => {
  // Before the socket is there: a test that sees it may ask.
  process.on('SIGUSR2', () => {
    process.stdout.write(`${JSON.stringify(back.counts)}\n`);
  });
});
