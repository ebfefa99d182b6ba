// Starts and stops the cloud's daemons. A process is known by its pid and its start time, never by its name, so that a
// reused pid is never taken for one of ours. Every daemon leads a session of its own: what it forks is found by session.
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import {
  identify,
  isRunning,
  sessionOf,
  signal,
  waitForEnd,
} from '../../backend/runtime/processes.js';
import type { ProcessId } from '../../backend/runtime/processes.js';
import { RunError, until } from './progress.js';

/** The identity of a running process; for our own use at a moment when it surely runs. */
export function identityOf(pid: number): ProcessId {
  const identity = identify(pid);
  if (identity === null) throw new RunError(`process ${pid} ended as soon as it was started`);
  return identity;
}

export interface Daemon {
  readonly name: string;
  /** Whom it runs as; root stays root. */
  readonly user: string;
  readonly command: readonly [string, ...string[]];
  readonly env?: Readonly<Record<string, string>>;
}

/** The daemons of one cloud: a record per daemon in `run`, a log per daemon in `log`. */
export class Daemons {
  private readonly run: string;
  private readonly log: string;

  constructor(run: string, log: string) {
    this.run = run;
    this.log = log;
  }

  logFile(name: string): string {
    return path.join(this.log, `${name}.log`);
  }

  /** The recorded daemon, if it still runs. */
  find(name: string): ProcessId | undefined {
    const recorded = this.recorded(name);
    return recorded !== undefined && isRunning(recorded) ? recorded : undefined;
  }

  /** Starts the daemon unless it runs already. */
  start(daemon: Daemon): void {
    if (this.find(daemon.name) !== undefined) return;
    mkdirSync(this.log, { recursive: true });
    const output = openSync(this.logFile(daemon.name), 'a', 0o600);
    const ids = [`--reuid=${daemon.user}`, `--regid=${daemon.user}`, '--init-groups'];
    const [program, ...words] =
      daemon.user === 'root' ? daemon.command : (['setpriv', ...ids, ...daemon.command] as const);
    // Not execa: a daemon outlives this program, so there is nobody to collect its output or its end.
    const child = spawn(program, words, {
      detached: true,
      env: { PATH: SERVICE_PATH, LC_ALL: 'C.UTF-8', PYTHONUNBUFFERED: '1', ...daemon.env },
      cwd: '/',
      stdio: ['ignore', output, output],
    });
    closeSync(output);
    if (child.pid === undefined) throw new RunError(`${daemon.name}: ${program} cannot be started`);
    writeFileSync(this.recordFile(daemon.name), JSON.stringify(identityOf(child.pid)));
    child.unref();
  }

  /** Asks the daemon to end, then makes it; afterwards nothing of its session is left. */
  async stop(name: string, graceSeconds: number): Promise<void> {
    const recorded = this.recorded(name);
    if (recorded === undefined) return;
    signal(recorded, 'SIGTERM');
    await waitForEnd([recorded], graceSeconds * 1000);
    for (const member of sessionOf(recorded)) signal(member, 'SIGKILL');
    await until(`${name}: process ${recorded.pid} ends`, 10, () =>
      Promise.resolve(
        sessionOf(recorded).length === 0 ? { done: true } : { not: 'still there after SIGKILL' },
      ),
    );
    rmSync(this.recordFile(name), { force: true });
  }

  /** Waits until `probe` succeeds; a daemon that ends meanwhile is an error that shows the end of its log. */
  async ready(name: string, boundSeconds: number, probe: () => Promise<boolean>): Promise<void> {
    await until(`${name} answers (log: ${this.logFile(name)})`, boundSeconds, async () => {
      if (await probe()) return { done: true };
      if (this.find(name) === undefined)
        throw new RunError(`${name} ended:\n${tail(this.logFile(name), 15)}`);
      return { not: 'no answer yet' };
    });
  }

  private recordFile(name: string): string {
    return path.join(this.run, `${name}.pid.json`);
  }

  private recorded(name: string): ProcessId | undefined {
    const file = this.recordFile(name);
    return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as ProcessId) : undefined;
  }
}

/** The last lines of a log file, indented; empty if there is none. @param noise - lines that are left out */
export function tail(file: string, lines: number, noise: RegExp | null = null): string {
  if (!existsSync(file)) return '';
  // Services colour their logs.
  const all = stripVTControlCharacters(readFileSync(file, 'utf8')).trimEnd().split('\n');
  return all
    .filter((line) => noise?.test(line) !== true)
    .slice(-lines)
    .map((line) => `    ${line}`)
    .join('\n');
}

/** Debian's programs only: a developer's own Python or Node in front of PATH must not be what the services run on. */
export const SERVICE_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';
