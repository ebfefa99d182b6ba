// The commands and flags of meshsan-lia: the one table of which its help, its manual page and its parser are made.

import { LIA_PORT, LIA_SERVICES } from '../protocol/lia.js';
import type { Manual } from '../runtime/manual.js';

export const TOKEN_FILE = '/etc/meshsan/lia-token';

/** What stands behind a flag in the help, and whether it may be repeated. */
interface FlagRow {
  readonly value?: string;
  readonly multiple?: true;
  readonly about: string;
}

export const FLAGS = {
  host: {
    value: 'IP[:PORT]',
    multiple: true,
    about: `node to ask (port ${LIA_PORT}); may be repeated`,
  },
  'token-file': { value: 'FILE', about: `token of the agents, 64 hex digits (${TOKEN_FILE})` },
  'signing-key': {
    value: 'FILE',
    about: 'install, sign: private key of the enrolled signer; without it install reads FILE.sig',
  },
  id: { value: 'ID', about: 'of the job: the same job under the same id again is one job' },
  out: { value: 'FILE', about: 'info: where the bundle goes; it must not exist' },
  'allow-downgrade': { about: 'install: versions below the installed ones are wanted' },
  'no-wait': { about: 'return when the job was taken, not when it ended' },
  json: { about: 'print JSON' },
  help: { about: 'this text' },
  man: { about: 'this text as a manual page' },
} as const satisfies Readonly<Record<string, FlagRow>>;
export const FLAG_ROWS: readonly (readonly [string, FlagRow])[] = Object.entries(FLAGS);

export const COMMANDS = {
  report: 'packages, services, addresses and devices of a node',
  'start SERVICE': 'starts a service of ours',
  'stop SERVICE': 'stops one; it starts again with the node unless it is disabled',
  'restart SERVICE': 'stops and starts one',
  'install FILE...': 'hands package files over and installs those that are not there yet',
  jobs: 'the jobs of a node, the newest first',
  'job ID': 'one job, with the end of what its program printed',
  info: 'support bundle: report, logs, configuration without secrets (tar.gz)',
  'sign FILE...': 'writes FILE.sig with the signature of --signing-key; asks no node',
} as const;

export const MANUAL: Manual = {
  name: 'meshsan-lia',
  section: 1,
  summary: 'asks the agents of MeshSAN nodes',
  synopsis: [
    'meshsan-lia COMMAND --host IP[:PORT] [FLAGS]',
    'meshsan-lia sign FILE... --signing-key FILE',
  ],
  description: [
    'Asks the agent (LIA) of one or several nodes what is installed and running there, starts and stops services, installs package files and fetches support bundles. Both ends prove that they know the token.',
    'An agent installs only files for which the signer that was enrolled on its node vouches, all of one version, and never leaves packages of ours of another version beside them.',
  ],
  parts: [
    {
      title: 'Commands',
      rows: Object.entries(COMMANDS).map(([term, about]) => ({ term, about })),
    },
    {
      title: 'Flags',
      rows: FLAG_ROWS.map(([name, { value, about }]) => ({
        term: `--${name}${value === undefined ? '' : ` ${value}`}`,
        about,
      })),
    },
    {
      title: 'Services',
      rows: LIA_SERVICES.map((term) => ({ term, about: 'where it is installed' })),
    },
    {
      title: 'Files',
      rows: [
        { term: TOKEN_FILE, about: 'token, made by meshsan-setup system or the deployer' },
        {
          term: '/etc/meshsan/lia-signer-key.pem',
          about: 'private key of the signer, on the host where meshsan-setup system ran',
        },
      ],
    },
    {
      title: 'Exit codes',
      rows: [
        { term: '0', about: 'done' },
        { term: '1', about: 'a node refused, or a job failed' },
        { term: '2', about: 'wrong command line, token or key' },
        { term: '4', about: 'a node cannot be asked' },
      ],
    },
  ],
  seeAlso: ['meshsan-lia(8)', 'meshsan-setup(8)', 'scli(1)'],
};

export type FlagName = keyof typeof FLAGS;
