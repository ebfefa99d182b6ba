// The bridge process and the commands of its operator. It must never print a secret.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { VERSION } from '../../backend/core/version.js';
import { ConfigError } from '../../backend/runtime/config-file.js';
import { openLog } from '../../backend/runtime/log-sink.js';
import type { ProcessLog } from '../../backend/runtime/log-sink.js';
import { helpText, manualAnswer } from '../../backend/runtime/manual.js';
import type { Manual } from '../../backend/runtime/manual.js';
import { PrivateFileError } from '../../backend/runtime/secret-file.js';
import { bridgeApp } from '../app.js';
import { assemble } from '../assembly.js';
import { Authentication } from '../authentication.js';
import { readBridgeConfig } from '../../backend/runtime/bridge-config.js';
import type { BridgeConfig } from '../../backend/runtime/bridge-config.js';
import { COMMANDS, CommandError } from '../commands.js';
import type { CommandOptions } from '../commands.js';
import { startServer } from '../server.js';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const EXIT_ADDRESS = 3;

const FILE = '/etc/meshsan/cinder-bridge.json';

const MANUAL: Manual = {
  name: 'cinder-bridge',
  section: 8,
  summary: "service beside cinder-volume, and its operator's commands",
  synopsis: ['cinder-bridge --config FILE', 'cinder-bridge COMMAND --config FILE [FLAGS]'],
  description: [
    "Without a command it serves MeshSAN's Cinder driver until it is told to end. A command asks the cluster, beside a bridge that runs or without one.",
  ],
  parts: [
    {
      title: 'Commands',
      rows: [
        {
          term: 'check',
          about:
            'reads the configuration and the files it names, and says whether they can be used',
        },
        {
          term: 'health',
          about: "which gateways answer; exit code 1 when Cinder's requests would fail",
        },
        {
          term: 'ledger',
          about: 'who has which volume mapped, by which generation, and who relies on it',
        },
        {
          term: 'orphans',
          about: 'what differs between the cluster and Cinder; exit code 4 when something does',
        },
        {
          term: 'repair',
          about:
            'takes the repair steps of that report; exit code 4 when something is left for a person',
        },
      ],
    },
    {
      title: 'Flags',
      rows: [
        { term: '--config FILE', about: `configuration, readable by its owner only (${FILE})` },
        {
          term: '--known FILE',
          about:
            'orphans, repair: what Cinder knows, as meshsan-cinder-known prints it; - is standard input',
        },
        {
          term: '--min-age SEC',
          about: 'orphans, repair: leave out what is younger, it may be under way (300)',
        },
        { term: '--dry-run', about: 'repair: show the steps and take none' },
        { term: '--json', about: 'print JSON' },
        { term: '--version', about: 'print the version' },
        { term: '--help', about: 'this text' },
        { term: '--man', about: 'this text as a manual page' },
      ],
    },
    {
      title: 'Exit codes',
      rows: [
        { term: '0', about: 'done' },
        { term: String(EXIT_FAILED), about: 'failed' },
        { term: String(EXIT_USAGE), about: 'wrong flags or configuration' },
        { term: String(EXIT_ADDRESS), about: 'the address or socket is in use' },
        { term: '4', about: 'see orphans and repair' },
      ],
    },
  ],
  seeAlso: ['meshsan-cinder-known(8)', 'meshsan-setup(8)'],
};

const FLAGS = {
  config: { type: 'string', default: FILE },
  known: { type: 'string' },
  'min-age': { type: 'string', default: '300' },
  'dry-run': { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  version: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

function logOf(config: BridgeConfig): ProcessLog {
  const level = config.logLevel;
  return openLog({ component: config.name, ...(level === undefined ? {} : { level }) });
}

async function serve(config: BridgeConfig): Promise<void> {
  const authentication = Authentication.fromFile(config.tokenFile, Date.now);
  const log = logOf(config);
  const { bridge, close } = assemble(config, log);
  const app = bridgeApp({ bridge, authentication, log, version: VERSION, nowMs: Date.now });
  const starting = startServer(app, config.listen);
  let stopping: Promise<void> | null = null;
  const stop = async (): Promise<void> => {
    await (await starting).close();
    close();
    log.event('info', 'bridge.stopped', {});
    await log.close();
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      stopping ??= stop().then(() => process.exit(0));
    });
  const { place } = await starting;
  log.event('info', 'bridge.started', { place, version: VERSION });
}

function seconds(text: string): number {
  if (!/^\d{1,9}$/.test(text))
    throw new CommandError(`--min-age must be a number of seconds, not "${text}"`);
  return Number(text);
}

function readKnown(path: string | undefined): unknown {
  if (path === undefined) return undefined;
  try {
    return JSON.parse(readFileSync(path === '-' ? 0 : path, 'utf8')) as unknown;
  } catch (error) {
    throw new CommandError(`--known ${path} cannot be used: ${(error as Error).message}`);
  }
}

async function main(args: readonly string[]): Promise<number> {
  const manual = manualAnswer(args, MANUAL, VERSION);
  if (manual !== null) {
    process.stdout.write(manual);
    return 0;
  }
  const { values, positionals } = parseArgs({
    args: [...args],
    options: FLAGS,
    allowPositionals: true,
    strict: true,
  });
  const print = (text: string): void => {
    process.stdout.write(text);
  };
  if (values.help || values.version) {
    print(values.help ? helpText(MANUAL) : `${VERSION}\n`);
    return 0;
  }
  const [name, ...more] = positionals;
  if (more.length > 0) throw new CommandError(`one command at a time, not "${more.join(' ')}" too`);
  const command = name === undefined ? undefined : COMMANDS.get(name);
  if (name !== undefined && command === undefined)
    throw new CommandError(`unknown command "${name}": ${[...COMMANDS.keys()].join(', ')}`);
  const config = readBridgeConfig(values.config);
  if (command === undefined) {
    await serve(config);
    return 0;
  }
  const options: CommandOptions = {
    json: values.json,
    dryRun: values['dry-run'],
    minAgeSeconds: seconds(values['min-age']),
    known: readKnown(values.known),
    nowSeconds: Math.floor(Date.now() / 1000),
    print,
  };
  // Checked as the server does, so that "check" means that it would start.
  Authentication.fromFile(config.tokenFile, Date.now);
  const log = logOf({ ...config, logLevel: 'error' });
  const { bridge, close } = assemble(config, log);
  try {
    return await command(bridge, options);
  } finally {
    close();
    await log.close();
  }
}

function exitCodeOf(error: unknown): number {
  const code = error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? '') : '';
  if (['EADDRINUSE', 'EADDRNOTAVAIL', 'EACCES'].includes(code)) return EXIT_ADDRESS;
  const isUsage = [ConfigError, PrivateFileError, CommandError].some(
    (kind) => error instanceof kind,
  );
  return isUsage || code.startsWith('ERR_PARSE_ARGS') ? EXIT_USAGE : EXIT_FAILED;
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    const text = error instanceof Error ? error.message : String(error);
    process.stderr.write(`cinder-bridge: ${text}\n`);
    process.exit(exitCodeOf(error));
  },
);
