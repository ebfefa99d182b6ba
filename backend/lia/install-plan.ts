// Whether a set of package files may be installed on a node, and what would be left to do. It must never look at a node.

import type { InstalledPackage, KeptPackage } from '../protocol/lia.js';

const OURS = 'meshsan-';
const ARCHITECTURES: readonly string[] = ['all', 'amd64'];

/** A package file that was asked for, and how its version stands to the one that is installed. */
export interface WantedPackage extends KeptPackage {
  readonly isDowngrade: boolean;
}

export interface InstallFacts {
  readonly kind: 'install';
  /** What was asked for and verified again. */
  readonly wanted: readonly WantedPackage[];
  /** Why a file cannot be used (gone, changed, not signed), or null. */
  readonly fault: string | null;
  /** Packages of ours on the node. */
  readonly installed: readonly InstalledPackage[];
}

/** `refused` says why nothing may be done; otherwise the packages that are not there yet. */
export type InstallPlan =
  { readonly refused: string } | { readonly missing: readonly WantedPackage[] };

const isThere = (installed: readonly InstalledPackage[], { name, version }: KeptPackage): boolean =>
  installed.some((own) => own.name === name && own.version === version && isWhole(own));
const isWhole = ({ state }: InstalledPackage): boolean => state === 'installed';

/** @param allowDowngrade - versions below the installed ones are wanted */
export function planInstall(
  { wanted, fault, installed }: InstallFacts,
  allowDowngrade: boolean,
): InstallPlan {
  if (fault !== null) return { refused: fault };
  for (const { name, architecture } of wanted) {
    if (!name.startsWith(OURS))
      return { refused: `${name} is none of our packages: their names begin with ${OURS}` };
    if (!ARCHITECTURES.includes(architecture))
      return {
        refused: `${name} is for ${architecture}; this node takes ${ARCHITECTURES.join(', ')}`,
      };
  }
  const names = wanted.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) return { refused: `${twice} is given twice` };
  const versions = [...new Set(wanted.map(({ version }) => version))];
  if (versions.length > 1)
    return { refused: `the packages are of ${versions.join(' and ')}; a node has one version` };
  const [version = ''] = versions;
  const left = installed
    .filter((own) => isWhole(own) && own.version !== version && !names.includes(own.name))
    .map((own) => `${own.name} ${own.version}`);
  if (left.length > 0)
    return {
      refused: `a node has one version, and ${left.join(', ')} would be left: bring ${version} of it too`,
    };
  const lower = wanted.filter(({ isDowngrade }) => isDowngrade).map(({ name }) => name);
  if (lower.length > 0 && !allowDowngrade)
    return { refused: `${version} is lower than what is installed of ${lower.join(', ')}` };
  return { missing: wanted.filter((item) => !isThere(installed, item)) };
}

/** What is not as it was asked for after an installation, as a sentence; null: all is. */
export function installFault({ wanted, installed }: InstallFacts): string | null {
  const faults = wanted
    .filter((item) => !isThere(installed, item))
    .map(({ name, version }) => {
      const own = installed.find((row) => row.name === name);
      return own === undefined
        ? `${name} ${version} is not there`
        : `${name} is ${own.version} (${own.state}) instead of ${version}`;
    });
  return faults.length === 0 ? null : faults.join(', ');
}
