// The command line of the deployment test.

import { listOf, readFlags } from '../../backend/runtime/flags.js';

export const PARTS = ['fuel', 'inventory', 'openstack'] as const;
export type Part = (typeof PARTS)[number];

export const HELP = `Usage: npm run deploy-test -- [flags]
As root on Debian 12: boots machines (systemd-nspawn on an overlay of this host's root, in networks of their own), deploys
MeshSAN on them, and checks what came of it. Installs systemd-container, openssh-server, haproxy and curl where they are
missing; the host's own services and network are not touched.
  --only PART,...  some parts; all without it:
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

/** @throws UsageError */
export function readOptions(args: readonly string[]): Options {
  const { only, packages, keep } = readFlags(args, {
    only: { type: 'string' },
    packages: { type: 'string' },
    keep: { type: 'boolean' },
  });
  return { parts: only === null ? PARTS : listOf('--only', only, PARTS), packages, keep };
}
