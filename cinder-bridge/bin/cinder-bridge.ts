// The bridge process and the commands of its operator. It must never print a secret.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { VERSION } from '../../backend/core/version.js';
import { ConfigError } from '../../backend/runtime/config-file.js';
import { openLog } from '../../backend/runtime/log-sink.js';
import type { ProcessLog } from '../../backend/runtime/log-sink.js';
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

const HELP = `Usage: cinder-bridge --config FILE            serves the Cinder driver until it is told to end
       cinder-bridge COMMAND --config FILE    asks the cluster, beside a bridge that runs or without one

Commands:
  check     reads the configuration and the files it names, and says whether they can be used
  health    which gateways answer; exit code 1 when Cinder's requests would fail
  ledger    who has which volume mapped, by which generation, and who relies on it
  orphans   what differs between the cluster and Cinder; exit code 4 when something does
  repair    takes the repair steps of that report; exit code 4 when something is left for a person

Flags:
  --config FILE    configuration, readable by its owner only (default /etc/meshsan/cinder-bridge.json)
  --known FILE     orphans, repair: what Cinder knows, as meshsan-cinder-known prints it; - is standard input
  --min-age SEC    orphans, repair: leave out what is younger, it may be under way (default 300)
  --dry-run        repair: show the steps and take none
  --json           print JSON
  --version        print the version
  --help           print this

Exit codes: 0 done, 1 failed, 2 wrong flags or configuration, 3 the address or socket is in use, 4 see above.
`;

const FLAGS = {
  config: { type: 'string', default: '/etc/meshsan/cinder-bridge.json' },
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
    print(values.help ? HELP : `${VERSION}\n`);
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
