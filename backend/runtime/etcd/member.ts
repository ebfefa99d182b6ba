// An etcd member of this node: a process with its own directory, ports and certificates, which outlives the process that
// started it. It owns starting, finding and ending that process, known by pid and start time. An etcd that is on the machine
// already is never touched: another directory, other ports, and nothing of the environment is handed on.

import { spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  statfsSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

import type { Log } from '../../core/ports.js';
import { makePrivateDirectory, syncDirectory, writePrivate } from '../durable-files.js';
import { identify, isRunning, signal, waitForEnd } from '../processes.js';
import type { ProcessId } from '../processes.js';
import { tlsFiles } from './certificates.js';

export interface MemberAddress {
  readonly name: string;
  readonly host: string;
  readonly clientPort: number;
  readonly peerPort: number;
}

export interface MemberOptions {
  /** The program, such as `/usr/bin/etcd`. */
  readonly program: string;
  /** Of this member: data, certificates, its log. */
  readonly directory: string;
  readonly self: MemberAddress;
  /** All members, this one among them, as they were when it joined. */
  readonly members: readonly MemberAddress[];
  /** It joins members that run already. */
  readonly joins: boolean;
  /** Tells systems apart that use the same hosts. */
  readonly clusterToken: string;
  /** Of its database, beyond which etcd takes nothing any more. */
  readonly quotaBytes?: number;
  readonly log: Log;
}

/** The program is missing or does not start; the text says what to do. */
export class MemberError extends Error {
  override readonly name = 'MemberError';
}

const WATCH_MS = 500;
/** After it ended, until it is looked at again: doubles while it ends each time. */
const RESTART_MS_MIN = 1000;
const RESTART_MS_MAX = 30_000;
const STOP_MS = 10_000;
const LOG_FILE = 'etcd.log';
/** Of its log, where the reason of its end stands. */
const LOG_TAIL = 16_384;
/** A file system with less room than this is taken for full. */
const FULL_BYTES = 65_536;
const LOG_BYTES_MAX = 16 * 1024 * 1024;
/** Of the database of a member, unless told otherwise. */
export const QUOTA_BYTES = 2 * 1024 ** 3;

const peerUrl = ({ host, peerPort }: MemberAddress): string => `https://${host}:${peerPort}`;

/** The member's command line. Keys and certificates are files; nothing in it is secret. */
export function memberArguments(options: MemberOptions): string[] {
  const { self, members, directory, joins, clusterToken } = options;
  const { authority, certificate, key } = tlsFiles(join(directory, 'tls'));
  const clientUrl = `https://${self.host}:${self.clientPort}`;
  const flags: Readonly<Record<string, string>> = {
    name: self.name,
    'data-dir': join(directory, 'data'),
    'listen-client-urls': clientUrl,
    'advertise-client-urls': clientUrl,
    'listen-peer-urls': peerUrl(self),
    'initial-advertise-peer-urls': peerUrl(self),
    'initial-cluster': members.map((member) => `${member.name}=${peerUrl(member)}`).join(','),
    'initial-cluster-state': joins ? 'existing' : 'new',
    'initial-cluster-token': clusterToken,
    'client-cert-auth': 'true',
    'trusted-ca-file': authority,
    'cert-file': certificate,
    'key-file': key,
    'peer-client-cert-auth': 'true',
    'peer-trusted-ca-file': authority,
    'peer-cert-file': certificate,
    'peer-key-file': key,
    // A member may connect from another of its addresses; who it is follows from the authority.
    'experimental-peer-skip-client-san-verification': 'true',
    'heartbeat-interval': '100',
    'election-timeout': '1000',
    'pre-vote': 'true',
    'strict-reconfig-check': 'true',
    // The master's signs of life would fill the history.
    'auto-compaction-mode': 'revision',
    'auto-compaction-retention': '10000',
    'quota-backend-bytes': String(options.quotaBytes ?? QUOTA_BYTES),
    logger: 'zap',
    'log-level': 'warn',
    'log-outputs': 'stderr',
  };
  return Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
}

function freeBytes(directory: string): number {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize;
}

/** The file system of a member is full: its words in messages and alerts. */
function fullText(directory: string): string {
  return `no space is left on the file system of ${directory} (${freeBytes(directory)} bytes are free): make room there, nothing is lost`;
}

/** Why a member ended, as far as the end of its log says. */
function endReason(directory: string): string {
  const path = join(directory, LOG_FILE);
  if (!existsSync(path)) return `etcd ended, and ${path} is missing`;
  const text = readFileSync(path, 'utf8').slice(-LOG_TAIL);
  // What is full has no room for the words either.
  return freeBytes(directory) < FULL_BYTES || /no space left on device/i.test(text)
    ? fullText(directory)
    : `etcd ended; the last lines of ${path} say why`;
}

async function end(target: ProcessId): Promise<void> {
  signal(target, 'SIGTERM');
  if (await waitForEnd([target], STOP_MS)) return;
  signal(target, 'SIGKILL');
  await waitForEnd([target], STOP_MS);
}

export class EtcdMember {
  private readonly options: MemberOptions;
  private readonly record: string;
  private timer: NodeJS.Timeout | null = null;
  private process: ProcessId | null = null;
  private restartMs = RESTART_MS_MIN;
  private reason = '';

  constructor(options: MemberOptions) {
    this.options = options;
    this.record = join(options.directory, 'process.json');
  }

  /**
   * Starts the member, or goes on with the one that runs, and starts it again whenever it ends.
   *
   * @throws MemberError
   */
  async start(): Promise<void> {
    const { program, directory, log } = this.options;
    if (!existsSync(program))
      throw new MemberError(
        `${program} is missing: install etcd (apt-get install etcd-server); the service that comes with it is not used and may be disabled`,
      );
    makePrivateDirectory(directory);
    const found = this.found();
    if (found?.command === this.command) {
      this.process = found.id;
      log.event('info', 'etcd.found', { pid: found.id.pid });
    } else {
      if (found !== null) await end(found.id);
      this.trySpawn();
    }
    this.watch(WATCH_MS);
  }

  /** Leaves the member running; it is not watched any more. */
  leave(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  /** Ends the member and waits until it is gone. */
  async stop(): Promise<void> {
    this.leave();
    const target = this.process ?? this.found()?.id;
    this.process = null;
    if (target !== undefined) await end(target);
  }

  /** Ends the member and removes its data: it has left the cluster. */
  async discard(): Promise<void> {
    await this.stop();
    rmSync(this.options.directory, { recursive: true, force: true });
  }

  /** Ends the member; its files stay beside, under a name that no member has. @returns where */
  async putAside(): Promise<string> {
    await this.stop();
    const { directory } = this.options;
    for (let count = 1; ; count++) {
      const kept = join(dirname(directory), `kept-${basename(directory)}-${count}`);
      if (existsSync(kept)) continue;
      renameSync(directory, kept);
      syncDirectory(dirname(directory));
      return kept;
    }
  }

  /** Why it ended last, or was not started; it may run again by now. */
  get fault(): string {
    return this.reason;
  }

  get pid(): number {
    return this.process?.pid ?? 0;
  }

  /** What it runs with: another configuration needs another process. */
  private get command(): string {
    return [this.options.program, ...memberArguments(this.options)].join(' ');
  }

  private watch(inMs: number): void {
    this.timer = setTimeout(() => {
      if (this.process !== null && isRunning(this.process)) {
        this.restartMs = RESTART_MS_MIN;
        this.watch(WATCH_MS);
        return;
      }
      const { directory, log } = this.options;
      this.reason = endReason(directory);
      log.event('error', 'etcd.ended', { directory, reason: this.reason });
      this.trySpawn();
      this.watch(this.restartMs);
      this.restartMs = Math.min(2 * this.restartMs, RESTART_MS_MAX);
    }, inMs);
  }

  /** The member that an earlier process started, if it still runs. */
  private found(): { readonly id: ProcessId; readonly command: string } | null {
    if (!existsSync(this.record)) return null;
    try {
      const parsed = JSON.parse(readFileSync(this.record, 'utf8')) as Record<string, unknown>;
      const { pid, startTicks, command } = parsed;
      if (typeof pid !== 'number' || typeof startTicks !== 'number') return null;
      return isRunning({ pid, startTicks })
        ? { id: { pid, startTicks }, command: String(command) }
        : null;
    } catch (error) {
      this.options.log.event('warn', 'etcd.record-unreadable', { reason: String(error) });
      return null;
    }
  }

  /** A later process must find what this one starts: where that cannot be written down, nothing runs. */
  private trySpawn(): void {
    const { directory, log } = this.options;
    try {
      this.spawn();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === undefined) throw error;
      if (this.process !== null) signal(this.process, 'SIGKILL');
      this.process = null;
      this.reason = code === 'ENOSPC' ? fullText(directory) : (error as Error).message;
      log.event('error', 'etcd.not-started', { directory, reason: this.reason });
    }
  }

  private spawn(): void {
    const { program, directory, log } = this.options;
    const logFile = join(directory, LOG_FILE);
    if (existsSync(logFile) && statSync(logFile).size > LOG_BYTES_MAX)
      renameSync(logFile, `${logFile}.old`);
    const output = openSync(logFile, 'a', 0o600);
    // Settings of another etcd on this machine may stand in the environment.
    const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', GOMAXPROCS: '2' };
    const child = spawn(program, memberArguments(this.options), {
      ...{ cwd: directory, env, detached: true },
      stdio: ['ignore', output, output],
    });
    closeSync(output);
    child.on('error', (error) => {
      log.event('error', 'etcd.not-started', { reason: error.message });
    });
    child.unref();
    this.process = child.pid === undefined ? null : identify(child.pid);
    if (this.process === null) return;
    writePrivate(this.record, JSON.stringify({ ...this.process, command: this.command }));
    log.event('info', 'etcd.started', { pid: this.process.pid });
  }
}
