// Keeps the processes of a local cluster running, as systemd does on a real node: starts them in order, starts one that
// died again, stops them in the opposite order. It must never decide anything about data.

import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { writePrivate } from '../../runtime/durable-files.js';
import type { ProcessPlan, ProcessRole } from './configs.js';
import type { Paths } from './layout.js';
import { identify, signal, waitForEnd } from '../../runtime/processes.js';
import type { ProcessId } from '../../runtime/processes.js';

const RESTART_MS_MIN = 200;
const RESTART_MS_MAX = 5000;
/** A process that ran this long starts again at once when it dies. */
const HEALTHY_MS = 10_000;
const STOP_MS = 15_000;
const LOG_BYTES_MAX = 16 * 2 ** 20;
const REFRESH_MS = 500;
/** Exit codes that another try would not change. */
const FATAL_EXITS: Readonly<Record<number, string>> = {
  2: 'its configuration was refused',
  3: 'its address or port is in use',
};

/** A row of `processes` in cluster.json. */
export interface ProcessRow {
  readonly name: string;
  readonly role: ProcessRole;
  readonly pid: number;
  readonly startTicks: number;
  readonly address: string;
  readonly port: number;
}

interface Kept {
  readonly plan: ProcessPlan;
  id: ProcessId | null;
  startedMs: number;
  restartMs: number;
}

export class Supervisor {
  readonly #paths: Paths;
  readonly #kept: Kept[];
  readonly #onRows: (rows: readonly ProcessRow[]) => void;
  readonly #onFatal: (reason: string) => void;
  #stopping = false;
  #rows = '';
  /** Rows that could not be written down. */
  #unwritten = '';
  #refresh: NodeJS.Timeout | undefined;
  readonly #restarts = new Set<NodeJS.Timeout>();

  /**
   * @param onRows called whenever a process of the cluster started or ended, with all that run
   * @param onFatal called when a process ended in a way that another start would not change
   */
  constructor(
    paths: Paths,
    plans: readonly ProcessPlan[],
    onRows: (rows: readonly ProcessRow[]) => void,
    onFatal: (reason: string) => void,
  ) {
    this.#paths = paths;
    this.#kept = plans.map((plan) => ({ plan, id: null, startedMs: 0, restartMs: RESTART_MS_MIN }));
    this.#onRows = onRows;
    this.#onFatal = onFatal;
  }

  /** Starts all processes of a role. */
  start(role: ProcessRole): void {
    for (const kept of this.#kept) if (kept.plan.role === role) this.#spawn(kept);
    this.#refresh ??= setInterval(() => {
      this.#report();
    }, REFRESH_MS);
  }

  #spawn(kept: Kept): void {
    const log = this.#openLog(kept.plan.name);
    const child = spawn(process.execPath, [kept.plan.program, '--config', kept.plan.configFile], {
      // The log is the child's own: it goes on writing if the supervisor is gone.
      stdio: ['ignore', log, log],
      // A group of its own: Ctrl-C in the terminal reaches the supervisor alone, which stops them in order.
      detached: true,
    });
    closeSync(log);
    kept.startedMs = Date.now();
    kept.id = child.pid === undefined ? null : identify(child.pid);
    this.#report();
    child.once('error', (error) => {
      this.#onFatal(`${kept.plan.name} did not start: ${error.message}`);
    });
    child.once('exit', (code) => {
      this.#ended(kept, code);
    });
  }

  #openLog(name: string): number {
    const path = join(this.#paths.log, `${name}.log`);
    if (existsSync(path) && statSync(path).size > LOG_BYTES_MAX) renameSync(path, `${path}.1`);
    return openSync(path, 'a', 0o600);
  }

  #ended(kept: Kept, exitCode: number | null): void {
    kept.id = null;
    this.#report();
    if (this.#stopping) return;
    const fatal = FATAL_EXITS[exitCode ?? -1];
    if (fatal !== undefined) {
      this.#onFatal(`${kept.plan.name} ended: ${fatal}\n${this.logTail(kept.plan.name)}`);
      return;
    }
    const ranMs = Date.now() - kept.startedMs;
    kept.restartMs =
      ranMs > HEALTHY_MS ? RESTART_MS_MIN : Math.min(kept.restartMs * 2, RESTART_MS_MAX);
    const timer = setTimeout(() => {
      this.#restarts.delete(timer);
      if (!this.#stopping) this.#spawn(kept);
    }, kept.restartMs);
    this.#restarts.add(timer);
  }

  /** The last lines that a process wrote. */
  logTail(name: string): string {
    const path = join(this.#paths.log, `${name}.log`);
    if (!existsSync(path)) return '';
    return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-5).join('\n');
  }

  /** Reports the processes although nothing changed. */
  reportAgain(): void {
    this.#rows = '';
    this.#report();
  }

  #report(): void {
    const rows = this.#kept.flatMap((kept) =>
      kept.id === null
        ? []
        : [
            {
              ...row(kept.plan.name, kept.plan.role, kept.id),
              address: kept.plan.address,
              port: kept.plan.port,
            },
            ...(kept.plan.role === 'sds' ? dataRows(kept.plan) : []),
          ],
    );
    const text = JSON.stringify(rows);
    if (text === this.#rows) return;
    try {
      this.#onRows(rows);
      this.#rows = text;
    } catch (error) {
      // Such as a full disk: the processes are what matters, the list is written as soon as it can be.
      if (this.#unwritten !== text)
        process.stderr.write(`MeshSAN: the list of processes: ${String(error)}\n`);
      this.#unwritten = text;
    }
  }

  /** Stops everything, clients first; processes that do not end in time are killed. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#refresh);
    for (const timer of this.#restarts) clearTimeout(timer);
    for (const roles of [['cinder-bridge'], ['gateway', 'sdc'], ['sds'], ['mdm']] as const)
      await stopAll(
        this.#kept
          .filter((kept) => (roles as readonly string[]).includes(kept.plan.role))
          .flatMap((kept) => (kept.id === null ? [] : [kept.id])),
      );
    for (const kept of this.#kept) kept.id = null;
    this.#report();
  }
}

/** Asks processes to end, and makes those end that do not in time. */
export async function stopAll(targets: readonly ProcessId[]): Promise<void> {
  for (const target of targets) signal(target, 'SIGTERM');
  if (await waitForEnd(targets, STOP_MS)) return;
  for (const target of targets) signal(target, 'SIGKILL');
  await waitForEnd(targets, STOP_MS);
}

function row(name: string, role: ProcessRole, id: ProcessId): Omit<ProcessRow, 'address' | 'port'> {
  return { name, role, pid: id.pid, startTicks: id.startTicks };
}

/** The data processes of an SDS, as it last wrote them down. */
function dataRows(plan: ProcessPlan): ProcessRow[] {
  const path = join(plan.stateDir, 'processes.json');
  if (!existsSync(path)) return [];
  const found = JSON.parse(readFileSync(path, 'utf8')) as {
    pid: number;
    address: string;
    port: number;
  }[];
  return found.flatMap(({ pid, address, port }, index) => {
    const id = identify(pid);
    return id === null
      ? []
      : [{ ...row(`${plan.name}-data${index + 1}`, 'sds-data', id), address, port }];
  });
}

export function writeRunFile(paths: Paths, name: string, value: unknown): void {
  writePrivate(join(paths.run, name), JSON.stringify(value, null, 2));
}
