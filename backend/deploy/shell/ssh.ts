// Reaches nodes over SSH: commands with their input, and files. It owns how a host is known (its key, given or kept at first
// use) and what a failure means for people. It must never put a secret into a command line: secrets are files or input.

import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { NodeSSH } from 'node-ssh';
import { writePrivate } from '../../runtime/durable-files.js';
import type { SshTarget } from '../environment/inventory.js';

const CONNECT_MS = 20_000;
const KEEPALIVE: Keepalive = { everyMs: 5_000, missedMax: 6 };

/** How a connection is found to be broken while a command says nothing. */
export interface Keepalive {
  readonly everyMs: number;
  readonly missedMax: number;
}

/** A node that cannot be reached, or a command that could not be run there. */
export class SshError extends Error {
  override readonly name = 'SshError';
}

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Keys of hosts, by node name; kept in a file of the operator's. */
export class KnownHosts {
  readonly #path: string;
  readonly #keys: Map<string, string>;

  constructor(path: string) {
    this.#path = path;
    const text = existsSync(path) ? readFileSync(path, 'utf8') : '{}';
    this.#keys = new Map(Object.entries(JSON.parse(text) as Record<string, string>));
  }

  /** Whether a host's key is the one that is known; the first one seen is kept. */
  accepts(node: string, key: Buffer, given: string): boolean {
    const text = key.toString('base64');
    if (given !== '') return given.split(/\s+/).includes(text);
    const known = this.#keys.get(node);
    if (known !== undefined) return known === text;
    this.#keys.set(node, text);
    writePrivate(this.#path, JSON.stringify(Object.fromEntries(this.#keys), null, 2));
    return true;
  }
}

const fingerprint = (key: Buffer): string =>
  `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;

/** One word of a shell command. */
export const shellWord = (text: string): string =>
  /^[A-Za-z0-9_./:=@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;

export class RemoteNode {
  readonly name: string;
  readonly #ssh: NodeSSH;
  readonly #sudo: boolean;
  /** Why the connection broke, empty: it did not, or nobody said. */
  #broken = '';

  private constructor(name: string, ssh: NodeSSH, sudo: boolean) {
    this.name = name;
    this.#ssh = ssh;
    this.#sudo = sudo;
    // A connection that breaks while a command runs says so here and nowhere else; unheard it would end this process.
    ssh.connection?.on('error', ({ message }) => {
      this.#broken = message;
    });
  }

  /** @throws SshError that says which node, how it was tried, and why it failed */
  static async connect(
    name: string,
    target: SshTarget,
    known: KnownHosts,
    keepalive = KEEPALIVE,
  ): Promise<RemoteNode> {
    const { host, port, user, keyFile, hostKey } = target;
    const where = `${name} (${user}@${host}:${port})`;
    let privateKey: string;
    try {
      privateKey = readFileSync(keyFile, 'utf8');
    } catch (error) {
      throw new SshError(
        `${where}: the SSH key ${keyFile === '' ? '(ssh.key in the inventory)' : keyFile} cannot be read: ${(error as Error).message}`,
      );
    }
    const ssh = new NodeSSH();
    let wrongKey = '';
    try {
      await ssh.connect({
        host,
        port,
        username: user,
        privateKey,
        readyTimeout: CONNECT_MS,
        keepaliveInterval: keepalive.everyMs,
        keepaliveCountMax: keepalive.missedMax,
        hostVerifier: (key: Buffer) => {
          const accepted = known.accepts(name, key, hostKey);
          if (!accepted) wrongKey = fingerprint(key);
          return accepted;
        },
      });
    } catch (error) {
      if (wrongKey !== '')
        throw new SshError(
          `${where}: the host presents another key (${wrongKey}) than the one that is known; if the node was installed anew, remove its entry from known-hosts.json`,
        );
      throw new SshError(`${where} cannot be reached: ${(error as Error).message}`);
    }
    return new RemoteNode(name, ssh, user !== 'root');
  }

  /**
   * Runs a command as root.
   *
   * @param onLine - of each line on standard error
   * @throws SshError when the connection breaks
   */
  async run(
    argv: readonly string[],
    stdin = '',
    onLine: (line: string) => void = () => undefined,
  ): Promise<CommandResult> {
    const command = [...(this.#sudo ? ['sudo', '-n', '--'] : []), ...argv].map(shellWord).join(' ');
    let rest = '';
    try {
      const result = await this.#ssh.execCommand(command, {
        stdin,
        onStderr: (chunk) => {
          const lines = (rest + chunk.toString('utf8')).split('\n');
          rest = lines.pop() ?? '';
          for (const line of lines) onLine(line);
        },
      });
      if (result.code === null) {
        const why = this.#broken === '' ? '' : `: ${this.#broken}`;
        throw new SshError(
          `${this.name}: the connection broke while ${argv[0] ?? 'a command'} ran${why}`,
        );
      }
      return { code: result.code, stdout: result.stdout, stderr: result.stderr };
    } catch (error) {
      if (error instanceof SshError) throw error;
      throw new SshError(`${this.name}: ${(error as Error).message}`);
    }
  }

  /** Writes a file of root's, whole or not at all; its content goes over standard input. */
  async write(path: string, text: string, mode: string): Promise<void> {
    const beside = `${path}.meshsan-new`;
    const script =
      'mkdir -p -m 0755 "$(dirname "$1")" && umask 077 && cat >"$1.meshsan-new" && chmod "$2" "$1.meshsan-new" && mv "$1.meshsan-new" "$1"';
    const { code, stderr } = await this.run(['sh', '-c', script, 'sh', path, mode], text);
    if (code !== 0)
      throw new SshError(`${this.name}: ${beside} cannot be written: ${stderr.trim()}`);
  }

  /** Sends a file; what is sent is readable by everybody. */
  async send(localPath: string, remotePath: string): Promise<void> {
    try {
      await this.#ssh.putFile(localPath, remotePath);
    } catch (error) {
      throw new SshError(`${this.name}: ${remotePath} cannot be sent: ${(error as Error).message}`);
    }
  }

  close(): void {
    this.#ssh.dispose();
  }
}
