// The command line of administrators: reads its configuration, runs one command, exits with the original's codes.

import { connect } from 'node:net';

import { ConnectError, EXIT, runScli } from '../cli/scli.js';
import type { Connection, Target } from '../cli/scli.js';
import { sessionStore } from '../cli/session-file.js';
import { processTerminal } from '../cli/terminal.js';
import type { MdmCreateBody } from '../protocol/generated/types.js';
import { ClusterError } from '../runtime/cluster.js';
import { ConfigError } from '../runtime/config-file.js';
import { openLog } from '../runtime/log-sink.js';
import { absenceOf } from '../runtime/mdm-node/absence.js';
import { NodeCaller, reasonOf } from '../runtime/mdm-node/caller.js';
import { MdmSession } from '../runtime/mdm-session.js';
import { PrivateFileError, readSecretFile } from '../runtime/secret-file.js';

import { readScliConfig } from './scli-config.js';
import type { ScliConfig } from './scli-config.js';

const CONFIG_FILE = '/etc/meshsan/scli.json';
const MDM_PORT = 6611;
const PROBE_MS = 5_000;
const MASTER_MS = 10_000;

/** Whether something listens there; tells "no MDM" apart from "no master yet" without waiting for the latter. */
function listens({ host, port }: Target): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: PROBE_MS });
    const finish = (reached: boolean): void => {
      socket.destroy();
      resolve(reached);
    };
    socket.once('connect', () => {
      finish(true);
    });
    for (const event of ['error', 'timeout'])
      socket.once(event, () => {
        finish(false);
      });
  });
}

/** Resolves when a master answered. @throws ConnectError after ten seconds without one */
async function answered(
  session: MdmSession,
  targets: readonly Target[],
  absence: () => Promise<string>,
): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      absence().then((reason) => {
        reject(new ConnectError(targets, reason));
      }, reject);
    }, MASTER_MS);
  });
  try {
    await Promise.race([session.clusterState(), late]);
  } finally {
    clearTimeout(timer);
  }
}

async function connection(config: ScliConfig, targets: readonly Target[]): Promise<Connection> {
  const secret = readSecretFile(config.secretFile);
  const absence = (): Promise<string> => absenceOf(targets, secret);
  const reached = await Promise.all(targets.map(listens));
  if (!reached.includes(true)) throw new ConnectError(targets, await absence());
  const log = openLog({ component: config.name, level: config.logLevel });
  const session = new MdmSession({ addresses: targets, secret, log });
  session.start();
  try {
    await answered(session, targets, absence);
  } catch (error) {
    session.close();
    throw error;
  }
  return {
    cluster: session,
    targets,
    absence,
    close() {
      session.close();
    },
  };
}

/** @throws ClusterError, ConnectError */
async function create(config: ScliConfig, host: string, system: MdmCreateBody): Promise<void> {
  const place = { host, port: MDM_PORT };
  const secret = readSecretFile(config.secretFile);
  if (!(await listens(place))) throw new ConnectError([place], await absenceOf([place], secret));
  const log = openLog({ component: config.name, level: config.logLevel });
  const caller = new NodeCaller(secret, log);
  try {
    await caller.create(place, system);
  } catch (error) {
    throw error instanceof ClusterError ? error : new ConnectError([place], reasonOf(error));
  } finally {
    caller.close();
  }
}

async function main(): Promise<number> {
  // Help needs no configuration, so the file is read when the first command asks for a connection.
  let config: ScliConfig | null = null;
  const configured = (): ScliConfig => {
    config ??= readScliConfig(process.env['MESHSAN_SCLI_CONFIG'] ?? CONFIG_FILE);
    return config;
  };
  const sessions = (): ReturnType<typeof sessionStore> =>
    sessionStore(configured().stateDir, process.getuid?.() ?? 0);
  return runScli(process.argv.slice(2), {
    terminal: processTerminal(),
    nowMs: Date.now,
    connect: (targets) => connection(configured(), targets ?? configured().mdm),
    create: (host, system) => create(configured(), host, system),
    sessions: {
      read: (nowMs) => sessions().read(nowMs),
      write: (session) => {
        sessions().write(session);
      },
      clear: () => {
        sessions().clear();
      },
    },
  });
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    const refused = error instanceof ConfigError || error instanceof PrivateFileError;
    process.stderr.write(`Error: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = refused ? EXIT.configuration : EXIT.usage;
  },
);
