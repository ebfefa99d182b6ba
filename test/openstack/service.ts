// What a service of the cloud is: a row of the tables in services-core.ts and services-compute.ts.
import { connect } from 'node:net';
import type { CloudState } from './state.js';

export interface Service {
  readonly name: string;
  /** Services of one stage start together; a stage starts when the one before it answers. */
  readonly stage: 'ground' | 'identity' | 'cloud' | 'compute';
  readonly user: string;
  readonly graceSeconds: number;
  readonly command: (state: CloudState) => readonly [string, ...string[]];
  readonly env?: (state: CloudState) => Record<string, string>;
  /** TCP ports it binds on the cloud's address (epmd: on 127.0.0.1 as well). */
  readonly ports?: (state: CloudState) => readonly number[];
  /** True as soon as the service does its work. Without it, running is enough. */
  readonly answers?: (state: CloudState) => Promise<boolean>;
}

/** Options of uwsgi for a service of OpenStack on an address. */
export function uwsgi(
  address: string,
  port: number,
  program: string,
): readonly [string, ...string[]] {
  return [
    'uwsgi-core',
    ...['--plugin', 'python3', '--http-socket', `${address}:${port}`, '--wsgi-file', program],
    ...['--master', '--processes', '2', '--threads', '2', '--enable-threads', '--lazy-apps'],
    ...['--die-on-term', '--no-orphans', '--buffer-size', '65535'],
    // It resets connections that are kept alive.
    ...['--disable-logging', '--add-header', 'Connection: close'],
  ];
}

/** True if something accepts a TCP connection there. */
export function connects(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (yes: boolean) => () => {
      socket.destroy();
      resolve(yes);
    };
    socket.setTimeout(2000, end(false));
    socket.once('connect', end(true));
    socket.once('error', end(false));
  });
}
