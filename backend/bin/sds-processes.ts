// Runs the data processes of a storage server as children of the control process. It owns their configuration files and
// the list of those that run, `processes.json`; it must never decide whether one shall run.
//
// A child hears of the end of its parent by the channel between them and ends too, so that a new control process finds
// devices that nobody has open.

import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from '../core/ports.js';
import type { Loop } from '../runtime/loop.js';
import type {
  CacheOrder,
  DataProcessSpec,
  DataReport,
  DeviceProcesses,
  DeviceProcessOwner,
} from '../sds/device-process.js';
import type { SdsConfig, SdsDataConfig } from './sds-config.js';

const PROGRAM = join(import.meta.dirname, 'sds-data.js');
/**
 * An idle data process keeps 72 instead of 89 MiB resident this way: a small space for young objects (the path of an I/O
 * allocates little), few threads that compile and collect, and an allocator that gives back what starting took.
 */
const MEMORY_FLAGS = ['--max-semi-space-size=1', '--v8-pool-size=2'] as const;
const MEMORY_ENVIRONMENT = {
  MALLOC_ARENA_MAX: '2',
  MALLOC_TRIM_THRESHOLD_: '131072',
  MALLOC_MMAP_THRESHOLD_: '131072',
} as const;
/** A process that does not end when it is asked to is made to. */
const STOP_MS = 8000;

interface Running {
  readonly child: ChildProcess;
  readonly spec: DataProcessSpec;
  path: string;
  opened: boolean;
  killer: NodeJS.Timeout | null;
}

/** Writes a file for the owner only, whole or not at all. */
function writePrivate(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600 });
  chmodSync(`${path}.new`, 0o600);
  renameSync(`${path}.new`, path);
}

function isReport(message: unknown): message is DataReport {
  if (typeof message !== 'object' || message === null || !('kind' in message)) return false;
  const { kind } = message;
  return kind === 'formatted' || kind === 'opened' || kind === 'refused' || kind === 'cache';
}

export class ChildProcesses implements DeviceProcesses {
  private readonly config: SdsConfig;
  private readonly loop: Loop;
  private readonly log: Log;
  private readonly running = new Map<number, Running>();
  private owner: DeviceProcessOwner | null = null;

  constructor(config: SdsConfig, loop: Loop, log: Log) {
    this.config = config;
    this.loop = loop;
    this.log = log;
    this.publish();
  }

  /** Says who hears of the processes; before the first is started. */
  attach(owner: DeviceProcessOwner): void {
    this.owner = owner;
  }

  start(spec: DataProcessSpec): void {
    const { deviceKey } = spec.want;
    const file = join(this.config.stateDir, `data-${deviceKey}.json`);
    if (!this.write(file, this.configOf(spec))) {
      // Told as of a process that ended: the owner tries again later.
      setImmediate(() => {
        this.loop.begin();
        this.owner?.dataEnded(this.loop.nowUs, deviceKey, -1);
        this.loop.end();
      });
      return;
    }
    const child = fork(PROGRAM, ['--config', file], {
      execArgv: [...process.execArgv, ...MEMORY_FLAGS],
      env: { ...process.env, ...MEMORY_ENVIRONMENT },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const running = { child, spec, path: spec.want.path, opened: false, killer: null };
    this.running.set(deviceKey, running);
    child.on('message', (message) => {
      if (isReport(message)) this.reported(deviceKey, running, message);
    });
    child.once('error', (error) => {
      this.log.event('error', 'sds.data-process', { device: deviceKey, reason: error.message });
    });
    child.once('exit', (code, signal) => {
      this.ended(deviceKey, running, code, signal);
    });
  }

  /** Writes a file unless it is so already; false: it cannot be written, such as on a full disk. */
  private write(path: string, value: unknown): boolean {
    try {
      const text = JSON.stringify(value, null, 2);
      if (!existsSync(path) || readFileSync(path, 'utf8') !== text) writePrivate(path, text);
      return true;
    } catch (error) {
      this.log.event('error', 'sds.file-not-written', { path, reason: String(error) });
      return false;
    }
  }

  private configOf({ want, sdsKey, systemId, port }: DataProcessSpec): SdsDataConfig {
    const { name, addresses, mdm, secretFile, logLevel, deviceSearch, dataOptions } = this.config;
    const { deviceKey, poolKey, path, task, force, durability, replaces } = want;
    return {
      ...{ name: `${name}-${deviceKey}`.slice(0, 31), addresses, mdm, secretFile, logLevel },
      ...{ port, deviceSearch, sdsKey, systemId, deviceKey, poolKey, path, force, replaces },
      task: task === 'format' ? 'format' : 'open',
      direct: durability === 'device',
      options: dataOptions,
    };
  }

  stop(deviceKey: number): void {
    const running = this.running.get(deviceKey);
    if (running === undefined) return;
    running.child.kill('SIGTERM');
    running.killer ??= setTimeout(() => {
      running.child.kill('SIGKILL');
    }, STOP_MS);
  }

  allotCache(deviceKey: number, bytes: number): void {
    const child = this.running.get(deviceKey)?.child;
    if (child?.connected !== true) return;
    child.send({ kind: 'cache', bytes } satisfies CacheOrder, (error) => {
      // A process that ends meanwhile is heard of by its end.
      if (error !== null)
        this.log.event('debug', 'sds.data-not-told', { device: deviceKey, reason: error.message });
    });
  }

  private reported(deviceKey: number, running: Running, report: DataReport): void {
    if (report.kind === 'opened') {
      running.opened = true;
      running.path = report.path;
      this.publish();
    }
    this.loop.begin();
    this.owner?.dataReported(this.loop.nowUs, deviceKey, report);
    this.loop.end();
  }

  private ended(
    deviceKey: number,
    running: Running,
    code: number | null,
    signal: NodeJS.Signals | null,
  ): void {
    if (running.killer !== null) clearTimeout(running.killer);
    this.running.delete(deviceKey);
    this.publish();
    this.log.event('info', 'sds.data-process-ended', {
      ...{ device: deviceKey, code: code ?? -1, signal: signal ?? '' },
    });
    this.loop.begin();
    this.owner?.dataEnded(this.loop.nowUs, deviceKey, code ?? -1);
    this.loop.end();
  }

  /** The list for operators and supervisors. */
  private publish(): void {
    const [first] = this.config.addresses;
    const rows = [...this.running].flatMap(([deviceKey, { child, spec, path, opened }]) =>
      opened && child.pid !== undefined
        ? [{ deviceKey, pid: child.pid, address: first?.host ?? '', port: spec.port, path }]
        : [],
    );
    this.write(join(this.config.stateDir, 'processes.json'), rows);
  }

  /** Removes what only a running control process has. */
  close(): void {
    rmSync(join(this.config.stateDir, 'processes.json'), { force: true });
  }
}
