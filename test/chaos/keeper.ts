// Keeps the processes of a rig as systemd does on real nodes: each on its own node, started again when it ends. It owns
// which of them are held down for a while, and notes whoever ends by itself. It must never decide what goes wrong.

import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import type { ProcessPlan, ProcessRole } from '../../backend/deploy/local/configs.js';
import { identify, sessionOf, signal, waitForEnd } from '../../backend/runtime/processes.js';
import type { ProcessId } from '../../backend/runtime/processes.js';
import { memberPid } from './mdms.js';
import { MEMBER } from './plan.js';

/** As the units of the packages have it. */
const RESTART_MS = 1000;
const STOP_MS = 15_000;
const SPAWN_MS = 50;
/** So many lives of a process are looked at for what they left. */
const LEADERS = 8;

interface Kept {
  readonly plan: ProcessPlan;
  id: ProcessId | null;
  /** So many disturbances want it to be down. */
  held: number;
  /** It was told to end. */
  expected: boolean;
  /** Its last processes: what each of them started may outlive it for a moment. */
  leaders: ProcessId[];
}

/** A process that is held down. */
interface Held {
  /** Whatever was killed. */
  readonly ids: readonly ProcessId[];
  readonly release: () => void;
}

/** A process that ended although nobody told it to. */
export interface Ended {
  readonly name: string;
  readonly atMs: number;
  readonly code: number | null;
  readonly signal: string | null;
}

export class Keeper {
  readonly ended: Ended[] = [];
  readonly #kept: Kept[];
  readonly #logDir: string;
  readonly #entering: (plan: ProcessPlan) => readonly string[];
  #stopping = false;

  /**
   * @param logDir - what each process writes goes to NAME.log in it
   * @param entering - words before the command of a process
   */
  constructor(
    plans: readonly ProcessPlan[],
    logDir: string,
    entering: (plan: ProcessPlan) => readonly string[],
  ) {
    this.#kept = plans.map((plan) => ({
      ...{ plan, id: null, held: 0, expected: false, leaders: [] },
    }));
    this.#logDir = logDir;
    this.#entering = entering;
  }

  /** Starts all processes of a role. */
  start(role: ProcessRole): void {
    for (const kept of this.#kept) if (kept.plan.role === role) this.#spawn(kept);
  }

  #spawn(kept: Kept): void {
    const { name, program, configFile } = kept.plan;
    const log = openSync(join(this.#logDir, `${name}.log`), 'a', 0o600);
    const [command = '', ...args] = [
      ...this.#entering(kept.plan),
      ...[process.execPath, program, '--config', configFile],
    ];
    const child = spawn(command, args, { stdio: ['ignore', log, log], detached: true });
    closeSync(log);
    kept.id = child.pid === undefined ? null : identify(child.pid);
    if (kept.id !== null) kept.leaders = [kept.id, ...kept.leaders].slice(0, LEADERS);
    kept.expected = false;
    child.once('error', (error) => {
      throw error;
    });
    child.once('exit', (code, by) => {
      this.#gone(kept, code, by);
    });
  }

  #gone(kept: Kept, code: number | null, by: string | null): void {
    kept.id = null;
    if (!kept.expected && !this.#stopping)
      this.ended.push({ name: kept.plan.name, atMs: Date.now(), code, signal: by });
    this.#startAgain(kept);
  }

  #startAgain(kept: Kept): void {
    setTimeout(() => {
      if (!this.#stopping && kept.held === 0 && kept.id === null) this.#spawn(kept);
    }, RESTART_MS);
  }

  /** Names of all processes that this keeper starts. */
  get names(): readonly string[] {
    return this.#kept.map(({ plan }) => plan.name);
  }

  #find(name: string): Kept {
    const kept = this.#kept.find(({ plan }) => plan.name === name);
    if (kept === undefined) throw new Error(`no process is named ${name}`);
    return kept;
  }

  /** A process by name, or null: it does not run. `sds1-data1` is a data process of `sds1`, `mdm-etcd` the member of `mdm`. */
  idOf(name: string): ProcessId | null {
    const [owner = '', data] = name.split('-data');
    if (name.endsWith(MEMBER)) {
      const pid = memberPid(this.#find(name.slice(0, -MEMBER.length)).plan.stateDir);
      return pid === 0 ? null : identify(pid);
    }
    if (data === undefined) return this.#find(name).id;
    const file = join(this.#find(owner).plan.stateDir, 'processes.json');
    if (!existsSync(file)) return null;
    const rows = JSON.parse(readFileSync(file, 'utf8')) as readonly { readonly pid: number }[];
    const row = rows[Number(data) - 1];
    return row === undefined ? null : identify(row.pid);
  }

  /** Sends a signal that a process may end by; whoever keeps it starts it again. */
  signal(name: string, what: NodeJS.Signals): boolean {
    if (!name.includes('-')) this.#find(name).expected = what !== 'SIGSTOP' && what !== 'SIGCONT';
    const id = this.idOf(name);
    return id !== null && signal(id, what);
  }

  /** Kills a process with those that it keeps, and holds it down until it is released. */
  hold(name: string): Held {
    const kept = this.#find(name);
    kept.held++;
    kept.expected = true;
    const own = kept.leaders.flatMap(sessionOf);
    for (const id of own) signal(id, 'SIGKILL');
    // The member of etcd of an MDM outlives it, in a session of its own.
    const ids = [...own, ...within(kept.plan.stateDir)];
    for (const id of ids) signal(id, 'SIGKILL');
    const release = (): void => {
      kept.held--;
      if (kept.held === 0 && kept.id === null) this.#startAgain(kept);
    };
    return { ids, release };
  }

  /** Pids of all that run, data processes too. */
  pids(role: ProcessRole): number[] {
    return this.#kept
      .filter(({ plan }) => plan.role === role)
      .flatMap(({ plan }) => [
        this.idOf(plan.name),
        ...(role === 'sds' ? [this.idOf(`${plan.name}-data1`)] : []),
      ])
      .flatMap((id) => (id === null ? [] : [id.pid]));
  }

  /** Ends everything, clients first. */
  async stop(): Promise<void> {
    this.#stopping = true;
    // A process that is just being started is told too.
    await pause(SPAWN_MS);
    for (const roles of [['gateway', 'sdc'], ['sds'], ['mdm']] as const) {
      const ids = this.#kept
        .filter(({ plan }) => (roles as readonly string[]).includes(plan.role))
        .flatMap(({ id }) => (id === null ? [] : [id]));
      for (const id of ids) signal(id, 'SIGCONT');
      for (const id of ids) signal(id, 'SIGTERM');
      if (!(await waitForEnd(ids, STOP_MS))) for (const id of ids) signal(id, 'SIGKILL');
      await waitForEnd(ids, STOP_MS);
    }
    const members = this.#kept.flatMap(({ plan }) => within(plan.stateDir));
    for (const id of members) signal(id, 'SIGKILL');
    await waitForEnd(members, STOP_MS);
  }
}

/** Processes that work in a folder. */
function within(folder: string): ProcessId[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => workingFolder(name).startsWith(folder))
    .map((name) => identify(Number(name)))
    .filter((id) => id !== null);
}

function workingFolder(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch (error) {
    // It ended meanwhile, or is the kernel's.
    if (!['ENOENT', 'ESRCH', 'EACCES'].includes((error as { code?: string }).code ?? ''))
      throw error;
    return '';
  }
}
