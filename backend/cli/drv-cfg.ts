// drv_cfg: what scripts ask of the client on a host. There is no kernel module here; the client process answers on its
// control socket. It owns the original's lines, of which scripts take words by position from the first column on.

import { VERSION } from '../core/version.js';
import { helpText, manPage } from '../runtime/manual.js';
import type { Manual } from '../runtime/manual.js';

export const EXIT = { done: 0, usage: 1, configuration: 2, refused: 3, unreachable: 4 } as const;

const NO_INSTALLATION = '0'.repeat(16);
const DASHES = /^(?:--|[\u2012-\u2015\u2212]{1,2})/u;

/** One system of the host, as the client process says. */
export interface ClientSystem {
  /** Empty: it has not been heard of. */
  readonly systemId: string;
  readonly sdcId: string;
  readonly mdmHosts: readonly string[];
  /** Why it cannot be used, or empty. */
  readonly fault: string;
}

/** What the client process says of itself. */
export interface ClientStatus {
  readonly guid: string;
  readonly version: string;
  readonly systems: readonly ClientSystem[];
  readonly volumes: readonly { readonly id: string; readonly systemId: string }[];
}

/** A change of the systems of the host; lists have commas. */
export type ClientChange =
  | { readonly op: 'add'; readonly mdm: string; readonly secretFile: string | null }
  | { readonly op: 'modify'; readonly mdm: string; readonly newMdm: string }
  | { readonly op: 'remove'; readonly mdm: string; readonly force: boolean };

export interface DrvCfgEnvironment {
  /** From the configuration; known although no client runs. */
  guid(): string;
  /** Asks the client process. @throws Error when nobody answers */
  ask(op: 'status' | 'rescan'): Promise<ClientStatus>;
  /**
   * Has the client process change its systems.
   * @param file - drv_cfg.txt that the caller means; null: the client's
   * @throws DrvCfgRefusal with what would be right; Error when nobody answers
   */
  change(change: ClientChange, file: string | null): Promise<void>;
  out(line: string): void;
  err(line: string): void;
}

/** What the client process refused; the message is for people. */
export class DrvCfgRefusal extends Error {
  override readonly name = 'DrvCfgRefusal';
}

/** Values of an action by name; those that are not given are absent. */
type Values = ReadonlyMap<string, string>;

interface Action {
  readonly names: readonly string[];
  readonly about: string;
  /** Words that it takes, each with what its value is; null: none. */
  readonly takes?: Readonly<Record<string, string | null>>;
  readonly needs?: readonly string[];
  run(environment: DrvCfgEnvironment, values: Values): Promise<readonly string[]>;
}

async function mdms(environment: DrvCfgEnvironment): Promise<readonly string[]> {
  const { systems } = await environment.ask('status');
  // Scripts take a line for a system that can be used.
  const known = systems.filter(({ systemId, fault }) => systemId !== '' && fault === '');
  return [
    `Retrieved ${known.length} mdm(s)`,
    ...known.map(({ systemId, sdcId, mdmHosts }) => {
      const hosts = mdmHosts.map((host, index) => `[${index}]-${host}`).join(' ');
      const sdc = sdcId === '' ? NO_INSTALLATION : sdcId;
      return `MDM-ID ${systemId} SDC ID ${sdc} INSTALLATION ID ${NO_INSTALLATION} IPs ${hosts}`;
    }),
  ];
}

async function volumes(environment: DrvCfgEnvironment): Promise<readonly string[]> {
  const { volumes: mapped } = await environment.ask('status');
  return [
    `Retrieved ${mapped.length} volume(s)`,
    ...mapped.map(({ id, systemId }) => `VOL-ID ${id} MDM-ID ${systemId}`),
  ];
}

const FILE = { file: 'FILE (must be the drvCfgFile of sdc.json, if it is given)' } as const;

const ACTIONS: readonly Action[] = [
  {
    names: ['query_guid'],
    about: 'the GUID of this host',
    run: (environment) => Promise.resolve([environment.guid().toUpperCase()]),
  },
  { names: ['query_mdms', 'query_mdm'], about: 'the systems of this host', run: mdms },
  { names: ['query_vols', 'query_vol'], about: 'the volumes mapped to this host', run: volumes },
  {
    names: ['query_version'],
    about: 'the version of the client',
    run: async (environment) => [(await environment.ask('status')).version],
  },
  {
    names: ['rescan'],
    about: 'wait until all mappings are known',
    run: async (environment) => {
      await environment.ask('rescan');
      return ['Successfully completed the rescan operation'];
    },
  },
  {
    names: ['add_mdm'],
    about: 'use a further system, at once and after every start',
    takes: {
      ip: 'its MDMs, IP or IP:PORT, with commas between them',
      secret_file: "FILE with its secret; without it the host's own",
      ...FILE,
    },
    needs: ['ip'],
    run: async (environment, values) => {
      const mdm = values.get('ip') ?? '';
      const secretFile = values.get('secret_file') ?? null;
      await environment.change({ op: 'add', mdm, secretFile }, values.get('file') ?? null);
      return [`Successfully added the MDM(s) ${mdm}`];
    },
  },
  {
    names: ['mod_mdm_ip'],
    about: 'the MDMs of a system have other addresses; its volumes stay in use',
    takes: { ip: 'one of its present MDMs', new_mdm_ip: 'all of its MDMs', ...FILE },
    needs: ['ip', 'new_mdm_ip'],
    run: async (environment, values) => {
      const newMdm = values.get('new_mdm_ip') ?? '';
      const change = { op: 'modify', mdm: values.get('ip') ?? '', newMdm } as const;
      await environment.change(change, values.get('file') ?? null);
      return [`Successfully changed the MDM(s) to ${newMdm}`];
    },
  },
  {
    names: ['rmv_mdm', 'remove_mdm'],
    about: 'use a system no more; refused while volumes of it are mapped to this host',
    takes: {
      ip: 'one of its MDMs',
      force: null,
      ...FILE,
    },
    needs: ['ip'],
    run: async (environment, values) => {
      const mdm = values.get('ip') ?? '';
      const change = { op: 'remove', mdm, force: values.has('force') } as const;
      await environment.change(change, values.get('file') ?? null);
      return [`Successfully removed the MDM(s) ${mdm}`];
    },
  },
];

