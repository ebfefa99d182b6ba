// A node that falls silent while a command runs there: the deployer says so and goes on, it does not end.

import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import type { AddressInfo, Server as NetServer, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import ssh2 from 'ssh2';

import { KnownHosts, RemoteNode } from '../../../backend/deploy/shell/ssh.js';

const HOST = '127.0.0.1';

function privateKey(): string {
  const { privateKey: key } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'pkcs1', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  });
  return key;
}

async function listen(server: ssh2.Server | NetServer): Promise<number> {
  await new Promise<void>((done) => server.listen(0, HOST, done));
  return (server.address() as AddressInfo).port;
}

/** A link to a port that can be made to carry nothing, without being closed. */
async function silentLink(port: number): Promise<{
  readonly port: number;
  readonly silence: () => void;
  readonly close: () => void;
}> {
  const sockets: Socket[] = [];
  const server = createServer((near) => {
    const far = connect(port, HOST);
    for (const socket of [near, far]) socket.on('error', () => socket.destroy());
    near.on('close', () => far.destroy());
    near.pipe(far).pipe(near);
    sockets.push(near, far);
  });
  const silence = (): void => {
    for (const socket of sockets) {
      socket.unpipe();
      socket.pause();
    }
  };
  const close = (): void => {
    server.close();
    // Who reads nothing never hears that the other end closed.
    for (const socket of sockets) socket.destroy();
  };
  return { port: await listen(server), silence, close };
}

test('a node that falls silent while a command runs is an error of that command', async (t) => {
  t.timeout(60_000);
  const dir = mkdtempSync(join(tmpdir(), 'meshsan-ssh-'));
  const keyFile = join(dir, 'key');
  writeFileSync(keyFile, privateKey(), { mode: 0o600 });
  const sshd = new ssh2.Server({ hostKeys: [privateKey()] }, (client) => {
    client.on('error', () => client.end());
    client.on('authentication', (context) => {
      context.accept();
    });
    client.on('ready', () => {
      client.on('session', (accept) => {
        accept().on('exec', (acceptCommand) => {
          acceptCommand().stderr.write('works on it\n');
        });
      });
    });
  });
  const link = await silentLink(await listen(sshd));
  try {
    const known = new KnownHosts(join(dir, 'known-hosts.json'));
    const target = { host: HOST, port: link.port, user: 'root', keyFile, hostKey: '' };
    const keepalive = { everyMs: 100, missedMax: 3 };
    const node = await RemoteNode.connect('node-7', target, known, keepalive);
    await t.throwsAsync(node.run(['meshsan-task', 'apply'], '', link.silence), {
      name: 'SshError',
      message: 'node-7: the connection broke while meshsan-task ran: Keepalive timeout',
    });
    node.close();
  } finally {
    link.close();
    sshd.close();
    rmSync(dir, { recursive: true });
  }
});
