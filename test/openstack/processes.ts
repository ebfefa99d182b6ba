// Starts and stops the cloud's daemons. A process is known by its pid and its start time, never by its name, so that a
// reused pid is never taken for one of ours. Every daemon leads a session of its own: what it forks is found by session.
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { RunError, until } from './progress.js';

export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot, field 22 of /proc/PID/stat. */
  readonly startTicks: number;
}

interface Stat extends ProcessIdentity {
  readonly state: string;
  readonly session: number;
}

function statOf(pid: number): Stat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
  // The command name may hold anything, so fields are counted from its closing bracket: state is the third of all.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    pid,
    state: fields[0] ?? '',
    session: Number(fields[3]),
    startTicks: Number(fields[19]),
  };
}

/** The identity of a running process; for our own use at a moment when it surely runs. */
export function identityOf(pid: number): ProcessIdentity {
  const stat = statOf(pid);
  if (stat === undefined) throw new RunError(`process ${pid} ended as soon as it was started`);
  return { pid, startTicks: stat.startTicks };
}

/** True while that very process runs (a zombie does not). */
export function isAlive(one: ProcessIdentity): boolean {
  const stat = statOf(one.pid);
  return stat?.startTicks === one.startTicks && stat.state !== 'Z';
}

/** All processes of the session that `leader` led. Empty if its pid now names another process: Linux gives a pid out
 *  again only when no session or group has that number any more. */
function sessionMembers(leader: ProcessIdentity): ProcessIdentity[] {
  const now = statOf(leader.pid);
  if (now !== undefined && now.startTicks !== leader.startTicks) return [];
  const members: ProcessIdentity[] = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = statOf(Number(entry));
    if (stat?.session === leader.pid && stat.state !== 'Z') members.push(stat);
  }
  return members;
}

function signal(one: ProcessIdentity, name: NodeJS.Signals): void {
  if (!isAlive(one)) return;
  try {
    process.kill(one.pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
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
  find(name: string): ProcessIdentity | undefined {
    const recorded = this.recorded(name);
    return recorded !== undefined && isAlive(recorded) ? recorded : undefined;
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
    const endMs = Date.now() + graceSeconds * 1000;
    while (isAlive(recorded) && Date.now() < endMs) await pause(50);
    for (const member of sessionMembers(recorded)) signal(member, 'SIGKILL');
    await until(`${name}: process ${recorded.pid} ends`, 10, () =>
      Promise.resolve(
        sessionMembers(recorded).length === 0
          ? { done: true }
          : { not: 'still there after SIGKILL' },
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

  private recorded(name: string): ProcessIdentity | undefined {
    const file = this.recordFile(name);
    return existsSync(file)
      ? (JSON.parse(readFileSync(file, 'utf8')) as ProcessIdentity)
      : undefined;
  }
}

/** The last lines of a log file, indented; empty if there is none. */
export function tail(file: string, lines: number): string {
  if (!existsSync(file)) return '';
  // Services colour their logs.
  const all = stripVTControlCharacters(readFileSync(file, 'utf8')).trimEnd().split('\n');
  return all
    .slice(-lines)
    .map((line) => `    ${line}`)
    .join('\n');
}

/** Debian's programs only: a developer's own Python or Node in front of PATH must not be what the services run on. */
export const SERVICE_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