/** An option with the words that it takes, as people write it. */
function written({ names, takes = {}, needs = [] }: Action): string {
  const words = Object.entries(takes).map(([name, value]) => {
    const word =
      value === null
        ? `--${name}`
        : `--${name} ${name === 'ip' || name === 'new_mdm_ip' ? 'LIST' : 'FILE'}`;
    return needs.includes(name) ? word : `[${word}]`;
  });
  return [names.map((name) => `--${name}`).join(', '), ...words].join(' ');
}

const MANUAL: Manual = {
  name: 'drv_cfg',
  section: 1,
  summary: 'asks the client of this host, and changes which systems it uses',
  synopsis: ['drv_cfg --OPTION'],
  description: [
    "Asks the MeshSAN client on its control socket. Options and lines are those of the original's program, for scripts that take words by position.",
  ],
  parts: [
    {
      title: 'Options',
      rows: [
        ...ACTIONS.map((action) => ({ term: written(action), about: action.about })),
        { term: '--help', about: 'this text' },
        { term: '--man', about: 'this text as a manual page' },
      ],
    },
    {
      title: 'Environment',
      rows: [
        {
          term: 'MESHSAN_DRV_CFG_CONFIG',
          about: 'configuration instead of /etc/meshsan/drv_cfg.json',
        },
      ],
    },
    {
      title: 'Exit codes',
      rows: [
        { term: String(EXIT.done), about: 'done' },
        { term: String(EXIT.refused), about: 'the client refused it, and says why' },
        { term: String(EXIT.usage), about: 'wrong usage' },
        { term: String(EXIT.configuration), about: 'configuration refused' },
        { term: String(EXIT.unreachable), about: 'no client answers' },
      ],
    },
  ],
  seeAlso: ['meshsan-sdc(8)', 'scli(1)'],
};

const usage = (): readonly string[] => helpText(MANUAL).trimEnd().split('\n');

/** The words behind an option; a sentence: what is wrong with them. */
function valuesOf(action: Action, words: readonly string[]): Values | string {
  const takes = action.takes ?? {};
  const values = new Map<string, string>();
  for (let at = 0; at < words.length; at++) {
    const [, flag = '', inline] = /^([^=]*)(?:=(.*))?$/s.exec(words[at] ?? '') ?? [];
    const name = flag.replace(DASHES, '').toLowerCase();
    if (!DASHES.test(flag) || !Object.hasOwn(takes, name)) return `${words[at]} is not known`;
    if (values.has(name)) return `--${name} is given twice`;
    if (takes[name] === null) {
      if (inline !== undefined) return `--${name} takes no value`;
      values.set(name, '');
      continue;
    }
    const value = inline ?? words[++at];
    if (value === undefined || value === '' || DASHES.test(value))
      return `--${name} needs a value: ${takes[name]}`;
    values.set(name, value);
  }
  const missing = (action.needs ?? []).find((name) => !values.has(name));
  return missing === undefined ? values : `--${missing} must be given: ${takes[missing]}`;
}

/** What a command line asks for; a sentence: what is wrong with it. */
function chosen(
  argv: readonly string[],
): { readonly action: Action; readonly values: Values } | string {
  const [first = '', ...words] = argv;
  const name = first.replace(DASHES, '').toLowerCase();
  const action = DASHES.test(first) ? ACTIONS.find(({ names }) => names.includes(name)) : undefined;
  if (action === undefined) return first === '' ? '' : `${argv.join(' ')} is not known`;
  const values = valuesOf(action, words);
  return typeof values === 'string' ? values : { action, values };
}

/**
 * Runs a command line.
 * @param argv - without interpreter and script
 * @returns the exit code
 */
export async function runDrvCfg(
  argv: readonly string[],
  environment: DrvCfgEnvironment,
): Promise<number> {
  const name = (argv[0] ?? '').replace(DASHES, '').toLowerCase();
  if (name === 'help' || name === 'man') {
    const text = name === 'help' ? helpText(MANUAL) : manPage(MANUAL, VERSION);
    environment.out(text.trimEnd());
    return EXIT.done;
  }
  const choice = chosen(argv);
  if (typeof choice === 'string') {
    if (choice !== '') environment.err(`Error: ${choice}`);
    for (const line of usage()) environment.err(line);
    return EXIT.usage;
  }
  try {
    for (const line of await choice.action.run(environment, choice.values)) environment.out(line);
  } catch (error) {
    if (!(error instanceof DrvCfgRefusal)) throw error;
    environment.err(`Error: ${error.message}`);
    return EXIT.refused;
  }
  return EXIT.done;
}
