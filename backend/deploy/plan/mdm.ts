// The plan of a controller's MDM: Debian's etcd beside it, its configuration, whether it makes the system or waits to be taken
// in. It must never start a second system beside one that has data; who takes part in the MDM cluster is planned in
// managers.ts.

import { controllersOf } from '../environment/model.js';
import type { Environment } from '../environment/model.js';
import { managersText, STORE_PACKAGE, STORE_VERSION_TEXT, suffices } from './managers.js';
import { planned, refused } from './model.js';
import type { Context, Plan, Questions, Step } from './model.js';
import {
  FILES,
  addressArguments,
  configPath,
  fileSteps,
  mdmArguments,
  mdmConfiguration,
  parsed,
  roleSteps,
  unitOf,
} from './parts.js';
import { controllerSecrets } from './secrets.js';

/** Of Debian's package, never ours. */
export const STORE_UNIT = 'etcd.service';

/**
 * Debian's etcd, whose program the MDM runs as members of its own. Where it is not there yet, the service that comes with the
 * package is kept from starting; where it is, an operator uses it and nothing of it is touched.
 */
export function storeSteps({ seen }: Context): Plan {
  const installed = seen.packages.get(STORE_PACKAGE) ?? null;
  const lack = (what: string): Plan =>
    planned(
      [],
      [
        `${what}; the MDM of this controller cannot take part in a cluster, which needs ${STORE_PACKAGE} ${STORE_VERSION_TEXT} or newer`,
      ],
    );
  if (installed !== null)
    return suffices(installed)
      ? planned([])
      : lack(`${STORE_PACKAGE} ${installed} is installed here and left alone`);
  const candidate = seen.candidates.get(STORE_PACKAGE) ?? null;
  if (!suffices(candidate))
    return lack(
      candidate === null
        ? `the repositories of this host have no ${STORE_PACKAGE}`
        : `the repositories of this host have ${STORE_PACKAGE} ${candidate}`,
    );
  const mask: Step = {
    kind: 'run',
    about: `${STORE_UNIT} does not start: the MDM runs members of its own`,
    argv: ['systemctl', 'mask', '--quiet', STORE_UNIT],
  };
  const install: Step = {
    kind: 'packages',
    about: `install ${STORE_PACKAGE} ${candidate ?? ''} for the MDM cluster`,
    names: [STORE_PACKAGE],
  };
  // A service of that name that is there without the package is somebody's own.
  return planned(seen.units.get(STORE_UNIT)?.exists === true ? [install] : [mask, install]);
}

export const mdmQuestions = (environment: Environment): Questions => ({
  files: [configPath('mdm'), configPath('scli'), ...Object.values(FILES)],
  units: [unitOf('mdm')],
  managers: controllersOf(environment).map(({ managementAddress }) => managementAddress),
});

function scliSteps({ environment, seen }: Context): Step[] {
  const text = seen.files.get(configPath('scli'))?.text;
  const mdm = mdmConfiguration(environment);
  const present = text === undefined ? null : (JSON.parse(text) as { mdm?: unknown }).mdm;
  if (JSON.stringify(present) === JSON.stringify(mdm)) return [];
  return [
    {
      kind: 'setup',
      about: 'configuration of scli',
      args: ['scli', ...mdmArguments(environment)],
    },
  ];
}

/** Remembers that there is a system, so that no other controller ever makes an empty one. */
function managerSteps({ seen }: Context, address: string): Step[] {
  if (seen.files.has(FILES.manager) && seen.files.get(FILES.manager) !== null) return [];
  return fileSteps(seen, `the system was made on ${address}`, FILES.manager, `${address}\n`, 0o600);
}

/**
 * Systems that answer where only one may be; null: so it is.
 *
 * @param makes - this node's MDM, which does not run, is for a system of its own
 */
function twoSystems({ self, seen }: Context, makes: boolean): string | null {
  const ids = [...new Set(seen.managers.map(({ systemId }) => systemId))];
  if (ids.length > 1)
    return `two systems answer in this environment: ${seen.managers.map(({ host, systemId }) => `${systemId} on ${host}`).join(', ')}; only one of them may have data`;
  const [other] = seen.managers;
  if (!makes || other === undefined || other.mdmHosts.includes(self.managementAddress)) return null;
  return `two metadata managers of one system: ${configPath('mdm')} is for an MDM with a system of its own, and one that does not know it answers on ${other.host}; only one of them may have data`;
}

/** Why no system may be made here although none answers; null: none was made before. */
function lostSystem({ self, seen }: Context): string | null {
  const recorded = seen.files.get(FILES.manager)?.text.trim() ?? null;
  const isLost = seen.managers.length === 0 && recorded !== null;
  return isLost && recorded !== self.managementAddress
    ? `the system of this environment was made on ${recorded}, and no MDM answers; starting an empty one here would forget every volume. Bring one of its controllers back`
    : null;
}

/**
 * The first controller makes the system, the others' MDMs wait to be taken in (managers.ts). An MDM that is there stays what
 * it is.
 */
export function planMdm(context: Context): Plan {
  const { environment, self, seen } = context;
  const secrets = [...controllerSecrets(context), ...scliSteps(context)];
  const present = seen.files.get(configPath('mdm')) ?? null;
  const isPresentMaker = present !== null && 'initialAdmin' in parsed(present.text);
  const runs = seen.units.get(unitOf('mdm'))?.active === true;
  const twice = twoSystems(context, isPresentMaker && !runs);
  if (twice !== null) return refused(twice);
  const [elsewhere] = seen.managers;
  const isPrimary = self.roles.includes('primary-controller');
  const lost = isPrimary && present === null ? lostSystem(context) : null;
  if (lost !== null) return refused(lost);
  const makes = present === null ? isPrimary && elsewhere === undefined : isPresentMaker;
  const addresses = [{ host: self.managementAddress, role: 'all' as const }];
  const systemName = environment.label;
  const steps = roleSteps(seen, {
    role: 'mdm',
    wanted: { name: self.name, addresses, ...(makes ? { systemName } : {}) },
    args: [
      ...addressArguments(addresses),
      ...['--name', self.name],
      ...(makes ? ['--system-name', systemName] : ['--standby']),
    ],
  });
  const [first] = elsewhere?.mdmHosts ?? [controllersOf(environment)[0]?.managementAddress];
  return planned(
    [...secrets, ...steps, ...managerSteps(context, first ?? '')],
    [managersText(environment)],
  );
}
