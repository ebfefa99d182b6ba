// meshsan-setup: makes the configuration files of a node. It writes only what the schema of the reading process accepts,
// leaves alone what nobody named, and never starts a service.

import { chownSync, existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { VERSION } from '../core/version.js';
import { ConfigError, nearest, readJsonFile } from '../runtime/config-file.js';
import { writePrivate } from '../runtime/durable-files.js';
import { helpText, manualAnswer } from '../runtime/manual.js';
import type { Manual } from '../runtime/manual.js';

import { startFailureCode } from './process-exit.js';
import { applySet } from './setup-flags.js';
import type { Json } from './setup-flags.js';
import { BRIDGE_TOKEN, ROLES, drvCfgOf, isRoleName } from './setup-roles.js';
import type { Role, RoleName } from './setup-roles.js';
import {
  SYSTEM_FILES,
  ensureSecret,
  handOverAuthority,
  initialAdmin,
  makeSystem,
  requireSecret,
} from './setup-system.js';

const CONFIG_DIR = '/etc/meshsan';
const SYSTEM_NAME = 'meshsan';

const MANUAL: Manual = {
  name: 'meshsan-setup',
  section: 8,
  summary: 'writes the configuration of a node',
  synopsis: [
    'meshsan-setup system [--name NAME]',
    'meshsan-setup ROLE [FLAGS] [--set KEY=JSON ...]',
    'meshsan-setup check ROLE',
  ],
  description: [
    'Writes configuration, checks it with the schema of the process that will read it, and says in one line of JSON what it did. It only sets what is named: the rest of a file that is there stays, so the same command twice changes nothing the second time. It starts nothing.',
  ],
  parts: [
    {
      title: 'Commands',
      rows: [
        {
          term: 'system [--name NAME]',
          about: `makes ${Object.values(SYSTEM_FILES).join(', ')}, each unless it is there`,
        },
        { term: 'check ROLE', about: 'says whether the configuration of a role is right' },
        ...(Object.entries(ROLES) as [RoleName, Role][]).map(([name, role]) => ({
          term: `${name}${role.needs.map((flag) => ` --${flag} ...`).join('')}`,
          about: `writes ${CONFIG_DIR}/${role.file}.json: ${role.about}`,
        })),
      ],
    },
    ...(Object.entries(ROLES) as [RoleName, Role][]).map(([name, role]) => ({
      title: `Flags of ${name}`,
      rows: [
        ...Object.entries(role.flags).map(([flag, { about }]) => ({ term: `--${flag}`, about })),
        ...Object.entries(role.switches ?? {}).map(([flag, about]) => ({
          ...{ term: `--${flag}`, about },
        })),
      ],
    })),
    {
      title: 'Flags',
      rows: [
        { term: '--set KEY=JSON', about: 'any other key of the file; may be repeated' },
        { term: '--root DIR', about: 'works below DIR instead of /' },
        { term: '--help', about: 'this text' },
        { term: '--man', about: 'this text as a manual page' },
      ],
    },
    {
      title: 'Exit codes',
      rows: [
        { term: '0', about: 'done' },
        { term: '1', about: 'failed' },
        { term: '2', about: 'refused, with a sentence on standard error; nothing was written' },
      ],
    },
  ],
  seeAlso: ['scli(1)', 'meshsan-mdm(8)', 'meshsan-sds(8)', 'meshsan-sdc(8)', 'meshsan-gateway(8)'],
};

function unknown(word: string, known: readonly string[]): ConfigError {
  const near = nearest(word, known);
  const hint = near === null ? `known are ${known.join(', ')}` : `did you mean "${near}"?`;
  return new ConfigError(`Unknown command or role "${word}"; ${hint}`);
}

interface Outcome {
  readonly file: string;
  readonly changed: boolean;
}

/** Writes a file unless it says the same already. */
function writeConfig(root: string, name: string, before: Json | null, config: Json): Outcome {
  const file = join(CONFIG_DIR, `${name}.json`);
  const path = join(root, file);
  if (before !== null && JSON.stringify(before) === JSON.stringify(config))
    return { file, changed: false };
  // The user of a service keeps its file.
  const owner = existsSync(path) ? statSync(path) : null;
  writePrivate(path, `${JSON.stringify(config, null, 2)}\n`);
  if (owner !== null) chownSync(path, owner.uid, owner.gid);
  return { file, changed: true };
}

function present(path: string): Json | null {
  if (!existsSync(path)) return null;
  const value = readJsonFile(path);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new ConfigError(`Configuration ${path}: it must hold an object`);
  return value as Json;
}

type Values = Readonly<Record<string, string | readonly string[] | undefined>>;

/** The file's new content: what was there, or a fresh one, with everything that the flags name. */
function merged(role: Role, before: Json | null, values: Values): Json {
  const config = before === null ? role.fresh() : structuredClone(before);
  for (const [name, { key, list }] of Object.entries(role.flags)) {
    const value = values[name];
    if (value === undefined) continue;
    config[key] = list === undefined ? value : (value as readonly string[]).map(list);
  }
  for (const text of values['set'] ?? []) applySet(config, text);
  const missing = role.needs.filter((flag) => config[role.flags[flag]?.key ?? ''] === undefined);
  if (missing.length > 0)
    throw new ConfigError(`${missing.map((flag) => `--${flag}`).join(' and ')} must be given`);
  return config;
}

/** What works through the client beside it has the MDMs and the identity of that one, where nothing else is said. */
function fromClient(directory: string, config: Json): void {
  const client = present(join(directory, `${ROLES.sdc.file}.json`)) ?? {};
  for (const key of ['mdm', 'guid']) if (client[key] !== undefined) config[key] ??= client[key];
}

/** Writes the configuration of a role, and what belongs to it. */
async function setUpRole(name: RoleName, args: readonly string[]): Promise<Json> {
  const role: Role = ROLES[name];
  const own = Object.entries(role.flags).map(
    ([flag, { list }]) =>
      [flag, { type: 'string' as const, multiple: list !== undefined }] as const,
  );
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...Object.fromEntries(own),
      ...Object.fromEntries(
        Object.keys(role.switches ?? {}).map((flag) => [flag, { type: 'boolean' as const }]),
      ),
      set: { type: 'string', multiple: true },
      root: { type: 'string', default: '/' },
    },
  });
  const { root } = values;
  const directory = join(root, CONFIG_DIR);
  if (role.secret !== null) requireSecret(directory, role.secret);
  const before = present(join(directory, `${role.file}.json`));
  const config = merged(role, before, values);
  if (name === 'mdm') {
    // Without an administrator it makes no system.
    if ('standby' in values) delete config['initialAdmin'];
    else config['initialAdmin'] ??= await initialAdmin(directory);
  }
  if (name === 'lia' && existsSync(join(directory, SYSTEM_FILES.signer)))
    config['signerFile'] ??= join(CONFIG_DIR, SYSTEM_FILES.signer);
  if (name === 'sentinel') fromClient(directory, config);
  role.check(join(CONFIG_DIR, `${role.file}.json`), structuredClone(config));
  const drvCfg = name === 'sdc' ? drvCfgOf(config) : null;
  const madeToken = name === 'cinder-bridge' && ensureSecret(join(root, BRIDGE_TOKEN));
  const outcome = writeConfig(root, role.file, before, config);
  if (madeToken) return { ...outcome, changed: true };
  if (drvCfg !== null) {
    const other = writeConfig(root, 'drv_cfg', present(join(directory, 'drv_cfg.json')), drvCfg);
    return { ...outcome, changed: outcome.changed || other.changed, guid: config['guid'] };
  }
  if (name !== 'gateway') return { ...outcome };
  const handed = handOverAuthority(directory, join(root, String(config['stateDir'])));
  return { ...outcome, changed: outcome.changed || handed };
}

