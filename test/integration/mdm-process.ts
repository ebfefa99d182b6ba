// A real MDM process on a loopback address of its own, for tests: configuration, start, end, kill.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { MdmSession } from '../../backend/runtime/mdm-session.js';

const MAIN = join(import.meta.dirname, '../../backend/bin/mdm.js');
const QUIET = { event: (): void => undefined };
const SECRET = 'ab'.repeat(32);
const PATIENCE_MS = 60_000;

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('a TCP port');
  return address.port;
}

export class MdmProcess {
  readonly directory = mkdtempSync(join(tmpdir(), 'meshsan-mdm-'));
  readonly config: string;
  readonly secretFile: string;
  readonly stateDir: string;
  port = 0;
  private child: ChildProcess | null = null;
  private sessions: MdmSession[] = [];
  private errors = '';

  constructor() {
    this.config = join(this.directory, 'mdm.json');
    this.secretFile = join(this.directory, 'secret');
    this.stateDir = join(this.directory, 'state');
  }

  async configure(changes: Record<string, unknown> = {}, secret = SECRET): Promise<void> {
    if (this.port === 0) this.port = await freePort();
    writeFileSync(this.secretFile, secret, { mode: 0o600 });
    const config = {
      ...{ name: 'mdm', port: this.port, secretFile: this.secretFile, stateDir: this.stateDir },
      addresses: [{ host: '127.0.0.1', role: 'all' }],
      systemName: 'test',
      initialAdmin: { name: 'admin', saltHex: '00'.repeat(32), hashHex: '11'.repeat(64) },
      logLevel: 'error',
      ...changes,
    };
    writeFileSync(this.config, JSON.stringify(config), { mode: 0o600 });
  }

  start(): ChildProcess {
    this.errors = '';
    const child = spawn(process.execPath, [MAIN, '--config', this.config], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.stderr.on('data', (text: Buffer) => {
      this.errors += text.toString();
    });
    this.child = child;
    return child;
  }

  /** Ends the process and waits for it; its exit code, null when a signal ended it. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    const { child } = this;
    if (child === null) return null;
    this.child = null;
    if (child.exitCode !== null) return child.exitCode;
    const ended = once(child, 'exit');
    child.kill(signal);
    const [code] = (await ended) as [number | null];
    return code;
  }

  /** Starts and waits until the process ends by itself. */
  async refusal(): Promise<{ readonly code: number | null; readonly text: string }> {
    const child = this.start();
    // One that is not refused would go on for ever.
    const patience = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
    const [code] = (await once(child, 'close')) as [number | null];
    clearTimeout(patience);
    this.child = null;
    return { code, text: this.errors };
  }

  session(secret = SECRET, requestTimeoutMs = 20_000): MdmSession {
    const session = new MdmSession({
      addresses: [{ host: '127.0.0.1', port: this.port }],
      secret: new Uint8Array(Buffer.from(secret, 'hex')),
      log: QUIET,
      requestTimeoutMs,
    });
    this.sessions.push(session);
    return session;
  }

  async cleanUp(): Promise<void> {
    for (const session of this.sessions) session.close();
    await this.end('SIGKILL');
    rmSync(this.directory, { recursive: true, force: true });
  }
}
