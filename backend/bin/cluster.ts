// `npm start`, `npm run stop`, `npm run status`: the command line of a local cluster.

import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { releaseDevices } from '../deploy/local/devices.js';
import { openLayout, pathsOf, readLayout } from '../deploy/local/layout.js';
import { HELP, parseSimple, parseStart } from '../deploy/local/options.js';
import { UsageError } from '../runtime/flags.js';
import { isRunning, signal, waitForEnd } from '../runtime/processes.js';
import {
  READY_LINE,
  lockForStart,
  recordedProcesses,
  runningSupervisor,
  startCluster,
  stopRecorded,
} from '../deploy/local/start.js';

const EXIT_USAGE = 2;
const EXIT_NOT_RUNNING = 3;
const STOP_MS = 60_000;
const FOLLOW_MS = 100;

const print = (text: string | Uint8Array): void => {
  process.stdout.write(text);
};

async function start(args: readonly string[]): Promise<number> {
  const options = parseStart(args);
  if (options === null) {
    print(HELP.start);
    return 0;
  }
  if (!options.detach) return startCluster(options);
  const unlock = await lockForStart(options.dir);
  const { paths } = openLayout(options);
  await unlock();
  return detach(join(paths.log, 'cluster.log'), args);
}

/** Starts the same command in the background and shows its output until it is ready or has ended. */
async function detach(log: string, args: readonly string[]): Promise<number> {
  let shown = existsSync(log) ? statSync(log).size : 0;
  const file = openSync(log, 'a', 0o600);
  const rest = args.filter((arg) => arg !== '--detach');
  const child = spawn(process.execPath, [import.meta.filename, 'start', ...rest], {
    detached: true,
    stdio: ['ignore', file, file],
  });
  closeSync(file);
  child.unref();
  const ended = new Promise<number>((done) => {
    child.once('exit', (code) => {
      done(code ?? 1);
    });
  });
  let all = '';
  const show = (): void => {
    const news = readFileSync(log).subarray(shown);
    shown += news.length;
    all += news.toString('utf8');
    print(news);
  };
  for (;;) {
    const pause = new Promise<null>((done) => setTimeout(done, FOLLOW_MS, null));
    const code = await Promise.race([ended, pause]);
    show();
    if (code !== null) return code;
    // The table is written in one piece with the line.
    if (all.includes(`${READY_LINE}\n`)) return 0;
  }
}

async function stop(args: readonly string[]): Promise<number> {
  const options = parseSimple(args);
  if (options === null) {
    print(HELP.stop);
    return 0;
  }
  const paths = pathsOf(options.dir);
  readLayout(paths);
  const supervisor = runningSupervisor(paths);
  const running = recordedProcesses(paths).filter(isRunning);
  if (supervisor !== null && signal(supervisor, 'SIGTERM')) {
    if (!(await waitForEnd([supervisor], STOP_MS))) signal(supervisor, 'SIGKILL');
  }
  for (const reason of await releaseDevices(paths, join(paths.dir, 'sdc')))
    process.stderr.write(`a block device stays, and waits for the next start: ${reason}\n`);
  await stopRecorded(paths);
  if (options.json) print(`${JSON.stringify({ stopped: running.length })}\n`);
  else print(running.length === 0 ? 'not running\n' : `stopped ${running.length} processes\n`);
  return 0;
}

function status(args: readonly string[]): number {
  const options = parseSimple(args);
  if (options === null) {
    print(HELP.status);
    return 0;
  }
  const paths = pathsOf(options.dir);
  readLayout(paths);
  const processes = recordedProcesses(paths).map((row) => ({
    ...row,
    running: isRunning(row),
  }));
  const running =
    runningSupervisor(paths) !== null &&
    processes.length > 0 &&
    processes.every((row) => row.running);
  if (options.json) print(`${JSON.stringify({ running, processes }, null, 2)}\n`);
  else if (processes.length === 0) print('not running\n');
  for (const row of options.json ? [] : processes) {
    const state = row.running ? 'running' : 'ended';
    const where = row.port === 0 ? row.address : `${row.address}:${row.port}`;
    print(`${row.name.padEnd(14)} ${state.padEnd(8)} pid ${String(row.pid).padEnd(8)} ${where}\n`);
  }
  return running ? 0 : EXIT_NOT_RUNNING;
}

async function main([name = '', ...args]: readonly string[]): Promise<number> {
  if (name === 'start') return start(args);
  if (name === 'stop') return stop(args);
  if (name === 'status') return status(args);
  throw new UsageError(`unknown command "${name}": start, stop or status`);
}

// What is shown may be a file on a disk that is full, or a pipe that nobody reads any more.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`MeshSAN: ${error.message}\n`);
  process.exitCode = EXIT_USAGE;
}
