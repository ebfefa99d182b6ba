// One run of scli: command line in, lines and exit code out. It owns the original's error lines and exit codes.

import { VERSION } from '../core/version.js';
import type { System } from '../protocol/generated/types.js';
import { ClusterError } from '../runtime/cluster.js';
import type { Cluster } from '../runtime/cluster.js';
import { ClusterReader } from '../runtime/cluster-reader.js';
import { manPage } from '../runtime/manual.js';

import { COMMANDS } from './commands.js';
import { passwordMark } from './commands/session.js';
import { commandHelp, manualOf, overview } from './help.js';
import type { BareRun, Command, Outcome, Session, Terminal, Values } from './option.js';
import { UsageError, parseArguments } from './parser.js';
import type { SessionStore } from './session-file.js';

export const EXIT = {
  done: 0,
  usage: 1,
  configuration: 2,
  finding: 3,
  connection: 4,
  refused: 7,
} as const;

const MDM_PORT = 6611;
const INVALID_SESSION = 'Invalid session. Please login and try again.';

export interface Target {
  readonly host: string;
  readonly port: number;
}

/** A connection to the MDM for one run. */
export interface Connection {
  readonly cluster: Cluster;
  readonly targets: readonly Target[];
  /** Why no master answers, in words for each target. */
  absence(): Promise<string>;
  close(): void;
}

/** No MDM could be reached; the message names the addresses and why each of them failed. */
export class ConnectError extends Error {
  override readonly name = 'ConnectError';

  /** @param reason - what each attempt met, for people */
  constructor(targets: readonly Target[], reason = '') {
    const places = targets.map(({ host, port }) => `${host}:${port}`).join(',');
    super(`Failed to connect to MDM ${places}${reason === '' ? '' : ` (${reason})`}`);
  }
}

export interface Environment {
  readonly terminal: Terminal;
  readonly sessions: SessionStore;
  readonly nowMs: () => number;
  /**
   * @param targets - instead of the configured ones
   * @throws ConnectError
   */
  connect(targets: readonly Target[] | null): Promise<Connection>;
  /** Makes a system on an MDM that has none. @throws ClusterError, ConnectError */
  create: BareRun['create'];
}

function targetsOf(values: Values): readonly Target[] | null {
  const hosts = values.get('mdm_ip');
  if (hosts === undefined) return null;
  const port = Number(values.get('mdm_port') ?? MDM_PORT);
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new UsageError('--mdm_port must be a port number');
  return hosts.split(',').map((host) => ({ host: host.trim(), port }));
}

/** The user of the session, or null when there is none that is still good. */
async function userOfSession(
  session: Session | null,
  reader: ClusterReader,
): Promise<string | null> {
  if (session?.systemId !== reader.systemId) return null;
  const user = (await reader.all('user')).find(({ key }) => key === session.userKey);
  if (user?.name !== session.user || passwordMark(user) !== session.passwordMark) return null;
  return user.name;
}

async function systemOf(cluster: Cluster): Promise<System> {
  const [system] = await cluster.query('system');
  if (system === undefined) throw ClusterError.named('NOT_FOUND');
  return system;
}

function refusal(status: string): string {
  return `Error: MDM failed command.  Status: ${status}`;
}

/** What the command has to say; null: nobody is logged in. */
async function runCommand(
  command: Command,
  values: Values,
  cluster: Cluster,
  environment: Environment,
): Promise<Outcome | null> {
  const { sessions, terminal } = environment;
  const nowMs = environment.nowMs();
  const reader = new ClusterReader(cluster, await systemOf(cluster));
  const user = command.open === true ? '' : await userOfSession(sessions.read(nowMs), reader);
  if (user === null) return null;
  if (command.sure !== undefined && !values.has('i_am_sure')) {
    const sure = await terminal.confirm(`${command.sure} Are you sure? [y/n] `);
    if (!sure) throw new UsageError('Cancelled');
  }
  const keepSession = (session: Session | null): void => {
    if (session === null) sessions.clear();
    else sessions.write(session);
  };
  return command.run({ values, cluster, reader, terminal, user, nowMs, keepSession });
}

function print(terminal: Terminal, values: Values, { lines, data }: Outcome): void {
  if (values.has('json')) terminal.out(JSON.stringify(data, null, 2));
  else for (const line of lines) terminal.out(line);
}

/** Whether a failure says that no master took the question. */
function neverReached(error: unknown): boolean {
  return error instanceof ClusterError && error.info.name === 'NOT_READY';
}

/** What an error means for the caller: its line and exit code. */
function explain(error: unknown): readonly [string, number] {
  if (error instanceof UsageError) return [`Error: ${error.message}`, EXIT.usage];
  if (error instanceof ConnectError) return [`Error: ${error.message}`, EXIT.connection];
  if (error instanceof ClusterError) return [refusal(error.message), EXIT.refused];
  throw error;
}

/**
 * Runs a command line.
 * @param argv - without interpreter and script
 * @returns the exit code
 */
export async function runScli(argv: readonly string[], environment: Environment): Promise<number> {
  const { terminal } = environment;
  if (argv.length === 1 && argv[0] === '--man') {
    terminal.out(manPage(manualOf(COMMANDS), VERSION).trimEnd());
    return EXIT.done;
  }
  try {
    const parsed = parseArguments(argv, COMMANDS);
    if ('help' in parsed) {
      const lines = parsed.help === null ? overview(COMMANDS) : commandHelp(parsed.help);
      for (const line of lines) terminal.out(line);
      return EXIT.done;
    }
    const { command, values } = parsed;
    if (command.bare !== undefined) {
      print(terminal, values, await command.bare({ values, create: environment.create }));
      return EXIT.done;
    }
    const connection = await environment.connect(targetsOf(values));
    try {
      const result = await runCommand(command, values, connection.cluster, environment);
      if (result === null) {
        terminal.err(refusal(INVALID_SESSION));
        return EXIT.refused;
      }
      print(terminal, values, result);
      return result.isFinding === true ? EXIT.finding : EXIT.done;
    } catch (error) {
      if (!neverReached(error)) throw error;
      throw new ConnectError(connection.targets, await connection.absence());
    } finally {
      connection.close();
    }
  } catch (error) {
    const [line, code] = explain(error);
    terminal.err(line);
    if (code === EXIT.usage) terminal.err('Usage: scli --<command> [options]; see scli --help');
    return code;
  }
}
