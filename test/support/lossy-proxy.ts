// A TCP proxy on loopback that loses answers when told to: what was asked arrives, what comes back does not. To whoever
// asks it looks like a server that was killed in the middle.

import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';

export class LossyProxy {
  /** How many of the next answers are lost. */
  losing = 0;
  /** How many were lost. */
  lost = 0;
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.server = server;
  }

  static async start(targetPort: number, targetHost = '127.0.0.1'): Promise<LossyProxy> {
    const server = createServer();
    const proxy = new LossyProxy(server);
    server.on('connection', (client) => {
      proxy.join(client, connect(targetPort, targetHost));
    });
    await new Promise<void>((done) => {
      server.listen(0, '127.0.0.1', done);
    });
    return proxy;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>((done) => {
      this.server.close(() => {
        done();
      });
    });
  }

  private join(client: Socket, target: Socket): void {
    const end = (): void => {
      client.destroy();
      target.destroy();
    };
    for (const socket of [client, target]) {
      this.sockets.add(socket);
      // Why a connection broke is of no use here: the other side is ended too.
      socket.on('error', end);
      socket.on('close', () => {
        this.sockets.delete(socket);
        end();
      });
    }
    let asked = false;
    client.on('data', (bytes) => {
      // A TLS record of application data; what comes before belongs to the handshake.
      asked = bytes[0] === 23;
      target.write(bytes);
    });
    target.on('data', (bytes) => {
      if (asked && this.losing > 0 && bytes[0] === 23) {
        this.losing--;
        this.lost++;
        end();
        return;
      }
      client.write(bytes);
    });
  }
}
