// The command line of the deployment test.

import { parseArgs } from 'node:util';

export const PARTS = ['fuel', 'inventory', 'openstack'] as const;
export type Part = (typeof PARTS)[number];

export const HELP = `Usage: npm run deploy-test -- [flags]
As root on Debian 12: boots machines (systemd-nspawn on an overlay of this host's root, in networks of their own), deploys
MeshSAN on them, and checks what came of it. Installs systemd-container, openssh-server, haproxy and curl where they are
missing; the host's own services and network are not touched.
  --only PART      one part; all without it:
                   fuel       the emitted plugin's tasks on facts files
                   inventory  the same over SSH
                   openstack  one machine runs Debian's OpenStack, and is compute and Cinder node of the deployment; installs
                              what \`npm run openstack\` installs
  --packages DIR   Debian packages to deploy; without it they are built
  --keep           leave the machines running at the end, until Ctrl-C
  --help           this text
Exit codes: 0 everything passed, 1 something failed, 2 wrong usage.
`;

export interface Options {
  readonly parts: readonly Part[];
  readonly packages: string | null;
  readonly keep: boolean;
}

/** null: help was asked for. @throws Error with what is wrong */
export function readOptions(args: readonly string[]): Options | null {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string' },
      packages: { type: 'string' },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const part = PARTS.find((known) => known === values.only);
  if (values.only !== undefined && part === undefined)
    throw new Error(`--only must be one of ${PARTS.join(', ')}, not "${values.only}"`);
  return {
    parts: part === undefined ? PARTS : [part],
    packages: values.packages ?? null,
    keep: values.keep,
  };
}
