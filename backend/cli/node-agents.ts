// meshsan-lia: what operators ask of the agents of nodes. It owns the commands, what they print, and the exit codes; it must
// never print a token or a key.

import { randomUUID } from 'node:crypto';
import {
  createWriteStream,
  existsSync,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { VERSION } from '../core/version.js';
import { JOB_ID_PATTERN, LIA_PORT, LIA_SERVICES, SERVICE_ACTIONS } from '../protocol/lia.js';
import type { Job, JobRequest } from '../protocol/lia.js';
import { ConfigError, nearest } from '../runtime/config-file.js';
import { endpointFrom } from '../runtime/endpoint-text.js';
import { UsageError, readCommandLine } from '../runtime/flags.js';
import { manualAnswer } from '../runtime/manual.js';
import { AgentError, LiaClient } from '../runtime/node-agent/client.js';
import { sha256Of, signPackage, signingKey } from '../runtime/node-agent/signature.js';
import { PrivateFileError, readPrivateFile, readSecretFile } from '../runtime/secret-file.js';

import { COMMANDS, FLAG_ROWS, MANUAL, TOKEN_FILE } from './node-agents-table.js';
import type { FlagName } from './node-agents-table.js';
import { jobLine, reportLines } from './node-report-text.js';

export const EXIT = { done: 0, refused: 1, usage: 2, unreachable: 4 } as const;

const POLL_MS = 300;
/** An agent that is replaced by its own job answers again after this long at most. */
const ABSENT_MS = 90_000;

export interface Output {
  out(line: string): void;
  err(line: string): void;
}

type Values = Readonly<Partial<Record<FlagName, string | boolean | readonly string[] | null>>>;

interface Line {
  readonly command: string;
  readonly words: readonly string[];
  readonly values: Values;
}

function parse(argv: readonly string[]): Line {
  const options = FLAG_ROWS.map(
    ([name, { value, multiple }]) =>
      [
        name,
        {
          type: value === undefined ? ('boolean' as const) : ('string' as const),
          multiple: multiple === true,
        },
      ] as const,
  );
  const { values, words: all } = readCommandLine(argv, Object.fromEntries(options));
  const [command = '', ...words] = all;
  return { command, words, values };
}

const textOf = ({ values }: Line, name: FlagName): string | null => {
  const value = values[name];
  return typeof value === 'string' ? value : null;
};

function nodesOf(line: Line): LiaClient[] {
  const hosts = line.values.host;
  if (!Array.isArray(hosts) || hosts.length === 0)
    throw new UsageError('name a node with --host IP[:PORT]');
  const token = readSecretFile(textOf(line, 'token-file') ?? TOKEN_FILE);
  return hosts.map((text: string) => {
    const { host, port } = endpointFrom('host', text, LIA_PORT);
    return new LiaClient(host, port, token);
  });
}

/** Waits for the end of a job; an agent may be away while it replaces itself. */
async function ended(node: LiaClient, id: string): Promise<Job> {
  let heardMs = Date.now();
  for (;;) {
    try {
      const job = await node.job(id);
      if (job.state === 'done' || job.state === 'failed') return job;
      heardMs = Date.now();
    } catch (error) {
      const isAway = error instanceof AgentError && error.error === null;
      if (!isAway || Date.now() - heardMs > ABSENT_MS) throw error;
    }
    await pause(POLL_MS);
  }
}

interface Answer {
  readonly data: unknown;
  readonly lines: readonly string[];
  readonly failed?: boolean;
}

async function runJob(line: Line, node: LiaClient, request: JobRequest): Promise<Answer> {
  const id = textOf(line, 'id') ?? randomUUID();
  if (!new RegExp(JOB_ID_PATTERN).test(id))
    throw new UsageError('--id must have letters, digits, dots and dashes, at most 64');
  const taken = await node.submit(id, request);
  const job = line.values['no-wait'] === true ? taken : await ended(node, id);
  const output = job.state === 'failed' ? job.output.trimEnd().split('\n') : [];
  return { data: job, lines: [jobLine(job), ...output], failed: job.state === 'failed' };
}

async function signatureOf(line: Line, file: string, sha256: string): Promise<string> {
  const keyFile = textOf(line, 'signing-key');
  if (keyFile !== null) return signPackage(signingKey(readPrivateFile(keyFile), keyFile), sha256);
  const path = `${file}.sig`;
  if (!existsSync(path))
    throw new UsageError(`${path} does not exist: give --signing-key, or sign the file first`);
  return Promise.resolve(readFileSync(path, 'utf8').trim());
}

async function install(line: Line, node: LiaClient): Promise<Answer> {
  if (line.words.length === 0) throw new UsageError('name the package files');
  const packages: string[] = [];
  for (const file of line.words) {
    if (!existsSync(file) || !statSync(file).isFile()) throw new UsageError(`${file} is no file`);
    const sha256 = await sha256Of(file);
    await node.bring(file, sha256, await signatureOf(line, file, sha256));
    packages.push(sha256);
  }
  const allowDowngrade = line.values['allow-downgrade'] === true;
  return runJob(line, node, { kind: 'install', packages, allowDowngrade });
}

async function sign(line: Line, output: Output): Promise<number> {
  const keyFile = textOf(line, 'signing-key');
  if (keyFile === null || line.words.length === 0)
    throw new UsageError('sign needs files and --signing-key FILE');
  const key = signingKey(readPrivateFile(keyFile), keyFile);
  for (const file of line.words) {
    writeFileSync(`${file}.sig`, `${signPackage(key, await sha256Of(file))}\n`);
    output.out(`${file}.sig`);
  }
  return EXIT.done;
}

async function service(line: Line, node: LiaClient): Promise<Answer> {
  const [name = '', ...more] = line.words;
  const unit = LIA_SERVICES.find((known) => known === name || known === `meshsan-${name}`);
  const action = SERVICE_ACTIONS.find((known) => known === line.command);
  if (unit === undefined || action === undefined || more.length > 0)
    throw new UsageError(`${line.command} needs one of ${LIA_SERVICES.join(', ')}`);
  return runJob(line, node, { kind: 'service', unit, action });
}

async function info(line: Line, node: LiaClient): Promise<Answer> {
  const file = textOf(line, 'out') ?? `meshsan-info-${node.host.replaceAll(':', '-')}.tar.gz`;
  // Logs tell more than everybody may read.
  await node.info(createWriteStream(file, { fd: openSync(file, 'wx', 0o600) }));
  return { data: { file, bytes: statSync(file).size }, lines: [basename(file)] };
}

async function ask(line: Line, node: LiaClient): Promise<Answer> {
  const { command, words } = line;
  switch (command) {
    case 'report': {
      const report = await node.report();
      return { data: report, lines: reportLines(report) };
    }
    case 'jobs': {
      const jobs = await node.jobs();
      return { data: jobs, lines: jobs.map(jobLine) };
    }
    case 'job': {
      const job = await node.job(words[0] ?? '');
      return { data: job, lines: [jobLine(job), ...job.output.trimEnd().split('\n')] };
    }
    case 'install':
      return install(line, node);
    case 'info':
      return info(line, node);
    default:
      return service(line, node);
  }
}

function checkCommand({ command, words, values }: Line): void {
  const names = Object.keys(COMMANDS).map((text) => text.split(' ')[0] ?? '');
  if (command === '') throw new UsageError('a command is missing; see --help');
  if (!names.includes(command)) {
    const near = nearest(command, names);
    throw new UsageError(
      `unknown command "${command}"${near === null ? '; see --help' : `; did you mean "${near}"?`}`,
    );
  }
  if (['report', 'jobs', 'info'].includes(command) && words.length > 0)
    throw new UsageError(`unexpected "${words.join(' ')}"`);
  if (command === 'job' && (words.length !== 1 || !new RegExp(JOB_ID_PATTERN).test(words[0] ?? '')))
    throw new UsageError('job needs the id of one job');
  if (command === 'info' && Array.isArray(values.host) && values.host.length > 1 && values.out)
    throw new UsageError('--out names one file: give one --host with it');
}

/** Asks one node; a node that refuses or is away does not keep the others from being asked. */
async function askOne(
  line: Line,
  node: LiaClient,
  isAlone: boolean,
  output: Output,
): Promise<number> {
  try {
    const { data, lines, failed } = await ask(line, node);
    if (line.values.json === true)
      output.out(JSON.stringify(isAlone ? data : { host: node.host, answer: data }));
    else for (const text of isAlone ? lines : [`${node.host}:`, ...lines]) output.out(text);
    return failed === true ? EXIT.refused : EXIT.done;
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    output.err(`meshsan-lia: ${error.message}`);
    return error.error === null ? EXIT.unreachable : EXIT.refused;
  }
}

async function askAll(line: Line, output: Output): Promise<number> {
  const nodes = nodesOf(line);
  let code: number = EXIT.done;
  try {
    for (const node of nodes)
      code = Math.max(code, await askOne(line, node, nodes.length === 1, output));
  } finally {
    for (const node of nodes) node.close();
  }
  return code;
}

/**
 * Runs a command line.
 * @param argv - without interpreter and script
 * @returns the exit code
 */
export async function runNodeAgents(argv: readonly string[], output: Output): Promise<number> {
  try {
    const wanted = argv.find((word) => ['--help', '-h', '--man'].includes(word));
    const manual = manualAnswer([wanted ?? ''], MANUAL, VERSION);
    if (manual !== null) {
      output.out(manual.trimEnd());
      return EXIT.done;
    }
    const line = parse(argv);
    checkCommand(line);
    return line.command === 'sign' ? await sign(line, output) : await askAll(line, output);
  } catch (error) {
    const isTheirs = [UsageError, ConfigError, PrivateFileError].some(
      (kind) => error instanceof kind,
    );
    if (!isTheirs && typeof (error as NodeJS.ErrnoException).code !== 'string') throw error;
    output.err(`meshsan-lia: ${(error as Error).message}`);
    return EXIT.usage;
  }
}
