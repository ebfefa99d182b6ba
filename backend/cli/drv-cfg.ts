// drv_cfg: what scripts ask of the client on a host. There is no kernel module here; the client process answers on its
// control socket. It owns the original's lines, of which scripts take words by position from the first column on.

import { VERSION } from '../core/version.js';
import { helpText, manPage } from '../runtime/manual.js';
import type { Manual } from '../runtime/manual.js';

export const EXIT = { done: 0, usage: 1, configuration: 2, unreachable: 4 } as const;

const NO_INSTALLATION = '0'.repeat(16);
const DASHES = /^(?:--|[\u2012-\u2015\u2212]{1,2})/u;

/** What the client process says of itself. */
export interface ClientStatus {
  readonly guid: string;
  readonly sdcId: string;
  readonly systemId: string;
  readonly version: string;
  readonly mdmHosts: readonly string[];
  readonly volumeIds: readonly string[];
}

export interface DrvCfgEnvironment {
  /** From the configuration; known although no client runs. */
  guid(): string;
  /** Asks the client process. @throws Error when nobody answers */
  ask(op: 'status' | 'rescan'): Promise<ClientStatus>;
  out(line: string): void;
  err(line: string): void;
}

interface Action {
  readonly names: readonly string[];
  readonly about: string;
  run(environment: DrvCfgEnvironment): Promise<readonly string[]>;
}

async function mdms(environment: DrvCfgEnvironment): Promise<readonly string[]> {
  const { systemId, sdcId, mdmHosts } = await environment.ask('status');
  if (systemId === '') return ['Retrieved 0 mdm(s)'];
  const hosts = mdmHosts.map((host, index) => `[${index}]-${host}`).join(' ');
  const sdc = sdcId === '' ? NO_INSTALLATION : sdcId;
  return [
    'Retrieved 1 mdm(s)',
    `MDM-ID ${systemId} SDC ID ${sdc} INSTALLATION ID ${NO_INSTALLATION} IPs ${hosts}`,
  ];
}

async function volumes(environment: DrvCfgEnvironment): Promise<readonly string[]> {
  const { systemId, volumeIds } = await environment.ask('status');
  return [
    `Retrieved ${volumeIds.length} volume(s)`,
    ...volumeIds.map((id) => `VOL-ID ${id} MDM-ID ${systemId}`),
  ];
}

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
];

const MANUAL: Manual = {
  name: 'drv_cfg',
  section: 1,
  summary: 'asks the client of this host',
  synopsis: ['drv_cfg --OPTION'],
  description: [
    "Asks the MeshSAN client on its control socket. Options and lines are those of the original's program, for scripts that take words by position.",
  ],
  parts: [
    {
      title: 'Options',
      rows: [
        ...ACTIONS.map(({ names, about }) => ({
          term: names.map((name) => `--${name}`).join(', '),
          about,
        })),
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
        { term: String(EXIT.usage), about: 'wrong usage' },
        { term: String(EXIT.configuration), about: 'configuration refused' },
        { term: String(EXIT.unreachable), about: 'no client answers' },
      ],
    },
  ],
  seeAlso: ['meshsan-sdc(8)', 'scli(1)'],
};

const usage = (): readonly string[] => helpText(MANUAL).trimEnd().split('\n');

/**
 * Runs a command line.
 * @param argv - without interpreter and script
 * @returns the exit code
 */
export async function runDrvCfg(
  argv: readonly string[],
  environment: DrvCfgEnvironment,
): Promise<number> {
  const [first, ...more] = argv;
  const name = (first ?? '').replace(DASHES, '').toLowerCase();
  if (name === 'help' || name === 'man') {
    const text = name === 'help' ? helpText(MANUAL) : manPage(MANUAL, VERSION);
    environment.out(text.trimEnd());
    return EXIT.done;
  }
  const action = DASHES.test(first ?? '')
    ? ACTIONS.find(({ names }) => names.includes(name))
    : undefined;
  if (action === undefined || more.length > 0) {
    if (first !== undefined) environment.err(`Error: ${argv.join(' ')} is not known`);
    for (const line of usage()) environment.err(line);
    return EXIT.usage;
  }
  for (const line of await action.run(environment)) environment.out(line);
  return EXIT.done;
}