function check(args: readonly string[]): Json {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { root: { type: 'string', default: '/' } },
    allowPositionals: true,
  });
  const [name = ''] = positionals;
  if (!isRoleName(name)) throw unknown(name, Object.keys(ROLES));
  const file = join(CONFIG_DIR, `${ROLES[name].file}.json`);
  ROLES[name].check(file, readJsonFile(join(values.root, file)));
  return { file, right: true };
}

async function system(args: readonly string[]): Promise<Json> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      name: { type: 'string', default: SYSTEM_NAME },
      root: { type: 'string', default: '/' },
    },
  });
  return { made: await makeSystem(join(values.root, CONFIG_DIR), values.name) };
}

async function main([command = '', ...args]: readonly string[]): Promise<string> {
  if (['', 'help'].includes(command)) return helpText(MANUAL);
  const manual = manualAnswer([command], MANUAL, VERSION);
  if (manual !== null) return manual;
  if (command === 'system') return `${JSON.stringify(await system(args))}\n`;
  if (command === 'check') return `${JSON.stringify(check(args))}\n`;
  if (!isRoleName(command)) throw unknown(command, ['system', 'check', ...Object.keys(ROLES)]);
  return `${JSON.stringify(await setUpRole(command, args))}\n`;
}

main(process.argv.slice(2)).then(
  (text) => {
    process.stdout.write(text);
  },
  (error: unknown) => {
    process.stderr.write(
      `meshsan-setup: ${error instanceof Error ? error.message : String(error)}\n`,
    );
    process.exitCode = startFailureCode(error);
  },
);
